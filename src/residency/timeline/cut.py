"""In: packed timelines. Out: the past alone (`until` is the only cut in time), or some of the patients."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from jaxtyping import Bool, Int64

from residency.contract.packed import STATIC, Packed
from residency.timeline.segments import offsets, ranges


def until(packed: Packed, as_of: int | np.integer | Int64[np.ndarray, " patient"]) -> Packed:
    """Cut away what could not be known yet.

    A moment stays when it was available at `as_of`; static facts and the birth always do, unless `as_of` lies
    before the birth: then nothing is known. Observation intervals end at `as_of` at the latest. Labels go:
    they look ahead.

    Args:
        packed: the timelines.
        as_of: µs since 1970, one for all or one a patient.

    Returns:
        As many patients as before, each with a prefix of their moments, at least one.
    """
    limit = np.broadcast_to(np.asarray(as_of, np.int64), (packed.n_patients,))
    known = packed.moment_time <= np.repeat(limit, np.diff(packed.moment_offset))
    n_known = _counts(known, packed.moment_offset)
    parts = {
        **_moments(packed, np.arange(packed.n_patients, dtype=np.int64), n_known),
        **_observed(packed, limit),
        "label_offset": np.zeros(packed.n_patients + 1, np.int64),
        **{name: getattr(packed, name)[:0] for name in ("label_time", "label_task", "label_value")},
    }
    cut = packed.with_arrays(**parts)
    return cut if n_known.all() else _with_first_moments(cut)


def without(
    packed: Packed, gone: Bool[np.ndarray, "patient kind"]
) -> tuple[Packed, Bool[np.ndarray, " moment"]]:
    """Take attachments away, as though they had never been: moments that held nothing else go with them.

    Args:
        packed: the timelines.
        gone: which kinds (`ATTACHMENT_KINDS`) go, of each patient.

    Returns:
        The timelines, and which of the moments stayed.
    """
    owner = np.repeat(np.arange(packed.n_patients), np.diff(packed.moment_offset))
    n_attached = np.diff(packed.attachment_offset)
    stays = ~gone[np.repeat(owner, n_attached), packed.attachment_kind]
    n_left = _counts(stays, packed.attachment_offset)
    kept = (np.diff(packed.event_offset) > 0) | (n_left > 0) | (n_attached == 0)
    kept[packed.moment_offset[:-1]] = True
    left = packed.with_arrays(
        moment_offset=offsets(_counts(kept, packed.moment_offset)),
        moment_time=packed.moment_time[kept],
        event_offset=offsets(np.diff(packed.event_offset)[kept]),
        attachment_offset=offsets(n_left[kept]),
        attachment_kind=packed.attachment_kind[stays],
        attachment_ref=packed.attachment_ref[stays],
    )
    return left, kept


def take(packed: Packed, rows: Int64[np.ndarray, " row"]) -> Packed:
    """Give some patients, whole, in the order of `rows`; a patient may be taken twice."""
    rows = np.asarray(rows, np.int64)
    seen, labelled = np.diff(packed.observation_offset)[rows], np.diff(packed.label_offset)[rows]
    observation = ranges(packed.observation_offset[rows], seen)
    label = ranges(packed.label_offset[rows], labelled)
    return packed.with_arrays(
        **_moments(packed, rows, np.diff(packed.moment_offset)[rows]),
        observation_offset=offsets(seen),
        observation_start=packed.observation_start[observation],
        observation_end=packed.observation_end[observation],
        label_offset=offsets(labelled),
        label_time=packed.label_time[label],
        label_task=packed.label_task[label],
        label_value=packed.label_value[label],
    )


def concatenate(parts: Sequence[Packed]) -> Packed:
    """Lay timelines end to end, in the order given; references go on meaning rows of each part's own shard.

    Args:
        parts: one or more.
    """
    arrays = {}
    for field in fields(Packed):
        pieces = [getattr(part, field.name) for part in parts]
        if field.name.endswith("_offset"):
            arrays[field.name] = offsets(np.concatenate([np.diff(piece) for piece in pieces]))
        else:
            arrays[field.name] = np.concatenate(pieces)
    return Packed(**arrays)


def _counts(
    chosen: Bool[np.ndarray, " item"], offset: Int64[np.ndarray, " segment_and_1"]
) -> Int64[np.ndarray, " segment"]:
    """Count the chosen items of each segment."""
    return np.diff(offsets(chosen.astype(np.int64))[offset])


def _moments(
    packed: Packed, rows: Int64[np.ndarray, " row"], n_moments: Int64[np.ndarray, " row"]
) -> dict[str, np.ndarray]:
    """Give the arrays of some patients' first moments."""
    first = packed.moment_offset[rows]
    moments = ranges(first, n_moments)
    events = ranges(*_span(packed.event_offset, first, n_moments))
    attached = ranges(*_span(packed.attachment_offset, first, n_moments))
    return {
        "subject": packed.subject[rows],
        "moment_offset": offsets(n_moments),
        "moment_time": packed.moment_time[moments],
        "event_offset": offsets(np.diff(packed.event_offset)[moments]),
        "event_code": packed.event_code[events],
        "event_value": packed.event_value[events],
        "event_time": packed.event_time[events],
        "event_ref": packed.event_ref[events],
        "attachment_offset": offsets(np.diff(packed.attachment_offset)[moments]),
        "attachment_kind": packed.attachment_kind[attached],
        "attachment_ref": packed.attachment_ref[attached],
    }


def _span(
    offset: Int64[np.ndarray, " moment_and_1"],
    first: Int64[np.ndarray, " row"],
    n_moments: Int64[np.ndarray, " row"],
) -> tuple[Int64[np.ndarray, " row"], Int64[np.ndarray, " row"]]:
    """Give where the contents of consecutive moments begin, and how many there are."""
    begin = offset[first]
    return begin, offset[first + n_moments] - begin


def _observed(packed: Packed, limit: Int64[np.ndarray, " patient"]) -> dict[str, np.ndarray]:
    """Give the observation intervals that have begun, ended at the limit."""
    per_interval = np.repeat(limit, np.diff(packed.observation_offset))
    begun = packed.observation_start <= per_interval
    return {
        "observation_offset": offsets(_counts(begun, packed.observation_offset)),
        "observation_start": packed.observation_start[begun],
        "observation_end": np.minimum(packed.observation_end, per_interval)[begun],
    }


def _with_first_moments(packed: Packed) -> Packed:
    """Give patients of whom nothing is known an empty first moment."""
    n_moments = np.diff(packed.moment_offset)
    at = packed.moment_offset[:-1][n_moments == 0]
    return packed.with_arrays(
        moment_offset=offsets(np.maximum(n_moments, 1)),
        moment_time=np.insert(packed.moment_time, at, STATIC),
        event_offset=np.insert(packed.event_offset, at, packed.event_offset[at]),
        attachment_offset=np.insert(packed.attachment_offset, at, packed.attachment_offset[at]),
    )
