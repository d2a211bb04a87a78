"""In: FHIR R4 as NDJSON, Bundles or resources, plain or gzipped. Out: events, codes and patients."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from residency.contract import specs
from residency.contract.plugins import Dropped, Rows
from residency.contract.specs import spec
from residency.records import draft, fhir_circumstances, fhir_events, fhir_reports
from residency.records.desk import NOTE_BYTES, Desk
from residency.records.documents import Document, listing, unpacked
from residency.records.draft import Ints, Piece
from residency.records.fhir_files import Batch, Spoiled, batches
from residency.records.fhir_notes import documents
from residency.records.fhir_people import concept_maps, people
from residency.records.resources import (
    READ,
    AllergyIntolerance,
    ConceptMap,
    Condition,
    Consent,
    Coverage,
    DiagnosticReport,
    DocumentReference,
    Encounter,
    FamilyMemberHistory,
    ImagingStudy,
    Medication,
    MedicationAdministration,
    MedicationRequest,
    Observation,
    Patient,
    Procedure,
    Skipped,
)
from residency.records.settings import Settings

_UNKNOWN_TYPE: Final = "resource type not read: unknown"
PATTERNS: Final = ("*.ndjson", "*.ndjson.gz", "*.json", "*.json.gz", "*.jsonl", "*.jsonl.gz")


@spec
class FhirMapping(Settings):
    """How FHIR is read; a mapping file is optional.

    Attributes:
        prefer: names of code systems, the most preferred first; of several codings of a concept the first by
            this order becomes the code, the others its parents. The order of `contract.codes` follows.
        max_note_bytes: a longer note is left out, and counted.
    """

    prefer: tuple[str, ...] = ()
    max_note_bytes: int = NOTE_BYTES

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_note_bytes < 1:
            raise ValueError("max_note_bytes must be 1 or more")


_EVENTS: Final[dict[type, Callable[[Any, Desk], list[Piece]]]] = {
    Observation: fhir_events.observations,
    Condition: fhir_events.conditions,
    Procedure: fhir_events.procedures,
    MedicationRequest: fhir_events.orders,
    MedicationAdministration: fhir_events.administrations,
    Medication: fhir_events.medications,
    Encounter: fhir_events.encounters,
    DiagnosticReport: fhir_reports.reports,
    ImagingStudy: fhir_reports.studies,
    AllergyIntolerance: fhir_circumstances.allergies,
    Coverage: fhir_circumstances.coverages,
    Consent: fhir_circumstances.consents,
    FamilyMemberHistory: fhir_circumstances.families,
}


def is_safe(name: str) -> bool:
    """Tell a file name that bulk export gives (`Observation.000.ndjson.gz`), which cannot be a patient's."""
    return ".ndjson" in name and name.partition(".")[0].partition("-")[0] in READ


class FhirSource:
    """Reads FHIR R4."""

    def read(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
        """Give every event, and why a resource was left out."""
        return self.read_documents(self.documents(paths, mapping), mapping)

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read."""
        return listing(paths, PATTERNS, is_safe)

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files."""
        settings = specs.read(FhirMapping, mapping, where="mapping")
        desks: dict[str, Desk] = {}
        for batch in batches(unpacked(documents, PATTERNS, is_safe), settings.site_of):
            if batch.site not in desks:
                limit = settings.max_note_bytes
                desks[batch.site] = Desk(batch.site, settings.time_zone, settings.prefer, limit)
            yield from _events(batch, desks[batch.site])
        for desk in desks.values():
            yield Rows("codes", desk.book.batch(), n=0)


def _events(batch: Batch, desk: Desk) -> Iterator[Rows | Dropped]:
    """Give the events of a batch, then what was left out of it."""
    desk.keys.aliases.update(batch.aliases)
    groups: defaultdict[type, list[Any]] = defaultdict(list)
    patients_at: list[int] = []
    for index, resource in enumerate(batch.resources):
        kind = type(resource)
        groups[kind].append(resource)
        if kind is Patient:
            patients_at.append(index)
    desk.dropped[_UNKNOWN_TYPE] += batch.not_read
    for kind in [kind for kind in groups if issubclass(kind, Skipped)]:
        desk.dropped[f"resource type not read: {kind.__name__}"] += len(groups.pop(kind))
    concept_maps(groups[ConceptMap], desk)
    pieces, subjects = people(groups[Patient], desk)
    pieces += [piece for kind, read in _EVENTS.items() if groups[kind] for piece in read(groups[kind], desk)]
    documents(groups[DocumentReference], desk)
    bad = batch.spoiled + [_spoiled(batch, *one) for one in desk.spoiled]
    out = {reason: n for reason, n in desk.dropped.items() if n}
    desk.dropped.clear()
    desk.spoiled.clear()
    kept = (
        len(batch.resources)
        + batch.not_read
        - sum(out.values())
        - sum(one.n for one in bad[len(batch.spoiled) :])
    )
    events = draft.close(pieces, codes=desk.book.spellings, units=list(desk.unit_names), site=desk.site)
    yield Rows("events", draft.one_batch(events), n=kept)
    yield Rows("subjects", _declared(batch, subjects, patients_at, desk.site), n=0)
    yield from desk.side.batches()
    yield from (Dropped(reason, n=n) for reason, n in (*out.items(), *desk.lost.items()) if n)
    desk.lost.clear()
    yield from (Dropped(one.reason, one.where, one.n, bad=True) for one in bad)


def _spoiled(batch: Batch, reason: str, n: int, column: str, resource: Any) -> Spoiled:
    document, row = batch.place(resource)
    return Spoiled(reason, n, document.where(row, column))


def _declared(batch: Batch, subjects: Ints, at: list[int], site: str) -> pa.RecordBatch:
    """Say which patients are described, and where, so that one who is described twice is found."""
    places = [batch.place_at(index) for index in at]
    where = [f"{document.shown}, row {row}" for document, row in places]
    return pa.RecordBatch.from_pydict(
        {"subject_id": pa.array(subjects), "site": [site] * len(subjects), "where": where},
        schema=draft.DECLARED,
    )
