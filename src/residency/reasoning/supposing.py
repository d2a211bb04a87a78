"""In: one patient's timeline, and results that might come. Out: the timeline as though each had just come."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from residency.contract.packed import Packed
from residency.reasoning.index import Index
from residency.timeline import take
from residency.timeline.extending import Added, extended


class Result(NamedTuple):
    """A result that might come: index of its code in the vocabulary, and its value."""

    code: int
    value: float


def suppose(cut: Packed, results: Sequence[tuple[Result, ...]], as_of: int) -> tuple[Packed, Index]:
    """Give a patient's timeline once for each set of results, with these at its end, and where to ask.

    Args:
        cut: one patient, cut at the time of asking.
        results: sets of results that might come together; each holds some.
        as_of: when, µs; a moment of this very time is followed by the next microsecond.
    """
    rows = np.arange(len(results))
    time = np.full(len(results), max(as_of, int(cut.moment_time[-1]) + 1), np.int64)
    events = Added(
        moment=np.repeat(rows, [len(some) for some in results]),
        code=np.array([one.code for some in results for one in some], np.int64),
        value=np.array([one.value for some in results for one in some], np.float32),
    )
    copies = take(cut, np.zeros(len(results), np.int64))
    seen_until = np.where(copies.observation_end == as_of, time[0], copies.observation_end)
    return extended(copies.with_arrays(observation_end=seen_until), rows, time, events), Index(rows, time)
