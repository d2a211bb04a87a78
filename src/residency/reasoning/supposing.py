"""In: one patient's timeline, and results that might come. Out: the timeline as though each had just come."""

from typing import NamedTuple

import numpy as np

from residency.contract.packed import Packed
from residency.timeline import concatenate


class Result(NamedTuple):
    """A result that might come: index of its code in the vocabulary, and its value."""

    code: int
    value: float


def suppose(cut: Packed, results: list[tuple[Result, ...]], as_of: int) -> Packed:
    """Give a patient's timeline once for each set of results, with these at its end.

    Args:
        cut: one patient, cut at the time of asking.
        results: sets of results that might come together.
        as_of: when, µs.
    """
    return concatenate([_with(cut, some, as_of) for some in results])


def _with(cut: Packed, some: tuple[Result, ...], as_of: int) -> Packed:
    """Append one moment; where the newest moment is of this very time, the results join it."""
    if not some:
        return cut
    joins = bool(cut.moment_time[-1] == as_of)
    n = len(some)
    ends = cut.event_offset[-1:] + n
    attached = cut.attachment_offset[-1:]
    return cut.with_arrays(
        moment_time=cut.moment_time if joins else np.append(cut.moment_time, as_of),
        moment_offset=cut.moment_offset if joins else np.array([0, cut.n_moments + 1], np.int64),
        event_offset=np.concatenate([cut.event_offset[:-1] if joins else cut.event_offset, ends]),
        event_code=np.append(cut.event_code, np.array([one.code for one in some], np.int32)),
        event_value=np.append(cut.event_value, np.array([one.value for one in some], np.float32)),
        event_time=np.append(cut.event_time, np.full(n, as_of)),
        event_ref=np.append(cut.event_ref, np.zeros(n, np.int64)),
        attachment_offset=cut.attachment_offset if joins else np.append(cut.attachment_offset, attached),
    )
