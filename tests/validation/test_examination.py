import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from residency.contract.errors import InputError, LineageError, SpecError
from residency.contract.lineage import open_made
from residency.contract.report import Report, read_report
from residency.model import Model
from residency.timeline import Timelines
from residency.validation import Offer, ValidationSpec, load_tasks, summarise, validate, validate_scores
from residency.validation.baseline import BaselineSpec
from residency.validation.cohort import cohort_of
from residency.validation.predicting import Bench, predict
from residency.validation.truth import best_possible

SETTINGS = ValidationSpec(n_draws=100, baseline=BaselineSpec(max_trees=60, patience=10))


@pytest.fixture(scope="module")
def truth(clinic: Path, tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A truth that knows better than any model could: nearly the outcome itself."""
    folder = tmp_path_factory.mktemp("truth")
    kidney = load_tasks(tasks)[1]
    cohort = cohort_of(Timelines.open(clinic / "timelines"), kidney, 0)
    known = pl.DataFrame(
        {
            "subject_id": cohort.subject,
            "outcome": "kidney",
            "time": pl.Series(cohort.as_of - 1_000_000).cast(pl.Datetime("us")),
            "horizon_days": 90,
            "probability": np.where(cohort.label, 0.8, 0.02),
        }
    )
    known.write_parquet(folder / "risk.parquet")
    return folder


@pytest.fixture(scope="module")
def report(
    clinic: Path, tasks: Path, truth: Path, ward: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("examined") / "report"
    validate(out, tasks, clinic / "model", clinic / "timelines", truth, SETTINGS, now=ward.now)
    return out


@pytest.fixture(scope="module")
def found(report: Path) -> Report:
    return read_report(report / "report.json")


def table_of(report: Path, task: str) -> pl.DataFrame:
    return pl.read_parquet(next((report / "predictions" / task).glob("*.parquet")))


def test_no_train_patient_is_in_any_figure(report: Path, clinic: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    taught = np.concatenate(
        [packed.subject[timelines.split(n) == "train"] for n, packed in enumerate(timelines.shards)]
    )
    for task in ("ill", "kidney"):
        predictions = table_of(report, task)
        assert not set(predictions["subject_id"]) & set(taught.tolist())
        assert set(predictions["split"]) == {"tuning", "held_out", "external"}


def test_the_report_says_what_the_predictions_say(report: Path, found: Report) -> None:
    held = table_of(report, "kidney").filter(pl.col("split") == "held_out")
    stated = found.tasks["kidney"]["all"]
    assert stated.predictions == len(held)
    assert stated.patients == held["subject_id"].n_unique()
    assert stated.events == held.filter("label")["subject_id"].n_unique()
    for name, column in (("model", "score"), ("baseline", "baseline")):
        expected = roc_auc_score(held["label"], held[column], sample_weight=held["weight"])
        assert getattr(stated, name)["auroc"].value == pytest.approx(expected, abs=1e-6)


def test_the_paired_difference_is_model_less_baseline(found: Report) -> None:
    stated = found.tasks["ill"]["all"]
    for metric, difference in stated.paired.items():
        assert difference.value == pytest.approx(stated.model[metric].value - stated.baseline[metric].value)
    assert stated.paired["auroc"].low <= stated.paired["auroc"].value <= stated.paired["auroc"].high


def test_an_external_site_is_in_its_own_slice_only(report: Path, found: Report) -> None:
    predictions = table_of(report, "kidney")
    south = set(predictions.filter(pl.col("site") == "south")["split"])
    slices = found.tasks["kidney"]
    assert south == {"external"}
    assert slices["site=north"].patients == slices["all"].patients
    assert slices["group=sex=female"].patients + slices["group=sex=male"].patients == slices["all"].patients


def test_a_slice_with_few_events_cannot_tell_and_the_page_says_so(report: Path, found: Report) -> None:
    assert not found.tasks["kidney"]["group=sex=male"].can_tell
    assert "cannot tell" in (report / "report.html").read_text("utf-8")


def test_a_group_that_only_the_report_shows_has_no_figure_below_100_events(
    report: Path, found: Report
) -> None:
    slices = found.tasks["kidney"]
    apart = {name: held for name, held in slices.items() if name.startswith("apart=")}
    assert {"apart=measured=least", "apart=measured=most"} <= set(apart)
    assert sum(held.predictions for held in apart.values()) == slices["all"].predictions
    for held in apart.values():
        assert bool(held.model) == held.can_tell
    assert "measured: least" in (report / "report.html").read_text("utf-8")


def test_a_clinical_score_is_beside_the_model_with_the_paired_difference(report: Path, found: Report) -> None:
    stated = found.tasks["kidney"]["all"]
    table = table_of(report, "kidney").filter(pl.col("split") == "held_out")
    expected = roc_auc_score(table["label"], table["clinical"], sample_weight=table["weight"])
    assert stated.clinical["auroc"].value == pytest.approx(expected, abs=1e-6)
    difference = stated.model["auroc"].value - expected
    assert stated.paired_clinical["auroc"].value == pytest.approx(difference, abs=1e-6)
    assert found.tasks["ill"]["all"].clinical is None
    assert "SCORED" in (report / "report.html").read_text("utf-8")


def test_informative_censoring_is_bounded_where_patients_were_lost(report: Path, found: Report) -> None:
    assert found.tasks["ill"]["all"].censoring == []
    value = found.tasks["kidney"]["all"].model["auroc"].value
    for point in found.tasks["kidney"]["all"].censoring:
        assert point.figures["auroc_lowest"].value < value < point.figures["auroc_highest"].value
    assert "odds wrong by up to" in (report / "report.html").read_text("utf-8")


def test_the_page_is_whole_in_itself(report: Path) -> None:
    page = (report / "report.html").read_text("utf-8")
    assert "<svg" in page
    assert "Simulated patients." in page
    for outside in ('src="http', "@import", "<script", 'rel="stylesheet"'):
        assert outside not in page


def test_the_best_possible_is_better_than_any_model(found: Report) -> None:
    stated = found.tasks["kidney"]["all"]
    assert stated.best_possible is not None
    assert stated.best_possible["auroc"].value > stated.model["auroc"].value
    assert found.tasks["ill"]["all"].best_possible is None


def test_utility_is_given_where_it_is_defined(found: Report) -> None:
    assert found.tasks["ill"]["all"].model["utility"].value <= 1
    assert "utility" not in found.tasks["kidney"]["all"].model


def test_what_the_tasks_asked_is_on_record(report: Path, tasks: Path) -> None:
    asked = {item["task"]: item for item in msgspec.json.decode((report / "tasks.json").read_bytes())}
    assert asked["kidney"]["occurrence"] == "incident"
    assert asked["kidney"]["horizons_days"] == [90.0]
    assert asked["ill"]["outcome"]["label"] == "ill"
    assert load_tasks(report / "tasks") == load_tasks(tasks)


def test_the_same_examination_gives_the_same_bytes(
    report: Path, clinic: Path, tasks: Path, truth: Path, ward: Any, tmp_path: Path
) -> None:
    again = validate(
        tmp_path / "again", tasks, clinic / "model", clinic / "timelines", truth, SETTINGS, now=ward.now
    )
    assert again.digest == open_made(report).digest


def test_a_finished_examination_is_not_held_again(
    report: Path, clinic: Path, tasks: Path, truth: Path, ward: Any
) -> None:
    before = (report / "report.json").stat().st_mtime_ns
    validate(report, tasks, clinic / "model", clinic / "timelines", truth, SETTINGS, now=ward.now)
    assert (report / "report.json").stat().st_mtime_ns == before
    with pytest.raises(LineageError):
        validate(report, tasks, clinic / "model", clinic / "timelines", None, SETTINGS, now=ward.now)


def test_no_score_changes_when_everything_after_the_index_time_is_shuffled(clinic: Path, tasks: Path) -> None:
    timelines, examined = Timelines.open(clinic / "timelines"), load_tasks(tasks)
    bench = Bench(Model.open(clinic / "model"), timelines, None, SETTINGS.baseline, 0, examined)
    straight, _ = predict(bench, examined[0])
    middle = int(np.median(straight["prediction_time"].cast(pl.Int64).to_numpy()))
    rng, shards = np.random.default_rng(0), []
    for number, packed in enumerate(timelines.shards):
        owner = np.repeat(np.arange(packed.n_patients), np.diff(packed.moment_offset))
        scored = timelines.split(number)[owner] != "train"
        later = np.repeat((packed.moment_time > middle) & scored, np.diff(packed.event_offset))
        code, value = packed.event_code.copy(), packed.event_value.copy()
        code[later], value[later] = rng.permutation(code[later]), rng.normal(50, 50, int(later.sum()))
        shards.append(packed.with_arrays(event_code=code, event_value=value))
    shuffled, _ = predict(replace(bench, timelines=replace(timelines, shards=tuple(shards))), examined[0])
    before = pl.col("prediction_time").cast(pl.Int64) <= middle
    np.testing.assert_allclose(shuffled.filter(before)["score"], straight.filter(before)["score"], atol=1e-6)


def test_the_mean_over_seeds_of_equal_reports_is_that_report(
    report: Path, found: Report, tmp_path: Path
) -> None:
    shutil.copytree(report, tmp_path / "other")
    summary = summarise([report, tmp_path / "other"])
    for name, stated in found.tasks["kidney"].items():
        mean = summary.report.tasks["kidney"][name]
        if not stated.model:  # a group that only the report shows, with too few events
            assert not mean.model
            continue
        assert mean.model["auroc"] == stated.model["auroc"]
        assert mean.paired["auroc"] == stated.paired["auroc"]
        assert summary.spread["kidney"][name]["auroc"] == 0
    assert "| kidney | site=south | auroc |" in summary.table()


def test_the_summary_of_a_single_report_is_that_report(report: Path, found: Report) -> None:
    summary = summarise([report])
    assert summary.report.tasks == found.tasks
    assert summary.spread["kidney"]["all"]["auroc"] == 0
    assert summary.report.tasks.keys() == summarise([report, report]).report.tasks.keys()


def test_an_absent_truth_is_an_error(clinic: Path, tasks: Path, tmp_path: Path) -> None:
    cohort = cohort_of(Timelines.open(clinic / "timelines"), load_tasks(tasks)[1], 0)
    with pytest.raises(InputError, match="no risk"):
        best_possible(tmp_path, cohort, load_tasks(tasks)[1])


def test_a_folder_without_tasks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no task"):
        load_tasks(tmp_path)


def scores_of(report: Path, path: Path) -> Path:
    rows = table_of(report, "ill").filter(pl.col("split") == "held_out")
    rows.select("subject_id", "prediction_time", "score", pl.col("label").cast(pl.Int8)).write_csv(path)
    return path


@pytest.fixture
def one_task(tasks: Path, tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    shutil.copy(tasks / "ill.toml", tmp_path / "one")
    return tmp_path / "one"


def test_a_file_of_scores_gives_the_figures_of_the_model_that_made_them(
    report: Path, found: Report, one_task: Path, ward: Any, tmp_path: Path
) -> None:
    offer = Offer((str(scores_of(report, tmp_path / "a.csv")),), one_task)
    validate_scores(tmp_path / "out", offer, SETTINGS, now=ward.now)
    stated = read_report(tmp_path / "out" / "report.json").tasks["ill"]["all"]
    assert stated.model["auroc"].value == pytest.approx(
        found.tasks["ill"]["all"].model["auroc"].value, abs=1e-6
    )
    assert stated.baseline == {}
    assert (tmp_path / "out" / "report.html").exists()
