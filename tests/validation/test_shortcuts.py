from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from residency.model import Model
from residency.timeline import Timelines
from residency.validation import Suspect, ValidationSpec, load_tasks, look_for_leaks
from residency.validation.baseline import BaselineSpec
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.leakage import Leakage
from residency.validation.measuring import Course
from residency.validation.shortcuts import auroc_of, controls_of, eras_of, site_guesses, time_split

COURSE = Course(60, 0)
TREES = BaselineSpec(max_trees=30, patience=10)


@pytest.fixture(scope="module")
def opened(clinic: Path, tasks: Path) -> tuple[Timelines, Cohort]:
    timelines = Timelines.open(clinic / "timelines")
    return timelines, cohort_of(timelines, load_tasks(tasks)[0], 0)


def test_the_auroc_agrees_with_scikit_learn_and_has_an_interval_around_it() -> None:
    rng = np.random.default_rng(0)
    subject, label = np.repeat(np.arange(200), 3), rng.random(600) < 0.3
    score = rng.normal(size=600) + label
    (found,) = auroc_of(subject, label, [score], np.ones(600), COURSE)
    assert found.value == pytest.approx(roc_auc_score(label, score))
    assert found.metric.low < found.value < found.metric.high


def test_the_era_of_an_index_time_is_that_of_the_last_record_known_by_then(
    opened: tuple[Timelines, Cohort], tmp_path: Path, ward: Any
) -> None:
    _, cohort = opened
    some = cohort.take(cohort.subject == cohort.subject[0])
    middle = int(np.median(some.as_of))
    (tmp_path / "data").mkdir()
    pl.DataFrame(
        {
            "subject_id": [some.subject[0]] * 3 + [some.subject[0] + 1],
            "available": [int(some.as_of.min()) - 10, middle, middle - 5, 0],
            "era": ["2014H1", "2015H2", None, "1999H1"],
        }
    ).with_columns(pl.col("available").cast(pl.Datetime("us"))).write_parquet(tmp_path / "data" / "0.parquet")
    expected = np.where(some.as_of >= middle, "2015H2", "2014H1")
    assert eras_of(tmp_path, some).tolist() == expected.tolist()


def test_what_turns_round_later_shows_as_a_random_split_that_promises_too_much(
    opened: tuple[Timelines, Cohort],
) -> None:
    timelines, cohort = opened
    era = np.where(cohort.as_of > np.quantile(cohort.as_of, 0.65), "2016H1", "2015H1")
    turned = replace(cohort, label=cohort.label ^ (era == "2016H1"))
    found = time_split(timelines, turned, era, TREES, COURSE)
    assert found is not None
    assert found.cut == "2016H1"
    assert found.by_time.value < 0.4
    assert found.difference.low > 0


def test_without_eras_or_late_outcomes_nobody_can_tell(opened: tuple[Timelines, Cohort]) -> None:
    timelines, cohort = opened
    assert time_split(timelines, cohort, np.full(len(cohort), ""), TREES, COURSE) is None
    assert time_split(timelines, cohort, np.full(len(cohort), "2015H1"), TREES, COURSE) is None


def test_a_site_that_codes_in_its_own_way_is_given_away_and_others_are_not(
    opened: tuple[Timelines, Cohort],
) -> None:
    timelines, rng = opened[0], np.random.default_rng(0)
    drawn = tuple(rng.choice(["north", "south"], packed.n_patients) for packed in timelines.shards)
    timelines = replace(timelines, _sites=drawn)
    plain = {one.site: one for one in site_guesses(timelines, None)}
    assert plain["south"].auroc.low < 0.5 < plain["south"].auroc.high
    code, shards = timelines.vocabulary.index_of("MEDS_DEATH"), []
    for number, packed in enumerate(timelines.shards):
        codes = packed.event_code.copy()
        south = timelines.site(number) == "south"
        codes[packed.event_offset[packed.moment_offset[1:]][south] - 1] = code
        shards.append(packed.with_arrays(event_code=codes))
    given_away = site_guesses(replace(timelines, shards=tuple(shards)), None)
    assert {one.site for one in given_away} == {"north", "south"}
    assert all(one.auroc.low > 0.9 for one in given_away)


def test_a_control_is_asked_at_the_tasks_times_and_ranked_by_the_tasks_own_risk(
    clinic: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("residency.validation.shortcuts.CONTROLS", ("VISIT/AMB", "ICD10CM/N18"))
    monkeypatch.setattr("residency.validation.shortcuts.LEAST", 10)  # few never come again
    timelines, model = Timelines.open(clinic / "timelines"), Model.open(clinic / "model")
    kidney = load_tasks(tasks)[1]
    found = controls_of(timelines, model, [kidney], 0, COURSE)["kidney"]
    assert [one.code for one in found] == ["VISIT/AMB"]  # its own outcome is no control
    (one,) = found
    assert one.score.low <= one.score.value <= one.score.high
    assert one.records.low <= one.records.value <= one.records.high


def test_the_folder_holds_what_was_looked_for(clinic: Path, tasks: Path, ward: Any, tmp_path: Path) -> None:
    settings = ValidationSpec(n_draws=40, baseline=TREES)
    suspect = Suspect(tasks, clinic / "timelines", clinic / "model", clinic / "records")
    manifest = look_for_leaks(tmp_path / "leaks", suspect, settings, now=ward.now)
    found = msgspec.json.decode((tmp_path / "leaks" / "leakage.json").read_bytes(), type=Leakage)
    assert set(found.tasks) == {"ill", "kidney"}
    assert {one.source for one in found.sites} == {"counts", "representation"}
    assert manifest.result["solved_by_one_code"] == {
        name: one.leaks for name, one in found.tasks.items() if one.leaks
    }
    assert found.tasks["kidney"].time_split is None  # these records state no era
    page = (tmp_path / "leaks" / "leakage.html").read_text("utf-8")
    assert "Kidney disease" in page
    assert "Not told" in page
