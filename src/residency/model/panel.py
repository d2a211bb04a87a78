"""In: a patient's events so far. Out: the standing state at each moment: last values, ages, changes, counts.

What a clinician sees on the chart's first page: of each much-used code, how long ago it came and how often,
and where it has values the last of them and how it moved. A code without values stands for those below it
too: whether there was any tobacco use matters more than which. Only what lies at or before a moment enters
its state.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from residency.contract.packed import UNKNOWN
from residency.timeline import Vocabulary


@dataclass(frozen=True)
class Panel:
    """The standing state of each row, for each code of the panel; NaN where the code was never seen.

    Attributes:
        rank: last value of each code with values, as a rank; NaN also where it had no value.
        hours: since the code was last seen.
        change: of the rank, from the value before the last.
        count: how often the code was seen so far; 0 where never.
    """

    rank: Float32[np.ndarray, "row valued"]
    hours: Float32[np.ndarray, "row panel"]
    change: Float32[np.ndarray, "row valued"]
    count: Float32[np.ndarray, "row panel"]


def common(vocabulary: Vocabulary, most: int) -> Int64[np.ndarray, " chosen"]:
    """Give the codes that most train patients have, at most so many; of equals, the first in the vocabulary.

    A code whose records are just those of a chosen one above or below it says nothing more and is left out,
    as is `UNKNOWN`.
    """
    chosen: list[int] = []
    by_size: dict[tuple[int, int], list[int]] = {}
    for code in np.argsort(-vocabulary.n_patients, kind="stable").tolist():
        size = int(vocabulary.n_patients[code]), int(vocabulary.n_events[code])
        above = set(vocabulary.ancestors_of(code).tolist())
        alike = by_size.get(size, [])
        same = any(one in above or code in vocabulary.ancestors_of(one) for one in alike)
        if code != UNKNOWN and size[0] > 0 and not same:
            chosen.append(code)
            by_size.setdefault(size, []).append(code)
        if len(chosen) == most:
            break
    return np.array(chosen, np.int64)


def choose(vocabulary: Vocabulary, size: int) -> Int64[np.ndarray, " panel"]:
    """Give the codes that the panel follows: the commonest, at most `size`."""
    return np.sort(common(vocabulary, size))


@dataclass(frozen=True)
class Seen:
    """Events of panel codes, patient by patient in order, each with the first row that knows of it."""

    row: Int64[np.ndarray, " event"]
    slot: Int64[np.ndarray, " event"]
    rank: Float32[np.ndarray, " event"]
    second: Int64[np.ndarray, " event"]
    group: Int64[np.ndarray, " event"]


def state(
    seen: Seen,
    row_second: Int64[np.ndarray, " row"],
    row_first: Int64[np.ndarray, " row"],
    size: int,
    n_valued: int,
) -> Panel:
    """Give the standing state at each row.

    Args:
        seen: events of panel codes; `group` numbers the patient's window, rising.
        row_second: time of each row, in seconds.
        row_first: first row of each row's window.
        size: codes in the panel.
        n_valued: of them with values; they come first.
    """
    change, count = _history(seen, size)
    last = np.full((len(row_second), size), -1, np.int64)
    last[seen.row, seen.slot] = np.arange(len(seen.row))  # the last of equal keys stays
    np.maximum.accumulate(last, axis=0, out=last)
    n_before = np.searchsorted(seen.row, row_first)  # rows rise along events
    last[last < n_before[:, None]] = -1
    known = last >= 0
    if not len(seen.row):
        nothing = np.full(known.shape, np.nan, np.float32)
        none = nothing[:, :n_valued]
        return Panel(none, nothing, none, np.zeros(known.shape, np.float32))
    at = np.maximum(last, 0)
    hours = (row_second[:, None] - seen.second[at]) / 3600.0
    valued, held = at[:, :n_valued], known[:, :n_valued]
    return Panel(
        np.where(held, seen.rank[valued], np.float32(np.nan)),
        np.where(known, hours, np.nan).astype(np.float32),
        np.where(held, change[valued], np.float32(np.nan)),
        np.where(known, count[at], np.float32(0.0)),
    )


def _history(seen: Seen, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Give each event's change of rank from the code's event before, and its number among them."""
    key = seen.group * size + seen.slot
    order = np.argsort(key, kind="stable")
    ranked, sorted_key = seen.rank[order], key[order]
    fresh = np.ones(len(key), bool)
    fresh[1:] = sorted_key[1:] != sorted_key[:-1]
    step = np.zeros(len(key), np.float32)
    step[1:] = ranked[1:] - ranked[:-1]
    step[fresh | ~np.isfinite(step)] = 0.0
    place = np.arange(len(key))
    start = np.maximum.accumulate(np.where(fresh, place, 0))
    change, count = np.empty(len(key), np.float32), np.empty(len(key), np.float32)
    change[order], count[order] = step, place - start + 1
    return change, count
