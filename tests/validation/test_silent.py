import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from residency.contract.errors import LineageError, SpecError
from residency.contract.report import read_report
from residency.contract.specs import read
from residency.model import Model
from residency.timeline import Timelines, until
from residency.validation import ValidationSpec, load_tasks
from residency.validation.measuring import Course
from residency.validation.pilot import PilotSpec, compare_arms, plan_pilot
from residency.validation.silent import SilentSpec, Trial, Ward, arm_of, replay, report

PLAN = SilentSpec(start="2015-01-10", end="2015-09-01", every_days=45.0, run_in_days=60.0, holdout_share=0.3)


@pytest.fixture(scope="module")
def trial(clinic: Path, tasks: Path, ward: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("silent")
    (folder / "tasks").mkdir()
    shutil.copy(tasks / "kidney.toml", folder / "tasks")
    trial = Trial(clinic / "model", clinic / "timelines", folder / "tasks")
    replay(folder / "trial", trial, PLAN, now=ward.now)
    return folder / "trial"


@pytest.fixture(scope="module")
def found(trial: Path, clinic: Path, ward: Any) -> Path:
    out = trial.parent / "report"
    report(out, trial, clinic / "timelines", ValidationSpec(n_draws=50), now=ward.now)
    return out


def test_nobody_who_taught_the_model_is_asked_about(trial: Path, clinic: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    split = {
        int(subject): name
        for number, packed in enumerate(timelines.shards)
        for subject, name in zip(packed.subject, timelines.split(number), strict=True)
    }
    scores = pl.read_parquet(trial / "scores.parquet")
    assert {split[subject] for subject in scores["subject_id"].unique()} == {"held_out", "external"}


def test_what_came_after_a_period_was_not_there_when_its_scores_were_made(clinic: Path, tasks: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    kidney = load_tasks(tasks)[1]
    begin, end = PLAN.periods[2], PLAN.periods[3]
    gone = replace(timelines, shards=tuple(until(packed, end) for packed in timelines.shards))
    for number in range(len(timelines.shards)):
        told = []
        for known in (timelines, gone):
            ward = Ward(Model.open(clinic / "model"), known, (kidney,), PLAN)
            asked = list(ward.due(number, begin, end))
            told.append((asked[0][1], ward.scores(number, end, asked)[0]))
        assert len(told[0][0]) > 0
        np.testing.assert_array_equal(told[0][0].as_of, told[1][0].as_of)
        np.testing.assert_array_equal(told[0][1], told[1][1])


def test_the_thresholds_come_from_the_run_in_alone_and_keep_its_alerts_within_capacity(trial: Path) -> None:
    fixed = msgspec.json.decode((trial / "capacity.json").read_bytes())
    (task,) = load_tasks(trial / "tasks")
    assert task.threshold == fixed["kidney"]
    scores = pl.read_parquet(trial / "scores.parquet")
    assert scores["prediction_time"].cast(pl.Int64).min() >= PLAN.periods[1]
    periods = [pl.read_parquet(path) for path in (trial / "scores").glob("*.parquet")]
    run_in = next(one for one in periods if one["prediction_time"].cast(pl.Int64).min() < PLAN.periods[1])
    days = (
        run_in.drop_nulls("score")
        .group_by("subject_id", pl.col("prediction_time").dt.date())
        .agg(pl.col("score").max())
    )
    alerts = 100 * float((days["score"] >= fixed["kidney"]).mean())
    assert 0 < alerts <= task.alerts_per_100_days


def test_the_report_joins_what_came_and_shows_each_arm(found: Path, trial: Path) -> None:
    slices = read_report(found / "report.json").tasks["kidney"]
    assert slices["all"].predictions > 50
    arms = [slices[f"group=arm={arm}"].predictions for arm in ("held_back", "shown")]
    assert sum(arms) == slices["all"].predictions
    assert "label" not in pl.read_parquet(trial / "scores.parquet").columns


def test_scores_that_were_altered_are_refused(trial: Path, clinic: Path, ward: Any, tmp_path: Path) -> None:
    shutil.copytree(trial, tmp_path / "altered")
    path = tmp_path / "altered" / "scores.parquet"
    pl.read_parquet(path).with_columns(score=pl.lit(0.5)).write_parquet(path)
    with pytest.raises(LineageError, match="altered"):
        report(tmp_path / "out", tmp_path / "altered", clinic / "timelines", now=ward.now)


def test_a_label_looks_ahead_and_is_refused(clinic: Path, tasks: Path, ward: Any, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="look ahead"):
        replay(tmp_path / "out", Trial(clinic / "model", clinic / "timelines", tasks), PLAN, now=ward.now)


def test_a_patient_keeps_their_arm_whoever_else_is_there() -> None:
    subject = np.arange(1, 20_001)
    arm = arm_of(subject, 0.2, 3)
    assert float((arm == "held_back").mean()) == pytest.approx(0.2, abs=0.01)
    assert arm_of(subject[5:6], 0.2, 3)[0] == arm[5]
    held = arm_of(subject, 0.1, 3) == "held_back"
    assert (arm[held] == "held_back").all()  # a larger share only adds


def test_a_pilot_with_too_few_outcomes_cannot_be_planned_by_them(
    found: Path, ward: Any, tmp_path: Path
) -> None:
    plan_pilot(tmp_path / "pilot", found, PilotSpec(), now=ward.now)
    slices = read_report(found / "report.json").tasks["kidney"]
    said = (tmp_path / "pilot" / "pilot.md").read_text("utf-8")
    assert ("Cannot tell" in said) == (not slices["all"].can_tell)


@pytest.mark.parametrize(
    "bad", [{"end": "2014-01-01"}, {"start": "soon"}, {"every_days": 0.0}, {"holdout_share": 2.0}]
)
def test_a_plan_that_cannot_be_held_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        read(SilentSpec, {"start": "2015-01-01", "end": "2016-01-01", **bad})


def test_an_arm_in_which_fewer_had_the_outcome_shows_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    subject = np.arange(4_000)
    arm = arm_of(subject, 0.5, 0)
    came = rng.random(4_000) < np.where(arm == "held_back", 0.20, 0.12)
    rows = pl.DataFrame({"subject_id": subject, "label": came, "group_arm": arm})
    told = compare_arms(rows, Course(300, 0))
    assert told is not None
    expected = came[arm == "shown"].mean() - came[arm == "held_back"].mean()
    assert told.difference.value == pytest.approx(expected)
    assert told.difference.low < expected < told.difference.high < 0
    assert compare_arms(rows.filter(pl.col("group_arm") == "shown"), Course(10, 0)) is None
