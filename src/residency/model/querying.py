"""In: what followed some instants. Out: what that tells of sets of codes, and of results inside a range."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64

from residency.contract.packed import Packed
from residency.model.generative import VALUE_BINS, Results
from residency.model.inputs import spread
from residency.model.outcomes import ABSENT, Followed, Targets, days_between, interval_of, never_had
from residency.model.queries import Later, Sets
from residency.timeline import Vocabulary, moment_of_event
from residency.timeline.segments import ranges

SETS: Final = 8  # of a batch
MEMBERS: Final = 4
LATER: Final = 64  # results at most whose later ones are looked for in a batch
_TOGETHER: Final = 0.7  # of sets are codes of one moment, the rest of one patient
_TRIED: Final = 12  # codes that are looked at for a set
_FOREVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class First:
    """Next results of codes with values.

    Attributes:
        some: of the next occurrences, in the order of `Followed`.
        event: that holds each.
        code: of each, in the vocabulary.
    """

    some: Int64[np.ndarray, " result"]
    event: Int64[np.ndarray, " result"]
    code: Int64[np.ndarray, " result"]


def bins_of(rank: Float32[np.ndarray, " result"]) -> Int64[np.ndarray, " result"]:
    """Give the bin of ranks; one past the last where there is no value.

    Example:
        >>> bins_of(np.array([0.0, 1.0, np.nan], np.float32)).tolist()
        [0, 15, 16]
    """
    at = np.minimum(np.nan_to_num(spread(rank)) * VALUE_BINS, VALUE_BINS - 1).astype(np.int64)
    return np.where(np.isnan(rank), VALUE_BINS, at)


def sets_of(packed: Packed, followed: Followed, targets: Targets, rng: np.random.Generator) -> Sets:
    """Draw sets of targets and give when any of each came next.

    A set is drawn from what came to one patient, rare codes rather than common ones, and judged by all other
    patients: that its codes came together there tells nothing of here.

    Args:
        packed: the timelines.
        followed: what followed some instants.
        targets: that have hazards.
        rng: for the draw.
    """
    index, edges = followed.index, targets.edges
    drawn, owner = _drawn(followed, targets, rng)
    target, place = np.unique(drawn, return_inverse=True)
    member = place.reshape(drawn.shape)
    wait = np.full((len(index.moment), len(target)), _FOREVER)
    at = np.searchsorted(target, followed.target)
    held = np.append(target, ABSENT)[at] == followed.target
    wait[followed.row[held], at[held]] = followed.wait[held]
    soonest = wait[:, member].min(axis=2, initial=_FOREVER)
    days = days_between(0, np.minimum(soonest, index.follow_up[:, None]), edges)
    as_of = np.asarray(packed.moment_time[index.moment]) + index.elapsed
    tensor = torch.from_numpy
    return Sets(
        target=tensor(target),
        member=tensor(member),
        never=tensor(never_had(followed.found, index.patient, as_of, target)),
        interval=tensor(interval_of(soonest.reshape(-1), edges).reshape(soonest.shape)),
        days=tensor(days),
        judged=tensor(index.patient[:, None] != owner),
    )


def _drawn(
    followed: Followed, targets: Targets, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, "set member"], Int64[np.ndarray, " set"]]:
    """Draw sets, each filled up with its first member, and give whose future each is from."""
    patient = followed.index.patient[followed.row]
    if not len(patient):
        return np.zeros((0, MEMBERS), np.int64), np.zeros(0, np.int64)
    often = np.bincount(followed.target)[followed.target]
    chosen = rng.choice(len(patient), SETS, p=(1.0 / often) / (1.0 / often).sum())
    sets = []
    for one in chosen:
        same = np.unique(
            followed.target[(followed.row == followed.row[one]) & (followed.wait == followed.wait[one])]
        )
        if len(same) < 2 or rng.random() > _TOGETHER:
            same = np.unique(followed.target[patient == patient[one]])
        others = rng.permutation(same)[:_TRIED]
        sets.append(_apart([int(followed.target[one]), *others.tolist()], targets))
    return np.array([(one + one[:1] * MEMBERS)[:MEMBERS] for one in sets], np.int64), patient[chosen]


def _apart(found: list[int], targets: Targets) -> list[int]:
    """Leave out what stands above or below one that stays: a parent comes whenever its child does."""
    kept: list[int] = []
    for one in found:
        if not any(one in _upward(other, targets) or other in _upward(one, targets) for other in kept):
            kept.append(one)
    return kept


def _upward(target: int, targets: Targets) -> set[int]:
    """Give the target and those above it."""
    code = targets.code[target]
    if code == ABSENT:
        return {target}
    return set(targets.link[targets.link_offset[code] : targets.link_offset[code + 1]].tolist())


def later_of(
    packed: Packed,
    followed: Followed,
    found: tuple[First, Results, Vocabulary],
    edges: Int64[np.ndarray, " edge"],
    rng: np.random.Generator,
) -> Later:
    """Draw a range of values for each of some first results outside it, and find when one inside came.

    Args:
        packed: the timelines.
        followed: what followed some instants.
        found: first results, as they are and as tensors; and the vocabulary.
        edges: of the intervals, µs.
        rng: for the draw.
    """
    first, results, vocabulary = found
    cut, upward = rng.integers(1, VALUE_BINS, len(first.some)), rng.random(len(first.some)) < 0.5
    bins = np.arange(VALUE_BINS + 1)
    inside = np.where(upward[:, None], bins >= cut[:, None], bins < cut[:, None]) & (bins < VALUE_BINS)
    outside = np.flatnonzero(~inside[np.arange(len(cut)), results.what.numpy()])
    mine = np.sort(rng.permutation(outside)[:LATER])
    inside, some = inside[mine], first.some[mine]
    row, begin = followed.row[some], followed.wait[some]
    index = followed.index
    as_of = np.asarray(packed.moment_time[index.moment[row]]) + index.elapsed[row]
    came = _came(packed, (index.patient[row], first.event[mine], first.code[mine]), inside, vocabulary)
    time = np.asarray(packed.moment_time)[np.maximum(came, 0)]
    wait = np.where(came >= 0, time - as_of, _FOREVER)
    wait = np.where(wait <= index.follow_up[row], wait, _FOREVER)
    tensor = torch.from_numpy
    asked = Results(**{name: part[tensor(mine)] for name, part in vars(results).items()})
    return Later(
        asked=asked,
        inside=tensor(inside[:, :VALUE_BINS]),
        interval=tensor(interval_of(wait, edges)),
        days=tensor(days_between(begin, np.minimum(wait, index.follow_up[row]), edges)),
    )


def _came(
    packed: Packed,
    first: tuple[np.ndarray, np.ndarray, np.ndarray],
    inside: Bool[np.ndarray, "result class"],
    vocabulary: Vocabulary,
) -> Int64[np.ndarray, " result"]:
    """Give the moment of the first later result inside each range; ABSENT where none came.

    Args:
        packed: the timelines.
        first: patient, event and code of each first result.
        inside: bins of each range.
        vocabulary: ranks of values.
    """
    patient, event, code = first
    end = packed.event_offset[packed.moment_offset[patient + 1]]
    owner, later = np.repeat(np.arange(len(event)), end - event - 1), ranges(event + 1, end - event - 1)
    same = np.asarray(packed.event_code[later]) == code[owner]
    owner, later = owner[same], later[same]
    rank = vocabulary.rank(code[owner].astype(np.int32), np.asarray(packed.event_value[later]))
    hit = inside[owner, bins_of(rank)]
    who, at = np.unique(owner[hit], return_index=True)
    moment = np.full(len(event), ABSENT, np.int64)
    moment[who] = moment_of_event(packed)[later[hit][at]]
    return moment
