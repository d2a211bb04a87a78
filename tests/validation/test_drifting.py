from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from residency.contract.errors import InputError
from residency.validation.drifting import DriftSpec, watch_drift

SETTINGS = DriftSpec(patients=1_000, false=0.05)


def scores(path: Path, n: int, seed: int, *, worse: str = "", raised: float = 0.0) -> Path:
    """Write scores of patients as they come; in one group the outcome comes three times as often."""
    rng = np.random.default_rng(seed)
    value = rng.lognormal(0, 0.5, n)
    score = 1 / (1 + np.exp(-(value - 3)))
    sex = rng.choice(["female", "male"], n)
    odds = np.where(sex == worse, 3.0, 1.0)
    came = rng.random(n) < odds * score / (1 - score + odds * score)
    table = pl.DataFrame({"patient": np.arange(n), "score": score, "outcome": came.astype(int), "sex": sex})
    time = pl.datetime(2024, 1, 1) + pl.duration(hours="patient")
    table = table.with_columns(time=time, input_creatinine=value + raised)
    table.sample(fraction=1, shuffle=True, seed=seed).write_csv(path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scores(tmp_path_factory.mktemp("good") / "good.csv", 6_000, 0)


def sounded(out: Path, good: Path, since: Path, now: Any) -> dict[str, int]:
    found: dict[str, int] = watch_drift(out, good, since, SETTINGS, now=now).result["sounded"]
    return found


def test_without_a_shift_nothing_sounds(good: Path, ward: Any, tmp_path: Path) -> None:
    assert sounded(tmp_path / "out", good, scores(tmp_path / "since.csv", 1_000, 1), ward.now) == {}
    assert "quiet" in (tmp_path / "out" / "drift.md").read_text("utf-8")


def test_a_group_that_shifts_alone_sounds_its_own_watch(good: Path, ward: Any, tmp_path: Path) -> None:
    since = scores(tmp_path / "since.csv", 2_000, 2, worse="female")
    found = sounded(tmp_path / "out", good, since, ward.now)
    assert found["sex female: more outcomes than foretold"] < 600
    assert not any(name.startswith("sex male") for name in found)


def test_an_input_that_shifts_sounds_whatever_the_order_of_the_rows(
    good: Path, ward: Any, tmp_path: Path
) -> None:
    since = scores(tmp_path / "since.csv", 1_000, 3, raised=0.5)
    ordered = tmp_path / "ordered.csv"
    pl.read_csv(since).sort("patient").write_csv(ordered)
    found = sounded(tmp_path / "out", good, since, ward.now)
    assert found["creatinine higher than before"] < 150
    assert found == sounded(tmp_path / "again", good, ordered, ward.now)


def test_too_few_patients_to_fix_levels_by_are_refused(good: Path, ward: Any, tmp_path: Path) -> None:
    few = scores(tmp_path / "few.csv", 50, 4)
    with pytest.raises(InputError, match="fix the levels"):
        watch_drift(tmp_path / "out", few, good, SETTINGS, now=ward.now)
