"""In: timelines and a plan's settings. Out: small trainings of several sizes on several shares of patients.

All are measured by one yardstick: the same tuning patients, instants and targets, whatever the size.
"""

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from torch.nn import functional

from residency.contract.progress import Progress
from residency.model.batches import Batch, plan
from residency.model.fitting import WEIGHTS, Setup, fit, network_with, setup
from residency.model.heads import of_task
from residency.model.marginals import Marginals
from residency.model.network import Network
from residency.model.planning.cost import bare_network, dense_of, train_events
from residency.model.planning.spec import PlanSpec
from residency.model.spec import ModelSpec
from residency.timeline import Timelines

UNUSED: Final = "unused"
_YARD: Final = "base"  # whose batches the yardstick is read in
_STREAM: Final = 3  # of random numbers, as the tuning loss


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One small training and what it reached.

    Attributes:
        size: of the network.
        share: of the train patients.
        seed: of the training.
        patients: train patients.
        events: theirs.
        moments: theirs, dated.
        dense: parameters of moment encoder and trunk.
        passes: how often it saw each.
        loss: of hazards and labels on the tuning patients, by their weights; see `Yard`.
        hazard: deviance of the hazards; None where there were none.
        label: cross-entropy of the labels, 1 at marginal rates; None where there were none.
        seconds: that it took.
    """

    size: str
    share: float
    seed: int
    patients: int
    events: int
    moments: int
    dense: int
    passes: int
    loss: float
    hazard: float | None
    label: float | None
    seconds: float

    @property
    def name(self) -> str:
        """What tells it apart."""
        return f"{self.size}-{self.share:g}-{self.seed}"


@dataclass(frozen=True)
class Asked:
    """One training to hold."""

    size: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        """What tells it apart."""
        return f"{self.size}-{self.share:g}-{self.seed}"


def rungs_of(spec: PlanSpec) -> Iterator[Asked]:
    """Give the trainings to hold, the cheap ones first."""
    for share in sorted(spec.shares):
        for size in spec.sizes:
            for seed in range(spec.seeds):
                yield Asked(size, share, seed)


def shared(data: Timelines, share: float) -> Timelines:
    """Leave a share of the train patients, by a hash of each; a smaller share lies within a larger."""
    splits = []
    for shard, packed in enumerate(data.shards):
        split = data.split(shard)
        out = uniform(np.asarray(packed.subject)) >= share
        splits.append(np.where((split == "train") & out, UNUSED, split))
    return dataclasses.replace(data, _splits=tuple(splits))


def uniform(subject: np.ndarray) -> np.ndarray:
    """Give each patient a number in [0, 1) that hangs on nothing but the patient."""
    with np.errstate(over="ignore"):
        key = (subject.astype(np.uint64) ^ np.uint64(0x5CA1AB1E)) * np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    draw: np.ndarray = (key >> np.uint64(11)).astype(np.float64) / 2.0**53
    return draw


def climb(
    data: Timelines, found: Marginals, asked: Asked, model: ModelSpec, work: Path, progress: Progress
) -> Rung:
    """Hold one training and measure it.

    Args:
        data: all timelines, coded events alone.
        found: targets, intervals and rates of all train patients: the same for every rung.
        asked: size, share, seed.
        model: the other settings.
        work: folder for its checkpoint.
        progress: told of each batch.
    """
    spec = dataclasses.replace(model, size=asked.size, seed=asked.seed)
    part = shared(data, asked.share)
    given = setup(part, spec, found)
    began = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    training = fit(given, work, progress)
    seconds = time.monotonic() - began
    patients, moments = _counts(part)
    measured = measure(given, network_with(given, training.best))
    return Rung(
        size=asked.size,
        share=asked.share,
        seed=asked.seed,
        patients=patients,
        events=train_events(part),
        moments=moments,
        dense=dense_of(bare_network(given)),
        passes=given.n_passes,
        seconds=round(seconds, 2),
        loss=measured.loss,
        hazard=measured.hazard,
        label=measured.label,
    )


def _counts(data: Timelines) -> tuple[int, int]:
    patients = moments = 0
    for shard, packed in enumerate(data.shards):
        rows = np.flatnonzero(data.split(shard) == "train")
        patients += len(rows)
        moments += int((np.diff(packed.moment_offset)[rows] - 1).sum())
    return patients, moments


@dataclass(frozen=True)
class Yard:
    """How a network did on the tuning patients; the mean of its heads, as it would answer.

    Attributes:
        hazard: Poisson deviance of next occurrences, one each, targets weighed as in training: 0 for who
            knows beforehand what comes when.
        label: cross-entropy in units of that of the marginal rate.
    """

    hazard: float | None
    label: float | None

    @property
    def loss(self) -> float:
        """Both by their weights in training."""
        parts = {"hazard": self.hazard, "label": self.label}
        return sum(WEIGHTS[name] * part for name, part in parts.items() if part is not None)


def measure(given: Setup, network: Network) -> Yard:
    """Measure a network on the tuning patients: batches, instants and targets do not hang on its size."""
    yard = dataclasses.replace(given.spec, size=_YARD, seed=0)
    collator = dataclasses.replace(given.collator, seed=0)
    sums = np.zeros(4)
    for at, piece in enumerate(plan(given.data, "tuning", yard, None)):
        rng = np.random.default_rng([_STREAM, at])
        batch = collator.collate(given.data.shards[piece.shard], piece, rng, drop=False)
        with torch.inference_mode():
            sums += _deviance(given, network, batch)
    hazard, index, label, weight = sums
    return Yard(float(hazard / index) if index else None, float(label / weight) if weight else None)


def _deviance(given: Setup, network: Network, batch: Batch) -> np.ndarray:
    """Give the deviance of the hazards and the instants, the loss of the labels and their number."""
    states, record = network(batch.inputs), network.record(batch.inputs)
    z, truth = network.waiting(states[batch.index_row], batch.index_hours), batch.hazard
    read = network.hazard.read(z, record.numbers(batch.index_row, batch.index_hours))
    rate = network.hazard.columns(read, truth.columns, truth.never).exp().mean(dim=1).double()
    first, again = given.hazard_scale.double()[:, truth.columns]
    scale = torch.where(truth.never, first, again) * truth.column_weight
    came, column = (truth.target[:, None] == truth.columns).nonzero(as_tuple=True)
    row, interval = truth.row[came], truth.interval[came]
    at_risk = truth.days[row, column, interval].double().clamp(min=1e-6)
    ahead = rate[row, column, interval]
    events = (-(ahead * at_risk).log() - 1.0) * scale[row, column]
    spent = ((rate * truth.days).sum(dim=2) * scale).sum()
    labels = batch.labels
    said = network.labelled(states, record, labels.row, labels.hours)
    chosen = of_task(said, labels.task).mean(dim=1)
    each = functional.binary_cross_entropy_with_logits(chosen, labels.value, reduction="none")
    label = (each * given.label_scale[labels.task]).sum()
    return np.array([float(spent + events.sum()), len(z), float(label), len(chosen)])
