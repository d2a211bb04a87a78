"""In: patients and concept maps. Out: birth, death and static facts as events; parents of codes."""

from typing import Final

import numpy as np
import pyarrow as pa

from residency.contract import codes
from residency.contract.identifiers import subject_id_of
from residency.records import clock
from residency.records.concepts import spelled
from residency.records.desk import Desk
from residency.records.draft import Ints, Piece, ints, references
from residency.records.fhir_identifiers import identifiers, language
from residency.records.resource_parts import Coding, Extension
from residency.records.resources import ConceptMap, MapGroup, Patient

_US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_GROUPS: Final = {f"{_US_CORE}race": "RACE", f"{_US_CORE}ethnicity": "ETHNICITY"}
_UPWARDS: Final = frozenset({"equivalent", "equal", "wider", "subsumes", "source-is-narrower-than-target"})


def people(rs: list[Patient], desk: Desk) -> tuple[list[Piece], Ints]:
    """Give the events of patients, and the ingest ids of all of them."""
    everyone = ints([subject_id_of(r.id, desk.site) for r in rs])
    birth = ints([desk.clock.middle[r.birthDate] for r in rs])
    death = ints([desk.clock.first[r.deceasedDateTime] for r in rs])
    for column, wrong in (
        ("birthDate", birth == clock.BAD),
        ("deceasedDateTime", (death == clock.BAD) & (birth != clock.BAD)),
    ):
        if wrong.any():
            desk.spoiled.append(
                ("Patient: a date that is none", int(wrong.sum()), column, rs[int(wrong.argmax())])
            )
    ok = (birth != clock.BAD) & (death != clock.BAD)
    rs = [r for r, good in zip(rs, ok, strict=True) if good]
    birth, death = birth[ok], death[ok]
    subject = everyone[ok]
    source = references("Patient", [r.id for r in rs])
    known = ints([desk.clock.last[r.deceasedDateTime] for r in rs])
    pieces = [
        _moment(subject, birth, birth, source, desk.book.number(codes.BIRTH, "birth")),
        _moment(subject, death, known, source, desk.book.number(codes.DEATH, "death")),
        _facts(rs, subject, source, desk),
    ]
    identifiers(rs, subject, desk)
    return pieces, everyone


def _moment(subject: Ints, time: Ints, available: Ints, source: pa.StringArray, code: int) -> Piece:
    at = np.flatnonzero(time != clock.NONE)
    return Piece(
        subject=subject[at], time=time[at], available=available[at], source=source.take(at),
        code=np.full(len(at), code, np.int64),
    )  # fmt: skip


def _facts(rs: list[Patient], subject: Ints, source: pa.StringArray, desk: Desk) -> Piece:
    rows: list[tuple[int, int, str | None]] = []
    for i, r in enumerate(rs):
        if r.gender:
            rows.append((i, desk.book.number(codes.join("DEMOGRAPHIC", f"SEX={r.gender}")), None))
        rows += [(i, code, None) for code in _groups(r, desk)]
        if spoken := language(r, desk):
            rows.append((i, desk.book.number(codes.join("DEMOGRAPHIC", f"LANGUAGE={spoken}")), None))
        home = next((address.postalCode for address in r.address if address.postalCode), None)
        if home:
            rows.append((i, desk.book.number(codes.join("DEMOGRAPHIC", "ZIP"), "postal code"), home))
    at = np.array([i for i, _, _ in rows], np.int64)
    never = np.full(len(at), clock.NONE, np.int64)
    return Piece(
        subject=subject[at], time=never, available=never, source=source.take(at),
        code=np.array([code for _, code, _ in rows], np.int64), text=[text for _, _, text in rows],
    )  # fmt: skip


def _groups(patient: Patient, desk: Desk) -> list[int]:
    """Give codes of race and ethnicity, as US Core writes them: by the OMB category."""
    found = []
    for extension in patient.extension:
        if (kind := _GROUPS.get(extension.url)) is None:
            continue
        for coding in _categories(extension):
            if coding.code:
                code = codes.join("DEMOGRAPHIC", f"{kind}={coding.code}")
                found.append(desk.book.number(code, coding.display))
    return found


def _categories(extension: Extension) -> list[Coding]:
    return [
        part.valueCoding for part in extension.extension if part.url == "ombCategory" and part.valueCoding
    ]


def concept_maps(rs: list[ConceptMap], desk: Desk) -> None:
    """Take what a code is mapped to, where that means the same or a wider thing, as its parents."""
    for group in (group for r in rs for group in r.group):
        _map_group(group, desk)


def _map_group(group: MapGroup, desk: Desk) -> None:
    for element in group.element:
        code = spelled(Coding(system=group.source, code=element.code))
        above = [
            spelled(Coding(system=group.target, code=one.code))
            for one in element.target
            if (one.equivalence or one.relationship or "equivalent") in _UPWARDS
        ]
        if code is not None:
            desk.book.tell(code, element.display, tuple(parent for parent in above if parent is not None))
