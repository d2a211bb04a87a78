"""In: scores, outcomes, weights and patients. Out: weight of events and others per group of scores, per draw.

Every metric that looks at ranks or at calibration is a function of such a tally. With one draw and a group
for each distinct score it gives the exact value; with a thousand draws of patients and a few thousand groups
it gives the bootstrap in a second, because a draw is one column of a sparse matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt
from scipy import sparse

MAX_GROUPS: Final = 2048  # in resamples; rounds ranks, moves an AUROC by about 1e-4
_CHUNK: Final = 100  # draws worked on at once, which bounds memory


@dataclass(frozen=True)
class Scored:
    """One score for each index time, with its outcome.

    Attributes:
        patient: dense number of the patient, 0 and up.
        label: whether the outcome came.
        score: probability, or any score that rises with it.
        weight: 0 or more; of censoring and of sampling.
    """

    patient: Int[np.ndarray, " row"]
    label: Bool[np.ndarray, " row"]
    score: Float[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]

    @property
    def n_patients(self) -> int:
        """One more than the highest number of a patient."""
        return int(self.patient.max()) + 1 if len(self.patient) else 0


@dataclass(frozen=True)
class Tally:
    """Weight of events and of others per group of scores; groups ascend.

    Attributes:
        score: mean score of each group.
        events: weight of rows with the outcome.
        others: weight of rows without.
    """

    score: Float[np.ndarray, " group"]
    events: Float[np.ndarray, "group draw"]
    others: Float[np.ndarray, "group draw"]

    def coarse(self, n_groups: int) -> "Tally":
        """Join neighbours until no more than about `n_groups` are left, of similar weight."""
        if len(self.score) <= n_groups:
            return self
        mass = _balanced_mass(self.events.mean(axis=1), self.others.mean(axis=1))
        starts = _starts(np.minimum((np.cumsum(mass) - mass / 2) * n_groups, n_groups - 1).astype(np.int64))
        weight = (self.events + self.others).mean(axis=1) + 1e-12
        score = np.add.reduceat(self.score * weight, starts) / np.add.reduceat(weight, starts)
        return Tally(score, np.add.reduceat(self.events, starts), np.add.reduceat(self.others, starts))


def exact(scored: Scored) -> Tally:
    """Give one group for each distinct score, and one draw: the sample as it is."""
    order = np.argsort(scored.score, kind="stable")
    score, weight = scored.score[order].astype(np.float64), scored.weight[order].astype(np.float64)
    starts = _starts(score)
    events = np.where(scored.label[order], weight, 0.0)
    return Tally(
        score[starts] if len(score) else score,
        np.add.reduceat(events, starts)[:, None] if len(score) else np.zeros((0, 1)),
        np.add.reduceat(weight - events, starts)[:, None] if len(score) else np.zeros((0, 1)),
    )


def draws_of_patients(
    n_patients: int, n_draws: int, rng: np.random.Generator
) -> UInt[np.ndarray, "patient draw"]:
    """Draw patients with replacement.

    Returns:
        How often each patient is in each draw.
    """
    counts = np.empty((n_patients, n_draws), dtype=np.uint8)
    for draw in range(n_draws):
        counts[:, draw] = np.bincount(rng.integers(n_patients, size=n_patients), minlength=n_patients)
    return counts


def resampled(
    scored: Scored,
    counts: UInt[np.ndarray, "patient draw"],
    *,
    cuts: Sequence[float] = (),
    max_groups: int = MAX_GROUPS,
) -> Tally:
    """Tally every draw.

    Args:
        scored: rows.
        counts: how often each patient is in each draw.
        cuts: scores at which a group must begin, such as a threshold.
        max_groups: neighbours are joined above this.
    """
    groups = _groups(scored, cuts, max_groups)
    return _tallied(scored, groups, counts, scored.weight.astype(np.float32))


def resampled_apart(
    scored: Scored,
    parts: Sequence[Float[np.ndarray, " row"]],
    counts: UInt[np.ndarray, "patient draw"],
    *,
    max_groups: int,
) -> tuple[Tally, ...]:
    """Tally several weights of the same rows, in the same groups of scores."""
    group, score = _groups(scored, (), max_groups)
    return tuple(_tallied(scored, (group, score), counts, weight.astype(np.float32)) for weight in parts)


def _tallied(
    scored: Scored,
    groups: tuple[Int[np.ndarray, " row"], Float[np.ndarray, " group"]],
    counts: UInt[np.ndarray, "patient draw"],
    weight: Float32[np.ndarray, " row"],
) -> Tally:
    group, score = groups
    shape, place = (len(score), counts.shape[0]), (group, scored.patient)
    events = sparse.csr_matrix((np.where(scored.label, weight, 0).astype(np.float32), place), shape=shape)
    others = sparse.csr_matrix((np.where(scored.label, 0, weight).astype(np.float32), place), shape=shape)
    return Tally(score, _times(events, counts), _times(others, counts))


def _times(
    matrix: sparse.csr_matrix, counts: UInt[np.ndarray, "patient draw"]
) -> Float[np.ndarray, "group draw"]:
    result = np.empty((matrix.shape[0], counts.shape[1]))
    for first in range(0, counts.shape[1], _CHUNK):
        block = np.ascontiguousarray(counts[:, first : first + _CHUNK], dtype=np.float32)
        result[:, first : first + _CHUNK] = matrix @ block
    return result


def _groups(
    scored: Scored, cuts: Sequence[float], max_groups: int
) -> tuple[Int[np.ndarray, " row"], Float[np.ndarray, " group"]]:
    """Give each row's group and each group's mean score: half the groups' room goes to the events."""
    order = np.argsort(scored.score, kind="stable")
    score = scored.score[order].astype(np.float64)
    new_score = np.concatenate(([True], score[1:] != score[:-1])) if len(score) else np.zeros(0, bool)
    if new_score.sum() > max_groups:
        label = scored.label[order]
        mass = _balanced_mass(scored.weight[order] * label, scored.weight[order] * ~label)
        bucket = np.floor((np.cumsum(mass) - mass / 2) * (max_groups - 1)).astype(np.int64)
        first = np.maximum.accumulate(np.where(new_score, np.arange(len(score)), 0))  # ties stay together
        tied = bucket[first]
        new_score = np.concatenate(([True], tied[1:] != tied[:-1]))
    for cut in cuts:
        at = int(np.searchsorted(score, cut, side="left"))
        if at < len(score):
            new_score[at] = True
    group = np.cumsum(new_score) - 1
    mean = np.bincount(group, weights=score) / np.maximum(np.bincount(group), 1)
    placed = np.empty(len(score), dtype=np.int64)
    placed[order] = group
    return placed, mean


def _balanced_mass(
    events: Float[np.ndarray, " row"], others: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Weight in which events and others count the same in sum."""
    return (events / max(float(events.sum()), 1e-12) + others / max(float(others.sum()), 1e-12)) / 2


def _starts(sorted_values: np.ndarray) -> Int[np.ndarray, " group"]:
    """Where a new value begins in a sorted array."""
    if not len(sorted_values):
        return np.zeros(0, dtype=np.int64)
    return np.concatenate(([0], np.flatnonzero(sorted_values[1:] != sorted_values[:-1]) + 1))
