"""In: a person and their chance. Out: all that is known of them, and their coded chart as FHIR resources."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64
from msgspec import Raw

from residency.simulation.contacts import MINUTE, Contacts, Person, contacts
from residency.simulation.diagnoses import Diagnosed, diagnose
from residency.simulation.identities import Identity, identity, patient
from residency.simulation.measurements import DIASTOLIC, SYSTOLIC, Measured, measure, sheet
from residency.simulation.medicine import Site, hospital
from residency.simulation.resources import (
    Component,
    Condition,
    Dosage,
    Encounter,
    MedicationAdministration,
    MedicationRequest,
    Observation,
    Period,
    Procedure,
    Quantity,
    Resource,
    concept,
    dosage,
    raw,
    reference,
)
from residency.simulation.treatments import Treated, treat

DAY_SECONDS: Final = 86_400
_CLASSES: Final = (("AMB", "ambulatory"), ("EMER", "emergency"), ("IMP", "inpatient encounter"))
_SMOKING: Final = (
    ("266919005", "Never smoker"),
    ("8517006", "Former smoker"),
    ("449868002", "Current every day smoker"),
)


@dataclass(frozen=True)
class Written:
    """Parts of resources that are the same for everybody at a site."""

    labs: tuple[Raw, ...]
    units: tuple[str, ...]
    factor: Float64[np.ndarray, " lab"]
    offset: Float64[np.ndarray, " lab"]
    digits: tuple[int, ...]
    conditions: tuple[Raw, ...]
    drugs: tuple[Raw, ...]
    procedures: tuple[Raw, ...]
    classes: tuple[Raw, ...]
    pressure: Raw
    smoking: Raw
    smokes: tuple[Raw, ...]
    confirmed: Raw


@cache
def written(site: Site) -> Written:
    """Write what a site writes often."""
    found = hospital()
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    status = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    labs = found.lab
    return Written(
        labs=tuple(concept("LOINC", one.code, one.display) for one in labs),
        units=tuple((one.si or one.unit) if site.si else one.unit for one in labs),
        factor=np.array([one.factor if site.si else 1.0 for one in labs]),
        offset=np.array([one.offset if site.si else 0.0 for one in labs]),
        digits=tuple(one.si_digits if site.si else one.digits for one in labs),
        conditions=tuple(
            concept("ICD10CM", one.icd, one.icd_display)
            if site.icd
            else concept("SNOMED", one.snomed, one.snomed_display)
            for one in found.condition
        ),
        drugs=tuple(concept("RXNORM", one.code, one.display) for one in found.drug),
        procedures=tuple(concept("SNOMED", one.code, one.display) for one in found.procedure),
        classes=tuple(raw({"system": act, "code": code, "display": display}) for code, display in _CLASSES),
        pressure=concept("LOINC", "85354-9", "Blood pressure panel with all children optional"),
        smoking=concept("LOINC", "72166-2", "Tobacco smoking status"),
        smokes=tuple(concept("SNOMED", code, display) for code, display in _SMOKING),
        confirmed=raw({"coding": [{"system": status, "code": "confirmed"}]}),
    )  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """What writing one chart needs at hand."""

    person: Person
    contacts: Contacts
    parts: Written
    id: str
    subject: Raw
    visits: tuple[Raw, ...]

    def times(self, day: Float64[np.ndarray, " row"]) -> list[str]:
        """Spell times, to the second, with the site's offset."""
        seconds = np.round((day + self.person.entry_day) * DAY_SECONDS).astype("datetime64[s]")
        return [f"{text}{self.person.site.utc_offset}" for text in np.datetime_as_string(seconds).tolist()]

    def visit(self, contact: Int64[np.ndarray, " row"]) -> list[Raw]:
        """Give references to the visits of contacts."""
        return [self.visits[i] for i in self.contacts.visit[contact].tolist()]


@dataclass(frozen=True)
class Chart:
    """All that was drawn of a person: who they are, when they were seen, what was found and done."""

    desk: Desk
    who: Identity
    diagnosed: Diagnosed
    treated: Treated
    measured: Measured

    @property
    def deceased(self) -> str | None:
        """When they died, as the records have it: not before they were last seen."""
        one = self.desk.person
        if one.death > one.until:
            return None
        last = max(one.death, float(self.desk.contacts.day.max()) + 60 * MINUTE)
        return self.desk.times(np.array([last]))[0]


def draw_chart(
    person: Person, rng: np.random.Generator, *, african: bool, extra: np.random.Generator
) -> Chart:
    """Draw everything that happens to a person at the hospital."""
    seen = contacts(person, rng)
    diagnosed = diagnose(person, seen, rng)
    treated = treat(person, seen, diagnosed, rng)
    measured = measure(person, seen, rng)
    who = identity(person, rng, african=african, extra=extra)
    visits = tuple(reference("Encounter", f"{who.id}-e{i}") for i in range(len(seen.kind)))
    desk = Desk(person, seen, written(person.site), who.id, reference("Patient", who.id), visits)
    return Chart(desk, who, diagnosed, treated, measured)


def coded(chart: Chart, rng: np.random.Generator) -> Iterator[Resource]:
    """Write what is coded; `rng` goes on where the drawing of the chart left it."""
    desk = chart.desk
    yield patient(chart.who, chart.deceased)
    yield from _encounters(desk)
    yield from _conditions(desk, chart.diagnosed)
    yield from _observations(desk, chart.measured)
    yield from _findings(desk)
    yield from _smoking(desk, rng)
    yield from _drugs(desk, chart.treated)
    yield from _procedures(desk, chart.treated)


def _encounters(desk: Desk) -> Iterator[Encounter]:
    seen = desk.contacts
    spans = zip(seen.kind.tolist(), desk.times(seen.start), desk.times(seen.end), strict=True)
    for i, (kind, start, end) in enumerate(spans):
        yield Encounter(
            f"{desk.id}-e{i}", "finished", desk.parts.classes[kind], desk.subject, Period(start, end)
        )


def _conditions(desk: Desk, diagnosed: Diagnosed) -> Iterator[Condition]:
    known = ~np.isnan(diagnosed.onset)
    onset = np.full(len(known), None, object)
    onset[known] = [text[:10] for text in desk.times(diagnosed.onset[known])]
    rows = zip(
        diagnosed.condition.tolist(), desk.visit(diagnosed.contact),
        desk.times(desk.contacts.day[diagnosed.contact]), onset.tolist(), strict=True,
    )  # fmt: skip
    parts = desk.parts
    for i, (which, visit, time, begun) in enumerate(rows):
        code = parts.conditions[which]
        yield Condition(f"{desk.id}-c{i}", parts.confirmed, code, desk.subject, visit, time, begun)


def _observations(desk: Desk, measured: Measured) -> Iterator[Observation]:
    parts, index = desk.parts, sheet().index
    systolic, diastolic = index[SYSTOLIC], index[DIASTOLIC]
    value = measured.value * parts.factor[measured.lab] + parts.offset[measured.lab]
    rows = zip(
        measured.lab.tolist(), value.tolist(), measured.diastolic.tolist(), desk.visit(measured.contact),
        desk.times(measured.day), desk.times(measured.issued), strict=True,
    )  # fmt: skip
    for i, (lab, number, low, visit, time, issued) in enumerate(rows):
        of = Observation(f"{desk.id}-o{i}", "final", parts.labs[lab], desk.subject, visit, time, issued)
        if lab == systolic:
            of.code = parts.pressure
            of.component = [_component(parts, systolic, number), _component(parts, diastolic, low)]
        else:
            of.value_quantity = quantity(parts, lab, number)
        yield of


def _component(parts: Written, lab: int, number: float) -> Component:
    return Component(parts.labs[lab], quantity(parts, lab, number))


def quantity(parts: Written, lab: int, number: float) -> Quantity:
    """Round as the site's laboratory does, never down to nothing."""
    digits = parts.digits[lab]
    value = max(round(number, digits), 10.0**-digits)
    return Quantity(value, parts.units[lab], parts.units[lab])


def _findings(desk: Desk) -> Iterator[Observation]:
    """Write what a decision on treatment rests on, at the contact of the diagnosis."""
    one, names = desk.person, [disease.name for disease in hospital().disease]
    for i, treatment in enumerate(hospital().treatment):
        disease, finding = names.index(treatment.of), treatment.finding
        contact = np.flatnonzero(np.abs(desk.contacts.day - one.diagnosis[disease]) < MINUTE)[:1]
        for visit, time in zip(
            desk.visit(contact), desk.times(desk.contacts.day[contact] - 10 * MINUTE), strict=True
        ):
            code = concept("LOINC", finding.code, finding.display)
            number = Quantity(finding.value(float(one.seen[disease])), finding.unit, finding.unit)
            yield Observation(
                f"{desk.id}-f{i}", "final", code, desk.subject, visit, time, time, value_quantity=number
            )


def _smoking(desk: Desk, rng: np.random.Generator) -> Iterator[Observation]:
    """Write the smoking status at the first contact, and again now and then."""
    asked = rng.random(len(desk.contacts.day)) < 0.08
    asked[0] = True
    contact = np.flatnonzero(asked)
    answer = desk.parts.smokes[2 if desk.person.smoker else 1 if desk.person.former else 0]
    times = desk.times(desk.contacts.day[contact] - 12 * MINUTE)
    for i, (visit, time) in enumerate(zip(desk.visit(contact), times, strict=True)):
        yield Observation(
            f"{desk.id}-s{i}", "final", desk.parts.smoking, desk.subject, visit, time, time,
            value_codeable_concept=answer,
        )  # fmt: skip


def _drugs(desk: Desk, treated: Treated) -> Iterator[Resource]:
    parts, drugs, day = desk.parts, hospital().drug, desk.contacts.day
    contact, which = treated.ordered.T
    rows = zip(which.tolist(), desk.visit(contact), desk.times(day[contact] + 5 * MINUTE), strict=True)
    doses = treated.dose_mg.tolist()
    for i, (drug, visit, time) in enumerate(rows):
        code, amount = parts.drugs[drug], doses[i]
        daily = None if math.isnan(amount) else dosage(Quantity(amount, "mg", "mg"))
        yield MedicationRequest(f"{desk.id}-m{i}", "active", "order", code, desk.subject, visit, time, daily)
    contact, which = treated.given.T
    rows = zip(which.tolist(), desk.visit(contact), desk.times(day[contact] + 90 * MINUTE), strict=True)
    for i, (drug, visit, time) in enumerate(rows):
        dose = Dosage(Quantity(drugs[drug].dose, drugs[drug].unit, drugs[drug].unit))
        code = parts.drugs[drug]
        yield MedicationAdministration(f"{desk.id}-a{i}", "completed", code, desk.subject, visit, time, dose)


def _procedures(desk: Desk, treated: Treated) -> Iterator[Procedure]:
    contact, which = treated.done.T
    times = desk.times(desk.contacts.day[contact] + 10 * MINUTE)
    for i, (done, visit, time) in enumerate(zip(which.tolist(), desk.visit(contact), times, strict=True)):
        yield Procedure(
            f"{desk.id}-p{i}", "completed", desk.parts.procedures[done], desk.subject, visit, time
        )
