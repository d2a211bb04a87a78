"""In: a chart and a visit. Out: the sentences of each section of a draft."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from residency.contract.packed import DAY
from residency.contract.questions import Statement
from residency.reasoning.chart import Chart, Code, Rows, number
from residency.reasoning.concepts import concepts
from residency.reasoning.encounters import Stay
from residency.reasoning.loops import open_loops
from residency.reasoning.rules import rules
from residency.reasoning.safety import CURRENT_DAYS, checked, current

_MOST: Final = 20
_YEAR_DAYS: Final = 365.25
Section = Callable[[Chart, Stay], Iterator[Statement]]


def _said(text: str, chart: Chart, rows: list[int]) -> Statement:
    return Statement(text=text, citations=chart.cite(rows))


def _lacking(text: str) -> Statement:
    return Statement(text=text, citations=())


def identity(chart: Chart, _: Stay) -> Iterator[Statement]:
    """Say age and sex; names are not in a model's records."""
    rows = [*chart.prefixed("MEDS_BIRTH").tolist(), *chart.prefixed("DEMOGRAPHIC/SEX").tolist()]
    who = {"female": "Woman", "male": "Man", "": "Patient"}[chart.sex]
    age = "of unknown age" if chart.age is None else f"of {int(chart.age)} years"
    yield _said(f"{who} {age}.", chart, rows)


def visit(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Say which visit it is about."""
    if stay.row < 0:
        yield _lacking("Visit: none is on record.")
    else:
        yield _said(f"Seen at {stay.says} {stay.dates}.", chart, [stay.row])


def in_hospital(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Say when the stay was."""
    if stay.row < 0:
        yield _lacking("Stay: no stay in hospital is on record.")
    else:
        yield _said(f"In hospital {stay.dates}.", chart, [stay.row])


def allergies(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List allergies."""
    rows = chart.prefixed("ALLERGY/").tolist()
    for row in _firsts(chart, rows):
        yield _said(f"Allergy: {_name(chart.named(row))}{_when(chart, row)}.", chart, [row])
    if not rows:
        yield _lacking("Allergies: none are on record, which is not the same as none. Ask.")


def anticoagulants(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List anticoagulants that were ordered of late."""
    rows = current(chart, "anticoagulant").tolist()
    for row in rows:
        yield _said(f"Anticoagulant: {_name(chart.named(row))}, ordered on {chart.date(row)}.", chart, [row])
    if not rows:
        yield _lacking(f"Anticoagulants: no order of the last {CURRENT_DAYS:.0f} days is on record. Ask.")


def code_status(chart: Chart, _: Stay) -> Iterator[Statement]:
    """Say the code status."""
    rows = chart.of("do_not_resuscitate").tolist()
    if rows:
        yield _said(
            f"Code status: do not resuscitate, recorded on {chart.date(rows[-1])}.", chart, [rows[-1]]
        )
    else:
        yield _lacking("Code status: not on record. Ask.")


def diagnoses(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """List what was diagnosed at the visit."""
    for row in _firsts(chart, stay.holds(chart, chart.of_kind("Condition")).tolist()):
        yield _said(f"Diagnosis: {_name(chart.named(row))}, recorded on {chart.date(row)}.", chart, [row])


def problems(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List conditions: those that the tables know, then those recorded again; the latest first.

    What has no name here is counted, for nobody can say whether it is one thing or many.
    """
    rows = chart.of_kind("Condition")
    by_code: dict[int, list[int]] = {}
    for row in rows.tolist():
        by_code.setdefault(int(chart.code[row]), []).append(row)
    lasting = [mine for mine in by_code.values() if chart.named(mine[0]).concepts or len(mine) > 1]
    lasting.sort(key=lambda one: (not chart.named(one[0]).concepts, -int(chart.time[one[-1]])))
    for mine in lasting[:_MOST]:
        last = f", last on {chart.date(mine[-1])}" if len(mine) > 1 else ""
        text = f"On record since {chart.date(mine[0])}: {_name(chart.named(mine[0]))}{last}."
        yield _said(text, chart, [mine[0], mine[-1]])
    nameless = [row for row in rows.tolist() if chart.named(row).nameless]
    if nameless:
        many = "A condition is" if len(nameless) == 1 else f"{len(nameless)} records of conditions are"
        yield _said(f"{many} on record by a code that is not known here: see the record.", chart, nameless)


def family(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List what relatives had, as theirs."""
    for row in _firsts(chart, chart.prefixed("FAMILY/").tolist()):
        yield _said(f"A relative, not the patient: {_name(chart.named(row))}.", chart, [row])


def results(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Give the last value of each test at the visit; without one, of the last year."""
    tested = chart.dated(np.isfinite(chart.value) & np.isin(chart.code, _measured(chart)))
    mine = stay.holds(chart, tested) if stay.row >= 0 else np.zeros(0, np.int64)
    rows = mine if len(mine) else tested[chart.time[tested] > chart.as_of - _YEAR_DAYS * DAY]
    watched = {one.of for one in rules().result} | {one.of for one in rules().trend}
    lasts = _lasts(chart, rows)
    order = sorted(lasts, key=lambda row: (not watched & chart.named(row).concepts, -int(chart.time[row])))
    for row in order[:_MOST]:
        code = chart.named(row)
        value = f"{number(float(chart.value[row]))} {code.unit}".strip()
        yield _said(f"{_name(code)}: {value} on {chart.date(row)}.", chart, [row])


def _measured(chart: Chart) -> list[int]:
    return [
        number
        for number, code in enumerate(chart.codes)
        if code.name.startswith(("LOINC/", "LAB/", "VITAL/"))
    ]


def procedures(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """List what was done at the visit."""
    for row in _firsts(chart, stay.holds(chart, chart.of_kind("Procedure")).tolist())[:_MOST]:
        yield _said(f"Done on {chart.date(row)}: {_name(chart.named(row))}.", chart, [row])


def orders(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """List what was ordered at the visit."""
    for row in _firsts(chart, stay.holds(chart, chart.of_kind("MedicationRequest")).tolist()):
        yield _said(f"Ordered on {chart.date(row)}: {_name(chart.named(row))}.", chart, [row])


def medications(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List drugs that were ordered of late."""
    rows = chart.of_kind("MedicationRequest")
    late = rows[chart.time[rows] > chart.as_of - CURRENT_DAYS * DAY]
    for row in _lasts(chart, late):
        yield _said(
            f"Medication: {_name(chart.named(row))}, last ordered on {chart.date(row)}.", chart, [row]
        )
    if not len(late):
        yield _lacking(f"Medications: no order of the last {CURRENT_DAYS:.0f} days is on record. Ask.")


def pending(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List tests that are out."""
    found = [loop.statement for loop in open_loops(chart) if loop.kind == "pending_test"]
    yield from found
    if not found:
        yield _lacking("Pending tests: no note on record tells of one.")


def left_open(chart: Chart, _: Stay) -> Iterator[Statement]:
    """List what else is left open."""
    yield from (loop.statement for loop in open_loops(chart) if loop.kind != "pending_test")


def follow_up(_: Chart, __: Stay) -> Iterator[Statement]:
    """Leave the follow-up to the clinician."""
    yield _lacking("Follow-up: to be filled in.")


def question(_: Chart, __: Stay) -> Iterator[Statement]:
    """Leave the question to the specialist to the clinician."""
    yield _lacking("Question to the specialist: to be filled in.")


def request(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Say which drug is asked for: the one that was ordered last."""
    row = _requested(chart, stay)
    if row is not None:
        text = f"Authorisation is asked for {_name(chart.named(row))}, ordered on {chart.date(row)}."
        yield _said(text, chart, [row])


def _requested(chart: Chart, stay: Stay) -> int | None:
    rows = chart.of_kind("MedicationRequest")
    mine = stay.holds(chart, rows) if stay.row >= 0 else rows
    chosen = mine if len(mine) else rows
    return int(chosen[-1]) if len(chosen) else None


def tried(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """List other drugs that were ordered before."""
    wanted = _requested(chart, stay)
    rows = chart.of_kind("MedicationRequest")
    others = [row for row in rows.tolist() if wanted is None or chart.code[row] != chart.code[wanted]]
    for row in _firsts(chart, others)[-_MOST:]:
        yield _said(f"Ordered before, on {chart.date(row)}: {_name(chart.named(row))}.", chart, [row])


def safety(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Say what the tables hold against the drug that is asked for."""
    wanted = _requested(chart, stay)
    kinds = concepts().kinds
    names = (
        [] if wanted is None else [one for one in chart.named(wanted).concepts if kinds.get(one) == "drug"]
    )
    for name in sorted(names):
        for one in checked(chart, name).against:
            text = f"Speaks against {concepts().says[name]}: {one.text}"
            yield Statement(text=text, citations=one.citations, basis=one.basis)


def codes(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Suggest ICD-10-CM codes for what was recorded at the visit; the record that supports each is cited."""
    for row in _firsts(chart, stay.holds(chart, chart.of_kind("Condition")).tolist()):
        code = chart.named(row)
        found = [name for name in (code.name, *code.above) if name.startswith("ICD10CM/")]
        if found:
            spelled = found[0].partition("/")[2]
            text = f"{spelled}: {_name(code)}, recorded on {chart.date(row)}."
            yield _said(text, chart, [row])


def greeting(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Say what the message is about."""
    if stay.row < 0:
        yield _lacking("Thank you for being our patient.")
    else:
        yield _said(f"Thank you for coming to us {stay.dates}.", chart, [stay.row])


def told_diagnoses(chart: Chart, stay: Stay) -> Iterator[Statement]:
    """Say in plain words what was found."""
    for row in _firsts(chart, stay.holds(chart, chart.of_kind("Condition")).tolist()):
        yield _said(f"Your doctor wrote down: {_plain(chart.named(row))}.", chart, [row])


def told_medicines(chart: Chart, _: Stay) -> Iterator[Statement]:
    """Say in plain words what is taken."""
    rows = chart.of_kind("MedicationRequest")
    late = rows[chart.time[rows] > chart.as_of - CURRENT_DAYS * DAY]
    for row in _lasts(chart, late):
        yield _said(f"We have this medicine on your list: {_plain(chart.named(row))}.", chart, [row])
    if not len(late):
        yield _lacking("We have no medicine on your list. Please tell us what you take.")


def told_allergies(chart: Chart, _: Stay) -> Iterator[Statement]:
    """Say in plain words what is not tolerated."""
    rows = chart.prefixed("ALLERGY/").tolist()
    for row in _firsts(chart, rows):
        yield _said(f"You told us that you do not tolerate {_name(chart.named(row))}.", chart, [row])
    if not rows:
        yield _lacking("We have no allergy on your list. Please tell us if you have one.")


def told_next(chart: Chart, _: Stay) -> Iterator[Statement]:
    """Say in plain words that something is to be talked about; the doctor says what."""
    for loop in open_loops(chart):
        if loop.kind != "screening":
            text = "Please call us: there is something from an earlier visit that we want to talk about."
            yield Statement(text=text, citations=loop.citations)
            return


def _firsts(chart: Chart, rows: list[int]) -> list[int]:
    """Give the first event of each code."""
    found: dict[int, int] = {}
    for row in rows:
        found.setdefault(int(chart.code[row]), row)
    return list(found.values())


def _lasts(chart: Chart, rows: Rows) -> list[int]:
    """Give the last event of each code, in the order of the codes' first."""
    return list({int(chart.code[row]): int(row) for row in rows}.values())


def _name(code: Code) -> str:
    said = code.says.removeprefix("allergy: ").removeprefix("family: ")
    return said.rstrip(".")


def _plain(code: Code) -> str:
    """Give a plainer name where the tables have one: that of the narrowest concept."""
    if code.nameless:
        return "something that has no plain name here. Please ask us"
    names = [one for one in sorted(code.concepts) if one in concepts().says]
    narrowest = min(names, key=lambda one: concepts().n_codes.get(one, 0), default="")
    return concepts().says[narrowest] if narrowest else _name(code)


def _when(chart: Chart, row: int) -> str:
    dated = chart.dated(np.arange(len(chart)) == row)
    return f", recorded on {chart.date(row)}" if len(dated) else ""


SECTIONS: Final[dict[str, Section]] = {
    "identity": identity, "visit": visit, "stay": in_hospital, "allergies": allergies,
    "anticoagulants": anticoagulants, "code_status": code_status, "diagnoses": diagnoses,
    "problems": problems, "family": family, "results": results, "procedures": procedures, "orders": orders,
    "medications": medications, "pending": pending, "open_loops": left_open, "follow_up": follow_up,
    "question": question, "request": request, "indication": problems, "tried": tried, "safety": safety,
    "codes": codes, "greeting": greeting, "told_diagnoses": told_diagnoses,
    "told_medicines": told_medicines, "told_allergies": told_allergies, "told_next": told_next,
}  # fmt: skip
