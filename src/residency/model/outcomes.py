"""In: packed timelines and index times. Out: what followed each: next occurrences, exposure, and labels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from residency.contract.codes import DEATH
from residency.contract.packed import DAY, Packed
from residency.timeline import Occurrences, Vocabulary, occurrences
from residency.timeline.segments import offsets, ranges, search

HOUR: Final = DAY // 24
ABSENT: Final = -1  # a target that no code of the vocabulary counts for
_YEAR: Final = 365.25
LADDER_DAYS: Final = (
    *(hours / 24 for hours in (1, 3, 6, 12, 24, 48, 72)),
    *(7.0, 14.0, 30.0, 90.0, 180.0, _YEAR, 2 * _YEAR, 3 * _YEAR, 5 * _YEAR, 10 * _YEAR),
)


@dataclass(frozen=True)
class Targets:
    """Codes that have hazards, and the intervals over which these are constant.

    Attributes:
        code: index in the vocabulary; `ABSENT` for a death that no train patient had.
        link_offset: where the targets of each code of the vocabulary begin.
        link: the targets that each code counts for: itself and its ancestors.
        edges_days: of the intervals; the first is 0.
    """

    code: Int64[np.ndarray, " target"]
    link_offset: Int64[np.ndarray, " code_and_1"]
    link: Int32[np.ndarray, " link"]
    edges_days: Float64[np.ndarray, " edge"]

    def __len__(self) -> int:
        return len(self.code)

    @property
    def edges(self) -> Int64[np.ndarray, " edge"]:
        """Edges in µs."""
        return np.round(self.edges_days * DAY).astype(np.int64)


def targets_of(
    vocabulary: Vocabulary, codes: Int64[np.ndarray, " chosen"], edges_days: np.ndarray
) -> Targets:
    """Make targets of codes, death first."""
    death = vocabulary.index_of(DEATH) or ABSENT
    chosen = np.concatenate([[death], codes[codes != death]]).astype(np.int64)
    return Targets(chosen, *links(vocabulary, chosen), edges_days)


def links(
    vocabulary: Vocabulary, chosen: Int64[np.ndarray, " target"]
) -> tuple[Int64[np.ndarray, " code_and_1"], Int32[np.ndarray, " link"]]:
    """Give, for each code of the vocabulary, where its targets begin, and these: itself and its ancestors."""
    target = np.full(len(vocabulary) + 1, ABSENT, np.int32)
    target[chosen] = np.arange(len(chosen))
    target[-1] = ABSENT
    code = np.arange(len(vocabulary))
    n_above = np.diff(vocabulary.ancestor_offset)
    of = np.concatenate([code, np.repeat(code, n_above)])
    to = target[np.concatenate([code, vocabulary.ancestor_index.astype(np.int64)])]
    order = np.lexsort((to, of))
    of, to = of[order], to[order]
    held = to != ABSENT
    link_offset = offsets(np.bincount(of[held], minlength=len(vocabulary)))
    return link_offset, to[held].astype(np.int32)


def grouped(group: Int64[np.ndarray, " code"], n_groups: int, edges_days: np.ndarray) -> Targets:
    """Make targets of groups of codes, each code in one at most: of each the group, or `ABSENT`."""
    held = group != ABSENT
    nobody = np.full(n_groups, ABSENT, np.int64)
    return Targets(nobody, offsets(held.astype(np.int64)), group[held].astype(np.int32), edges_days)


def edges_up_to(follow_up_days: float) -> Float64[np.ndarray, " edge"]:
    """Give the ladder's edges up to the first that a follow-up does not pass.

    Example:
        >>> (edges_up_to(2.5) * 24).round().tolist()
        [0.0, 1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0]
    """
    ladder = np.array([0.0, *LADDER_DAYS])
    last = int(np.searchsorted(ladder, follow_up_days))
    return ladder[: max(3, min(last + 1, len(ladder)))]


@dataclass(frozen=True)
class Index:
    """Instants at which something is asked of a patient, rising by moment.

    Attributes:
        patient: row in `Packed`.
        moment: last moment known.
        elapsed: µs since that moment; 0 after a patient's first moment, which has no time of its own.
        follow_up: µs from the instant to the end of observation or death.
    """

    patient: Int64[np.ndarray, " index"]
    moment: Int64[np.ndarray, " index"]
    elapsed: Int64[np.ndarray, " index"]
    follow_up: Int64[np.ndarray, " index"]

    def take(self, keep: np.ndarray) -> "Index":
        """Give some of them."""
        return Index(self.patient[keep], self.moment[keep], self.elapsed[keep], self.follow_up[keep])


def observed(packed: Packed, patient: np.ndarray, moment: np.ndarray, elapsed: np.ndarray) -> Index:
    """Keep the instants at which the patient was observed and alive, with what follow-up remains."""
    as_of = np.array(packed.moment_time[moment]) + elapsed
    begin, end = packed.observation_offset[patient], packed.observation_offset[patient + 1]
    at = search(np.asarray(packed.observation_start), (begin, end), as_of, "right") - 1
    inside = at >= begin
    safe = np.maximum(at, 0)
    stop = packed.observation_end[safe] if len(packed.observation_end) else np.zeros(len(moment), np.int64)
    follow_up = np.where(inside, stop, as_of) - as_of
    return Index(patient, moment, elapsed, follow_up).take(follow_up > 0)


@dataclass(frozen=True)
class Followed:
    """What followed each instant of an `Index`.

    Attributes:
        index: the instants that remain (alive and observed).
        row: row of `index` of each next occurrence.
        target: its target.
        wait: µs from the instant to it.
        first: whether the patient had not had the target before.
        found: every occurrence of every target.
    """

    index: Index
    row: Int64[np.ndarray, " next"]
    target: Int64[np.ndarray, " next"]
    wait: Int64[np.ndarray, " next"]
    first: Bool[np.ndarray, " next"]
    found: Occurrences


def follow(packed: Packed, index: Index, targets: Targets) -> Followed:
    """Find the first occurrence of every target after each instant, exactly.

    Each occurrence is the next one for the instants from the occurrence before it up to itself, so one sorted
    search finds all. Time runs on what was known: an occurrence counts when it became available.
    """
    found = occurrences(packed, targets.link_offset, targets.link, len(targets))
    start = packed.moment_offset[found.patient]
    low = np.searchsorted(index.moment, np.where(found.previous < 0, start, found.previous), "left")
    high = np.searchsorted(index.moment, found.moment, "left")
    n_each = np.maximum(high - low, 0)
    row, of = ranges(low, n_each), np.repeat(np.arange(len(found)), n_each)
    as_of = np.array(packed.moment_time[index.moment]) + index.elapsed
    wait = found.time[of] - as_of[row]
    target = found.target[of].astype(np.int64)
    died = np.full(len(index.moment), np.iinfo(np.int64).max)
    dead = target == 0
    died[row[dead]] = wait[dead]
    follow_up = np.minimum(index.follow_up, died)
    inside = (wait > 0) & (wait <= follow_up[row])
    censored = Index(index.patient, index.moment, index.elapsed, follow_up)
    first = found.previous[of[inside]] < 0
    return Followed(censored, row[inside], target[inside], wait[inside], first, found)


def never_had(
    found: Occurrences,
    patient: Int64[np.ndarray, " index"],
    as_of: Int64[np.ndarray, " index"],
    columns: Int64[np.ndarray, " column"],
) -> Bool[np.ndarray, "index column"]:
    """Say which patients had not had which targets by each instant (µs): what comes is a first occurrence."""
    each = np.repeat(patient, len(columns)), np.tile(columns, len(patient)), np.repeat(as_of, len(columns))
    never: np.ndarray = found.around(*each).previous < 0
    return never.reshape(len(patient), len(columns))


def exposure(
    followed: Followed,
    edges: Int64[np.ndarray, " edge"],
    columns: Int64[np.ndarray, " column"],
    n_targets: int,
) -> Float32[np.ndarray, "index column interval"]:
    """Give the days that each instant spends in each interval without a next occurrence of each target.

    Args:
        followed: what followed.
        edges: of the intervals, µs.
        columns: targets wanted.
        n_targets: of all.
    """
    place = np.full(n_targets, ABSENT, np.int64)
    place[columns] = np.arange(len(columns))
    free = np.repeat(followed.index.follow_up[:, None], len(columns), axis=1)
    at = place[followed.target]
    held = at != ABSENT
    free[followed.row[held], at[held]] = followed.wait[held]
    return days_between(0, free, edges)


def days_between(
    begin: Int64[np.ndarray, "*batch"] | int,
    end: Int64[np.ndarray, "*batch"],
    edges: Int64[np.ndarray, " edge"],
) -> Float32[np.ndarray, "*batch interval"]:
    """Give the days of each interval that lie between two waits.

    Example:
        >>> days_between(DAY, np.array([3 * DAY]), np.array([0, 2 * DAY, 4 * DAY])).tolist()
        [[1.0, 1.0]]
    """
    low, high = (np.asarray(wait)[..., None] - edges[:-1] for wait in (begin, end))
    width = np.diff(edges)
    days: np.ndarray = ((np.clip(high, 0, width) - np.clip(low, 0, width)) / DAY).astype(np.float32)
    return days


def interval_of(
    wait: Int64[np.ndarray, " next"], edges: Int64[np.ndarray, " edge"]
) -> Int64[np.ndarray, " next"]:
    """Give the interval that each wait ends in; one past the last where it is longer."""
    interval: np.ndarray = np.searchsorted(edges[1:], wait, "left")
    return interval.astype(np.int64)


@dataclass(frozen=True)
class Labelled:
    """Labels, each at the last moment known at its time.

    Attributes:
        moment: in `Packed`.
        elapsed: µs since; 0 after a patient's first moment.
        task: index of the task.
        value: 0 or 1.
        patient: row in `Packed`.
    """

    moment: Int64[np.ndarray, " label"]
    elapsed: Int64[np.ndarray, " label"]
    task: Int64[np.ndarray, " label"]
    value: Float32[np.ndarray, " label"]
    patient: Int64[np.ndarray, " label"]


def labelled(packed: Packed) -> Labelled:
    """Give every label of the patients."""
    n_each = np.diff(packed.label_offset)
    patient = np.repeat(np.arange(packed.n_patients), n_each)
    time = np.array(packed.label_time)
    begin, end = packed.moment_offset[patient] + 1, packed.moment_offset[patient + 1]
    moment = search(np.asarray(packed.moment_time), (begin, end), time, "right") - 1
    dated = moment >= begin
    elapsed = np.where(dated, time - np.array(packed.moment_time[moment]), 0)
    return Labelled(
        moment, elapsed, np.array(packed.label_task, np.int64), np.array(packed.label_value), patient
    )
