"""Training in several processes: the loss of one, taken up by another number, bad shards named."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from residency.contract.errors import SpecError, TrainingError
from residency.contract.lineage import open_made
from residency.contract.progress import silent
from residency.model import Model, ModelSpec
from residency.model.checkpoint import read_tensors
from residency.model.fitting import setup
from residency.model.foretelling import foretold
from residency.model.marginals import marginals
from residency.model.together import Crew, crew, train_together
from residency.model.together.joint import Joint
from residency.model.training import steady
from residency.timeline import Timelines

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of single processes
SPEC = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=2, save_seconds=0.0)
PIECES = 2
SCRIPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from residency.model import ModelSpec
from residency.model.together import crew, train_together

def stop(what, done, total):
    if done == total // 2 + 2:
        raise KeyboardInterrupt

settings = dict(size="tiny", context=16, min_patients=10, threads=1, passes=2, save_seconds=0.0)
with crew() as all_of_us:
    train_together(Path(sys.argv[1]), Path(sys.argv[2]), ModelSpec(**settings), all_of_us, pieces=2,
                   now=datetime(2024, 1, 1, tzinfo=UTC), progress=stop)
"""


@pytest.fixture(scope="module")
def alone() -> Iterator[Crew]:
    """A crew of this process."""
    with crew() as one:
        yield one


@pytest.fixture(scope="module")
def whole(alone: Crew, timelines: Path, tmp_path_factory: pytest.TempPathFactory, now: datetime) -> Path:
    """A model that one process trained without a break."""
    out = tmp_path_factory.mktemp("together") / "model"
    train_together(timelines, out, SPEC, alone, pieces=PIECES, now=now)
    return out


def test_what_a_crew_of_one_trains_is_a_model_like_any_other(whole: Path, data: Timelines) -> None:
    assert open_made(whole, "train", verify=True).spec["pieces"] == PIECES
    model = Model.open(whole)
    states = model.encode(data.shards[0], np.arange(3))
    assert torch.isfinite(states.z).all()
    curve = pl.read_parquet(whole / "training.parquet")
    assert curve["tuning"].to_list()[-1] < curve["tuning"].to_list()[0]


def test_what_a_taught_codes_lessons_left_a_crew_leaves_too(
    alone: Crew, timelines: Path, data: Timelines, tmp_path: Path, now: datetime
) -> None:
    spec = dataclasses.replace(SPEC, teacher="trees", taught=("ICD10CM/N18.3",), passes=1)
    train_together(timelines, tmp_path / "model", spec, alone, pieces=PIECES, now=now)
    with steady(1):
        given = foretold(setup(data, spec, marginals(data, spec)), tmp_path, silent)
    weights, _ = read_tensors(tmp_path / "model" / "model.safetensors")
    assert given.own
    for name, tensor in given.own.items():
        assert torch.equal(weights[f"hazard.own.{name}"], tensor), name
    assert Model.open(tmp_path / "model").taught == given.taught


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one_and_one_takes_up_what_two_began(
    alone: Crew, whole: Path, timelines: Path, tmp_path: Path, now: datetime
) -> None:
    script, out = tmp_path / "script.py", tmp_path / "model"
    script.write_text(SCRIPT, "utf-8")
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    done = subprocess.run(
        [sys.executable, *arguments, str(timelines), str(out)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCHELASTIC_ERROR_FILE": ""},
    )
    assert done.returncode != 0
    parts = list((out / ".work").glob("checkpoint-*/*.distcp"))
    assert len(parts) == 2, done.stderr[-2000:]
    train_together(timelines, out, SPEC, alone, pieces=PIECES, now=now)
    one, two = (pl.read_parquet(folder / "training.parquet") for folder in (whole, out))
    assert two["train"].to_numpy() == pytest.approx(one["train"].to_numpy(), rel=1e-4)
    assert two["tuning"].to_numpy() == pytest.approx(one["tuning"].to_numpy(), rel=1e-4)
    (before, _), (after, _) = (read_tensors(folder / "model.safetensors") for folder in (whole, out))
    for name, tensor in before.items():
        assert torch.allclose(after[name], tensor, rtol=0.02, atol=2e-3), name


def test_a_crew_goes_on_from_its_last_checkpoint_to_the_same_weights(
    alone: Crew, whole: Path, timelines: Path, tmp_path: Path, now: datetime
) -> None:
    out = tmp_path / "model"

    def stop(what: str, done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_together(timelines, out, SPEC, alone, pieces=PIECES, now=now, progress=stop)
    assert [path.name for path in (out / ".work").glob("checkpoint-*")] == ["checkpoint-2"]
    train_together(timelines, out, SPEC, alone, pieces=PIECES, now=now)
    assert open_made(out).digest == open_made(whole).digest


def test_a_loss_that_is_not_finite_names_the_shard_and_leaves_the_checkpoint(
    alone: Crew,
    timelines: Path,
    data: Timelines,
    tmp_path: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, step = tmp_path / "model", Joint.step

    def spoilt(self: Joint, pieces: list, **said: int) -> None:
        if self.point.n_steps == 2:
            with torch.no_grad():
                self.learner.network.hazard.bias.fill_(float("nan"))
        step(self, pieces, **said)

    monkeypatch.setattr(Joint, "step", spoilt)
    with pytest.raises(TrainingError, match="not finite in pass 0, step 2") as refused:
        train_together(timelines, out, SPEC, alone, pieces=PIECES, now=now)
    names = {path.name for path in data.paths}
    assert set(refused.value.where.split(", ")) <= names
    assert [path.name for path in (out / ".work").glob("checkpoint-*")] == ["checkpoint-2"]


def test_a_damaged_shard_is_named_before_anything_is_learned(
    alone: Crew, timelines: Path, tmp_path: Path, now: datetime
) -> None:
    copy = tmp_path / "timelines"
    shutil.copytree(timelines, copy)
    damaged = sorted(Timelines.open(copy).paths)[1]
    body = bytearray((damaged / "event_value.npy").read_bytes())
    body[-1] ^= 1
    (damaged / "event_value.npy").write_bytes(body)
    with pytest.raises(TrainingError, match="altered or is damaged") as refused:
        train_together(copy, tmp_path / "model", SPEC, alone, pieces=PIECES, now=now)
    assert refused.value.where == damaged.name


def test_batches_that_cannot_be_shared_are_refused(
    alone: Crew, timelines: Path, tmp_path: Path, now: datetime
) -> None:
    three = dataclasses.replace(alone, size=3)
    with pytest.raises(SpecError, match="cannot be shared"):
        train_together(timelines, tmp_path / "model", SPEC, three, pieces=4, now=now)
    with pytest.raises(TrainingError, match="fewer than 1000"):
        train_together(timelines, tmp_path / "model", SPEC, alone, pieces=1000, now=now)
