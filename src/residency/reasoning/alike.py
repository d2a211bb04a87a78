"""In: a model and the timelines of its train patients. Out: fixed groups of patients alike; how they fared.

Patients are divided once, by what the model makes of them at one time of each: halves along the direction in
which they differ most, halves of these, and so on, never under `LEAST` patients. An answer is about the
smallest such group, of the size asked for, into which a patient falls. So that answers cannot be subtracted:

- groups are nested or apart: what one has more than another is a group too, of `LEAST` or more;
- a count gets a little noise that depends on who is counted (the cell-key method of official statistics): the
  same people always get the same, so that asking again does not average it out, one more gets another;
- it is rounded to fives, and under `LEAST`, or all but under `LEAST`, it is not given;
- outcomes are one code of the model's own, or of the table of conditions; horizons are those of a short list.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.contract.codes import DEATH
from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, UNKNOWN, Packed
from residency.contract.questions import LikeThis, Outcome
from residency.model import Model
from residency.reasoning.conditions import conditions
from residency.reasoning.index import Index, place
from residency.reasoning.outcomes import Family
from residency.timeline import Timelines

LEAST: Final = 11
HORIZONS_DAYS: Final = (30.0, 90.0, 365.25, 1826.25)
_NOISE: Final = 5  # at most so many more or fewer
_ROUND: Final = 5
_DEATH: Final = Outcome(name="death", codes=(DEATH,))


class Fared(NamedTuple):
    """How a group fared with one outcome: rounded counts with noise; None where too small to be told.

    Attributes:
        outcome: of the question.
        at_risk: patients who had not had it before.
        had: of them, who got it on record within the time.
        without: of them, who did not.
    """

    outcome: Outcome
    at_risk: int | None
    had: int | None
    without: int | None


@dataclass(frozen=True)
class Company:
    """The group that a patient falls into: its size as it may be told, and how it fared."""

    size: int | None
    fared: tuple[Fared, ...]


@dataclass(frozen=True)
class Alike:
    """Train patients in nested groups.

    Attributes:
        key: of each patient; who is counted decides the noise.
        as_of: the time of each at which they were alike, µs.
        order: rows of patients, so that each group is a run of them.
        groups: where each group begins and ends in `order`.
        axis: along which each group is halved.
        cut: where.
        halves: numbers of the two halves; −1 where a group has none.
        shards: the timelines, and where each patient lies.
    """

    key: Int64[np.ndarray, " patient"]
    as_of: Int64[np.ndarray, " patient"]
    shard: Int64[np.ndarray, " patient"]
    row: Int64[np.ndarray, " patient"]
    order: Int64[np.ndarray, " patient"]
    groups: Int64[np.ndarray, "group 2"]
    axis: Float64[np.ndarray, "group width"]
    cut: Float64[np.ndarray, " group"]
    halves: Int64[np.ndarray, "group 2"]
    shards: tuple[Packed, ...]
    family: Family

    def path(self, state: Float64[np.ndarray, " width"]) -> list[int]:
        """Give the groups into which a state falls, the largest first."""
        found = [0]
        while (halves := self.halves[found[-1]])[0] >= 0:
            found.append(int(halves[int(state @ self.axis[found[-1]] > self.cut[found[-1]])]))
        return found

    def members(self, group: int) -> Int64[np.ndarray, " member"]:
        """Give the rows of a group's patients."""
        begin, end = self.groups[group]
        return self.order[begin:end]

    def group_of(self, state: Float64[np.ndarray, " width"], n_nearest: int) -> int:
        """Give the smallest group of at least so many patients into which a state falls; all, if none is."""
        large = [one for one in self.path(state) if len(self.members(one)) >= n_nearest]
        return large[-1] if large else 0

    def fared(self, group: int, outcome: Outcome, horizon_days: float) -> Fared:
        """Say how a group fared."""
        mine = self.members(group)
        before, had, seen = self._fates(mine, outcome, horizon_days)
        risk = ~before & seen
        n = self.published(mine[risk])
        got, left = self.published(mine[risk & had]), self.published(mine[risk & ~had])
        whole = n is not None and got is not None and left is not None
        return Fared(outcome, n, got if whole else None, left if whole else None)

    def published(self, counted: Int64[np.ndarray, " counted"]) -> int | None:
        """Count with noise, rounded; None under `LEAST`, or where the noise makes it so."""
        mark = blake2b(np.sort(self.key[counted]).tobytes(), digest_size=8).digest()
        noise = int.from_bytes(mark, "little") % (2 * _NOISE + 1) - _NOISE
        told = round((len(counted) + noise) / _ROUND) * _ROUND
        return told if len(counted) >= LEAST and told >= LEAST else None

    def _fates(
        self, mine: Int64[np.ndarray, " member"], outcome: Outcome, horizon_days: float
    ) -> tuple[Bool[np.ndarray, " member"], Bool[np.ndarray, " member"], Bool[np.ndarray, " member"]]:
        """Say who had it before, who got it in time, and who was seen for long enough to know."""
        before, had, seen = (np.zeros(len(mine), bool) for _ in range(3))
        vocabulary = self.family.vocabulary
        codes = np.concatenate([self.family.below(vocabulary.index_of(code)) for code in outcome.codes])
        dead = np.array([vocabulary.index_of(DEATH)])
        for number, packed in enumerate(self.shards):
            here = np.flatnonzero(self.shard[mine] == number)
            rows, at = self.row[mine[here]], self.as_of[mine[here]]
            end = at + round(horizon_days * DAY)
            first = _first(packed, rows, codes)
            later = _first(packed, rows, codes, after=at)
            before[here], had[here] = first <= at, later <= end
            last = np.array([_watched(packed, int(row)) for row in rows], np.int64)
            seen[here] = had[here] | (last >= end) | (_first(packed, rows, dead) <= end)
        return before, had, seen


_NEVER: Final = np.iinfo(np.int64).max


def _first(
    packed: Packed,
    rows: Int64[np.ndarray, " row"],
    codes: Int64[np.ndarray, " code"],
    after: Int64[np.ndarray, " row"] | None = None,
) -> Int64[np.ndarray, " row"]:
    """Give when any of some codes was first on record (after a time); never: the largest number."""
    found = np.full(len(rows), _NEVER)
    for number, row in enumerate(rows):
        moments = packed.moments_of(int(row))
        begin, end = packed.event_offset[moments.start], packed.event_offset[moments.stop]
        events = np.flatnonzero(np.isin(packed.event_code[begin:end], codes)) + begin
        if len(events):
            at = packed.moment_time[np.searchsorted(packed.event_offset, events, "right") - 1]
            at = at if after is None else at[at > after[number]]
            found[number] = at.min(initial=_NEVER)
    return found


def _watched(packed: Packed, row: int) -> int:
    """Give the end of a patient's observation, else of the record."""
    begin, end = packed.observation_offset[row : row + 2]
    if end > begin:
        return int(packed.observation_end[end - 1])
    return int(packed.moment_time[packed.moments_of(row)][-1])


def alike_of(model: Model, timelines: Timelines) -> Alike:
    """Divide the train patients into groups of patients alike; by codes alone.

    Raises:
        QuestionError: there are too few.
    """
    parts = [
        _states(model, packed, timelines.split(number) == "train")
        for number, packed in enumerate(timelines.shards)
    ]
    row, as_of, state = (np.concatenate([part[n] for part in parts]) for n in range(3))
    shard = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    if len(row) < LEAST:
        raise QuestionError("too few train patients to be alike", where="timelines")
    subject = np.concatenate([timelines.shards[s].subject[[r]] for s, r in zip(shard, row, strict=True)])
    key = np.array([_hash(model.digest, int(one)) for one in subject], np.int64)
    return _divided(
        state, key, as_of, (shard, row), timelines.shards, Family(model.vocabulary, model.targets)
    )


def _states(
    model: Model, packed: Packed, train: Bool[np.ndarray, " patient"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give train patients with dated moments, a moment of each by who they are, and the state then."""
    length = np.diff(packed.moment_offset)
    rows = np.flatnonzero(train & (length > 1))
    if not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, model.spec.shape.width))
    turn = np.array([_hash("moment", int(one)) for one in packed.subject[rows]])
    moment = 1 + np.abs(turn) % (length[rows] - 1)
    moment += packed.moment_offset[rows]
    state = model.encode_at(packed, rows, moment).z.numpy().astype(np.float64)
    return rows, packed.moment_time[moment], state


def _hash(salt: str, number: int) -> int:
    mark = blake2b(f"{salt}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(mark, "little", signed=True)


def _divided(
    state: Float64[np.ndarray, "patient width"],
    key: Int64[np.ndarray, " patient"],
    as_of: Int64[np.ndarray, " patient"],
    place: tuple[Int64[np.ndarray, " patient"], Int64[np.ndarray, " patient"]],
    shards: tuple[Packed, ...],
    family: Family,
) -> Alike:
    """Halve groups along the direction in which they differ most, until halves would be too small."""
    order = np.arange(len(state))
    groups, axes, cuts, halves = [(0, len(state))], [], [], []
    for begin, end in groups:  # grows as it goes
        mine = order[begin:end]
        around = state[mine] - state[mine].mean(axis=0)
        axis = np.linalg.svd(around, full_matrices=False)[2][0]
        along = state[mine] @ axis
        sorted_ = np.argsort(along, kind="stable")
        order[begin:end] = mine[sorted_]
        middle = (end - begin) // 2
        axes.append(axis)
        if middle < LEAST:
            cuts.append(np.inf)
            halves.append((-1, -1))
            continue
        cuts.append(float(along[sorted_[middle - 1 : middle + 1]].mean()))
        halves.append((len(groups), len(groups) + 1))
        groups += [(begin, begin + middle), (begin + middle, end)]
    return Alike(
        key, as_of, *place, order, np.array(groups), np.array(axes), np.array(cuts), np.array(halves), shards,
        family,
    )  # fmt: skip


def outcomes_of(question: LikeThis, family: Family) -> tuple[Outcome, ...]:
    """Give what is counted: the question's outcomes, and death.

    Raises:
        QuestionError: an outcome or a horizon is none of those that may be asked about.
    """
    if question.horizon_days not in HORIZONS_DAYS:
        raise QuestionError(
            "patients like this one are counted over few horizons, so that answers cannot be subtracted",
            where="horizon_days",
            mend=f"choose from: {', '.join(f'{days:g}' for days in HORIZONS_DAYS)}",
        )
    usual = {frozenset(one.codes) for one in conditions().condition}
    for outcome in question.outcomes:
        single = len(outcome.codes) == 1 and outcome.codes[0] in family.targets
        if not (single or frozenset(outcome.codes) in usual) or _bounded(outcome):
            raise QuestionError(
                "an outcome to count is one code with a hazard, or one of the table of conditions",
                where="outcomes",
            )
    known = [
        one for one in question.outcomes if any(family.vocabulary.index_of(c) != UNKNOWN for c in one.codes)
    ]
    return (*known, *(() if _DEATH in known else (_DEATH,)))


def _bounded(outcome: Outcome) -> bool:
    return outcome.has_threshold or bool(outcome.before)


def hold_against(
    question: LikeThis, model: Model, packed: Packed, index: Index, alike: Alike | None
) -> Company:
    """Find the group that one patient falls into, and how it fared.

    Raises:
        QuestionError: there are no train patients here, or the question asks for what is not told.
    """
    if alike is None:
        raise QuestionError(
            "there are no train patients here to hold this one against",
            where="kind",
            mend="ask beside the timelines that the model was trained on",
        )
    wanted = outcomes_of(question, alike.family)
    at = place(packed, index)
    if not at.known[0]:
        return Company(None, ())
    state = model.encode_at(packed, index.patient, at.moment).z[0].numpy().astype(np.float64)
    group = alike.group_of(state, question.n_nearest)
    fared = tuple(alike.fared(group, one, question.horizon_days) for one in wanted)
    return Company(alike.published(alike.members(group)), fared)
