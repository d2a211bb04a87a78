"""In: values of codes on train patients. Out: a bounded sample of them, and its quantile knots."""

from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, UInt64

SAMPLE: Final = (
    16_384  # values kept of a code and unit: all of them on small data, those of lowest hash on large
)
_EDGE: Final = 0.001  # outside this share of values on either side there are mostly slips of the pen

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = np.uint64(0x9E3779B97F4A7C15)


def sample_of(values: pl.DataFrame) -> pl.DataFrame:
    """Choose at most `SAMPLE` values of each code and unit: those whose content has the lowest hash.

    The choice hangs on each event's own content, so it is the same in any order and in any parts: the sample
    of samples is the sample of the whole.

    Args:
        values: columns `code`, `unit`, `value` and `hash` (see `hash_of`).
    """
    group = ("code", "unit")
    n_alike = pl.len().over(group)
    few, many = values.filter(n_alike <= SAMPLE), values.filter(n_alike > SAMPLE)
    chosen = many.sort("hash", "value").group_by(group, maintain_order=True).head(SAMPLE)
    return pl.concat([few, chosen.select(values.columns)])


def hash_of(*columns: np.ndarray) -> UInt64[np.ndarray, " event"]:
    """Give a 64-bit hash of each row (SplitMix64; the same on every machine)."""
    state = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        bits = (
            column.view(np.uint32).astype(np.uint64) if column.dtype == np.float32 else column.view(np.uint64)
        )
        state = (state ^ bits) + _STEP
        state = (state ^ (state >> np.uint64(30))) * _MIX[0]
        state = (state ^ (state >> np.uint64(27))) * _MIX[1]
        state ^= state >> np.uint64(31)
    return state


def knots_of(
    values: Float32[np.ndarray, " event"], n_knots: int
) -> tuple[Float32[np.ndarray, " knot"], Float32[np.ndarray, " knot"]]:
    """Give quantile knots, denser towards both ends, and their levels.

    Equal knots become one, at the middle of their levels: a value that half of the patients share has a rank
    near the middle of that half.

    Args:
        values: at least one.
        n_knots: 2 or more.

    Returns:
        Values, rising; levels, rising, in [0, 1].

    Example:
        >>> knots, levels = knots_of(np.arange(101, dtype=np.float32), 3)
        >>> knots.round().tolist(), (1000 * levels).round().tolist()
        ([0.0, 50.0, 100.0], [1.0, 500.0, 999.0])
    """
    spread = (1 - np.cos(np.pi * np.arange(n_knots) / (n_knots - 1))) / 2
    levels = np.clip(spread, _EDGE, 1 - _EDGE)
    knots, place = np.unique(np.quantile(values, levels).astype(np.float32), return_inverse=True)
    middle = np.bincount(place, levels) / np.bincount(place)
    return knots, middle.astype(np.float32)
