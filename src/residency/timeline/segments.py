"""In: arrays laid end to end, with offsets. Out: their indices, offsets and sorted searches."""

from typing import Literal

import numpy as np
from jaxtyping import Int64, Num


def ranges(
    start: Int64[np.ndarray, " segment"], length: Int64[np.ndarray, " segment"]
) -> Int64[np.ndarray, " item"]:
    """Give `start, start + 1, …` of each segment, one segment after the other.

    Example:
        >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    before = np.cumsum(length) - length
    shift: np.ndarray = np.repeat(start - before, length)
    return shift + np.arange(len(shift), dtype=np.int64)


def offsets(length: Int64[np.ndarray, " segment"]) -> Int64[np.ndarray, " segment_and_1"]:
    """Give where segments of these lengths begin, and where the last ends.

    Example:
        >>> offsets(np.array([2, 0, 3])).tolist()
        [0, 2, 2, 5]
    """
    result = np.zeros(len(length) + 1, np.int64)
    np.cumsum(length, out=result[1:])
    return result


def search(
    values: Num[np.ndarray, " item"],
    bounds: tuple[Int64[np.ndarray, " query"], Int64[np.ndarray, " query"]],
    query: Num[np.ndarray, " query"],
    side: Literal["left", "right"],
) -> Int64[np.ndarray, " query"]:
    """Do what `np.searchsorted` does, each query within its own segment of `values`.

    Args:
        values: rising within each segment.
        bounds: first index, and one past the last, of each query's segment.
        query: what to look for.
        side: before or after equal values.

    Returns:
        Indices in `values`, from the segment's first to one past its last.
    """
    low, high = (np.array(bound, np.int64) for bound in bounds)
    if len(values) == 0:
        return low
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        open_ = low < high
        at = values[np.minimum(middle, len(values) - 1)]
        after = open_ & ((at < query) if side == "left" else (at <= query))
        low = np.where(after, middle + 1, low)
        high = np.where(open_ & ~after, middle, high)
    return low
