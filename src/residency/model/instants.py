"""In: windows of timelines. Out: instants in them, to learn from and to calibrate by; how many of whom."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from jaxtyping import Int64

from residency.contract.packed import Packed
from residency.model.inputs import Rows, Windows
from residency.model.outcomes import Index, draw_index, draw_over_time, joined
from residency.timeline import Timelines

LEAST_INDEX: Final = 2  # instants of a window after moments, and as many over time, however short it is
ROWS_PER_INDEX: Final = 16


def draw_instants(packed: Packed, rows: Rows, windows: Windows, rng: np.random.Generator) -> Index:
    """Draw instants of each window, as many after moments as over time, rising by moment."""
    chosen, n_each = _choose(rows, rng)
    spans = (windows.patient, windows.low, windows.high)
    return joined(
        draw_index(packed, rows.moment[chosen], rows.window[chosen], rng),
        draw_over_time(packed, spans, n_each, rng),
    )


def instants_of(windows: Iterable[Int64[np.ndarray, " window"]]) -> int:
    """Say how many instants are drawn of windows with so many dated moments."""
    return sum(int(2 * _n_each(length).sum()) for length in windows)


def usual_instants(data: Timelines) -> float:
    """Say how many instants are drawn of a train patient, in the mean."""
    each = [instants_each(packed)[data.split(n) == "train"] for n, packed in enumerate(data.shards)]
    return float(np.concatenate(each).mean())


def instants_each(packed: Packed) -> Int64[np.ndarray, " patient"]:
    """Say how many instants are drawn of each patient, about."""
    return 2 * _n_each(np.diff(packed.moment_offset) - 1)


def _n_each(length: Int64[np.ndarray, " window"]) -> Int64[np.ndarray, " window"]:
    each: np.ndarray = np.maximum(LEAST_INDEX, length // ROWS_PER_INDEX)
    return each


def _choose(
    rows: Rows, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " index"], Int64[np.ndarray, " window"]]:
    """Choose a few dated rows of each window, more of a longer one; and say how many of each."""
    dated = np.flatnonzero(rows.order > 0)
    shuffled = dated[np.lexsort((rng.random(len(dated)), rows.window[dated]))]
    window = rows.window[shuffled]
    number = np.arange(len(shuffled)) - np.searchsorted(window, window)
    n_each = _n_each(np.bincount(rows.window) - 1)
    return np.sort(shuffled[number < n_each[window]]), n_each
