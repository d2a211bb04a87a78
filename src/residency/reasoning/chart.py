"""In: one patient's timeline, cut at a time, and what its references mean. Out: a chart that rules read.

Everything deterministic (changes, drafts, safety of drugs) reads a chart and nothing else, so that nothing
that was not available at `as_of` can enter an answer: `until` has cut it before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from residency.contract.codes import DEATH, UNKNOWN_CODE
from residency.contract.packed import DAY, STATIC, UNKNOWN, Packed
from residency.contract.questions import Citation
from residency.reasoning.answers import instant
from residency.reasoning.concepts import concepts, concepts_of
from residency.timeline import Attachments, Vocabulary, events_of, take, until
from residency.timeline.attachments import GENOME, NOTE

Rows = Int64[np.ndarray, " row"]
_NAMELESS: Final = "something whose code is not known here (see the record)"
_KIND_BY_SYSTEM: Final = {
    "RXNORM": "MedicationRequest", "NDC": "MedicationRequest", "ATC": "MedicationRequest",
    "ICD10CM": "Condition", "ICD10": "Condition", "ICD9CM": "Condition", "ALLERGY": "AllergyIntolerance",
    "LOINC": "Observation", "CPT": "Procedure", "ICD10PCS": "Procedure", "HCPCS": "Procedure",
    "VISIT": "Encounter", "FAMILY": "FamilyMemberHistory",
}  # fmt: skip


class Document(NamedTuple):
    """A note or report.

    Attributes:
        kind: a code, for example `LOINC/18842-5`.
        text: as it was written.
        time: when it was written, µs.
        available: when it could be read.
        source: reference to the record.
    """

    kind: str
    text: str
    time: int
    available: int
    source: str

    def cite(self, start: int | None = None, end: int | None = None) -> Citation:
        """Point at it, or at some of its characters."""
        return Citation(source=self.source, start=start, end=end)


@dataclass(frozen=True)
class Code:
    """One code of a chart: spelling, description, unit of its values, and what the rules call it."""

    name: str
    description: str
    unit: str
    concepts: frozenset[str]
    known: bool = True  # whether the vocabulary reads it, as itself or as what it is below
    above: tuple[str, ...] = ()  # what it is below, nearest first

    @property
    def nameless(self) -> bool:
        """Whether it stands for any code that is not known here."""
        return self.name == UNKNOWN_CODE

    @property
    def says(self) -> str:
        """Its name for a reader."""
        return _NAMELESS if self.nameless else self.description or self.name


@dataclass(frozen=True, repr=False)  # what it holds is in no message
class Chart:
    """What is on record of one patient at `as_of`.

    Attributes:
        subject: number of the patient.
        as_of: µs.
        codes: the different ones, by index.
        code: of each event, an index in `codes`.
        value: NaN where none.
        time: when each event happened, µs; `STATIC` where it has no time.
        available: when it could be known.
        sources: reference of each event to its record; empty where not known.
        documents: notes and reports, by the time they became available.
        genomes: rows of variants, and the source of each genome.
        n_unread: events whose code the vocabulary lacks, so that no rule can see them.
    """

    subject: int
    as_of: int
    codes: tuple[Code, ...]
    code: Int64[np.ndarray, " event"]
    value: Float64[np.ndarray, " event"]
    time: Int64[np.ndarray, " event"]
    available: Int64[np.ndarray, " event"]
    sources: tuple[str, ...]
    documents: tuple[Document, ...]
    genomes: tuple[tuple[str, int, pl.DataFrame], ...]
    n_unread: int

    def __len__(self) -> int:
        return len(self.code)

    @cached_property
    def _with(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, code in enumerate(self.codes):
            for concept in code.concepts:
                found.setdefault(concept, []).append(number)
        return found

    def of(self, *names: str) -> Rows:
        """Give the dated events of any of some concepts or classes, in the order of their time."""
        members = [one for name in names for one in concepts().members(name)]
        wanted = [number for one in members for number in self._with.get(one, ())]
        return self.dated(np.isin(self.code, wanted)) if wanted else np.zeros(0, np.int64)

    def allergies(self, *names: str) -> Rows:
        """Give the allergies to any of some drugs or classes, dated or not."""
        members = [f"allergy:{one}" for name in names for one in concepts().members(name)]
        wanted = [number for one in members for number in self._with.get(one, ())]
        return np.flatnonzero(np.isin(self.code, wanted))

    def dated(self, chosen: Bool[np.ndarray, " event"]) -> Rows:
        """Give the chosen events that have a time, in its order."""
        rows = np.flatnonzero(chosen & (self.time != STATIC))
        return rows[np.argsort(self.time[rows], kind="stable")]

    def of_kind(self, *kinds: str) -> Rows:
        """Give the dated events whose record is of a kind, `Condition` for example."""
        by_code = np.array(
            [_KIND_BY_SYSTEM.get(one.name.partition("/")[0], "") for one in self.codes] or [""]
        )
        kind = [source.partition("/")[0] for source in self.sources]
        told = np.array([one if one in _TOLD else by_code[c] for one, c in zip(kind, self.code, strict=True)])
        return self.dated(np.isin(told, kinds)) if len(told) else np.zeros(0, np.int64)

    def prefixed(self, *prefixes: str) -> Rows:
        """Give the events, dated or not, whose code begins so."""
        wanted = [number for number, one in enumerate(self.codes) if one.name.startswith(prefixes)]
        return np.flatnonzero(np.isin(self.code, wanted))

    def named(self, row: int) -> Code:
        """Give an event's code."""
        return self.codes[int(self.code[row])]

    def date(self, row: int) -> str:
        """Give an event's day."""
        return day_of(int(self.time[row]))

    def cite(self, rows: Iterable[int]) -> tuple[Citation, ...]:
        """Point at the records of some events, each once."""
        found = dict.fromkeys(self.sources[int(row)] for row in rows)
        return tuple(Citation(source=source) for source in found if source)

    @cached_property
    def visits(self) -> Rows:
        """Beginnings of visits, in their order."""
        rows = self.prefixed("VISIT/")
        return rows[np.argsort(self.time[rows], kind="stable")]

    @cached_property
    def death(self) -> int | None:
        """When the patient died, as far as known."""
        rows = self.prefixed(DEATH)
        return int(self.time[rows[0]]) if len(rows) else None

    @cached_property
    def age(self) -> float | None:
        """Years at `as_of`; None where no birth is on record, or several that differ."""
        births = np.unique(self.time[self.prefixed("MEDS_BIRTH")])
        if len(births) != 1 or births[0] == STATIC:
            return None
        return (self.as_of - int(births[0])) / DAY / 365.25

    @cached_property
    def sex(self) -> str:
        """`female`, `male`, or empty: not on record, or the records contradict each other."""
        rows = self.prefixed("DEMOGRAPHIC/SEX").tolist()
        names = {self.named(row).name.partition("=")[2].lower() for row in rows}
        return names.pop() if len(names) == 1 and names <= {"female", "male"} else ""

    @cached_property
    def first_seen(self) -> int | None:
        """Time of the first dated event after the birth; None where there is none."""
        rows = self.dated(~np.isin(np.arange(len(self)), self.prefixed("MEDS_BIRTH")))
        return int(self.time[rows[0]]) if len(rows) else None

    @property
    def latest(self) -> int | None:
        """When the newest record became available."""
        times = [int(one) for one in self.available[self.available != STATIC][-1:]]
        times += [one.available for one in self.documents]
        return max(times) if times else None


_TOLD: Final = frozenset((
    "Condition", "Observation", "MedicationRequest", "MedicationAdministration", "MedicationStatement",
    "Procedure", "Encounter", "AllergyIntolerance", "ImagingStudy", "DiagnosticReport", "FamilyMemberHistory",
    "Immunization",
))  # fmt: skip


def number(value: float) -> str:
    """Write a value with four digits at most, never with an exponent.

    Example:
        >>> number(12345.6), number(0.64479), number(139.0)
        ('12350', '0.6448', '139')
    """
    written: str = np.format_float_positional(float(f"{value:.4g}"), trim="-")
    return written


def day_of(microseconds: int) -> str:
    """Give the day of a time."""
    moment: datetime = instant(microseconds)
    return moment.date().isoformat()


def chart_of(
    packed: Packed,
    patient: int,
    as_of: int,
    *,
    vocabulary: Vocabulary,
    records: pl.DataFrame | None = None,
    attachments: Attachments | None = None,
) -> Chart:
    """Make the chart of one patient.

    Args:
        packed: timelines.
        patient: row of the patient.
        as_of: what became available later is not there.
        vocabulary: of the timelines.
        records: what `Packed.event_ref` means: a column `source`, and `code` where rare codes
            are not to be read as the vocabulary reads them.
        attachments: what `Packed.attachment_ref` means.
    """
    cut = until(take(packed, np.array([patient])), as_of)
    events = events_of(cut, 0)
    names, code = _codes(vocabulary, events.code, records, events.ref)
    sources = records["source"].gather(events.ref).fill_null("").to_list() if records is not None else None
    return Chart(
        subject=int(cut.subject[0]),
        as_of=as_of,
        codes=names,
        code=code,
        value=events.value.astype(np.float64),
        time=np.asarray(events.time),
        available=np.asarray(events.available),
        sources=tuple(sources if sources is not None else [""] * len(code)),
        documents=_documents(cut, attachments),
        genomes=_genomes(cut, attachments),
        n_unread=sum(not names[number].known and not names[number].concepts for number in code.tolist()),
    )


def _codes(
    vocabulary: Vocabulary, index: np.ndarray, records: pl.DataFrame | None, ref: np.ndarray
) -> tuple[tuple[Code, ...], Int64[np.ndarray, " event"]]:
    """Give the different codes; the record's own spelling goes before the vocabulary's reading.

    Two records whose codes are not known may be of two things: none of them is taken for another.
    """
    same, spelled = _Same(vocabulary), [None] * len(index)
    if records is not None and "code" in records.columns:
        spelled = records["code"].gather(ref).to_list()
    pairs = list(zip(index.tolist(), spelled, strict=True))
    apart = (row if pair == (UNKNOWN, None) else -1 for row, pair in enumerate(pairs))
    things = list(zip(pairs, apart, strict=True))
    place = {thing: number for number, thing in enumerate(dict.fromkeys(things))}
    names = tuple(_named(same, *pair) for pair, _ in place)
    return names, np.array([place[thing] for thing in things], np.int64)


@dataclass(frozen=True)
class _Same:
    """A vocabulary that is the same as itself alone, so that it can be remembered by."""

    vocabulary: Vocabulary

    def __hash__(self) -> int:
        return id(self.vocabulary)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.vocabulary is self.vocabulary


@cache
def _named(of: _Same, index: int, spelled: str | None) -> Code:
    vocabulary = of.vocabulary
    own = spelled is None or spelled == vocabulary.codes[index]
    name = vocabulary.codes[index] if own else str(spelled)
    above = () if index == UNKNOWN else tuple(vocabulary.ancestors_of(index).tolist())
    line = (index, *above) if index != UNKNOWN else ()
    found = [concepts_of(vocabulary.codes[one], vocabulary.descriptions[one]) for one in line]
    description = vocabulary.descriptions[index] if own else ""
    concepts_ = concepts_of(name, description).union(*found)
    return Code(
        name,
        description,
        vocabulary.units[index] or "",
        concepts_,
        index != UNKNOWN,
        tuple(vocabulary.codes[one] for one in above),
    )


def _attached(cut: Packed, kind: int) -> Rows:
    mine: Rows = cut.attachment_ref[cut.attachment_kind == kind]
    return mine


def _documents(cut: Packed, attachments: Attachments | None) -> tuple[Document, ...]:
    if attachments is None or not len(refs := _attached(cut, NOTE)):
        return ()
    rows = attachments.tables[NOTE][refs].select(
        "kind", "text", "source", time=pl.col("time").cast(pl.Int64), at=pl.col("available").cast(pl.Int64)
    )
    return tuple(
        Document(kind or "", text, at if time is None else time, max(at or 0, time or 0), source or "")
        for kind, text, source, time, at in rows.iter_rows()
        if at is not None or time is not None
    )


def _genomes(cut: Packed, attachments: Attachments | None) -> tuple[tuple[str, int, pl.DataFrame], ...]:
    if attachments is None or not len(refs := _attached(cut, GENOME)):
        return ()
    sources: Sequence[str] = attachments.sources(GENOME, refs)
    contents = attachments.contents(GENOME, refs)
    return tuple(
        (source, int(ref), content.rows)  # type: ignore[union-attr]
        for source, ref, content in zip(sources, refs, contents, strict=True)
    )
