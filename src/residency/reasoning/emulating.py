"""In: timelines, and a target trial as text. Out: who would have entered it, and what became of them.

The trial is written out as a randomised one would be: who was eligible, time zero (their first record of it),
new users of one drug against another or none, a grace period after which follow-up begins for all, one
outcome, one horizon, one contrast: by what was begun, as in an intention to treat.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from residency.contract.codes import DEATH
from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, STATIC, Packed
from residency.contract.specs import load, spec
from residency.reasoning.censoring import eras, weights
from residency.reasoning.outcomes import Family
from residency.timeline import Timelines, Vocabulary, events_of

_NEVER: Final = int(np.iinfo(np.int64).max)


@spec
class TargetTrial:
    """A target trial, as text.

    Attributes:
        name: of the trial.
        eligible: codes whose first record makes a patient eligible, and is time zero.
        drug: codes of the drug.
        comparator: codes of the drug it is held against; empty: of no such drug.
        outcome: codes of the outcome; none may be on record at the end of the grace period.
        horizon_days: of follow-up, from the end of the grace period.
        grace_days: within which the drug is begun after time zero.
        negative_control: codes of an outcome that the drug cannot change: an effect on it is bias.
        least_overlap: patients whose chance of the drug lies nearer to 0 or 1 get no figure.
        max_covariates: the commonest codes that are looked at.
        seed: of folds and trees.
    """

    name: str
    eligible: tuple[str, ...]
    drug: tuple[str, ...]
    outcome: tuple[str, ...]
    horizon_days: float
    comparator: tuple[str, ...] = ()
    grace_days: float = 14.0
    negative_control: tuple[str, ...] = ()
    least_overlap: float = 0.05
    max_covariates: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.least_overlap < 0.5) or self.horizon_days <= 0 or self.grace_days < 0:
            raise ValueError(
                "horizon_days must be above 0, grace_days 0 or more, least_overlap within 0 and .5"
            )
        if not (self.eligible and self.drug and self.outcome):
            raise ValueError("eligible, drug and outcome need codes")


def load_trial(path: Path) -> TargetTrial:
    """Read a trial from TOML.

    Raises:
        SpecError: names every wrong key at once.
    """
    return load(TargetTrial, path)


class Entrant(NamedTuple):
    """One patient in the trial: who, time zero, the end of the grace period (µs), and what was begun."""

    shard: int
    row: int
    zero: int
    start: int
    treated: bool


@dataclass(frozen=True)
class Codes:
    """The trial's codes, as indices in the vocabulary, with what is below them."""

    eligible: np.ndarray
    drug: np.ndarray
    comparator: np.ndarray
    outcome: np.ndarray
    control: np.ndarray
    death: np.ndarray

    @classmethod
    def of(cls, trial: TargetTrial, vocabulary: Vocabulary) -> "Codes":
        """Look them up.

        Raises:
            QuestionError: the timelines know none of the codes of a part.
        """
        family = Family(vocabulary, ())

        def below(part: str, codes: tuple[str, ...]) -> np.ndarray:
            known = [vocabulary.index_of(code) for code in codes if vocabulary.index_of(code)]
            if codes and not known:
                raise QuestionError("the timelines know none of a trial's codes", where=part)
            return np.unique(np.concatenate([np.zeros(0, np.int64), *(family.below(one) for one in known)]))

        return cls(
            below("eligible", trial.eligible), below("drug", trial.drug),
            below("comparator", trial.comparator),
            below("outcome", trial.outcome), below("negative_control", trial.negative_control),
            below("", (DEATH,)),
        )  # fmt: skip


@dataclass
class Recruiting:
    """Reads timelines, and says who enters; who does not is counted."""

    trial: TargetTrial
    codes: Codes
    counts: Counter[str]

    def entrants(self, packed: Packed, shard: int) -> Iterator[Entrant]:
        """Give those of one shard who enter."""
        chosen = np.flatnonzero(np.isin(packed.event_code, self.codes.eligible))
        moment = np.unique(np.searchsorted(packed.event_offset, chosen, "right") - 1)
        for row in np.unique(np.searchsorted(packed.moment_offset, moment, "right") - 1).tolist():
            found = self._entrant(packed, shard, row)
            if isinstance(found, Entrant):
                yield found
            else:
                self.counts[found] += 1

    def _entrant(self, packed: Packed, shard: int, row: int) -> "Entrant | str":
        """Let one patient in, or say why not."""
        events = events_of(packed, row)

        def first(codes: np.ndarray, since: int = STATIC + 1) -> int:
            times = events.time[np.isin(events.code, codes) & (events.time >= since)]
            return int(times.min(initial=_NEVER))

        zero = first(self.codes.eligible)
        if zero == _NEVER:
            return "eligibility has no time"
        start = zero + round(self.trial.grace_days * DAY)
        if min(first(self.codes.drug), first(self.codes.comparator)) < zero:
            return "took one of the drugs before"
        drug, other = first(self.codes.drug) <= start, first(self.codes.comparator) <= start
        if drug and other:
            return "began both"
        if len(self.codes.comparator) and not (drug or other):
            return "began neither"
        again = np.intersect1d(self.codes.outcome, self.codes.eligible).size > 0
        if not again and first(self.codes.outcome) <= start:
            return "had the outcome by the start"
        if first(self.codes.death) <= start or watched(packed, row) <= start:
            return "died or left by the start"
        return Entrant(shard, row, zero, start, drug)


@dataclass(frozen=True)
class Followed:
    """What became of entrants: the outcome in time, and weights for those who left before."""

    outcome: Bool[np.ndarray, " patient"]
    weight: Float64[np.ndarray, " patient"]


def followed(
    timelines: Timelines, entrants: list[Entrant], codes: Codes, which: np.ndarray, days: float
) -> Followed:
    """Follow entrants; who left before the end counts for nobody, and those like them who stayed for more.

    Nor does anybody count who entered when hardly one could still be followed to the end: see `censoring`.
    """
    span = round(days * DAY)
    event, left = np.full(len(entrants), np.inf), np.zeros(len(entrants))
    for number, one in enumerate(entrants):
        packed = timelines.shards[one.shard]
        events = events_of(packed, one.row)
        for chosen, is_death in ((which, False), (codes.death, True)):
            times = events.time[np.isin(events.code, chosen) & (events.time > one.start)]
            at = float(times.min(initial=_NEVER) - one.start)
            if at < event[number]:
                event[number] = np.inf if is_death and at > span else at
                if is_death and at <= span:
                    event[number] = -at  # a death: known not to have had it
        left[number] = float(watched(packed, one.row) - one.start)
    had = (event > 0) & (event <= span)
    ended = np.abs(event)  # infinite where neither outcome nor death came
    known = had | (ended <= span) | (left >= span)
    seen = np.minimum(np.minimum(left, ended), span) / DAY
    era = eras(np.arange(len(entrants)), np.array([one.start for one in entrants], np.int64))
    return Followed(had, weights(seen, known, np.ones(len(entrants)), era, days)[0])


def watched(packed: Packed, row: int) -> int:
    """Give the end of a patient's observation, else of the record."""
    begin, end = packed.observation_offset[row : row + 2]
    if end > begin:
        return int(packed.observation_end[end - 1])
    return int(packed.moment_time[packed.moments_of(row)][-1])
