"""In: timelines and a spec, before any training. Out: what the training will take: time, memory, disk."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from residency.model.attachments import reading
from residency.model.batches import Batch, Piece, plan
from residency.model.coming import valued_codes
from residency.model.fitting import Setup, begin, losses, setup, total
from residency.model.marginals import Marginals, marginals
from residency.model.network import Network, Sizes, build, no_routine
from residency.model.spec import SIZES, ModelSpec
from residency.timeline import Timelines

_STEPS: Final = 4  # timed, after one that warms up
_KEPT: Final = 5  # numbers a parameter in a checkpoint: weight, average, best, and two of the optimiser
_AT_WORK: Final = 7  # the same and its gradient, and one copy while the weights are compared
_FORWARD: Final = 1 / 3  # of a step: the pass over tuning patients has no way back
_LIBRARIES: Final = 450e6  # bytes that Python and its libraries take before anything is read


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a training will take on this machine.

    Attributes:
        size: of the network.
        parameters: all of them.
        dense: of moment encoder and trunk, without the tables: what work grows with.
        steps: batches in all.
        events: of train patients, once.
        seconds: of training; None where the size was not timed and none is near.
        timed: whether steps of this very size were timed.
        memory: bytes.
        disk: bytes at most: model, checkpoint, and the checkpoint that replaces it.
        flops: of the whole training, useful ones.
    """

    size: str
    parameters: int
    dense: int
    steps: int
    events: int
    seconds: float
    timed: bool
    memory: int
    disk: int
    flops: float


@dataclass(frozen=True)
class Step:
    """What one step took, a mean over the pieces that were tried."""

    seconds: float
    flops: float
    saved: int
    n_events: float


def estimates(data: Timelines, spec: ModelSpec) -> tuple[Estimate, ...]:
    """Estimate every size of the dial, by steps of the chosen size; coded events alone.

    Args:
        data: what would be trained on.
        spec: settings; its size is the one that is timed.

    Raises:
        TrainingError: there is no train patient.
    """
    data = reading(data, ())
    sized = spec.sized(train_events(data))
    found = marginals(data, sized)
    with _threads(sized.threads):
        given = setup(data, sized, found)
        chosen = _timed(given)
    others = [dataclasses.replace(spec, size=size) for size in SIZES if size != sized.size]
    rest = [_scaled(chosen, given, setup(data, other, found)) for other in others]
    order = list(SIZES)
    return tuple(sorted((chosen, *rest), key=lambda one: order.index(one.size)))


class _threads:  # noqa: N801 - read as a verb
    """The spec's threads for a while."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.n)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)


def train_events(data: Timelines) -> int:
    """Count the events of train patients."""
    total_ = 0
    for shard, packed in enumerate(data.shards):
        rows = np.flatnonzero(data.split(shard) == "train")
        begin, end = packed.moment_offset[rows], packed.moment_offset[rows + 1]
        total_ += int((packed.event_offset[end] - packed.event_offset[begin]).sum())
    return total_


def bare_network(given: Setup) -> Network:
    """Make the network without its weights: nothing is kept in memory."""
    found: Marginals = given.marginals
    layout = given.collator.reader.layout
    with torch.device("meta"):
        bias, prior = torch.empty(found.bias.shape), torch.empty(found.prior.shape)
        later = torch.empty(len(valued_codes(given.data.vocabulary)), bias.shape[2])
        routine = no_routine(len(found.routine.code), bias.shape[2])
        return build(given.spec, Sizes(layout.n_rows, layout.size, bias, prior, {}, later, routine))


def dense_of(network: Network) -> int:
    """Count the parameters of moment encoder and trunk, without the embedding table."""
    named = network.named_parameters()
    inside = sum(p.numel() for name, p in named if name.startswith(("encoder.", "trunk.")))
    return inside - network.encoder.table.numel()


def _pieces(given: Setup, n: int) -> tuple[list[Piece], int]:
    """Give a few batches from all over a pass, and how many it has."""
    pieces = plan(given.data, "train", given.spec, np.random.default_rng([given.spec.seed, 1, 0]))
    chosen = np.linspace(0, len(pieces) - 1, min(n, len(pieces))).round().astype(int)
    return [pieces[at] for at in chosen], len(pieces)


def step_of(given: Setup) -> Step:
    """Time a few steps, and count their useful multiplications and the bytes kept for the way back."""
    training = begin(given, None)
    pieces, _ = _pieces(given, _STEPS + 1)
    seconds, events, kept = [], [], Step(0.0, 0.0, 0, 0.0)
    for number, piece in enumerate(pieces):
        rng = np.random.default_rng([given.spec.seed, 2, 0, number])
        began = time.perf_counter()
        batch = given.collator.collate(given.data.shards[piece.shard], piece, rng, drop=True)
        training.step(batch, done=0.0, shard=piece.shard, draw=number)
        seconds.append(time.perf_counter() - began)
        events.append(batch.n_events)
        if number == len(pieces) // 2:
            kept = _counted(given, training.network, batch)
    return Step(float(np.mean(seconds[1:] or seconds)), kept.flops, kept.saved, float(np.mean(events)))


def _counted(given: Setup, network: Network, batch: Batch) -> Step:
    """Count the multiplications of one step, and the bytes that it keeps for the way back."""
    seen: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        total(losses(network, given, batch)).backward()  # type: ignore[no-untyped-call]
    for parameter in network.parameters():
        seen.pop(parameter.untyped_storage().data_ptr(), None)
    network.zero_grad(set_to_none=True)
    return Step(0.0, float(counter.get_total_flops()), sum(seen.values()), float(batch.n_events))


def _timed(given: Setup) -> Estimate:
    network, step = bare_network(given), step_of(given)
    _, n_batches = _pieces(given, 1)
    n_tuning = len(plan(given.data, "tuning", given.spec, None))
    n_passes = given.n_passes
    seconds = step.seconds * n_passes * (n_batches + _FORWARD * n_tuning)
    return _estimate(given, network, seconds, step)


def _estimate(given: Setup, network: Network, seconds: float, step: Step) -> Estimate:
    n = sum(p.numel() for p in network.parameters())
    _, n_batches = _pieces(given, 1)
    steps = given.n_passes * n_batches
    return Estimate(
        size=given.spec.size,
        parameters=n,
        dense=dense_of(network),
        steps=steps,
        events=train_events(given.data),
        seconds=round(seconds, 1),
        timed=True,
        memory=int(_LIBRARIES + 4 * n * _AT_WORK + 2 * step.saved),
        disk=4 * n * (1 + 2 * _KEPT),
        flops=step.flops * steps,
    )


def _scaled(timed: Estimate, known: Setup, given: Setup) -> Estimate:
    """Estimate another size: work goes with dense parameters and passes, memory with width, depth, rows."""
    network = bare_network(given)
    n, dense = sum(p.numel() for p in network.parameters()), dense_of(network)
    (_, n_known), (_, n_batches) = _pieces(known, 1), _pieces(given, 1)
    own, before = given.spec.shape, known.spec.shape
    wider = n_known / n_batches * (own.width * own.depth) / (before.width * before.depth)
    work = dense / timed.dense * given.n_passes / known.n_passes
    saved = (timed.memory - _LIBRARIES - 4 * timed.parameters * _AT_WORK) * wider
    return msgspec.structs.replace(
        timed,
        size=given.spec.size,
        parameters=n,
        dense=dense,
        steps=given.n_passes * n_batches,
        seconds=round(timed.seconds * work, 1),
        timed=False,
        memory=int(_LIBRARIES + 4 * n * _AT_WORK + saved),
        disk=4 * n * (1 + 2 * _KEPT),
        flops=timed.flops * work,
    )
