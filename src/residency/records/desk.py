"""In: raw fields of one site's resources. Out: numbers for them, and a count of what was left out."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np

from residency.contract import codes
from residency.contract.identifiers import visit_id_of
from residency.records import clock, concepts
from residency.records.clock import Cache, Clock
from residency.records.concepts import Book, class_reader, concept_reader
from residency.records.draft import Ints
from residency.records.references import Keys
from residency.records.side_tables import SideTables

NOTE_BYTES: Final = 1_000_000
T = TypeVar("T")
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
REFUSED: Final = frozenset({"entered-in-error", "cancelled", "not-done", "draft", "planned", "preparation"})


class Desk:
    """What one site's resources are read with.

    Attributes:
        keys: ingest ids of patients and visits.
        clock: times.
        book: codes met so far.
        code: raw concept to the number of its code.
        begins, ends: raw class of an encounter to the numbers of its two codes.
        units: unit as written, to its number.
        dropped: rows left out, by reason.
        spoiled: rows with what cannot be: reason, how many, column, and the first resource.
        lost: parts of rows that are kept otherwise, by reason.
        side: rows of tables other than events.
        note_limit: the longest note that is read, in bytes.
    """

    def __init__(
        self, site: str, time_zone: str, preference: tuple[str, ...], note_limit: int = NOTE_BYTES
    ) -> None:
        self.site = site
        self.keys = Keys(site)
        self.clock = Clock(time_zone)
        self.book = Book(preference)
        self.code = Cache(concept_reader(self.book), concepts.NONE)
        self.begins: Cache[bytes] = Cache(
            lambda raw: self.book.number(codes.join("VISIT", class_reader(raw))), concepts.NONE
        )
        self.ends: Cache[bytes] = Cache(
            lambda raw: self.book.number(codes.join("VISIT_END", class_reader(raw))), concepts.NONE
        )
        self.units = Cache(self._unit, -1)
        self.unit_names: dict[str, int] = {}
        self.dropped: Counter[str] = Counter()
        self.spoiled: list[tuple[str, int, str, Any]] = []
        self.lost: Counter[str] = Counter()
        self.side = SideTables()
        self.note_limit = note_limit

    def _unit(self, unit: str) -> int:
        return self.unit_names.setdefault(unit, len(self.unit_names))

    def visit_of(self, encounter: str) -> int:
        """Give the ingest id of a visit, by its own id."""
        return visit_id_of(encounter, self.site)

    def pointer(self, medication: str) -> str:
        """Spell a code that stands for a drug described elsewhere, until all is read."""
        return f"@{self.site}/{self.keys.aliases.get(medication, medication)}"

    def standing(self, rs: list[T], kind: str) -> list[T]:
        """Leave out what was entered in error, cancelled, planned, or not done."""
        kept = [r for r in rs if r.status not in REFUSED]  # type: ignore[attr-defined]
        if len(kept) < len(rs):
            self.dropped[f"{kind}: its status says it did not happen"] += len(rs) - len(kept)
        return kept

    def without(self, rs: list[T], reason: str, is_out: Callable[[T], bool]) -> list[T]:
        """Leave out some, and count them."""
        kept = [r for r in rs if not is_out(r)]
        if len(kept) < len(rs):
            self.dropped[reason] += len(rs) - len(kept)
        return kept

    def drop(self, reason: str, out: Mask) -> Mask:
        """Count what is left out, and give what stays."""
        if n := int(out.sum()):
            self.dropped[reason] += n
        return ~out

    def admit(self, rs: list[Any], kind: str, *, subject: Ints, time: Ints, code: Ints, known: Ints) -> Mask:
        """Tell the rows that have a patient, a code and a time."""
        ok = np.ones(len(rs), bool)
        ok &= self.drop(f"{kind}: no patient", subject < 0)
        ok &= self.drop(f"{kind}: no code", ok & (code == concepts.NONE))
        ok &= self.drop(f"{kind}: no time", ok & (time == clock.NONE))
        for reason, column, wrong in (
            ("a date that is none", "date", (time == clock.BAD) | (known == clock.BAD)),
            ("a concept that is none", "code", code == concepts.BAD),
        ):
            rows = np.flatnonzero(ok & wrong)
            if len(rows):
                self.spoiled.append((f"{kind}: {reason}", len(rows), column, rs[rows[0]]))
                ok[rows] = False
        return ok
