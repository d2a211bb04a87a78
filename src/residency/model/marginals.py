"""In: train patients' timelines. Out: which codes get hazards, over which intervals, at which rates."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int64

from residency.contract.codes import DEATH
from residency.contract.errors import TrainingError
from residency.contract.packed import DAY, Packed
from residency.model.instants import Density
from residency.model.outcomes import (
    ABSENT,
    Index,
    Targets,
    edges_up_to,
    exposure,
    follow,
    interval_of,
    labelled,
    never_had,
    targets_of,
)
from residency.model.panel import choose
from residency.model.routine import ROUTINE_TARGET, Routine, company, routine_codes, routine_targets
from residency.model.spec import ModelSpec
from residency.timeline import Timelines, take

PER_PATIENT: Final = 4.0  # instants, in the mean
MOST_PATIENTS: Final = 20_000
_CHUNK: Final = 512
_PRIOR_EVENTS: Final = 2.0  # an interval's rate leans on the target's own by as much as this many events


@dataclass(frozen=True)
class Marginals:
    """What the train patients show on the whole.

    Attributes:
        targets: codes with hazards, death first, and the intervals.
        bias: log hazards per day of each target and interval: of first and of later occurrences.
        n_events: next occurrences seen of each target: first ones and later ones.
        n_index: instants after which they were looked for.
        prior: share of positive labels of each task.
        routine: the codes that simulated futures take moment by moment.
    """

    targets: Targets
    bias: Float32[np.ndarray, "class target interval"]
    n_events: Int64[np.ndarray, "class target"]
    n_index: int
    prior: Float32[np.ndarray, " task"]
    routine: Routine

    @property
    def rate(self) -> Float32[np.ndarray, " target"]:
        """How frequent each target is among what follows."""
        result: np.ndarray = (self.n_events.sum(axis=0) + 1.0).astype(np.float32)
        return result

    @property
    def scale(self) -> Float32[np.ndarray, "class target"]:
        """How much each target counts in the loss: about 1 in all for first occurrences, 1 for later ones.

        Between every event alike and every target alike: by the root of how frequent a target is.
        """
        seen = self.n_events + 1.0
        root = seen**-0.5
        result: np.ndarray = root * self.n_index / (root * seen).sum(axis=1, keepdims=True)
        return result.astype(np.float32)

    def again(self, code: Int64[np.ndarray, " code"]) -> Float32[np.ndarray, "code interval"]:
        """Give log hazards of later occurrences of some codes; the rarest target's of those without any."""
        order = np.argsort(self.targets.code, kind="stable")
        at = order[np.minimum(np.searchsorted(self.targets.code[order], code), len(order) - 1)]
        own, least = self.bias[1, at], self.bias[1].min(axis=0)
        result: np.ndarray = np.where((self.targets.code[at] == code)[:, None], own, least)
        return result


def marginals(data: Timelines, spec: ModelSpec) -> Marginals:
    """Work out targets, intervals and rates from train patients (20,000 at most).

    Raises:
        TrainingError: there is no train patient, or none was observed after a dated moment.
    """
    rng = np.random.default_rng([spec.seed, 0])
    drawn = _draw(data, rng)
    follow_up = np.concatenate([index.follow_up for _, index in drawn]) if drawn else np.zeros(0)
    if not len(follow_up):
        raise TrainingError(
            "no train patient was observed after a dated moment", mend="look at observation/ and the splits"
        )
    edges = edges_up_to(float(np.quantile(follow_up, 0.95)) / DAY)
    vocabulary = data.vocabulary
    candidates = np.flatnonzero(vocabulary.n_patients >= spec.min_patients)
    death = vocabulary.index_of(DEATH)
    targets = targets_of(vocabulary, candidates[candidates > 0], edges)
    events, days = _count(drawn, targets)
    seen = events.sum(axis=(0, 2)) > 0
    seen[0] = True
    kept = targets.code[seen]
    targets = targets_of(vocabulary, kept[(kept > 0) & (kept != death)], edges)
    events, days = events[:, seen], days[:, seen]
    return Marginals(
        targets,
        _log_rates(events, days),
        events.sum(axis=2).astype(np.int64),
        len(follow_up),
        _priors(data),
        _routine(data, drawn, spec, targets),
    )


def marginals_of(data: Timelines, spec: ModelSpec, targets: Targets) -> Marginals:
    """Work out the rates of given targets from these data's train patients, as an adaptation needs them.

    Raises:
        TrainingError: no train patient was observed after a dated moment.
    """
    drawn = _draw(data, np.random.default_rng([spec.seed, 0]))
    n_index = sum(len(index.follow_up) for _, index in drawn)
    if not n_index:
        raise TrainingError("no train patient was observed after a dated moment", mend="look at observation/")
    events, days = _count(drawn, targets)
    n_events = events.sum(axis=2).astype(np.int64)
    routine = _routine(data, drawn, spec, targets)
    return Marginals(targets, _log_rates(events, days), n_events, n_index, _priors(data), routine)


def _draw(data: Timelines, rng: np.random.Generator) -> list[tuple[Packed, Index]]:
    drawn, density = [], Density.of(data, PER_PATIENT)
    left = MOST_PATIENTS
    for shard, packed in enumerate(data.shards):
        train = np.flatnonzero(data.split(shard) == "train")[:left]
        left -= len(train)
        for start in range(0, len(train), _CHUNK):
            small = take(packed, train[start : start + _CHUNK])
            drawn.append((small, density.draw_whole(small, rng)))
    return drawn


def _count(drawn: list[tuple[Packed, Index]], targets: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Count next occurrences and days at risk of each target and interval, of first and of later ones."""
    shape = (2, len(targets), len(targets.edges_days) - 1)
    events, days = np.zeros(shape), np.zeros(shape)
    edges, columns = targets.edges, np.arange(len(targets))
    for small, index in drawn:
        followed = follow(small, index, targets)
        interval = interval_of(followed.wait, edges)
        inside = interval < shape[2]
        np.add.at(events, (1 - followed.first[inside], followed.target[inside], interval[inside]), 1.0)
        as_of = np.array(small.moment_time[followed.index.moment]) + followed.index.elapsed
        for start in range(0, len(columns), 256):
            some = columns[start : start + 256]
            spent = exposure(followed, edges, some, len(targets)).astype(np.float64)
            never = never_had(followed.found, followed.index.patient, as_of, some)
            days[0, some] += np.einsum("icb,ic->cb", spent, never)
            days[1, some] += np.einsum("icb,ic->cb", spent, ~never)
    return events, days


def _routine(
    data: Timelines, drawn: list[tuple[Packed, Index]], spec: ModelSpec, targets: Targets
) -> Routine:
    """Find the routine codes, how soon the next of them comes, and which come together."""
    vocabulary, parts = data.vocabulary, [small for small, _ in drawn]
    n_codes = len(vocabulary)
    panel = choose(vocabulary, spec.shape.panel)
    code = routine_codes(parts, panel, n_codes)
    asked = routine_targets(code, vocabulary.index_of(DEATH) or ABSENT, targets.edges_days, n_codes)
    events, days = (counted.sum(axis=0, keepdims=True) for counted in _count(drawn, asked))
    rate = _log_rates(events, days)[0, ROUTINE_TARGET]
    return Routine(code, rate, *company(parts, code, n_codes))


def _log_rates(events: np.ndarray, days: np.ndarray) -> Float32[np.ndarray, "class target interval"]:
    overall = (events.sum(axis=2) + 0.5) / np.maximum(days.sum(axis=2), 1.0)
    rate = (events + _PRIOR_EVENTS) / (days + _PRIOR_EVENTS / overall[:, :, None])
    result: np.ndarray = np.log(rate).astype(np.float32)
    return result


def _priors(data: Timelines) -> Float32[np.ndarray, " task"]:
    """Give the share of positive labels of each task among train patients."""
    positive, total = np.zeros(len(data.labels)), np.zeros(len(data.labels))
    for shard, packed in enumerate(data.shards):
        small = take(packed, np.flatnonzero(data.split(shard) == "train"))
        labels = labelled(small)
        positive += np.bincount(labels.task, weights=labels.value, minlength=len(data.labels))
        total += np.bincount(labels.task, minlength=len(data.labels))
    return ((positive + 0.5) / (total + 1.0)).astype(np.float32)
