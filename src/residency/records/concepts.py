"""In: codings of FHIR concepts, as raw JSON. Out: numbers of codes, with what is known of each code."""

from collections.abc import Callable
from typing import Final

import msgspec
import pyarrow as pa

from residency.contract import codes
from residency.contract.schema import CODES
from residency.records.resource_parts import Coding, Concept
from residency.records.resources import CODING, CONCEPT

NONE: Final = -1
"""There is no code."""
BAD: Final = -2
"""What is there is no concept."""

PREFERENCE: Final = tuple(system.name for system in codes.SYSTEMS)


def spelled(coding: Coding) -> str | None:
    """Spell a coding; a system that our table lacks becomes LOCAL, with the last part of its own name.

    Example:
        >>> spelled(Coding(system="http://loinc.org", code="2160-0"))
        'LOINC/2160-0'
        >>> spelled(Coding(system="urn:north:lab", code="K"))
        'LOCAL/lab:K'
    """
    if not coding.code:
        return None
    system = codes.system_of_uri(coding.system) if coding.system else None
    if system is not None:
        return codes.join(system, coding.code)
    tag = (coding.system or "").rstrip("/").replace(":", "/").rpartition("/")[2]
    return codes.join("LOCAL", f"{tag}:{coding.code}" if tag else coding.code)


class Book:
    """The codes met so far, numbered in the order of meeting."""

    def __init__(self, preference: tuple[str, ...] = ()) -> None:
        order = [*preference, *(name for name in PREFERENCE if name not in preference)]
        self._rank = {name: rank for rank, name in enumerate(order)}
        self._numbers: dict[str, int] = {}
        self._listed: list[str] = []
        self._told: dict[str, tuple[str | None, set[str]]] = {}

    def number(self, code: str, description: str | None = None, parents: tuple[str, ...] = ()) -> int:
        """Give the number of a code, and take note of what is said of it."""
        self.tell(code, description, parents)
        return self._numbers.setdefault(code, len(self._numbers))

    def tell(self, code: str, description: str | None = None, parents: tuple[str, ...] = ()) -> None:
        """Take note of parents and of a description; of several, the first by the alphabet stays."""
        known, above = self._told.get(code, (None, set()))
        if description and (known is None or description < known):
            known = description
        self._told[code] = (known, above.union(parents))

    def concept(self, concept: Concept) -> int:
        """Give the number of a concept: of its most preferred coding; the others are its parents."""
        spellings = [(spelled(coding), coding.display) for coding in concept.coding]
        known = [(code, display) for code, display in spellings if code is not None]
        if not known:
            return NONE
        ranked = sorted(known, key=lambda one: (self._rank[one[0].partition("/")[0]], one[0]))
        code, display = ranked[0]
        others = tuple(dict.fromkeys(other for other, _ in ranked[1:] if other != code))
        for other, text in ranked[1:]:
            self.tell(other, text)
        return self.number(code, display, others)  # never `concept.text`: it may be one patient's

    def about(self, system: str, number: int) -> int:
        """Give the number of a code that is about another: an allergy to a drug is not the drug.

        Example:
            >>> book = Book()
            >>> _ = book.about("FAMILY", book.number("ICD10CM/C50.911", "breast cancer"))
            >>> book.spellings[-1]
            'FAMILY/ICD10CM:C50.911'
        """
        if number < 0:
            return number
        code = self.spelling(number)
        known = self._told[code][0]
        description = f"{system.lower()}: {known}" if known else None
        return self.number(f"{system}/{code.replace('/', ':', 1)}", description)

    def spelling(self, number: int) -> str:
        """Give the code at a number."""
        if number >= len(self._listed):
            self._listed = list(self._numbers)
        return self._listed[number]

    def find(self, code: str) -> int:
        """Give the number of a code that was met; else NONE."""
        return self._numbers.get(code, NONE)

    @property
    def spellings(self) -> list[str]:
        """Every code, at its number."""
        return list(self._numbers)

    def batch(self) -> pa.RecordBatch:
        """Give what is known of the codes, as rows of the codes table."""
        rows = sorted(self._told.items())
        return pa.RecordBatch.from_arrays(
            [
                pa.array([code for code, _ in rows], pa.string()),
                pa.array([description for _, (description, _) in rows], pa.string()),
                pa.array([sorted(parents) for _, (_, parents) in rows], pa.list_(pa.string())),
                pa.nulls(len(rows), pa.string()),
            ],
            schema=CODES,
        )


def concept_reader(book: Book) -> Callable[[bytes], int]:
    """Give a function from raw JSON of a concept to the number of its code."""

    def read(raw: bytes) -> int:
        if not raw or raw == b"null":
            return NONE
        try:
            return book.concept(CONCEPT.decode(raw))
        except (msgspec.ValidationError, UnicodeDecodeError):
            return BAD

    return read


def class_reader(raw: bytes) -> str:
    """Give the code of an encounter's class, written as R4's Coding or R5's list of concepts."""
    if not raw or raw == b"null":
        return "UNK"
    try:
        found = CODING.decode(raw)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return "UNK"
    coding = (
        found
        if isinstance(found, Coding)
        else next((one for concept in found for one in concept.coding), None)
    )
    return (coding.code if coding else None) or "UNK"


def first_code(raw: bytes) -> str:
    """Give the first code of a concept whatever its system, for statuses."""
    if not raw or raw == b"null":
        return ""
    try:
        coding = CONCEPT.decode(raw).coding
    except (msgspec.ValidationError, UnicodeDecodeError):
        return ""
    return (coding[0].code if coding else None) or ""


def words(raw: bytes) -> str | None:
    """Give a concept that is a value as text: its display, or its text, or its code."""
    if not raw or raw == b"null":
        return None
    try:
        concept = CONCEPT.decode(raw)
    except (msgspec.ValidationError, UnicodeDecodeError):
        return None
    for coding in concept.coding:
        if found := coding.display or spelled(coding):
            return found
    return concept.text


def phrase(raw: bytes) -> str | None:
    """Give what a sender wrote of a concept besides its codes."""
    if not raw or raw == b"null":
        return None
    try:
        return CONCEPT.decode(raw).text
    except (msgspec.ValidationError, UnicodeDecodeError):
        return None
