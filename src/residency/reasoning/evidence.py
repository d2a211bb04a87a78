"""In: a patient's timeline and a forecast. Out: what moved the model: codes that change it where they lack.

All records of one code go together, so that a value that is repeated does not hide itself. A moment that held
nothing else goes with them, as though it had never been: that is how timelines of patients without such
records look, so the model meets nothing strange. Up to `MOST` codes are tried one by one; of more, groups are
tried first (codes that were last seen near each other in time), then parts of the group that moved most, down
to single codes: never more than `MOST` ways of taking away. What stands in another group may be missed.
It is what moved the model, never why the patient.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64

from residency.contract.codes import BIRTH
from residency.contract.packed import Packed
from residency.contract.questions import Citation, Moved
from residency.reasoning.index import Index
from residency.timeline import Vocabulary, concatenate, take, until
from residency.timeline.segments import offsets

MOST: Final = 18  # ways of taking away: with the forecast itself, 19 times its cost
SHOWN: Final = 5
_LEAST: Final = 5e-4
Ask = Callable[[Packed, Index], Float32[np.ndarray, " index"]]


def evidence(
    packed: Packed, patient: int, as_of: int, *, ask: Ask, vocabulary: Vocabulary, records: pl.DataFrame
) -> tuple[Moved, ...]:
    """Find what moved the model.

    Args:
        packed: timelines.
        patient: row of the patient.
        as_of: only what was available by then is there.
        ask: gives the risk at index times.
        vocabulary: of the timelines.
        records: what `Packed.event_ref` means: a column `source`.

    Returns:
        At most five codes, what moved most first: the newest record, and how the risk changes without. Where
        there can be no risk without (a recurrence without its first), nothing is said.
    """
    cut = until(take(packed, np.array([patient])), as_of)
    codes = _codes(cut, vocabulary)
    whole = float(ask(cut, _index(1, as_of))[0])
    at_once = _at_once(len(codes))
    groups = _split(codes, at_once)
    change = np.nan_to_num(_risks(cut, groups, as_of, ask) - whole)
    while max(map(len, groups), default=0) > 1:
        groups = _split(groups[int(np.abs(change).argmax())], at_once)
        change = np.nan_to_num(_risks(cut, groups, as_of, ask) - whole)
    order = [int(at) for at in np.argsort(-np.abs(change), kind="stable") if abs(change[at]) >= _LEAST]
    return tuple(
        _moved(cut, int(groups[at][0]), float(change[at]), vocabulary, records) for at in order[:SHOWN]
    )


def _codes(cut: Packed, vocabulary: Vocabulary) -> Int64[np.ndarray, " code"]:
    """Give the codes that can be taken away, what was seen last first; the birth stays."""
    newest_first = cut.event_code[::-1].astype(np.int64)
    codes, place = np.unique(newest_first, return_index=True)
    ordered: np.ndarray = codes[np.argsort(place)]
    kept: np.ndarray = ordered[ordered != vocabulary.index_of(BIRTH)]
    return kept


def _at_once(n: int) -> int:
    """Give into how many groups codes are split at each level: all levels together stay within `MOST`.

    Example:
        >>> [_at_once(n) for n in (5, 18, 80, 200, 700)]
        [18, 18, 9, 6, 3]
    """
    return next((MOST // levels for levels in (1, 2, 3, 6) if (MOST // levels) ** levels >= n), 3)


def _split(codes: Int64[np.ndarray, " code"], n: int) -> list[np.ndarray]:
    return [part for part in np.array_split(codes, n) if len(part)]


def _index(n: int, as_of: int) -> Index:
    return Index(np.arange(n, dtype=np.int64), np.full(n, as_of, np.int64))


def _risks(cut: Packed, groups: Sequence[np.ndarray], as_of: int, ask: Ask) -> Float32[np.ndarray, " group"]:
    """Give the risk without each group."""
    if not groups:
        return np.zeros(0, np.float32)
    parts = concatenate([without_codes(cut, group) for group in groups])
    return ask(parts, _index(len(groups), as_of))


def without_codes(packed: Packed, codes: np.ndarray) -> Packed:
    """Take all events of some codes away, with the moments that held nothing else."""
    stays: Bool[np.ndarray, " event"] = ~np.isin(packed.event_code, codes)
    left = np.diff(offsets(stays.astype(np.int64))[packed.event_offset])
    kept = (left > 0) | (np.diff(packed.attachment_offset) > 0)
    kept[packed.moment_offset[:-1]] = True
    return packed.with_arrays(
        moment_offset=offsets(np.diff(offsets(kept.astype(np.int64))[packed.moment_offset])),
        moment_time=packed.moment_time[kept],
        event_offset=offsets(left[kept]),
        event_code=packed.event_code[stays],
        event_value=packed.event_value[stays],
        event_time=packed.event_time[stays],
        event_ref=packed.event_ref[stays],
        attachment_offset=offsets(np.diff(packed.attachment_offset)[kept]),
    )


def _moved(cut: Packed, code: int, change: float, vocabulary: Vocabulary, records: pl.DataFrame) -> Moved:
    newest = int(np.flatnonzero(cut.event_code == code)[-1])
    source = records["source"][int(cut.event_ref[newest])] or ""
    return Moved(citation=Citation(source=source), code=vocabulary.codes[code], change=change)
