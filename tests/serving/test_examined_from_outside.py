"""An adopter examines a signed release over HTTP, as it is served, on patients of their own."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI

from residency.contract.verdict import read_verdicts
from residency.validation import Asking, ValidationSpec, validate_endpoints

TASK = """
name = "death_1y"
title = "Death within a year"
horizon_days = 365.25
occurrence = "incident"
threshold = 0.1
landmark = { kind = "regular", every_days = 180.0, per_patient = 2 }
outcome = { codes = ["MEDS_DEATH"] }
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
    (folder / "tasks" / "death.toml").write_text(TASK, "utf-8")
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
    return pl.read_parquet(next((out / "sent" / "release" / "death_1y").glob("*.parquet")))


def test_a_served_release_answers_and_gets_a_verdict(examined: Path) -> None:
    log = sent(examined)
    assert len(log) > 10
    assert (log["reason"] == "").mean() > 0.8
    (verdict,) = read_verdicts(examined / "verdict.json").verdicts
    assert (verdict.model, verdict.verdict) == ("release", "cannot tell")  # a handful of patients
    assert "release" in (examined / "verdict.html").read_text("utf-8")
