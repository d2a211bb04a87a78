"""In: timelines and a sized spec. Out: a trained network, by a plain loop that can be killed."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from residency.contract.errors import TrainingError
from residency.contract.progress import Progress
from residency.model import checkpoint
from residency.model.batches import Batch, Collator, Piece, plan
from residency.model.checkpoint import Checkpoint, Curve, Point
from residency.model.coming import Watch, valued_codes
from residency.model.encoders.encoding import Encoded, widths_of
from residency.model.heads import of_task
from residency.model.inputs import Reader
from residency.model.instants import Density
from residency.model.layout import layout
from residency.model.machine import Machine
from residency.model.marginals import Marginals
from residency.model.network import Network, Sizes, build
from residency.model.objectives import foretold_loss, future_loss, hazard_loss, label_loss, next_loss
from residency.model.own import Taught
from residency.model.panel import choose
from residency.model.queries import later_loss, set_loss
from residency.model.spec import ModelSpec
from residency.timeline import Timelines

WARM_SHARE: Final = 0.05
DECAY: Final = 0.05
DECAY_NEAR: Final = 0.5  # of what heads read straight from the record: many numbers, few events
CLIP: Final = 1.0
AVERAGE: Final = 0.995
WEIGHTS: Final = {"label": 1.0, "hazard": 0.25, "next": 0.25, "future": 0.02, "query": 0.02, "foretold": 0.25}


@dataclass(frozen=True)
class Setup:
    """Everything a training needs that does not change while it runs.

    Attributes:
        data: timelines.
        spec: how large, how long.
        marginals: of the train patients.
        collator: makes batches.
        taught: codes that a teacher taught, and what each reads of the record.
        own: maps of their own, as the lessons leave them.
    """

    data: Timelines
    spec: ModelSpec
    marginals: Marginals
    collator: Collator
    taught: Taught = ()
    own: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_passes(self) -> int:
        """How often training sees each train patient."""
        return self.spec.passes_over(len(plan(self.data, "train", self.spec, None)))

    @property
    def modalities(self) -> dict[str, int]:
        """Width of each kind of attachment's vectors."""
        return widths_of(self.collator.encoded)

    @cached_property
    def machine(self) -> Machine:
        """Where steps are worked out."""
        return Machine.of(self.spec)

    @property
    def hazard_scale(self) -> Tensor:
        """How much each target counts, by class."""
        return torch.from_numpy(self.marginals.scale)

    @property
    def label_scale(self) -> Tensor:
        """One over the loss of always saying the prior, a task."""
        p = torch.from_numpy(self.marginals.prior).clamp(1e-4, 1 - 1e-4)
        return 1.0 / -(p * p.log() + (1 - p) * (1 - p).log())


def setup(data: Timelines, spec: ModelSpec, found: Marginals, encoded: tuple[Encoded, ...] = ()) -> Setup:
    """Put together what a training needs; `encoded` has the vectors of each shard's attachments."""
    vocabulary = data.vocabulary
    reader = Reader(vocabulary, layout(vocabulary, choose(vocabulary, spec.shape.panel)))
    watch = Watch.of(vocabulary, reader.layout, found.targets, found.routine)
    density, drop = Density.of(data), spec.modality_drop
    collator = Collator(reader, found.targets, found.rate, spec.seed, density, encoded, drop, watch)
    return Setup(data, spec, found, collator)


def network_of(given: Setup) -> Network:
    """Make the network with its first weights."""
    found, tensor = given.marginals, torch.from_numpy
    prior, routine = tensor(found.prior), found.routine
    sizes = Sizes(
        given.collator.reader.layout.n_rows,
        given.collator.reader.layout.size,
        tensor(found.bias),
        torch.logit(prior.clamp(1e-4, 1 - 1e-4)),
        given.modalities,
        tensor(found.again(valued_codes(given.data.vocabulary))),
        (tensor(routine.log_rate), tensor(routine.lead), tensor(routine.together)),
        given.taught,
    )
    network = build(given.spec, sizes)
    if network.hazard.own is not None and given.own:
        network.hazard.own.load_state_dict(dict(given.own))
    return network


def losses(network: Network, given: Setup, batch: Batch) -> dict[str, Tensor]:
    """Give each part of the loss; about 1 each where the network knows no more than marginal rates."""
    with given.machine.products():
        states = network(batch.inputs).float()
    record = network.record(batch.inputs)
    z = network.waiting(states[batch.index_row], batch.index_hours)
    read = network.hazard.read(z, record.numbers(batch.index_row, batch.index_hours))
    scale = given.hazard_scale.to(states.device).clone()
    if batch.told is not None:
        scale[0, batch.told.target] = 0.0  # learned from the teacher alone, who knows what came
    parts = {
        "hazard": hazard_loss(network.hazard, read, batch.hazard, scale),
        "next": next_loss(
            network.following(states[batch.following.row]), batch.following.present, batch.following.rank
        ),
    }
    if batch.coming is not None:
        panel = record.panel[batch.index_row]
        parts["future"] = future_loss(network.future, z, panel, batch.coming)
    if batch.queried is not None:
        panel, sets = record.panel[batch.index_row], batch.queried.sets
        with torch.no_grad():
            rate = network.hazard.columns(read, sets.target, sets.never).exp().mean(dim=1)
        later = later_loss(network.query, z, panel, batch.queried.later)
        parts["query"] = set_loss(network.query, rate, sets) + later
    if batch.told is not None:
        told = batch.told
        z = network.waiting(states[told.row], told.hours)
        read = network.hazard.read(z, record.numbers(told.row, told.hours))
        parts["foretold"] = foretold_loss(network.hazard.firsts(read, told.target), told)
    if len(batch.labels.row):
        labels = batch.labels
        logits = network.labelled(states, record, labels.row, labels.hours)
        chosen = of_task(logits, labels.task)
        scaled = labels.weight * given.label_scale.to(states.device)[labels.task][:, None]
        parts["label"] = label_loss(chosen, labels.value, scaled)
    return parts


def total(parts: dict[str, Tensor]) -> Tensor:
    """Add the parts by their weights."""
    return torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()


@dataclass
class Training:
    """A training under way: network, running average, the best of these so far, optimiser, how far it is."""

    given: Setup
    network: Network
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    optimiser: torch.optim.AdamW
    point: Point

    def step(self, batch: Batch, *, done: float, shard: int, draw: int) -> None:
        """Learn from one batch.

        Args:
            batch: what to learn from.
            done: share of the training that lies behind.
            shard: where the batch comes from.
            draw: seed of what is dropped.

        Raises:
            TrainingError: the loss or a gradient is not finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.given.spec.shape.learning_rate * rate_at(done)
        self.network.train()
        torch.manual_seed(draw)
        loss = total(losses(self.network, self.given, batch))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(self.network.parameters(), CLIP)
        lost, size = torch.stack([loss.detach(), norm]).tolist()  # the one time that a GPU is waited for
        if not math.isfinite(lost) or not math.isfinite(size):
            raise TrainingError(
                f"the loss is not finite in pass {self.point.pass_number}, batch {self.point.batch}",
                where=self.given.data.paths[shard].name,
                mend="the last checkpoint is good; look for impossible values in that shard",
            )
        self.optimiser.step()
        self._remember()
        self.point = msgspec.structs.replace(
            self.point,
            batch=self.point.batch + 1,
            n_steps=self.point.n_steps + 1,
            loss_sum=self.point.loss_sum + lost,
        )

    def _remember(self) -> None:
        kept = min(AVERAGE, (1.0 + self.point.n_steps) / (10.0 + self.point.n_steps))
        with torch.no_grad():
            mine = [self.average[name] for name, _ in self.network.named_parameters()]
            torch._foreach_lerp_(mine, [p.detach() for p in self.network.parameters()], 1.0 - kept)

    def tensors(self) -> dict[str, Tensor]:
        """Give everything that a checkpoint keeps."""
        kept = checkpoint.named("network", dict(self.network.named_parameters()))
        kept |= checkpoint.named("average", self.average) | checkpoint.named("best", self.best)
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                kept[f"optimiser/{key}/{name}"] = value
        return kept


def rate_at(done: float) -> float:
    """Give the share of the learning rate: a short rise, then half a cosine down to a hundredth."""
    if done < WARM_SHARE:
        return (done + 1e-3) / (WARM_SHARE + 1e-3)
    along = (done - WARM_SHARE) / (1.0 - WARM_SHARE)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(along, 1.0)))


def optimiser_of(network: Network) -> torch.optim.AdamW:
    """Make AdamW, with decay on the matrices of linear maps, more where heads read the record directly."""
    named = dict(network.named_parameters())
    fused = next(iter(named.values())).is_cuda
    near = {name for name in named if ".standing." in name and not name.startswith("encoder.")}
    decayed = {name for name, p in named.items() if p.ndim == 2 and name.endswith("weight")} - near
    groups = [
        {"params": [named[name] for name in named if name in chosen], "weight_decay": decay}
        for chosen, decay in ((decayed, DECAY), (near, DECAY_NEAR), (named.keys() - decayed - near, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99), foreach=not fused, fused=fused)


def begin(given: Setup, found: Checkpoint | None) -> Training:
    """Begin a training, or take it up at a checkpoint."""
    network = network_of(given)
    given.machine.place(network, network.trunk)
    optimiser = optimiser_of(network)
    average = checkpoint.same(dict(network.named_parameters()))
    training = Training(given, network, average, checkpoint.same(average), optimiser, Point())
    if found is None:
        return training
    network.load_state_dict(checkpoint.under("network", found.tensors))
    tensors = {name: tensor.to(given.machine.device) for name, tensor in found.tensors.items()}
    training.average = checkpoint.under("average", tensors)
    training.best = checkpoint.under("best", tensors)
    for name, parameter in network.named_parameters():
        if f"optimiser/step/{name}" in tensors:  # a head without a task never learnt
            optimiser.state[parameter] = {
                key: tensors[f"optimiser/{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }
    training.point = found.point
    return training


def fit(given: Setup, work: Path, progress: Progress) -> Training:
    """Train to the end, saving now and then; a killed training goes on to the same bytes.

    Raises:
        TrainingError: the loss is not finite.
    """
    path = work / "checkpoint.safetensors"
    training = begin(given, checkpoint.load(path))
    spec, saved, n_passes = given.spec, time.monotonic(), given.n_passes
    while training.point.pass_number < n_passes:
        number = training.point.pass_number
        pieces = plan(given.data, "train", spec, np.random.default_rng([spec.seed, 1, number]))
        for at, batch, draw in given.machine.ahead(_read(given, number, pieces, training.point.batch)):
            done = (number + at / len(pieces)) / n_passes
            training.step(given.machine.send(batch), done=done, shard=pieces[at].shard, draw=draw)
            progress("train", number * len(pieces) + at + 1, n_passes * len(pieces))
            if time.monotonic() - saved > spec.save_seconds:
                checkpoint.save(path, Checkpoint(training.tensors(), training.point))
                saved = time.monotonic()
        _end_pass(training, len(pieces))
    checkpoint.save(path, Checkpoint(training.tensors(), training.point))
    return training


def _read(
    given: Setup, pass_number: int, pieces: Sequence[Piece], begin: int
) -> Iterator[tuple[int, Batch, int]]:
    """Give a pass's batches from one on, each with its place and the seed of what is dropped."""
    for at in range(begin, len(pieces)):
        rng = np.random.default_rng([given.spec.seed, 2, pass_number, at])
        batch = given.collator.collate(given.data.shards[pieces[at].shard], pieces[at], rng, drop=True)
        yield at, batch, int(rng.integers(2**31))


def _end_pass(training: Training, n_batches: int) -> None:
    point = training.point
    row = Curve(point.pass_number, point.loss_sum / max(n_batches, 1), tuning_loss(training))
    known = [earlier.tuning for earlier in point.curve if earlier.tuning is not None]
    if row.tuning is None or row.tuning <= min(known, default=math.inf):
        training.best = checkpoint.same(training.average)
    training.point = Point(
        pass_number=point.pass_number + 1, n_steps=point.n_steps, curve=(*point.curve, row)
    )


def network_with(given: Setup, weights: dict[str, Tensor]) -> Network:
    """Give a network with these weights on the processor, for asking."""
    network = network_of(given)
    network.load_state_dict(weights)
    return network.eval()


def tuning_loss(training: Training) -> float | None:
    """Give the loss of the averaged weights on the tuning patients; None where there are none."""
    given, network = training.given, network_with(training.given, training.average)
    given.machine.place(network, network.trunk)
    pieces = plan(given.data, "tuning", given.spec, None)
    sums, rows = 0.0, 0
    with torch.no_grad():
        for at, piece in enumerate(pieces):
            rng = np.random.default_rng([given.spec.seed, 3, at])
            batch = given.collator.collate(given.data.shards[piece.shard], piece, rng, drop=False)
            batch = given.machine.send(batch)
            sums += float(total(losses(network, given, batch))) * len(batch.inputs.bag)
            rows += len(batch.inputs.bag)
    return sums / rows if rows else None
