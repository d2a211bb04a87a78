"""Training: same bytes after a kill, nothing twice, clear refusals."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from residency.contract.errors import LineageError, TrainingError
from residency.contract.lineage import open_made
from residency.contract.packed import Packed
from residency.model import Model, ModelSpec, train
from residency.model.batches import plan
from residency.model.fitting import begin, setup
from residency.model.marginals import marginals
from residency.model.training import calibrate
from residency.timeline import Timelines

NOW = datetime(2024, 1, 1, tzinfo=UTC)
BRIEF = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=2, save_seconds=0.0)
SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from residency.contract import specs
from residency.model import ModelSpec, train
settings = dict(size="tiny", context=16, min_patients=10, threads=1, passes=2, save_seconds=0.0)
train(Path(sys.argv[1]), Path(sys.argv[2]), ModelSpec(**settings), now=datetime(2024, 1, 1, tzinfo=UTC))
"""


def _killed_after(seconds: float, timelines: Path, out: Path) -> None:
    """Begin a training elsewhere and kill it some time after its first checkpoint."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(timelines), str(out)])
    checkpoint, limit = out / ".work" / "checkpoint.safetensors", time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_a_killed_training_ends_with_the_bytes_of_an_undisturbed_one(timelines: Path, tmp_path: Path) -> None:
    undisturbed = train(timelines, tmp_path / "whole", BRIEF, now=NOW)
    for number, wait in enumerate((0.0, 0.35)):
        out = tmp_path / f"killed{number}"
        _killed_after(wait, timelines, out)
        assert not (out / "made-from.json").exists()
        again = train(timelines, out, BRIEF, now=NOW)
        assert again.shards == undisturbed.shards
        assert again.digest == undisturbed.digest
        assert not (out / ".work").exists()


def test_a_broken_training_without_labels_ends_with_the_bytes_of_an_undisturbed_one(
    unlabelled: Path, tmp_path: Path
) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if what == "train" and done == 3:
            raise KeyboardInterrupt

    undisturbed = train(unlabelled, tmp_path / "whole", BRIEF, now=NOW)
    with pytest.raises(KeyboardInterrupt):
        train(unlabelled, tmp_path / "broken", BRIEF, now=NOW, progress=stop)
    assert (tmp_path / "broken" / ".work" / "checkpoint.safetensors").exists()
    assert train(unlabelled, tmp_path / "broken", BRIEF, now=NOW).digest == undisturbed.digest


def test_training_is_not_done_twice(trained: Path, timelines: Path) -> None:
    spec = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=10)
    before = (trained / "model.safetensors").stat().st_mtime_ns
    again = train(timelines, trained, spec, now=NOW)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    assert again == open_made(trained)


def test_a_folder_with_another_model_is_refused_and_untouched(trained: Path, timelines: Path) -> None:
    with pytest.raises(LineageError):
        train(timelines, trained, BRIEF, now=NOW)
    assert open_made(trained, verify=True).step == "train"


def test_the_loss_falls_on_tuning_patients(trained: Path) -> None:
    curve = pl.read_parquet(trained / "training.parquet")
    assert curve["pass_number"].to_list() == list(range(10))
    assert curve["tuning"].to_list()[-1] < curve["tuning"].to_list()[0]


def test_a_label_that_can_be_learned_is_learned(model: Model, data: Timelines) -> None:
    said, truth = [], []
    for shard, packed in enumerate(data.shards):
        patients = np.flatnonzero(data.split(shard) == "held_out")
        states = model.encode(packed, patients)
        moment = states.offset[1:] - 1
        said.append(
            model.label_probability(states, moment, np.zeros(len(moment), np.float32), 0).mean(axis=1)
        )
        truth.append(packed.label_value[packed.label_offset[patients]])
    assert roc_auc_score(np.concatenate(truth), np.concatenate(said)) > 0.95


def test_a_loss_that_is_not_finite_stops_and_names_the_shard(data: Timelines) -> None:
    given = setup(data, BRIEF, marginals(data, BRIEF))
    training = begin(given, None)
    with torch.no_grad():
        training.network.hazard.bias.fill_(float("nan"))
    piece = plan(data, "train", BRIEF, None)[0]
    batch = given.collator.collate(data.shards[piece.shard], piece, np.random.default_rng(0), drop=True)
    with pytest.raises(TrainingError, match="not finite") as refused:
        training.step(batch, done=0.5, shard=piece.shard, draw=0)
    assert refused.value.where == data.paths[piece.shard].name
    assert training.point.batch == 0


def test_every_dated_moment_of_a_pass_is_read_once(data: Timelines) -> None:
    pieces = plan(data, "train", BRIEF, np.random.default_rng(0))
    read = sum(int((piece.high - piece.low).sum()) for piece in pieces)
    dated = sum(
        int((np.diff(packed.moment_offset) - 1)[data.split(shard) == "train"].sum())
        for shard, packed in enumerate(data.shards)
    )
    assert read == dated
    assert max(int((piece.high - piece.low).max()) for piece in pieces) <= BRIEF.context - 1


def test_data_without_labels_train_hazards_alone(data: Timelines) -> None:
    bare = replace(data, labels=(), shards=tuple(_without_labels(packed) for packed in data.shards))
    given = setup(bare, BRIEF, marginals(bare, BRIEF))
    training = begin(given, None)
    piece = plan(bare, "train", BRIEF, None)[0]
    batch = given.collator.collate(bare.shards[piece.shard], piece, np.random.default_rng(0), drop=True)
    training.step(batch, done=0.5, shard=piece.shard, draw=0)
    assert training.point.batch == 1
    assert calibrate(given, training.network).labels == ()


def _without_labels(packed: Packed) -> Packed:
    return packed.with_arrays(
        label_offset=np.zeros(packed.n_patients + 1, np.int64),
        label_time=packed.label_time[:0],
        label_task=packed.label_task[:0],
        label_value=packed.label_value[:0],
    )


def test_no_train_patient_is_refused(data: Timelines) -> None:
    nobody = replace(data, _splits=tuple(np.full(p.n_patients, "external") for p in data.shards))
    with pytest.raises(TrainingError, match="no train patient"):
        marginals(nobody, BRIEF)
