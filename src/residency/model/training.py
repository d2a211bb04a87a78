"""In: a folder of packed timelines and a spec. Out: a new folder with the trained, calibrated model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
import torch
from jaxtyping import Float32, Float64, Int64

from residency.contract.codes import DEATH
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.packed import ATTACHMENT_KINDS
from residency.contract.plugins import ENCODERS
from residency.contract.progress import Progress, silent
from residency.contract.schema import SHOWN_FILE
from residency.contract.specs import plain
from residency.model.attachments import (
    ENCODERS_FOLDER,
    SCALES_FILE,
    Attaching,
    fit_scales,
    kinds_read,
    reading,
    ready,
    weights_of,
    write_scales,
)
from residency.model.batches import plan
from residency.model.calibration import Calibration, hazard_corrections, label_line
from residency.model.checkpoint import Point, write_tensors
from residency.model.encoders.encoding import Encoded
from residency.model.encoders.learning import LEARNED_FILE, Learner, Lesson
from residency.model.fitting import Setup, fit, network_with, setup
from residency.model.foretelling import with_teacher
from residency.model.heads import N_HEADS, of_task
from residency.model.marginals import Marginals, marginals
from residency.model.network import Network
from residency.model.settings import (
    CALIBRATION_FILE,
    CURVE_FILE,
    SETTINGS_FILE,
    TARGETS_FILE,
    WEIGHTS_FILE,
    settings_of,
)
from residency.model.spec import ModelSpec
from residency.model.tallies import Borne, Counts, borne, counted
from residency.timeline import Timelines
from residency.timeline.vocabulary import VALUES_FILE, VOCABULARY_FILE

_STREAM: Final = 4  # of random numbers: calibration


def train(
    timelines: Path, out: Path, spec: ModelSpec, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Train a model on the `train` patients, watch and calibrate it on the `tuning` patients.

    A killed training goes on from its last checkpoint and ends with the same bytes.

    Args:
        timelines: what `timeline.build` made.
        out: folder to write.
        spec: how large, how long.
        now: start of the run, aware.
        progress: told of each batch.

    Raises:
        LineageError: `timelines` is not finished, or `out` holds something else.
        TrainingError: no train patient, or a loss that is not finite.
    """
    step = Step(out, name="train", inputs=[timelines], spec=plain(spec), now=now)
    with step:
        if step.manifest is not None:
            return step.manifest
        data = Timelines.open(timelines)
        _, n_events = _train_size(data)
        sized = spec.sized(n_events)
        data = reading(data, kinds_read(data, sized))
        with steady(sized.threads, strict=sized.device == "cpu"):
            found = marginals(data, sized)
            attaching, encoded = _attach(step, data, sized, found, progress)
            given = with_teacher(setup(data, sized, found, encoded), step.work, progress)
            training = fit(given, step.work, progress)
            return conclude(step, given, training.best, training.point, attaching)


def conclude(
    step: Step, given: Setup, weights: dict[str, torch.Tensor], point: Point, attaching: Attaching
) -> Manifest:
    """Calibrate the best weights and write the model's folder."""
    network = network_with(given, weights)
    calibration = calibrate(given, network)
    _write(step, given, network, calibration, point)
    _write_settings(step, given, attaching)
    n_patients, _ = _train_size(given.data)
    targets, size = len(given.marginals.targets), given.spec.size
    result = {"size": size, "targets": targets, "parameters": _count(network)}
    return step.finish(rows=Rows(read=given.data.n_patients, kept=n_patients), result=result)


def _attach(
    step: Step, data: Timelines, spec: ModelSpec, found: Marginals, progress: Progress
) -> tuple[Attaching, tuple[Encoded, ...]]:
    """Make the encoders of what the data have ready, teach those that learn, and encode."""
    kinds = kinds_read(data, spec)
    if not kinds:
        return Attaching({}, {}), ()
    encoders = {}
    for kind in kinds:
        name = spec.encoders[kind]
        learner = ENCODERS.get(name)
        if isinstance(learner, Learner):
            lesson = Lesson(data, spec, found, ATTACHMENT_KINDS.index(kind), progress)
            step.file(f"{ENCODERS_FOLDER}/{kind}/{LEARNED_FILE}", make=partial(learner.learn, lesson))
        encoders[kind] = ready(name, weights_of(step.out, kind))
    return fit_scales(data, encoders, progress)


@contextmanager
def steady(threads: int, *, strict: bool = True) -> Iterator[None]:
    """Same bytes every time: thread count, deterministic kernels, own draws; and put back what was.

    Not `strict` on a GPU: some of its kernels have no deterministic form, and bytes are not promised there.
    """
    before, were = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(were)


def _train_size(data: Timelines) -> tuple[int, int]:
    """Count train patients and their events."""
    patients = events = 0
    for shard, packed in enumerate(data.shards):
        train_rows = np.flatnonzero(data.split(shard) == "train")
        begin, end = packed.moment_offset[train_rows], packed.moment_offset[train_rows + 1]
        events += int((packed.event_offset[end] - packed.event_offset[begin]).sum())
        patients += len(train_rows)
    return patients, events


@dataclass(frozen=True)
class Told:
    """What a network said of the tuning patients, and what came.

    Attributes:
        borne: hazards.
        worth: how much each target counts in training.
        logit: of labels.
        value: of labels.
        task: of labels.
        n_tasks: of the data set.
        counts: results; None where nobody learns them.
        each: instants of a patient.
    """

    borne: Borne
    worth: Float64[np.ndarray, "class target"]
    logit: Float32[torch.Tensor, "label head"]
    value: Float32[torch.Tensor, " label"]
    task: Int64[torch.Tensor, " label"]
    n_tasks: int
    counts: Counts | None
    each: float

    @classmethod
    def of(cls, parts: Sequence["Told"]) -> "Told":
        """Put parts together, of which there is one or more."""
        logit, value, task = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("logit", "value", "task")
        )
        borne = reduce(add, (part.borne for part in parts))
        return replace(parts[0], borne=borne, logit=logit, value=value, task=task, counts=None)

    def calibration(self, held: Sequence[float] = ()) -> Calibration:
        """Fit the corrections; none where nothing was said.

        Args:
            held: how hard each task's line is held to 1 and 0: labels of few patients repeat each other.
        """
        pulls = tuple(held) or (1.0,) * self.n_tasks
        lines = (
            label_line(self.logit[self.task == t], self.value[self.task == t], pulls[t])
            for t in range(self.n_tasks)
        )
        borne = (part / self.each for part in (self.borne.observed, self.borne.expected, self.borne.score))
        first, again = map(hazard_corrections, *borne, self.worth)
        found = Calibration(tuple(lines), (first[0], again[0]), (first[1], again[1]))
        return found if self.counts is None else found.with_values(self.counts.first, self.counts.later)


def calibrate(given: Setup, network: Network) -> Calibration:
    """Fit the corrections on the tuning patients; none where there are no such patients."""
    return told(given, network).calibration()


def told(given: Setup, network: Network) -> Told:
    """Ask a network about the tuning patients."""
    n_targets, n_tasks = len(given.marginals.targets), len(given.data.labels)
    found, n_index, patients = Borne.none(n_targets), 0, set[tuple[int, int]]()
    logits, values = [torch.zeros(0, N_HEADS)], [torch.zeros(0)]
    tasks = [torch.zeros(0, dtype=torch.int64)]
    counts = Counts.none(len(network.query.code)) if given.collator.watch else None
    for at, piece in enumerate(plan(given.data, "tuning", given.spec, None)):
        rng = np.random.default_rng([given.spec.seed, _STREAM, at])
        batch = given.collator.collate(given.data.shards[piece.shard], piece, rng, drop=False)
        with torch.inference_mode():
            states, record = network(batch.inputs), network.record(batch.inputs)
            z = network.waiting(states[batch.index_row], batch.index_hours)
            read, truth = (
                network.hazard.read(z, record.numbers(batch.index_row, batch.index_hours)),
                batch.hazard,
            )
            rate = network.hazard.columns(read, truth.columns, truth.never).exp().mean(dim=1)
            found += borne(truth, rate, network.hazard.bias)
            if counts and batch.coming and batch.queried:
                came = batch.coming.measured, batch.queried.later
                counts += counted(network, z, record.panel[batch.index_row], came)
            labels = batch.labels
            said = network.labelled(states, record, labels.row, labels.hours)
        n_index += len(z)
        patients |= {(piece.shard, patient) for patient in piece.patient.tolist()}
        logits.append(of_task(said, labels.task))
        values.append(labels.value)
        tasks.append(labels.task)
    logit = torch.cat(logits).clone()
    return Told(
        found,
        given.marginals.scale.astype(np.float64),
        logit,
        torch.cat(values),
        torch.cat(tasks),
        n_tasks,
        counts,
        max(n_index / max(len(patients), 1), 1.0),
    )


def _write(step: Step, given: Setup, network: Network, calibration: Calibration, point: Point) -> None:
    vocabulary, found = given.data.vocabulary, given.marginals
    weights: dict[str, torch.Tensor] = dict(network.named_parameters())
    step.file(WEIGHTS_FILE, make=lambda path: write_tensors(path, weights, {"format": "pt"}))
    step.file(VOCABULARY_FILE, make=vocabulary.write_codes)
    step.file(VALUES_FILE, make=vocabulary.write_values)
    if (shown := given.data.folder / SHOWN_FILE).exists():  # what a request may show
        step.file(SHOWN_FILE, make=lambda path: path.write_bytes(shown.read_bytes()) and 0)
    step.file(TARGETS_FILE, make=lambda path: _write_targets(path, given, found))
    step.file(CALIBRATION_FILE, make=calibration.write)
    step.file(CURVE_FILE, make=lambda path: _write_curve(path, point))


def _write_settings(step: Step, given: Setup, attaching: Attaching) -> None:
    settings = settings_of(
        given.spec,
        given.data.labels,
        given.collator.reader.layout.panel,
        given.marginals.targets.edges_days,
        attaching.named(given.spec.encoders),
        given.marginals.routine.code,
    )
    settings = msgspec.structs.replace(settings, taught=given.taught)
    step.file(SETTINGS_FILE, make=lambda path: _write_json(path, settings))
    if attaching.scales:
        step.file(SCALES_FILE, make=lambda path: write_scales(path, attaching.scales))


def _write_json(path: Path, settings: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=1))


def _write_targets(path: Path, given: Setup, found: Marginals) -> None:
    vocabulary, code = given.data.vocabulary, found.targets.code
    known = code >= 0
    rows = pl.DataFrame(
        {
            "code": [vocabulary.codes[c] if c >= 0 else DEATH for c in code],
            "n_patients": np.where(known, vocabulary.n_patients[np.maximum(code, 0)], 0),
            "n_events": found.n_events.sum(axis=0),
            "n_first": found.n_events[0],
            "bias": found.bias[0].tolist(),
            "bias_again": found.bias[1].tolist(),
        },
        schema={
            "code": pl.String,
            "n_patients": pl.Int64,
            "n_events": pl.Int64,
            "n_first": pl.Int64,
            "bias": pl.List(pl.Float32),
            "bias_again": pl.List(pl.Float32),
        },
    )
    rows.write_parquet(path, compression="zstd")


def _write_curve(path: Path, point: Point) -> None:
    rows = pl.DataFrame(
        [msgspec.structs.asdict(row) for row in point.curve],
        schema={"pass_number": pl.Int64, "train": pl.Float64, "tuning": pl.Float64},
    )
    rows.write_parquet(path, compression="zstd")


def _count(network: Network) -> int:
    return sum(p.numel() for p in network.parameters())
