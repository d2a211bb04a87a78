"""In: a person's chart, images and lapse. Out: the notes that doctors wrote, identifiers and facts marked.

Hidden illness is in them before anybody names it; so are denials, old history, relatives' illnesses, text
copied from earlier notes, and lists pasted in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import numpy as np

from residency.simulation.chances import NOTES, stream
from residency.simulation.charting import Chart, quantity
from residency.simulation.contacts import OFFICE, STAY
from residency.simulation.filming import accession
from residency.simulation.findings import findings
from residency.simulation.lapses import Lapse
from residency.simulation.latent import severity
from residency.simulation.medicine import hospital
from residency.simulation.names import house, names
from residency.simulation.selection import noted
from residency.simulation.spec import HospitalSpec
from residency.simulation.studies import Study
from residency.simulation.wording import Choices, Claim, Complaint, Fact, Span, Word, Writing, phrases

KINDS: Final = {
    "progress": ("11506-3", "Progress note"),
    "discharge": ("18842-5", "Discharge summary"),
    "admission": ("34117-2", "History and physical note"),
    "imaging": ("18748-4", "Diagnostic imaging study"),
}
_DATES: Final = {
    "north": ("%m/%d/%Y", "%B %d, %Y", "%m/%d/%y", "%Y-%m-%d", "%d %b %Y"),
    "south": ("%d.%m.%Y", "%d.%m.%y", "%Y-%m-%d", "%d %B %Y"),
}
_MOST_PROGRESS, _MOST_DISCHARGES, _MOST_IMAGING = 3, 2, 2
_PRESENT, _ABSENT, _PAST = 0.03, 0.24, 0.05
_SHOWN: Final = 8


@dataclass(frozen=True)
class Note:
    """One note.

    Attributes:
        contact: at which it was written.
        day: from entry.
        kind: key of `KINDS`.
        doctor: who wrote it.
        study: index of the examination that it reports; −1 for others.
    """

    contact: int
    day: float
    kind: str
    doctor: str
    text: str
    spans: tuple[Span, ...]
    facts: tuple[Fact, ...]
    study: int = -1


@dataclass
class _Desk:
    """What writing one patient's notes needs at hand."""

    chart: Chart
    made: list[Study]
    lapse: Lapse | None
    chance: Choices
    doctor: str
    relative: str
    contact: str
    phone: str
    earlier: list[tuple[float, str]] = field(default_factory=list)

    def date(self, day: float, style: str) -> Word:
        """Spell a day."""
        when = date(1970, 1, 1) + timedelta(days=self.chart.desk.person.entry_day + int(day))
        return Word(when.strftime(style), "date")


def notes(chart: Chart, made: list[Study], lapse: Lapse | None, spec: HospitalSpec) -> list[Note]:
    """Write a person's notes, in the order of time."""
    chance = Choices(stream(spec.seed, chart.desk.person.number, NOTES))
    home, table = house(chart.who.site), names()
    contacts = phrases().words.contacts
    contact, sex = contacts[int(chance.draw() * len(contacts))]
    given = chance.one(table.female if sex == "female" else table.male)
    relative = f"{given} {chart.who.family if chance.draw() < 0.6 else chance.one(table.family)}"
    phone = home.phone.format(number=int(chance.draw() * 10_000))
    desk = _Desk(chart, made, lapse, chance, chance.one(home.doctors), relative, contact, phone)
    wanted = [*_occasions(desk), *_imaging(desk)]
    wanted.sort(key=lambda one: (float(chart.desk.contacts.day[one[0]]), one[1], one[2]))
    return [_write(desk, *one) for one in wanted]


def _occasions(desk: _Desk) -> Iterator[tuple[int, str, int]]:
    """Choose contacts to write about: the first, ends of stays, some visits, where a lapse needs words."""
    seen = desk.chart.desk.contacts
    yield 0, "admission", -1
    last = np.append(np.diff(seen.visit) > 0, True)
    stays = np.flatnonzero(last & (seen.contact_kind == STAY)).tolist()
    forced = -1 if desk.lapse is None else desk.lapse.contact
    draw = np.array([desk.chance.draw() for _ in range(len(last))])
    wanted = (draw < noted(desk.chart.desk.person, seen)) | (np.arange(len(last)) == forced)
    visits = np.flatnonzero(wanted & (seen.contact_kind == OFFICE) & (np.arange(len(last)) > 0)).tolist()
    yield from ((contact, "discharge", -1) for contact in _some(desk, stays, _MOST_DISCHARGES, forced))
    yield from ((contact, "progress", -1) for contact in _some(desk, visits, _MOST_PROGRESS, forced))


def _some(desk: _Desk, contacts: list[int], most: int, forced: int) -> list[int]:
    order = {contact: desk.chance.draw() for contact in contacts}
    if forced in order:
        order[forced] = -1.0
    return sorted(sorted(contacts, key=order.__getitem__)[:most])


def _imaging(desk: _Desk) -> Iterator[tuple[int, str, int]]:
    order = {study.index: desk.chance.draw() for study in desk.made}
    if desk.lapse is not None and desk.lapse.study >= 0:
        order[desk.lapse.study] = -1.0
    for index in sorted(order, key=order.__getitem__)[:_MOST_IMAGING]:
        yield desk.made[index].contact, "imaging", index


def _write(desk: _Desk, contact: int, kind: str, study: int) -> Note:
    seen = desk.chart.desk.contacts
    day = desk.made[study].day + 0.05 if study >= 0 else float(seen.day[contact]) + 0.01
    writing = Writing(_words(desk, contact, day, study))
    writing.say(desk.chance.one(phrases().header[kind]))
    {"progress": _progress, "admission": _admission, "discharge": _discharge, "imaging": _report}[kind](
        desk, writing, contact, study
    )
    writing.say(desk.chance.one(phrases().footer[kind]) + "\n")
    return Note(
        contact, day, kind, desk.doctor, writing.text, tuple(writing.spans), tuple(writing.facts), study
    )


def _words(desk: _Desk, contact: int, day: float, study: int) -> dict[str, Word]:
    """Say what stands for each field in one note; a note keeps to one way of spelling dates."""
    who, home, seen = desk.chart.who, house(desk.chart.who.site), desk.chart.desk.contacts
    style = desk.chance.one(_DATES[who.site])
    age = int((desk.chart.desk.person.age * 365.25 + day) / 365.25)
    found = {
        "name": Word(who.name, "name"), "family": Word(who.family, "name"), "given": Word(who.given, "name"),
        "caps": Word(f"{who.family}, {who.given}".upper(), "name"), "number": Word(who.number, "number"),
        "born": Word(who.born.strftime(style), "date_of_birth"), "date": desk.date(day, style),
        "start": desk.date(float(seen.start[seen.visit[contact]]), style),
        "later": desk.date(day + 84, style),
        "earlier": desk.date(desk.earlier[-1][0] if desk.earlier else 0.0, style),
        "doctor": Word(desk.doctor, "staff"),
        "radiologist": Word(desk.chance.one(home.radiologists), "staff"),
        "hospital": Word(home.hospital, "organisation"), "street": Word(who.street, "address"),
        "city": Word(who.city, "address"), "zip": Word(who.zip, "address"),
        "phone": Word(who.phone, "telephone"), "other_phone": Word(desk.phone, "telephone"),
        "email": Word(who.email, "email"), "relative": Word(desk.relative, "relative"),
        "contact": Word(desk.contact), "relation": Word(desk.chance.one(phrases().words.relations)),
        "age": Word(f"{age}", "age_over_89" if age > 89 else None),
        "sex": Word("man" if who.male else "woman"),
    }  # fmt: skip
    if study >= 0:
        one = desk.made[study]
        earlier = [before.day for before in desk.made[:study] if before.modality == one.modality]
        found["earlier"] = desk.date(earlier[-1] if earlier else 0.0, style)
        found["accession"] = Word(accession(one), "number")
        found["exam"] = Word("CT of the chest" if one.modality == "CT" else "chest radiograph PA")
    return found


def _progress(desk: _Desk, writing: Writing, contact: int, _: int) -> None:
    chance, words = desk.chance, phrases().words
    writing.say(f"{{age}}-year-old {{sex}}, here for {chance.one(words.reasons)}.\n")
    told = _complaints(desk, writing, contact)
    if chance.draw() < 0.5:
        writing.say(chance.one(words.social) + "\n")
    _history(desk, writing, contact)
    if chance.draw() < 0.35:
        _family(desk, writing)
    _drugs(desk, writing, contact)
    _results(desk, writing, contact)
    _exam(desk, writing, contact)
    if desk.earlier and chance.draw() < 0.3:
        writing.say("\n" + chance.one(words.copied) + "\n")
        writing.paste(desk.earlier[-1][1] + "\n---\n")
    plan = _plan(desk, writing, contact, told)
    desk.earlier.append((float(desk.chart.desk.contacts.day[contact]), plan))


def _admission(desk: _Desk, writing: Writing, contact: int, _: int) -> None:
    writing.say(
        f"CC: {desk.chance.one(phrases().words.reasons)}.\n\nHPI: {{age}}-year-old {{sex}}, new to us.\n"
    )
    told = _complaints(desk, writing, contact)
    _history(desk, writing, contact)
    _family(desk, writing)
    writing.say(f"Social: {desk.chance.one(phrases().words.social)} {_smoking(desk)}\n")
    _drugs(desk, writing, contact)
    _results(desk, writing, contact)
    _exam(desk, writing, contact)
    _plan(desk, writing, contact, told)


def _discharge(desk: _Desk, writing: Writing, contact: int, _: int) -> None:
    chance, words, day = desk.chance, phrases().words, float(desk.chart.desk.contacts.day[contact])
    failing = _severity(desk, "heart_failure", day)
    writing.say(f"Reason for admission: {chance.one(words.admitted_for)}.\n")
    _history(desk, writing, contact)
    writing.say("Hospital course: " + chance.one(words.course))
    if failing > 0.5 and chance.draw() < 0.5:
        writing.say(" " + chance.one(words.decompensated), Claim("heart_failure"))
    writing.say("\n")
    _complaints(desk, writing, contact)
    _results(desk, writing, contact)
    writing.say("Discharge ")
    _drugs(desk, writing, contact)
    if _slips(desk, contact, "pending_test"):
        test = chance.one(words.pending_tests)
        writing.say(chance.one(words.pending).replace("{test}", test) + "\n", Claim("pending_test"))
    writing.say("Follow-up with Dr. {doctor} on {later}.\n")


def _report(desk: _Desk, writing: Writing, contact: int, study: int) -> None:
    """Write a radiology report: what is to be seen, by degree."""
    one, chance = desk.made[study], desk.chance
    say = phrases().imaging
    writing.say(chance.one(say.indication) + "\n")
    earlier = any(before.modality == one.modality for before in desk.made[:study])
    writing.say(chance.one(say.compared if earlier else say.uncompared) + "\n\nFINDINGS: ")
    found = findings(one, chance)
    for sentence, claim in found.sentences:
        writing.say(sentence, claim)
        writing.say(" ")
    writing.say("\n\nIMPRESSION:\n")
    for i, sentence in enumerate(found.impression):
        writing.say(f"{i + 1}. {sentence}\n")


def _slips(desk: _Desk, contact: int, kind: str) -> bool:
    return desk.lapse is not None and desk.lapse.kind == kind and desk.lapse.contact == contact


def _complaints(desk: _Desk, writing: Writing, contact: int) -> bool:
    """Tell complaints: more of those that hidden illness brings; say whether there were any."""
    day = float(desk.chart.desk.contacts.day[contact])
    told, denied = [], []
    for one in phrases().complaint:
        chance = 1 - (1 - _PRESENT) * np.prod([1 - share for share in _brought(desk, one, day)])
        u = desk.chance.draw()
        if u < chance:
            told.append((desk.chance.one(one.present), Claim(one.concept)))
        elif u < chance + _ABSENT:
            denied.append((desk.chance.one(one.absent), Claim(one.concept, negated=True)))
        elif u < chance + _ABSENT + _PAST:
            told.append((desk.chance.one(one.past), Claim(one.concept, historical=True)))
    for sentence, claim in [*told, *denied]:
        writing.say(sentence[0].upper() + sentence[1:], claim)
        writing.say(". ")
    writing.say("\n" if told or denied else "No complaints.\n")
    return any(not claim.historical for _, claim in told)


def _brought(desk: _Desk, one: Complaint, day: float) -> list[float]:
    """Give the chance that each disease brings a complaint; a disease that the hospital lacks brings none."""
    known = {disease.name for disease in hospital().disease}
    return [min(share * _severity(desk, name, day), 0.95) for name, share in one.of.items() if name in known]


def _severity(desk: _Desk, disease: str, day: float) -> float:
    return float(severity(desk.chart.desk.person, disease, np.array([day]))[0])


def _history(desk: _Desk, writing: Writing, contact: int) -> None:
    """List what is known, as it is pasted from the problem list."""
    day = float(desk.chart.desk.contacts.day[contact])
    person, found = desk.chart.desk.person, hospital()
    mine = [one for one, at in zip(found.disease, person.diagnosis, strict=True) if day >= at]
    lasting = np.flatnonzero(desk.chart.diagnosed.lasting <= day)[:6].tolist()
    if not mine and not lasting:
        writing.say("PMH: none.\n")
        return
    dashes = desk.chance.draw() < 0.5
    writing.say("PMH:\n" if dashes else "Past medical history: ")
    for i, name in enumerate(found.condition[row].icd_display for row in lasting):
        writing.say(f"- {name}\n" if dashes else f"{', ' if i else ''}{name}")
    for one in mine:
        writing.say("- " if dashes else "; ")
        writing.say(f"History of {one.title.lower()}", Claim(one.name, historical=True))
        writing.say("\n" if dashes else "")
    writing.say("" if dashes else ".\n")


def _family(desk: _Desk, writing: Writing) -> None:
    if desk.chance.draw() < 0.4:
        writing.say(desk.chance.one(phrases().words.family_none) + "\n")
        return
    row = phrases().family[int(desk.chance.draw() * len(phrases().family))]
    writing.say("Family history: ")
    writing.say(desk.chance.one(row.says), Claim(row.concept, experiencer="family"))
    writing.say(".\n")


def _smoking(desk: _Desk) -> str:
    person = desk.chart.desk.person
    return (
        "Smokes about a pack a day."
        if person.smoker
        else "Former smoker."
        if person.former
        else "Never smoked."
    )


def _drugs(desk: _Desk, writing: Writing, contact: int) -> None:
    ordered = desk.chart.treated.ordered
    taken = sorted(set(ordered[ordered[:, 0] <= contact, 1].tolist()))[:10]
    if not taken:
        writing.say("Medications: none.\n")
        return
    writing.say("Medications:\n")
    for drug in taken:
        writing.paste(f"  {hospital().drug[drug].display}\n")


def _results(desk: _Desk, writing: Writing, contact: int) -> None:
    """Paste the results of the day, as a table of the laboratory looks when pasted."""
    measured, parts = desk.chart.measured, desk.chart.desk.parts
    mine = np.flatnonzero(measured.contact == contact)[:_SHOWN].tolist()
    if not mine:
        writing.say(desk.chance.one(phrases().words.no_results) + "\n")
        return
    writing.say("Results {date}:\n")
    for row in mine:
        lab = int(measured.lab[row])
        found = quantity(parts, lab, float(measured.value[row] * parts.factor[lab] + parts.offset[lab]))
        name = hospital().lab[lab].display.partition(" [")[0]
        writing.paste(f"  {name}: {found.value:g} {found.unit}\n")


def _exam(desk: _Desk, writing: Writing, contact: int) -> None:
    day, words = float(desk.chart.desk.contacts.day[contact]), phrases().words
    wet = _severity(desk, "heart_failure", day) > 0.45 and desk.chance.draw() < 0.5
    writing.say("Exam: " + desk.chance.one(words.exam_wet if wet else words.exam) + "\n")


def _plan(desk: _Desk, writing: Writing, contact: int, told: bool) -> str:
    """Write assessment and plan; complaints of what is hidden are explained away. Give the text."""
    chance, words, person = desk.chance, phrases().words, desk.chart.desk.person
    day = float(desk.chart.desk.contacts.day[contact])
    known = [one.title for one, at in zip(hospital().disease, person.diagnosis, strict=True) if day >= at]
    lines = [chance.one(words.known).replace("{disease}", title) for title in known[:3]]
    lines.append(chance.one(words.reassured if told else words.well))
    plan = "\n".join(lines)
    writing.say("\nA/P:\n" + plan + "\n")
    if _slips(desk, contact, "lost_to_follow_up"):
        writing.say(chance.one(words.lost) + "\n", Claim("return_wanted"))
    else:
        writing.say(chance.one(words.back) + "\n")
    return plan
