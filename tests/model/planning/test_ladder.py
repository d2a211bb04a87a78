"""The ladder: one yardstick for all sizes, shares within shares, resume, and the plan's folder."""

import dataclasses
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from residency.contract.errors import LineageError
from residency.model import ModelSpec
from residency.model.fitting import network_of, setup
from residency.model.marginals import marginals
from residency.model.planning.ladder import measure, shared
from residency.model.planning.making import make_plan, read_plan
from residency.model.planning.spec import PlanSpec
from residency.timeline import Timelines

MODEL = ModelSpec(context=16, min_patients=10, threads=1, passes=1)
SPEC = PlanSpec(model=MODEL, sizes=("tiny", "small"), shares=(0.25, 0.5, 1.0), n_draws=5, gpu_hours=1e-6)


def test_a_smaller_share_lies_within_a_larger_one(data: Timelines) -> None:
    half, all_ = shared(data, 0.5), shared(data, 1.0)
    quarter = shared(half, 0.25)
    for shard in range(len(data.shards)):
        assert (all_.split(shard) == data.split(shard)).all()
        in_half, in_quarter = half.split(shard) == "train", quarter.split(shard) == "train"
        assert (in_quarter <= in_half).all()
        assert (half.split(shard)[data.split(shard) != "train"] != "train").all()
    n = sum(int((half.split(s) == "train").sum()) for s in range(len(data.shards)))
    of = sum(int((data.split(s) == "train").sum()) for s in range(len(data.shards)))
    assert 0.35 < n / of < 0.65


def test_the_yardstick_measures_marginal_rates_alike_whatever_the_size(data: Timelines) -> None:
    found = marginals(data, dataclasses.replace(MODEL, size="tiny"))
    losses = []
    for size in ("tiny", "small", "base"):
        given = setup(data, dataclasses.replace(MODEL, size=size), found)
        network = network_of(given).eval()
        with torch.no_grad():
            network.hazard.code.zero_()
            network.label.logits.map["weight"].zero_()
        losses.append(measure(given, network))
    assert losses[0].label == pytest.approx(1.0, abs=0.2)
    assert losses[0].loss > 0
    for other in losses[1:]:
        assert other.hazard == pytest.approx(losses[0].hazard, rel=1e-6)
        assert other.label == pytest.approx(losses[0].label, rel=1e-6)


def test_the_yardstick_is_the_deviance_of_counts_and_days(data: Timelines) -> None:
    """With hazards c times as high it is c * expected - log(c) * observed, and a number that stays."""
    spec = dataclasses.replace(MODEL, size="tiny")
    given = setup(data, spec, marginals(data, spec))
    network, at = network_of(given).eval(), []
    with torch.no_grad():
        network.hazard.code.zero_()
        for _ in range(3):
            at.append(measure(given, network).hazard)
            network.hazard.bias.add_(np.log(2.0))
    first, second = np.diff(at)
    expected = second - first
    observed = (expected - first) / np.log(2.0)
    assert observed > 0
    assert expected == pytest.approx(observed, rel=0.3)  # tuning patients at the train patients' rates


@pytest.mark.slow
def test_a_plan_holds_ladder_law_plot_and_advice_and_goes_on_after_a_kill(
    timelines: Path, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, told = tmp_path / "plan", []

    def stopped(what: str, done: int, total: int | None) -> None:
        told.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_plan(timelines, out, SPEC, now=now, progress=stopped)
    kept = sorted((out / "rungs").glob("*.json"))
    before = [path.stat().st_mtime_ns for path in kept]
    assert len(kept) == 2
    make_plan(timelines, out, SPEC, now=now)
    assert [path.stat().st_mtime_ns for path in kept] == before
    plan, rungs = read_plan(out), pl.read_parquet(out / "ladder.parquet")
    assert len(rungs) == 6
    assert rungs.filter(pl.col("share") == 1.0)["events"].n_unique() == 1
    assert set(plan.law) == {"A", "B", "E", "alpha", "beta"}
    assert all(one.low <= one.value <= one.high for one in plan.law.values())
    assert plan.advice.here.size in ("tiny", "small", "base", "large", "huge")
    assert plan.advice.here.events.value == rungs["events"].max()
    assert (out / "plan.svg").read_text("utf-8").lstrip().startswith("<?xml")
    with pytest.raises(LineageError):
        make_plan(timelines, out, dataclasses.replace(SPEC, gpu_hours=2.0), now=now)


def test_settings_that_make_no_ladder_are_refused() -> None:
    for wrong in ({"sizes": ("tiny",)}, {"shares": (1.0,)}, {"shares": (0.5, 2.0)}, {"gpu_hours": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            PlanSpec(**wrong)
