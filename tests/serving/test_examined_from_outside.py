"""An adopter examines a signed release over HTTP, as it is served, on patients of their own."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI

from residency.contract.verdict import read_verdicts
from residency.model import Model
from residency.reasoning import Index, Limits, ask
from residency.timeline import Timelines
from residency.validation import Asking, ValidationSpec, load_tasks, validate_endpoints

TASK = """
name = "hypertension_2y"
title = "Hypertension within two years"
horizon_days = 730.5
threshold = 0.1
landmark = { kind = "regular", every_days = 180.0, per_patient = 2 }
outcome = { codes = ["ICD10CM/I10"] }
"""


def free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def examined(
    world: Any,
    running: Callable[[FastAPI, int], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "hypertension.toml").write_text(TASK, "utf-8")
    served = running(world.app(folder / "audit.db", panel=False), free())
    endpoint = folder / "release.toml"
    endpoint.write_text(
        f'url = "{served}/residency/v1/ask"\nname = "release"\nkey_variable = "RESIDENCY_TEST_KEY"\n'
        "most = 30\nleave_out = []\nmost_events = 5000\n",
        "utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDENCY_TEST_KEY", "res_ward")
        asking = Asking((str(endpoint),), folder / "tasks", world.folder / "timelines", simulated=True)
        now = datetime(2026, 3, 1, tzinfo=UTC)
        validate_endpoints(folder / "out", asking, ValidationSpec(n_draws=20), now=now)
    return folder / "out"


def sent(out: Path) -> pl.DataFrame:
    return pl.read_parquet(next((out / "sent" / "release" / "hypertension_2y").glob("*.parquet")))


def test_a_served_release_answers_and_gets_a_verdict(examined: Path) -> None:
    log = sent(examined)
    assert len(log) > 10
    assert (log["reason"] == "").mean() > 0.8
    (verdict,) = read_verdicts(examined / "verdict.json").verdicts
    assert (verdict.model, verdict.verdict) == ("release", "cannot tell")  # a handful of patients
    assert "release" in (examined / "verdict.html").read_text("utf-8")


def test_what_it_answers_over_http_is_what_the_model_says(examined: Path, world: Any, tmp_path: Path) -> None:
    log = sent(examined).filter(pl.col("score").is_not_null())
    timelines, model = Timelines.open(world.folder / "timelines"), Model.open(world.folder / "model")
    places = [timelines.locate(subject) for subject in log["subject_id"].to_list()]
    assert {place.shard for place in places} == {0}
    index = Index(
        np.array([place.patient for place in places]), log["prediction_time"].cast(pl.Int64).to_numpy()
    )
    (tmp_path / "hypertension.toml").write_text(TASK, "utf-8")
    question = load_tasks(tmp_path)[0].question
    own = ask(model, timelines.shards[0], [question], index, limits=Limits(min_moments=0)).risk[:, 0]
    assert np.corrcoef(own, log["score"].to_numpy())[0, 1] > 0.99
