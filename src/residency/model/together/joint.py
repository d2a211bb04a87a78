"""In: timelines, a spec, a crew. Out: the folder that one process would have made of the same batches.

Each step learns from `pieces` batches. One process reads them all in turn, four read a part each: the loss is
the same but for the order of sums, and a training may be taken up by another number of processes.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from residency.contract.digests import digest_tree
from residency.contract.errors import SpecError, TrainingError
from residency.contract.lineage import WORK, Manifest, Step
from residency.contract.progress import Progress, silent
from residency.contract.specs import plain
from residency.model.attachments import Attaching, kinds_read, reading
from residency.model.batches import Batch, Piece, plan
from residency.model.checkpoint import Curve, Point
from residency.model.fitting import (
    AVERAGE,
    CLIP,
    Setup,
    losses,
    network_with,
    optimiser_of,
    rate_at,
    setup,
    total,
)
from residency.model.foretelling import with_teacher
from residency.model.marginals import marginals
from residency.model.planning.cost import train_events
from residency.model.spec import ModelSpec
from residency.model.together import saving
from residency.model.together.crew import Crew
from residency.model.together.sharding import (
    Learner,
    copies,
    learner_of,
    lerp,
    named,
    sync_gradients,
    whole,
)
from residency.model.training import conclude, steady
from residency.timeline import Timelines

_MOMENTS: Final = ("exp_avg", "exp_avg_sq")


def train_together(  # noqa: PLR0913 - what train has, the crew, and how it shares
    timelines: Path,
    out: Path,
    spec: ModelSpec,
    crew: Crew,
    *,
    pieces: int,
    now: datetime,
    progress: Progress = silent,
) -> Manifest | None:
    """Train one model in several processes; the leading one writes it.

    Args:
        timelines: what `timeline.build` made.
        out: folder to write; all processes see the same.
        spec: how large, how long.
        crew: the processes.
        pieces: batches that a step learns from; a multiple of the number of processes.
        now: start of the run, aware.
        progress: told of each step by the leading process.

    Returns:
        The manifest, to the leading process.

    Raises:
        TrainingError: a shard was altered, a loss is not finite (with the shard's name), or the data have
            attachments, which are read by one process alone so far.
        SpecError: `pieces` cannot be shared.
    """
    if pieces < 1 or pieces % crew.size:
        raise SpecError(f"{pieces} batches a step cannot be shared by {crew.size} processes")
    settings = {**plain(spec), "pieces": pieces}
    with ExitStack() as stack:
        begun = Step(out, name="train", inputs=[timelines], spec=settings, now=now)
        step = crew.all_or_none(lambda: stack.enter_context(begun) if crew.leads else None)
        if crew.sums(float(step is not None and step.done))[0]:
            return begun.manifest
        stack.enter_context(steady(spec.threads, strict=spec.device == "cpu"))
        given = _given(timelines, spec, crew, out / WORK)
        joint = _begin(given, crew, pieces, out / WORK)
        _fit(joint, progress if crew.leads else silent)
        best = {name: whole(tensor) for name, tensor in joint.best.items()}
        return None if step is None else conclude(step, given, best, joint.point, Attaching({}, {}))


def _given(timelines: Path, spec: ModelSpec, crew: Crew, work: Path) -> Setup:
    """Open the data, every shard of them checked by one of the processes; the leading one grows trees."""
    data = Timelines.open(timelines)
    crew.all_or_none(lambda: _check(data, crew))
    sized = spec.sized(train_events(data))
    if kinds_read(data, sized):
        raise TrainingError(
            "notes, images and genomes are read by one process alone so far",
            mend="train without --together, or leave the encoders' names empty",
        )
    data = reading(data, ())
    given = setup(data, sized, marginals(data, sized))
    crew.all_or_none(lambda: with_teacher(given, work, silent) if crew.leads else None)
    return with_teacher(given, work, silent)


def _check(data: Timelines, crew: Crew) -> None:
    digests = {data.folder / shard.path: shard.digest for shard in data.manifest.shards}
    for path in data.paths[crew.rank :: crew.size]:
        if digest_tree(path) != digests[path]:
            raise TrainingError("a shard was altered or is damaged", where=path.name, mend="build it again")


@dataclass
class Joint:
    """A training that several processes hold: each a part of every tensor.

    Attributes:
        given: what does not change.
        crew: the processes.
        pieces: batches of a step.
        work: folder for checkpoints.
        learner: the network with its loss, cut.
        average: running, cut; the best of these so far, too.
        optimiser: of the parts.
        point: how far it is; a batch is a step here.
    """

    given: Setup
    crew: Crew
    pieces: int
    work: Path
    learner: Learner
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    optimiser: torch.optim.AdamW
    point: Point

    def state(self) -> dict[str, Any]:
        """Give every tensor that a checkpoint keeps; loading fills these very tensors."""
        weights = named(self.learner)
        kept: dict[str, Any] = {
            "network": {name: weight.detach() for name, weight in weights.items()},
            "average": self.average,
            "best": self.best,
        }
        for key in ("step", *_MOMENTS):
            kept[key] = {name: self.optimiser.state[weight][key] for name, weight in weights.items()}
        return kept

    def step(self, pieces: Sequence[Piece], *, n_steps: int, n_passes: int) -> None:
        """Learn from the batches of one step, of which this process reads its share.

        Raises:
            TrainingError: a shard cannot be read, or a loss or gradient is not finite.
        """
        batches = self.crew.all_or_none(lambda: [self._read(pieces, k) for k in self._mine])
        done = (self.point.pass_number + self.point.batch / n_steps) / n_passes
        for group in self.optimiser.param_groups:
            group["lr"] = self.given.spec.shape.learning_rate * rate_at(done)
        self.learner.train()
        self.optimiser.zero_grad(set_to_none=True)
        lost = []
        for number, (batch, draw) in enumerate(batches):
            sync_gradients(self.learner, on=number == len(batches) - 1)
            torch.manual_seed(draw)
            loss: Tensor = self.learner(self.given.machine.send(batch))
            (loss * (self.crew.size / self.pieces)).backward()  # type: ignore[no-untyped-call]
            lost.append(float(loss.detach()))
        norm = float(whole(clip_grad_norm_(self.learner.parameters(), CLIP)))
        told = self.crew.told(
            (sum(lost), [k for k, loss in zip(self._mine, lost, strict=True) if not isfinite(loss)])
        )
        self._refuse(pieces, [k for _, bad in told for k in bad], norm)
        self.optimiser.step()
        kept = min(AVERAGE, (1.0 + self.point.n_steps) / (10.0 + self.point.n_steps))
        lerp(self.average, named(self.learner), 1.0 - kept)
        self.point = msgspec.structs.replace(
            self.point,
            batch=self.point.batch + 1,
            n_steps=self.point.n_steps + 1,
            loss_sum=self.point.loss_sum + sum(loss for loss, _ in told) / self.pieces,
        )

    @property
    def _mine(self) -> range:
        return range(self.crew.rank, self.pieces, self.crew.size)

    def _read(self, pieces: Sequence[Piece], k: int) -> tuple[Batch, int]:
        """Read one batch; what is drawn for it hangs on its place alone, not on who reads it."""
        piece, number = pieces[k], self.point.batch * self.pieces + k
        rng = np.random.default_rng([self.given.spec.seed, 2, self.point.pass_number, number])
        try:
            batch = self.given.collator.collate(self.given.data.shards[piece.shard], piece, rng, drop=True)
        except (IndexError, ValueError, OSError):
            raise TrainingError(
                "a shard cannot be read as it should be", where=self._name(piece), mend="build it again"
            ) from None
        return batch, int(rng.integers(2**31))

    def _name(self, piece: Piece) -> str:
        return self.given.data.paths[piece.shard].name

    def _refuse(self, pieces: Sequence[Piece], bad: list[int], norm: float) -> None:
        """Refuse a step by the shards whose losses are not finite; by all, if only the gradient is not."""
        if bad or not np.isfinite(norm):
            names = {self._name(pieces[k]) for k in bad or range(self.pieces)}
            raise TrainingError(
                f"the loss is not finite in pass {self.point.pass_number}, step {self.point.batch}",
                where=", ".join(sorted(names)),
                mend="the last checkpoint is good; look for impossible values in that shard",
            )

    def end_pass(self, n_steps: int) -> None:
        """Measure the averaged weights on the tuning patients, each process its share of them."""
        weights = {name: whole(tensor) for name, tensor in self.average.items()}
        row = Curve(self.point.pass_number, self.point.loss_sum / n_steps, self._tuning_loss(weights))
        known = [earlier.tuning for earlier in self.point.curve if earlier.tuning is not None]
        if row.tuning is None or row.tuning <= min(known, default=np.inf):
            self.best = copies(self.average)
        self.point = Point(
            pass_number=self.point.pass_number + 1,
            n_steps=self.point.n_steps,
            curve=(*self.point.curve, row),
        )

    def _tuning_loss(self, weights: dict[str, Tensor]) -> float | None:
        network, spec = network_with(self.given, weights), self.given.spec
        self.given.machine.place(network, network.trunk)
        sums = rows = 0.0
        for at, piece in enumerate(plan(self.given.data, "tuning", spec, None)):
            if at % self.crew.size == self.crew.rank:
                rng = np.random.default_rng([spec.seed, 3, at])
                shard = self.given.data.shards[piece.shard]
                batch = self.given.collator.collate(shard, piece, rng, drop=False)
                batch = self.given.machine.send(batch)
                with torch.no_grad():
                    sums += float(total(losses(network, self.given, batch))) * len(batch.inputs.bag)
                rows += len(batch.inputs.bag)
        sums, rows = self.crew.sums(sums, rows)
        return sums / rows if rows else None


def _begin(given: Setup, crew: Crew, pieces: int, work: Path) -> Joint:
    """Begin, or take up the newest checkpoint, whoever wrote it."""
    learner = learner_of(given, crew)
    optimiser = optimiser_of(learner.network)
    for weight in learner.parameters():
        moments = {key: torch.zeros_like(weight.detach()) for key in _MOMENTS}
        optimiser.state[weight] = {"step": torch.zeros((), device=given.machine.device), **moments}
    average = copies(dict(named(learner)))
    joint = Joint(given, crew, pieces, work, learner, average, copies(average), optimiser, Point())
    if (found := saving.latest(work)) is not None:
        joint.point = saving.load(found, joint.state())
    return joint


def _fit(joint: Joint, progress: Progress) -> None:
    """Train to the end, saving when the leading process's clock says so."""
    given, saved = joint.given, time.monotonic()
    spec = given.spec
    n_steps = len(plan(given.data, "train", spec, None)) // joint.pieces
    if not n_steps:
        raise TrainingError(
            f"the train patients fill fewer than {joint.pieces} batches", mend="let a step have fewer"
        )
    n_passes = spec.passes_over(n_steps)
    while joint.point.pass_number < n_passes:
        number = joint.point.pass_number
        pieces = plan(given.data, "train", spec, np.random.default_rng([spec.seed, 1, number]))
        n_steps = len(pieces) // joint.pieces
        while joint.point.batch < n_steps:
            at = joint.point.batch
            joint.step(
                pieces[at * joint.pieces : (at + 1) * joint.pieces], n_steps=n_steps, n_passes=n_passes
            )
            progress("train", number * n_steps + at + 1, n_passes * n_steps)
            due = joint.crew.leads and time.monotonic() - saved > spec.save_seconds
            if joint.crew.sums(float(due))[0]:
                saving.save(joint.work, joint.state(), joint.point, joint.crew)
                saved = time.monotonic()
        joint.end_pass(n_steps)
    saving.save(joint.work, joint.state(), joint.point, joint.crew)
