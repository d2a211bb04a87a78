"""In: a patient's timeline and a forecast. Out: what moved the model: records that change it where they lack.

All records of one code go together, so that a value that is repeated does not hide itself; so do all
documents of one sort (notes of a type, images of a modality and body part, the genome). A moment that held
nothing else goes with them, as though it had never been: that is how timelines of patients without such
records look, so the model meets nothing strange. Few are tried one by one; of more, groups are tried first
(what was last seen near each other in time), then parts of the group that moved most, down to single ones:
never more than `MOST` ways of taking away. What stands in another group may be missed. Of the note or image
that moved most, four parts of the newest are taken away too, to say where in it. It is what moved the model,
never why the patient.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64

from residency.contract.codes import BIRTH
from residency.contract.packed import Packed
from residency.contract.questions import Citation, Moved
from residency.reasoning.index import Index
from residency.reasoning.parts import PARTS, parts_of
from residency.timeline import Attachments, Vocabulary, concatenate, take, until
from residency.timeline.attachments import IMAGE, NOTE
from residency.timeline.segments import offsets

MOST: Final = 18  # ways of taking away: with the forecast itself, 19 times its cost
SHOWN: Final = 5
_LEAST: Final = 5e-4
_DEEPEST: Final = [3] * (MOST // 3)  # of more units than that, those that were seen last
Ask = Callable[[Packed, Index], Float32[np.ndarray, " index"]]


@dataclass(frozen=True)
class Documents:
    """The notes, images and genomes that a forecast reads.

    Attributes:
        attachments: what the timelines point at.
        kinds: that are read, as numbers.
        reading: gives what asks for the risk when other attachments stand there.
    """

    attachments: Attachments
    kinds: tuple[int, ...]
    reading: Callable[[Attachments], Ask]


@dataclass(frozen=True)
class Sources:
    """What a patient's records are.

    Attributes:
        vocabulary: of the timelines.
        records: what `Packed.event_ref` means: a column `source`.
        documents: that the forecast reads; None where it reads codes alone.
    """

    vocabulary: Vocabulary
    records: pl.DataFrame
    documents: Documents | None = None


@dataclass(frozen=True)
class Unit:
    """What is taken away together: all records of one code, or all documents of one sort.

    Attributes:
        name: the code, or the sort of document.
        citation: of the newest.
        events: indices in the patient's events.
        documents: indices in the patient's attachments.
    """

    name: str
    citation: Citation
    events: Int64[np.ndarray, " event"]
    documents: Int64[np.ndarray, " attachment"]


def evidence(packed: Packed, patient: int, as_of: int, *, ask: Ask, sources: Sources) -> tuple[Moved, ...]:
    """Find what moved the model.

    Args:
        packed: timelines.
        patient: row of the patient.
        as_of: only what was available by then is there.
        ask: gives the risk at index times.
        sources: of the records.

    Returns:
        At most five codes, documents and parts of a document, what moved most first: the newest record, and
        how the risk changes without. Where there can be no risk without (a recurrence without its first),
        nothing is said.
    """
    cut = until(take(packed, np.array([patient])), as_of)
    units, documents = _units(cut, sources), sources.documents
    whole = float(ask(cut, _index(1, as_of))[0])

    def changes(copies: Sequence[Packed], ask: Ask) -> list[float]:
        if not copies:
            return []
        risk = ask(concatenate(copies), _index(len(copies), as_of))
        found: list[float] = np.nan_to_num(risk - whole).tolist()
        return found

    has_parts = any(_kind(cut, unit) in (NOTE, IMAGE) for unit in units)
    levels = (has_parts and _levels(len(units), MOST - PARTS)) or _levels(len(units), MOST) or _DEEPEST
    groups, moved = [units[: prod(levels)]], [0.0]
    for n in levels:
        groups = _split(max(zip(moved, groups, strict=True), key=lambda one: abs(one[0]))[1], n)
        moved = changes([_without(cut, group) for group in groups], ask)
    found = [(by, group[0], group[0].citation) for by, group in zip(moved, groups, strict=True)]
    of_parts = [(abs(by), unit) for by, unit, _ in found if _kind(cut, unit) in (NOTE, IMAGE)]
    if documents and of_parts and sum(levels) <= MOST - PARTS:
        _, unit = max(of_parts, key=lambda one: one[0])
        attachments, parts = parts_of(cut, documents.attachments, unit.documents)
        by_part = changes([part.packed for part in parts], documents.reading(attachments))
        found += [(by, unit, part.citation(unit.citation)) for by, part in zip(by_part, parts, strict=True)]
    found.sort(key=lambda one: -abs(one[0]))
    return tuple(
        Moved(citation=citation, code=unit.name, change=by)
        for by, unit, citation in found[:SHOWN]
        if abs(by) >= _LEAST
    )


def _units(cut: Packed, sources: Sources) -> list[Unit]:
    """Give what can be taken away, what was seen last first; the birth stays."""
    found = [*_codes(cut, sources)]
    if sources.documents is not None:
        found += _sorts(cut, sources.documents)
    found.sort(key=lambda one: -one[0])
    return [unit for _, unit in found]


def _codes(cut: Packed, sources: Sources) -> Iterator[tuple[int, Unit]]:
    """Give the records of each code, with the moment that they were last seen at."""
    order = np.argsort(cut.event_code, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(cut.event_code[order])) + 1):
        if len(mine) and cut.event_code[mine[0]] != sources.vocabulary.index_of(BIRTH):
            newest = int(mine[-1])
            citation = Citation(source=sources.records["source"][int(cut.event_ref[newest])] or "")
            name = sources.vocabulary.codes[int(cut.event_code[newest])]
            yield _moment(cut.event_offset, newest), Unit(name, citation, mine, mine[:0])


def _sorts(cut: Packed, documents: Documents) -> Iterator[tuple[int, Unit]]:
    """Give the documents of each sort, with the moment that they were last seen at."""
    held = documents.attachments
    for kind in documents.kinds:
        mine = np.flatnonzero(cut.attachment_kind == kind)
        refs = cut.attachment_ref[mine].astype(np.int64)
        sorts = np.array(held.codes(kind, refs), object)
        for sort in dict.fromkeys(sorts.tolist()):
            same = mine[sorts == sort]
            newest = int(same[-1])
            (source,) = held.sources(kind, cut.attachment_ref[newest : newest + 1].astype(np.int64))
            unit = Unit(sort, Citation(source=source), same[:0], same)
            yield _moment(cut.attachment_offset, newest), unit


def _moment(offset: Int64[np.ndarray, " moment_and_1"], at: int) -> int:
    return int(np.searchsorted(offset, at, "right")) - 1


def _kind(cut: Packed, unit: Unit) -> int | None:
    """Give the kind of documents that a unit is; None for a code."""
    return int(cut.attachment_kind[unit.documents[0]]) if len(unit.documents) else None


def _levels(n: int, most: int) -> list[int]:
    """Give into how many groups units are split at each level: all levels together stay within `most`.

    Returns:
        As few levels as lead to single units; none where no levels do.

    Example:
        >>> [_levels(n, 18) for n in (5, 18, 80, 200, 700)]
        [[18], [18], [9, 9], [6, 6, 6], [3, 3, 3, 3, 3, 3]]
    """
    for depth in range(1, most // 2 + 1):
        each = [most // depth + (level < most % depth) for level in range(depth)]
        if prod(each) >= n:
            return each
    return []


def _split(units: list[Unit], n: int) -> list[list[Unit]]:
    size, more = divmod(len(units), n)
    cuts = [0]
    for part in range(n):
        cuts.append(cuts[-1] + size + (part < more))
    return [units[low:high] for low, high in pairwise(cuts) if low < high]


def _index(n: int, as_of: int) -> Index:
    return Index(np.arange(n, dtype=np.int64), np.full(n, as_of, np.int64))


def without_codes(packed: Packed, codes: np.ndarray) -> Packed:
    """Take all events of some codes away, with the moments that held nothing else."""
    return _left(packed, ~np.isin(packed.event_code, codes), np.ones(len(packed.attachment_ref), bool))


def _without(cut: Packed, units: Sequence[Unit]) -> Packed:
    events, documents = np.ones(len(cut.event_code), bool), np.ones(len(cut.attachment_ref), bool)
    for unit in units:
        events[unit.events], documents[unit.documents] = False, False
    return _left(cut, events, documents)


def _left(
    packed: Packed, events: Bool[np.ndarray, " event"], documents: Bool[np.ndarray, " document"]
) -> Packed:
    """Leave some events and documents, without the moments that held nothing else."""
    n_events = np.diff(offsets(events.astype(np.int64))[packed.event_offset])
    n_documents = np.diff(offsets(documents.astype(np.int64))[packed.attachment_offset])
    kept = (n_events > 0) | (n_documents > 0)
    kept[packed.moment_offset[:-1]] = True
    return packed.with_arrays(
        moment_offset=offsets(np.diff(offsets(kept.astype(np.int64))[packed.moment_offset])),
        moment_time=packed.moment_time[kept],
        event_offset=offsets(n_events[kept]),
        event_code=packed.event_code[events],
        event_value=packed.event_value[events],
        event_time=packed.event_time[events],
        event_ref=packed.event_ref[events],
        attachment_offset=offsets(n_documents[kept]),
        attachment_kind=packed.attachment_kind[documents],
        attachment_ref=packed.attachment_ref[documents],
    )
