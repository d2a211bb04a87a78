"""In: packed timelines, and what may come next. Out: the same with one more moment for some patients."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from residency.contract.packed import Packed
from residency.timeline.segments import offsets

ADDED_REF = -1  # `event_ref` of what no table holds


@dataclass(frozen=True)
class Added:
    """What new moments hold.

    Attributes:
        moment: which of the new moments each event belongs to, rising.
        code: index in the vocabulary.
        value: NaN where none.
    """

    moment: Int64[np.ndarray, " event"]
    code: Int64[np.ndarray, " event"]
    value: Float32[np.ndarray, " event"]


def extended(
    packed: Packed, row: Int64[np.ndarray, " moment"], time: Int64[np.ndarray, " moment"], events: Added
) -> Packed:
    """Put one moment behind the last of some patients: a result that might come, a simulated future.

    Args:
        packed: the timelines, cut where the past ends.
        row: patients, each once.
        time: of the new moments, µs; later than the patient's last.
        events: what the moments hold.
    """
    order = np.argsort(row, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    added = np.lexsort((events.code, place[events.moment]))
    n_added = np.bincount(place[events.moment], minlength=len(row)).astype(np.int64)
    row, time = row[order], time[order]
    more = np.zeros(packed.n_patients, np.int64)
    more[row] = 1
    moment_at = packed.moment_offset[row + 1]
    event_at = np.repeat(packed.event_offset[moment_at], n_added)
    attachments = np.diff(packed.attachment_offset)
    when = np.repeat(time, n_added)
    columns = {
        "event_code": events.code[added].astype(np.int32),
        "event_value": events.value[added],
        "event_time": when,
        "event_ref": np.full(len(added), ADDED_REF, np.int64),
    }
    return packed.with_arrays(
        moment_offset=offsets(np.diff(packed.moment_offset) + more),
        moment_time=np.insert(packed.moment_time, moment_at, time),
        event_offset=offsets(np.insert(np.diff(packed.event_offset), moment_at, n_added)),
        attachment_offset=offsets(np.insert(attachments, moment_at, 0)),
        **{name: np.insert(getattr(packed, name), event_at, new) for name, new in columns.items()},
    )
