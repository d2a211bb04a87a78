"""In: resources of one type. Out: their events in columns, and counts of what was left out and why.

One function a resource type. Each makes numpy columns with caches for what repeats, so that a resource costs
a few look-ups and no object of ours.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from residency.records import clock, concepts
from residency.records.concepts import first_code
from residency.records.desk import Desk
from residency.records.draft import Floats, Ints, Piece, ints, references
from residency.records.fhir_genomics import genomes
from residency.records.references import target
from residency.records.resource_parts import Period, Quantity
from residency.records.resources import (
    CONTAINED,
    RESOURCE,
    Component,
    Condition,
    Encounter,
    Medication,
    MedicationAdministration,
    MedicationRequest,
    Observation,
    Procedure,
)

REFUTED: Final = frozenset({"refuted", "entered-in-error"})
NOT_ORDERED: Final = frozenset({"proposal", "plan", "option"})
_NAN: Final = float("nan")


def _start(period: Period | None) -> str | None:
    return period.start if period is not None else None


def _end(period: Period | None) -> str | None:
    return (period.end or period.start) if period is not None else None


def _number(quantity: Quantity | None) -> float:
    return _NAN if quantity is None or quantity.value is None else quantity.value


def observations(rs: list[Observation], desk: Desk) -> list[Piece]:
    """Values at the time they describe, available when issued; parts are events of their own."""
    rs = desk.standing(rs, "Observation")
    units = desk.units
    time = desk.clock.firsts(
        [r.effectiveDateTime or r.effectiveInstant or _start(r.effectivePeriod) or r.issued for r in rs]
    )
    known = desk.clock.lasts(
        [r.issued or r.effectiveDateTime or r.effectiveInstant or _end(r.effectivePeriod) for r in rs]
    )
    code = ints([desk.code[bytes(r.code)] for r in rs])
    subject = desk.keys.subjects([r.subject for r in rs])
    quantities = [r.valueQuantity for r in rs]
    value = np.fromiter(map(_number, quantities), np.float64, len(rs))
    unit = ints([-1 if q is None else units[q.code or q.unit] for q in quantities])
    text = _other_values(rs, value)
    parts = _parts(rs, desk)
    has = ~np.isnan(value)
    has[[i for i, found in enumerate(text) if found is not None]] = True
    with_part = np.zeros(len(rs), bool)
    with_part[parts.row] = True
    ok = desk.admit(
        rs, "Observation", subject=subject, time=time, code=np.where(with_part & ~has, 0, code), known=known
    )
    ok &= desk.drop("Observation: no value", ok & ~has & ~with_part)
    visit = desk.keys.visits([r.encounter for r in rs])
    source = references("Observation", [r.id for r in rs])
    genomes(
        rs, desk, ok=np.flatnonzero(ok),
        columns={"code": code, "subject": subject, "visit": visit, "time": time, "available": known},
    )  # fmt: skip
    whole = np.flatnonzero(ok & has)
    part = np.flatnonzero(ok[parts.row])
    row = parts.row[part]
    return [
        Piece(
            subject=subject[whole], time=time[whole], available=known[whole], code=code[whole],
            visit=visit[whole], value=value[whole], unit=unit[whole], source=source.take(whole),
            text=[text[i] for i in whole],
        ),
        Piece(
            subject=subject[row], time=time[row], available=known[row], code=parts.code[part],
            visit=visit[row], value=parts.value[part], unit=parts.unit[part], source=source.take(row),
            text=[parts.text[i] for i in part],
        ),
    ]  # fmt: skip


def _other_values(rs: Sequence[Observation | Component], value: Floats) -> list[str | None]:
    """Give the values that are no quantities: text as text, and whole numbers and flags into `value`."""
    text: list[str | None] = [None] * len(rs)
    for i in np.flatnonzero(np.isnan(value)).tolist():
        r = rs[i]
        if r.valueString is not None:
            text[i] = r.valueString
        elif r.valueInteger is not None:
            value[i] = r.valueInteger
        elif r.valueBoolean is not None:
            value[i] = r.valueBoolean
        else:
            text[i] = concepts.words(bytes(r.valueCodeableConcept))
    return text


class _Parts:
    """Components of observations: the row each belongs to, and its columns."""

    def __init__(self, row: list[int], found: list[Component], desk: Desk) -> None:
        self.row = np.array(row, np.int64)
        self.code = ints([desk.code[bytes(c.code)] for c in found])
        self.value = np.fromiter((_number(c.valueQuantity) for c in found), np.float64, len(found))
        self.unit = ints(
            [-1 if (q := c.valueQuantity) is None else desk.units[q.code or q.unit] for c in found]
        )
        self.text = _other_values(found, self.value)
        keep = np.flatnonzero(
            (self.code >= 0) & (~np.isnan(self.value) | np.array([t is not None for t in self.text], bool))
        )
        self.row, self.code, self.value, self.unit = (
            self.row[keep], self.code[keep], self.value[keep], self.unit[keep],
        )  # fmt: skip
        self.text = [self.text[i] for i in keep]


def _parts(rs: list[Observation], desk: Desk) -> _Parts:
    pairs = [(i, c) for i, r in enumerate(rs) if r.component for c in r.component]
    return _Parts([i for i, _ in pairs], [c for _, c in pairs], desk)


def _simple(  # noqa: PLR0913 - one column each
    rs: list[Any],
    kind: str,
    desk: Desk,
    *,
    code: Ints,
    time: Iterable[str | None],
    known: Iterable[str | None],
    visit: Iterable[Any],
    dose: Callable[[Any], Quantity | None] | None = None,
) -> list[Piece]:
    """Resources that are one event each."""
    at, available = desk.clock.firsts(list(time)), desk.clock.lasts(list(known))
    subject = desk.keys.subjects([r.subject for r in rs])
    at = np.where(at == clock.NONE, available, at)
    ok = np.flatnonzero(desk.admit(rs, kind, subject=subject, time=at, code=code, known=available))
    doses = [dose(r) for r in rs] if dose else []
    units = [-1 if q is None else desk.units[q.code or q.unit] for q in doses]
    return [
        Piece(
            subject=subject[ok], time=at[ok], available=available[ok], code=code[ok],
            visit=desk.keys.visits(list(visit))[ok],
            source=references(kind, [r.id for r in rs]).take(ok),
            value=np.fromiter(map(_number, doses), np.float64, len(rs))[ok] if dose else None,
            unit=ints(units)[ok] if dose else None,
        )
    ]  # fmt: skip


def conditions(rs: list[Condition], desk: Desk) -> list[Piece]:
    """Diagnoses at their onset, available when recorded."""
    rs = desk.without(
        rs,
        "Condition: refuted or entered in error",
        lambda r: first_code(bytes(r.verificationStatus)) in REFUTED,
    )
    return _simple(
        rs, "Condition", desk,
        code=ints([desk.code[bytes(r.code)] for r in rs]),
        time=[r.onsetDateTime or _start(r.onsetPeriod) or r.recordedDate for r in rs],
        known=[r.recordedDate or r.onsetDateTime or _start(r.onsetPeriod) for r in rs],
        visit=[r.encounter for r in rs],
    )  # fmt: skip


def procedures(rs: list[Procedure], desk: Desk) -> list[Piece]:
    """Procedures at their start, available at their end."""
    rs = desk.standing(rs, "Procedure")
    return _simple(
        rs, "Procedure", desk,
        code=ints([desk.code[bytes(r.code)] for r in rs]),
        time=[r.performedDateTime or _start(r.performedPeriod) for r in rs],
        known=[r.performedDateTime or _end(r.performedPeriod) for r in rs],
        visit=[r.encounter for r in rs],
    )  # fmt: skip


def orders(rs: list[MedicationRequest], desk: Desk) -> list[Piece]:
    """Drugs ordered, when the order was written."""
    rs = desk.standing(rs, "MedicationRequest")
    rs = desk.without(
        rs, "MedicationRequest: not an order", lambda r: r.doNotPerform or r.intent in NOT_ORDERED
    )
    return _simple(
        rs, "MedicationRequest", desk,
        code=_drugs(rs, desk),
        time=[r.authoredOn for r in rs],
        known=[r.authoredOn for r in rs],
        visit=[r.encounter for r in rs],
    )  # fmt: skip


def administrations(rs: list[MedicationAdministration], desk: Desk) -> list[Piece]:
    """Drugs given, from the start, available at the end; the dose is the value."""
    rs = desk.standing(rs, "MedicationAdministration")
    return _simple(
        rs, "MedicationAdministration", desk,
        code=_drugs(rs, desk),
        time=[r.effectiveDateTime or _start(r.effectivePeriod) for r in rs],
        known=[r.effectiveDateTime or _end(r.effectivePeriod) for r in rs],
        visit=[r.context for r in rs],
        dose=lambda r: r.dosage.dose if r.dosage else None,
    )  # fmt: skip


def _drugs(rs: Sequence[MedicationRequest | MedicationAdministration], desk: Desk) -> Ints:
    return ints(
        [
            _drug(r, desk)
            if r.medicationReference is not None
            else desk.code[bytes(r.medicationCodeableConcept)]
            for r in rs
        ]
    )


def _drug(r: MedicationRequest | MedicationAdministration, desk: Desk) -> int:
    reference = r.medicationReference.reference if r.medicationReference else None
    if reference and reference.startswith("#"):
        for raw in CONTAINED.decode(bytes(r.contained) or b"[]"):
            held = RESOURCE.decode(raw)
            if isinstance(held, Medication) and held.id == reference[1:]:
                return desk.code[bytes(held.code)]
        return concepts.NONE
    found = target(reference, "Medication")
    return concepts.NONE if found is None else desk.book.number(desk.pointer(found))


def medications(rs: list[Medication], desk: Desk) -> list[Piece]:
    """No events: what orders that refer to a drug mean."""
    for r in rs:
        number = desk.code[bytes(r.code)]
        if number >= 0:
            desk.book.tell(desk.pointer(r.id), None, (desk.book.spellings[number],))
    return []


def encounters(rs: list[Encounter], desk: Desk) -> list[Piece]:
    """A visit begins, and ends; each is available then and not before."""
    rs = desk.standing(rs, "Encounter")
    start = desk.clock.firsts([_start(r.period) for r in rs])
    end = desk.clock.lasts([r.period.end if r.period else None for r in rs])
    subject = desk.keys.subjects([r.subject for r in rs])
    kinds = [bytes(r.class_) for r in rs]
    code = ints([desk.begins[kind] for kind in kinds])
    ok = desk.admit(rs, "Encounter", subject=subject, time=start, code=code, known=end)
    visit = ints([desk.visit_of(r.id) for r in rs])
    source = references("Encounter", [r.id for r in rs])
    at, over = np.flatnonzero(ok), np.flatnonzero(ok & (end != clock.NONE))
    left = ints([desk.ends[kinds[i]] for i in over])
    ended = np.maximum(end, start)[over]
    begun = Piece(
        subject=subject[at],
        time=start[at],
        available=start[at],
        code=code[at],
        visit=visit[at],
        source=source.take(at),
    )
    done = Piece(
        subject=subject[over],
        time=ended,
        available=ended,
        code=left,
        visit=visit[over],
        source=source.take(over),
    )
    return [begun, done]
