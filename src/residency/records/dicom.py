"""In: DICOM files in folders or archives. Out: instances as slices, and who the headers say a patient is.

Names of files say nothing and need no ending. What is no image, is broken or cannot be decoded is counted
with a reason, and the rest is read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from residency.contract import schema, specs
from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of
from residency.contract.plugins import Dropped, Rows
from residency.contract.specs import spec
from residency.records.clock import Clock
from residency.records.dicom_files import Quarantine, opened
from residency.records.dicom_people import identities, moments, words
from residency.records.dicom_slices import refuse_no_image, slice_of
from residency.records.documents import LARGEST, Document, listing, unpacked
from residency.records.draft import SLICES
from residency.records.settings import Settings
from residency.records.side_tables import batch, moment

PATTERNS: Final = ("*",)


@spec
class DicomMapping(Settings):
    """How DICOM is read; a mapping file is optional.

    Attributes:
        patient: keyword of the attribute that holds the patient's id, the same id as in the other feeds.
        pattern: regular expression on it whose first group is the id, where it holds more.
    """

    patient: str = "PatientID"
    pattern: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.patient:
            raise ValueError("patient must name an attribute")
        if self.pattern and not _groups(self.pattern):
            raise ValueError("pattern must be a regular expression with a group: put the id in ( )")


def _groups(pattern: str) -> int:
    try:
        return re.compile(pattern).groups
    except re.error:
        return 0


class DicomSource:
    """Reads DICOM."""

    def read(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
        """Give every instance that is an image, and why others were left out."""
        return self.read_documents(self.documents(paths, mapping), mapping)

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read."""
        specs.read(DicomMapping, mapping, where="mapping")
        return listing(paths, PATTERNS)

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files."""
        settings = specs.read(DicomMapping, mapping, where="mapping")
        clock = Clock(settings.time_zone)
        seen: set[tuple[int, str, str]] = set()
        for document in unpacked(documents, PATTERNS):
            try:
                yield from _instance(document, settings, clock, seen)
            except Quarantine as out:
                yield Dropped(out.reason, document.shown)


def _instance(
    document: Document, settings: DicomMapping, clock: Clock, seen: set[tuple[int, str, str]]
) -> Iterator[Rows]:
    """Give the slice of one file, and what of its patient was not said before."""
    site = settings.site_of(document)
    with opened(_body(document)) as dataset:
        refuse_no_image(dataset)
        subject = subject_id_of(_patient(dataset, settings), site)
        time, available = moments(dataset, clock)
        row = slice_of(dataset) | {
            "subject_id": subject,
            "time": moment(time),
            "available": moment(available),
            "site": site,
            "study": words(dataset, "StudyInstanceUID"),
        }
        told = {(subject, kind, value) for kind, value in identities(dataset)} - seen
    seen |= told
    yield Rows("slices", batch([row], SLICES))
    if told:
        names = schema.IDENTIFIERS.names
        rows = [dict(zip(names, one, strict=True)) for one in sorted(told)]
        yield Rows("identifiers", batch(rows, schema.IDENTIFIERS), n=0)


def _body(document: Document) -> bytes:
    if document.size > LARGEST:
        raise Quarantine("image: larger than 256 MiB")
    try:
        return b"".join(document.blocks())
    except InputError:  # one damaged file of a hundred thousand
        raise Quarantine("image: cannot be read") from None


def _patient(dataset: Any, settings: DicomMapping) -> str:
    given = words(dataset, settings.patient) or ""
    if settings.pattern:
        found = re.search(settings.pattern, given)
        given = (found[1] or "") if found else ""
    if not given:
        raise Quarantine("image: no patient")
    return given
