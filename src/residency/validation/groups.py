"""In: packed timelines and index times. Out: the group that each index time belongs to, by name."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64

from residency.contract.packed import ATTACHMENT_KINDS, DAY, UNKNOWN, Packed
from residency.reasoning import Index
from residency.reasoning.index import place
from residency.reasoning.outcomes import Family
from residency.timeline import Vocabulary, moment_of_event
from residency.validation.landmarks import age_years
from residency.validation.tasks import Apart, Groups

UNSTATED: Final = "unstated"
THIRDS: Final = ("least", "middle", "most")


def groups_of(packed: Packed, vocabulary: Vocabulary, index: Index, groups: Groups) -> dict[str, np.ndarray]:
    """Give each index time's value of each group."""
    found = {name: _by_code(packed, vocabulary, index, values) for name, values in groups.by_code.items()}
    if groups.age_bands:
        age = age_years(packed, index)
        if groups.age_code is not None:
            age = np.where(np.isnan(age), _static_value(packed, vocabulary, index, groups.age_code), age)
        found["age"] = _bands(age, groups.age_bands)
    return found


def apart_of(packed: Packed, vocabulary: Vocabulary, index: Index, apart: Apart) -> dict[str, np.ndarray]:
    """Give what the report alone shows apart: what codes say, and which attachments there are."""
    found = {name: _known(packed, vocabulary, index, values) for name, values in apart.by_code.items()}
    if apart.attachments:
        for kind, name in enumerate(ATTACHMENT_KINDS):
            found[name] = np.where(_has_attachment(packed, index, kind), "some", "none")
    return found


def _known(packed: Packed, vocabulary: Vocabulary, index: Index, values: Mapping[str, str]) -> np.ndarray:
    """Give the value whose code was recorded last by each index time: who pays may change."""
    found, last = np.full(len(index), UNSTATED, dtype=object), np.full(len(index), -1)
    for value, code in values.items():
        event, known = latest_of(packed, vocabulary, index, (code,))
        newer = known & (event > last)
        found[newer], last[newer] = value, event[newer]
    return found.astype(str)


def latest_of(
    packed: Packed, vocabulary: Vocabulary, index: Index, codes: tuple[str, ...], *, valued: bool = False
) -> tuple[Int64[np.ndarray, " index"], Bool[np.ndarray, " index"]]:
    """Give the last event of some codes known at each index time, and whether there is one."""
    family, wanted = Family(vocabulary, ()), np.zeros(len(vocabulary), dtype=bool)
    for number in map(vocabulary.index_of, codes):
        if number != UNKNOWN:
            wanted[family.below(number)] = True
    of_kind = wanted[packed.event_code] & (np.isfinite(packed.event_value) | (not valued))
    events = np.flatnonzero(of_kind)
    moment = moment_of_event(packed)[events]
    last = np.searchsorted(moment, place(packed, index).moment, "right") - 1
    known = last >= np.searchsorted(moment, packed.moment_offset[index.patient])
    event = events[np.maximum(last, 0)] if len(events) else np.zeros(len(index), np.int64)
    return event, known


def _has_attachment(packed: Packed, index: Index, kind: int) -> Bool[np.ndarray, " index"]:
    """Whether an attachment of a kind was known at each index time."""
    mine = np.flatnonzero(packed.attachment_kind == kind)
    moment = np.searchsorted(packed.attachment_offset, mine, "right") - 1
    first, now = packed.moment_offset[index.patient], place(packed, index).moment
    has: np.ndarray = (now >= first) & (
        np.searchsorted(moment, now, "right") > np.searchsorted(moment, first)
    )
    return has


def records_in(packed: Packed, index: Index, days: float) -> Int64[np.ndarray, " index"]:
    """Count the records that became known in so many days before each index time."""
    first = np.asarray(packed.moment_offset[index.patient])
    now, before = (
        np.maximum(place(packed, Index(index.patient, index.as_of - back)).moment, first)
        for back in (0, round(days * DAY))
    )
    count: np.ndarray = packed.event_offset[now + 1] - packed.event_offset[before + 1]
    return count


def thirds(records: Int64[np.ndarray, " row"], teaching: Bool[np.ndarray, " row"]) -> np.ndarray | None:
    """Name the third that each row is in, of the train patients' rows; None where they are all alike."""
    held = records[teaching] if teaching.any() else records
    if not len(held):
        return None
    low, high = np.quantile(held, [1 / 3, 2 / 3])
    named: np.ndarray = np.array(THIRDS)[(records > low).astype(int) + (records > high)]
    return named if low < high else None


def _by_code(packed: Packed, vocabulary: Vocabulary, index: Index, values: Mapping[str, str]) -> np.ndarray:
    """Give the value whose code is among a patient's first facts."""
    result = np.full(packed.n_patients, UNSTATED, dtype=object)
    for value, code in values.items():
        result[_with_first_fact(packed, vocabulary.index_of(code))[0]] = value
    of_index: np.ndarray = result[index.patient].astype(str)
    return of_index


def _static_value(
    packed: Packed, vocabulary: Vocabulary, index: Index, code: str
) -> Float[np.ndarray, " index"]:
    result = np.full(packed.n_patients, np.nan)
    patients, events = _with_first_fact(packed, vocabulary.index_of(code))
    result[patients] = packed.event_value[events]
    value: np.ndarray = result[index.patient]
    return value


def _with_first_fact(
    packed: Packed, code: int
) -> tuple[Int64[np.ndarray, " event"], Int64[np.ndarray, " event"]]:
    """Give the patients whose first moment holds a code, and the events."""
    events = np.flatnonzero(packed.event_code == code) if code != UNKNOWN else np.zeros(0, np.int64)
    moment = moment_of_event(packed)[events]
    patient = np.searchsorted(packed.moment_offset, moment, "right") - 1
    first = np.asarray(packed.moment_offset)[patient] == moment
    return patient[first], events[first]


def _bands(age: Float[np.ndarray, " index"], begins: tuple[float, ...]) -> np.ndarray:
    """Name the band of each age, for example `40-64`."""
    edges = sorted(begins)
    names = [f"under_{edges[0]:g}"]
    names += [f"{low:g}-{high - 1:g}" for low, high in pairwise(edges)]
    names += [f"{edges[-1]:g}_and_over"]
    band = np.array(names)[np.searchsorted(edges, np.nan_to_num(age), "right")]
    return np.where(np.isnan(age), UNSTATED, band)
