"""In: a frozen model and a new site's timelines. Out: a folder with a small adapter that names its base.

The base is first recalibrated; then thin matrices are learned beside its own. How long, is judged by patients
who taught nothing: each part of them by what the others taught. So is the last calibration.
"""

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from residency.contract.errors import TrainingError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.contract.specs import plain
from residency.model.adaptation.lowrank import adapter_of, baked, merged, with_adapters
from residency.model.adaptation.spec import AdaptSpec
from residency.model.adaptation.words import in_words_of
from residency.model.attachments import reading
from residency.model.batches import Collator, plan
from residency.model.calibration import Calibration
from residency.model.checkpoint import write_tensors
from residency.model.encoders.encoding import Encoded
from residency.model.fitting import CLIP, Setup, losses, rate_at, total
from residency.model.instants import Density
from residency.model.marginals import marginals_of
from residency.model.network import Network
from residency.model.opened import Model
from residency.model.outcomes import Targets, labelled, targets_of
from residency.model.planning.ladder import UNUSED, measure, uniform
from residency.model.settings import CALIBRATION_FILE
from residency.model.spec import AUTO
from residency.model.training import Told, steady, told
from residency.timeline import Timelines, take

ADAPTER_FILE: Final = "adapter.safetensors"
START_FILE: Final = "start.json"  # upon the base's own calibration: what adapters were learned on
STEP: Final = "adapt"
_LEAST_PATIENTS: Final = 20
_HELD: Final = 80.0  # patients with the label, by whose weight a line stays what it was (LOG)


def adapt(
    model: Path, timelines: Path, out: Path, spec: AdaptSpec, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Adapt a model to a site; its train and tuning patients teach, its held-out patients do not.

    Args:
        model: the base, which stays as it is.
        timelines: of the site's patients, in the model's vocabulary or their own.
        out: folder to write.
        spec: how much.
        now: start of the run, aware.
        progress: told of each part of the patients.

    Raises:
        LineageError: an input is not finished, or `out` holds something else.
        TrainingError: there are too few patients, or a loss is not finite.
    """
    with Step(out, name=STEP, inputs=[model, timelines], spec=plain(spec), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        base = Model.open(model)
        data = reading(in_words_of(Timelines.open(timelines), base), base.kinds)
        given = _setup(base, _local(data, spec), spec)
        with steady(spec.threads):
            found = _search(base, given, spec, progress)
        start, adapter = found.start, found.adapter
        step.file(START_FILE, make=start.write)
        step.file(ADAPTER_FILE, make=lambda path: write_tensors(path, adapter, {"base": base.digest}))
        step.file(CALIBRATION_FILE, make=found.calibration.write)
        result = {"passes": found.passes, "gain": found.gain, "parameters": _count(adapter)}
        where = os.path.relpath(model.resolve(), out.resolve())
        rows = Rows(read=data.n_patients, kept=_n_patients(given.data))
        return step.finish(rows=rows, result=result, run={"base": where})


@dataclass(frozen=True)
class Found:
    """What the search came to.

    Attributes:
        start: a calibration upon the base's own, which adapters are learned on.
        adapter: tensors by name; none where no pass did better than recalibration alone.
        calibration: of the adapted network.
        passes: how many were best.
        gain: by how much they lowered the loss of patients who taught nothing.
    """

    start: Calibration
    adapter: dict[str, torch.Tensor]
    calibration: Calibration
    passes: int
    gain: float


def _local(data: Timelines, spec: AdaptSpec) -> Timelines:
    """Leave the patients who may teach, at most so many.

    Raises:
        TrainingError: there are too few.
    """
    may = [_may_teach(data, shard, spec.sites) for shard in range(len(data.shards))]
    draws = np.concatenate([uniform(np.asarray(packed.subject)) for packed in data.shards])
    chosen = np.flatnonzero(np.concatenate(may))
    if len(chosen) < _LEAST_PATIENTS:
        raise TrainingError(
            f"{len(chosen)} patients may teach, where {_LEAST_PATIENTS} are needed",
            mend="look at the splits and sites of the timelines",
        )
    if spec.most_patients:
        chosen = chosen[np.argsort(draws[chosen], kind="stable")[: spec.most_patients]]
    split = np.full(len(draws), UNUSED, dtype="<U8")
    split[chosen] = "train"
    ends = np.cumsum([packed.n_patients for packed in data.shards])[:-1]
    return dataclasses.replace(data, _splits=tuple(np.split(split, ends)))


def _may_teach(data: Timelines, shard: int, sites: tuple[str, ...]) -> np.ndarray:
    split, site = data.split(shard), data.site(shard)
    teaches = np.isin(split, ["train", "tuning"])
    if sites:
        teaches = (teaches | (split == "external")) & np.isin(site, sites)
    result: np.ndarray = teaches
    return result


def _setup(base: Model, data: Timelines, spec: AdaptSpec) -> Setup:
    settings = dataclasses.replace(
        base.spec, seed=spec.seed, threads=spec.threads, device="cpu", precision=AUTO
    )
    codes = np.array([base.vocabulary.index_of(name) for name in base.targets[1:]], np.int64)
    targets: Targets = targets_of(base.vocabulary, codes, base.edges_days)
    found = marginals_of(data, settings, targets)
    encoded = tuple(_encoded(base, data, shard) for shard in range(len(data.shards))) if base.kinds else ()
    density, drop = Density.of(data), settings.modality_drop
    collator = Collator(base.reader, targets, found.rate, spec.seed, density, encoded, drop)
    return Setup(data, settings, found, collator)


def _encoded(base: Model, data: Timelines, shard: int) -> Encoded:
    packed = take(data.shards[shard], np.flatnonzero(data.split(shard) == "train"))
    return base.attaching.encoded(data.attachments(shard), packed, base.kinds)


def _search(base: Model, given: Setup, spec: AdaptSpec, progress: Progress) -> Found:
    """Recalibrate, find out how many passes help, and learn so many on all patients."""
    held = _held(given)
    network = baked(base.network, base.calibration)
    start = told(_all_tuning(given), network).calibration(held)
    network = baked(network, start)
    tried = {0: Judged.nothing(), **{n: Judged.nothing() for n in (spec.passes if spec.rank else ())}}
    for fold in range(spec.folds):
        progress("patients who judge", fold, spec.folds)
        _judge(tried, network, _folded(given, fold, spec.folds), spec)
    progress("patients who judge", spec.folds, spec.folds)
    best = min(tried, key=lambda n: (tried[n].loss, n))
    adapter: dict[str, torch.Tensor] = {}
    if best:
        adapter = adapter_of(_learned(network, given, spec, best, lambda *_: None), network)
    gain = round(tried[0].loss - tried[best].loss, 6)
    last = Calibration.none(len(base.labels), len(base.targets))  # the start is one already
    if best:
        last = tried[best].told.calibration(held)
    return Found(start, adapter, last, best, gain)


@dataclass
class Judged:
    """What the patients of some folds said of a number of passes."""

    losses: list[float]
    parts: list[Told]

    @classmethod
    def nothing(cls) -> "Judged":
        """Begin."""
        return cls([], [])

    @property
    def loss(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.losses))

    @property
    def told(self) -> Told:
        """What the networks said of all patients, each by one that the patient did not teach."""
        return Told.of(self.parts)


def _judge(tried: dict[int, Judged], network: Network, given: Setup, spec: AdaptSpec) -> None:
    """Learn on all parts but one, and let that one judge after each number of passes."""

    def look(n_passes: int, learned: Network) -> None:
        if n_passes in tried:
            plain_network = merged(network, adapter_of(learned, network))
            tried[n_passes].losses.append(measure(given, plain_network).loss)
            tried[n_passes].parts.append(told(given, plain_network))

    tried[0].losses.append(measure(given, network).loss)
    tried[0].parts.append(told(given, network))
    if len(tried) > 1:
        _learned(network, given, spec, max(tried), look)


def _learned(
    network: Network, given: Setup, spec: AdaptSpec, n_passes: int, look: Callable[[int, Network], None]
) -> Network:
    """Learn adapters for some passes; `look` is called after each.

    Raises:
        TrainingError: the loss is not finite.
    """
    adapted = with_adapters(network, spec.rank, spec.seed)
    wanted = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(wanted, lr=spec.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    for number in range(n_passes):
        pieces = plan(given.data, "train", given.spec, np.random.default_rng([spec.seed, 1, number]))
        for at, piece in enumerate(pieces):
            rng = np.random.default_rng([spec.seed, 2, number, at])
            batch = given.collator.collate(given.data.shards[piece.shard], piece, rng, drop=True)
            for group in optimiser.param_groups:
                group["lr"] = spec.learning_rate * rate_at((number + at / len(pieces)) / max(spec.passes))
            adapted.train()
            torch.manual_seed(int(rng.integers(2**31)))
            loss = total(losses(adapted, given, batch))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if not bool(torch.isfinite(clip_grad_norm_(wanted, CLIP))):
                raise TrainingError("the loss is not finite", where=given.data.paths[piece.shard].name)
            optimiser.step()
        adapted.eval()
        look(number + 1, adapted)
    return adapted


def _with_splits(given: Setup, split: Callable[[np.ndarray], np.ndarray]) -> Setup:
    data = given.data
    splits = []
    for shard, packed in enumerate(data.shards):
        now_split = data.split(shard).copy()
        mine = now_split == "train"
        now_split[mine] = split(np.asarray(packed.subject)[mine])
        splits.append(now_split)
    return dataclasses.replace(given, data=dataclasses.replace(data, _splits=tuple(splits)))


def _folded(given: Setup, fold: int, folds: int) -> Setup:
    """Let one part of the patients judge, by another hash than the one that chose them."""

    def split(subject: np.ndarray) -> np.ndarray:
        part = (uniform(subject ^ 0x5EED) * folds).astype(np.int64)
        return np.where(part == fold, "tuning", "train")

    return _with_splits(given, split)


def _all_tuning(given: Setup) -> Setup:
    return _with_splits(given, lambda subject: np.full(len(subject), "tuning"))


def _held(given: Setup) -> tuple[float, ...]:
    """Give how hard each task's line is held to what it was: as by a few patients with the label.

    Labels of one patient repeat each other, so the hold is theirs times how many a patient has who has any.
    """
    n_tasks = len(given.data.labels)
    positive, people = np.zeros(n_tasks), np.zeros(n_tasks)
    for shard, packed in enumerate(given.data.shards):
        labels = labelled(take(packed, np.flatnonzero(given.data.split(shard) == "train")))
        task, patient = labels.task[labels.value > 0], labels.patient[labels.value > 0]
        positive += np.bincount(task, minlength=n_tasks)
        people += np.bincount(np.unique(np.stack([task, patient]), axis=1)[0], minlength=n_tasks)
    return tuple(_HELD * float(one) for one in np.maximum(positive / np.maximum(people, 1.0), 1.0))


def _n_patients(data: Timelines) -> int:
    return sum(int((data.split(shard) == "train").sum()) for shard in range(len(data.shards)))


def _count(adapter: dict[str, torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in adapter.values())
