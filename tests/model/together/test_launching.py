"""Ray starts the processes: the model of torchrun's, and a failure told in one sentence."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from residency.contract.errors import PluginError, TrainingError
from residency.contract.lineage import open_made
from residency.model import ModelSpec
from residency.model.together import Crew, crew, train_on_ray, train_together
from residency.timeline import Timelines

SPEC = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=2)


def test_without_ray_the_extra_is_named(
    timelines: Path, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray.train", None)
    with pytest.raises(PluginError, match="Ray needs ray") as refused:
        train_on_ray(timelines, tmp_path / "model", SPEC, workers=2, pieces=2, now=now)
    assert "cluster" in refused.value.mend


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_processes_of_ray_reach_the_loss_of_one_and_a_damaged_shard_is_named(
    timelines: Path, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'residency[cluster]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        train_on_ray(timelines, tmp_path / "many", SPEC, workers=2, pieces=2, now=now)
        spoilt = _spoilt(timelines, tmp_path / "timelines")
        with pytest.raises(TrainingError, match="altered or is damaged") as refused:
            train_on_ray(spoilt, tmp_path / "none", SPEC, workers=2, pieces=2, now=now)
    finally:
        ray.shutdown()
    assert sorted(Timelines.open(spoilt).paths)[1].name in str(refused.value)
    with crew() as alone:
        one = _alone(timelines, tmp_path / "one", alone, now)
    many = pl.read_parquet(tmp_path / "many" / "training.parquet")
    assert many["tuning"].to_numpy() == pytest.approx(one["tuning"].to_numpy(), rel=1e-4)
    assert open_made(tmp_path / "many", "train", verify=True).spec["pieces"] == 2
    assert not list(tmp_path.glob(".*.ray"))


def _alone(timelines: Path, out: Path, alone: Crew, now: datetime) -> pl.DataFrame:
    train_together(timelines, out, SPEC, alone, pieces=2, now=now)
    return pl.read_parquet(out / "training.parquet")


def _spoilt(timelines: Path, copy: Path) -> Path:
    import shutil

    shutil.copytree(timelines, copy)
    damaged = sorted(Timelines.open(copy).paths)[1] / "event_value.npy"
    body = bytearray(damaged.read_bytes())
    body[-1] ^= 1
    damaged.write_bytes(body)
    return copy
