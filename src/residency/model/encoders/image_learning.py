"""In: train patients' images, and what followed them. Out: weights of the small convolutional network.

The network learns what the whole model learns: hazards of every target from the moment of the image on, and
the data set's own labels after it. It sees no codes; what it finds is what the picture tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from residency.contract.errors import TrainingError
from residency.contract.packed import Packed
from residency.model.batches import hazard_targets
from residency.model.checkpoint import write_tensors
from residency.model.encoders.image import WIDTH, Look
from residency.model.encoders.learning import Lesson
from residency.model.encoders.pictures import SLICES, slices_of
from residency.model.heads import N_HEADS, HazardHead, Logits
from residency.model.objectives import HazardTargets, hazard_loss, sample
from residency.model.outcomes import Index, follow, observed
from residency.timeline import take

_STREAM: Final = 5  # of random numbers
BATCH: Final = 32  # images
LEAST_STEPS: Final = 200
MOST_STEPS: Final = 1500
LEAST_PASSES: Final = 3
RATE: Final = 2e-3
COLUMNS: Final = 128
LOOKED_AT: Final = 4  # slices of a series at a time
MOST_SLICES: Final = 60_000  # kept as bytes: 250 MB


@dataclass(frozen=True)
class Picture:
    """An image of a train patient.

    Attributes:
        patient: row in the shard.
        moment: of the image, in the shard.
        slices: 0 to 255.
    """

    patient: int
    moment: int
    slices: UInt8[np.ndarray, "slice row column"]


@dataclass(frozen=True)
class _Example:
    """A batch: slices, how many each image has, what followed, the next label of each task (NaN: none)."""

    slices: Float32[Tensor, "slice row column"]
    n_each: Int64[Tensor, " image"]
    truth: HazardTargets
    labels: Float32[Tensor, "image task"]


class _Taught(nn.Module):
    """The network with the heads that teach it."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        found = lesson.marginals
        self.look = Look()
        self.norm = nn.LayerNorm(WIDTH)
        self.hazard = HazardHead((WIDTH, WIDTH), lesson.spec.shape.code_rank, torch.from_numpy(found.bias))
        self.label = Logits(WIDTH, torch.logit(torch.from_numpy(found.prior).clamp(1e-4, 1 - 1e-4)))

    def loss(self, example: _Example, scale: Float32[Tensor, "class target"]) -> Tensor:
        z = self.norm(self.look(example.slices, example.n_each))
        total = 0.5 * hazard_loss(self.hazard, self.hazard.read(z, z), example.truth, scale)
        known = ~torch.isnan(example.labels)
        if known.any():
            logits = self.label(z[:, None].expand(-1, N_HEADS, -1)).mean(dim=1)[known]
            total = total + functional.binary_cross_entropy_with_logits(logits, example.labels[known])
        return total


def learn(lesson: Lesson, path: Path) -> int:
    """Train the network; give the number of images.

    Raises:
        TrainingError: the loss is not finite.
    """
    pictures = [list(_pictures(lesson, shard)) for shard in range(len(lesson.data.shards))]
    n_images = sum(map(len, pictures))
    rng = np.random.default_rng([lesson.spec.seed, _STREAM])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lesson.spec.seed)
        taught = _Taught(lesson).train()
        n_steps = steps_for(n_images)
        optimiser = torch.optim.AdamW(taught.parameters(), lr=RATE, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, n_steps, pct_start=0.1)
        for step, (shard, chosen) in enumerate(_draws(list(map(len, pictures)), n_steps, rng)):
            lesson.progress("learn images", step, n_steps)
            example = _example(lesson, shard, [pictures[shard][at] for at in chosen], rng)
            if example is not None:
                _step(optimiser, taught, example, torch.from_numpy(lesson.marginals.scale))
            schedule.step()
    write_tensors(path, dict(taught.look.named_parameters()), {"format": "pt"})
    return n_images


def _step(
    optimiser: torch.optim.Optimizer,
    taught: _Taught,
    example: _Example,
    scale: Float32[Tensor, "class target"],
) -> None:
    loss = taught.loss(example, scale)
    if not bool(torch.isfinite(loss)):
        raise TrainingError("the loss of the image encoder is not finite", mend="look for broken images")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(taught.parameters(), 1.0)
    optimiser.step()


def steps_for(n_images: int) -> int:
    """Give how many batches to learn from: a few passes, within bounds."""
    return min(max(LEAST_STEPS, -(-LEAST_PASSES * n_images // BATCH)), MOST_STEPS)


def _draws(
    n_each: list[int], n_steps: int, rng: np.random.Generator
) -> Iterator[tuple[int, Int64[np.ndarray, " chosen"]]]:
    """Give the images of each batch, all of one shard; every image once before any comes again."""
    waiting: list[tuple[int, np.ndarray]] = []
    for _ in range(n_steps):
        if not waiting:
            for shard, n in enumerate(n_each):
                order = rng.permutation(n)
                waiting += [(shard, np.sort(order[start : start + BATCH])) for start in range(0, n, BATCH)]
            waiting = [waiting[at] for at in rng.permutation(len(waiting))]
        yield waiting.pop()


def _pictures(lesson: Lesson, shard: int) -> Iterator[Picture]:
    """Give the images of a shard's train patients, ready to be looked at; every few where there are many."""
    packed, attachments = lesson.data.shards[shard], lesson.data.attachments(shard)
    mine = np.flatnonzero(packed.attachment_kind == lesson.kind)
    moment = np.searchsorted(packed.attachment_offset, mine, "right") - 1
    patient = np.searchsorted(packed.moment_offset, moment, "right") - 1
    taught = np.flatnonzero(lesson.data.split(shard)[patient] == "train")
    most = MOST_SLICES // (SLICES * len(lesson.data.shards))
    for row in taught[:: max(1, -(-len(taught) // most))]:
        (image,) = attachments.contents(lesson.kind, [int(packed.attachment_ref[mine[row]])])
        slices = (slices_of(image) * 255.0).round().astype(np.uint8)  # type: ignore[arg-type]
        yield Picture(int(patient[row]), int(moment[row]), slices)


def _example(
    lesson: Lesson, shard: int, pictures: list[Picture], rng: np.random.Generator
) -> _Example | None:
    """Put together a batch, its pictures moved a little, with what followed; None: nobody was followed."""
    packed = lesson.data.shards[shard]
    small = take(packed, np.array([one.patient for one in pictures]))
    number = np.array([one.moment - packed.moment_offset[one.patient] for one in pictures])
    moment = small.moment_offset[:-1] + number
    index = observed(small, np.arange(len(pictures)), moment, np.zeros(len(pictures), np.int64))
    if not len(index.moment):
        return None
    shown = [_moved(torch.from_numpy(pictures[at].slices).float() / 255.0, rng) for at in index.patient]
    return _Example(
        torch.cat(shown),
        torch.tensor([len(slices) for slices in shown]),
        _followed(lesson, small, index, rng),
        torch.from_numpy(_next_labels(small, index, len(lesson.data.labels))),
    )


def _followed(lesson: Lesson, packed: Packed, index: Index, rng: np.random.Generator) -> HazardTargets:
    found = lesson.marginals
    followed = follow(packed, index, found.targets)
    return hazard_targets(packed, followed, found.targets, sample(found.rate, COLUMNS, rng))


def _next_labels(packed: Packed, index: Index, n_tasks: int) -> Float32[np.ndarray, "image task"]:
    """Give each task's first label at or after each image; NaN where there is none."""
    found = np.full((len(index.moment), n_tasks), np.nan, np.float32)
    for row, (patient, moment) in enumerate(zip(index.patient, index.moment, strict=True)):
        mine = slice(*(int(at) for at in packed.label_offset[patient : patient + 2]))
        later = packed.label_time[mine] >= packed.moment_time[moment]
        tasks, values = packed.label_task[mine][later][::-1], packed.label_value[mine][later][::-1]
        found[row, tasks] = values  # the earliest is written last
    return found


def _moved(
    slices: Float32[Tensor, "slice row column"], rng: np.random.Generator
) -> Float32[Tensor, "slice row column"]:
    """Take some slices, shift them by a few dots, change the contrast: no two visits are filmed alike."""
    if len(slices) > LOOKED_AT:
        slices = slices[np.sort(rng.choice(len(slices), LOOKED_AT, replace=False))]
    down, right = (int(n) for n in rng.integers(-4, 5, 2))
    shifted = torch.roll(slices, (down, right), dims=(1, 2))
    return ((shifted - 0.5) * float(rng.uniform(0.85, 1.15)) + 0.5 + float(rng.uniform(-0.05, 0.05))).clamp(
        0, 1
    )
