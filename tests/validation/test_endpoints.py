import importlib.util
import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from residency.contract.errors import InputError
from residency.contract.packed import DAY
from residency.contract.questions import read_question
from residency.contract.report import read_report
from residency.contract.verdict import read_verdicts
from residency.serving.identified import events_of_meds
from residency.serving.wire import read_context
from residency.timeline import Timelines
from residency.validation import Asking, ValidationSpec, load_tasks, validate_endpoints
from residency.validation.cohort import cohort_at, cohort_of
from residency.validation.disclosure import body_of, chart_of
from residency.validation.endpoint_spec import EndpointSpec
from residency.validation.endpoints import draw

_SPEC = importlib.util.spec_from_file_location("servers", Path(__file__).with_name("servers.py"))
servers: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(servers)

FAST = ValidationSpec(n_draws=50)


def honest(body: dict[str, Any]) -> dict[str, Any]:
    """Say that a high last creatinine is a bad sign, as it is in the clinic."""
    values = [one["value"] for one in body["records"] if one["code"] == "LOINC/2160-0"]
    at = 2.5 * ((values[-1] if values else 1.5) - 1.5)
    return {"request": body["request"], "score": 1 / (1 + math.exp(-at))}


@pytest.fixture(scope="module")
def ill_task(tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ill")
    (folder / "ill.toml").write_text((tasks / "ill.toml").read_text().replace('utility = "cinc2019"\n', ""))
    return folder


@pytest.fixture(scope="module")
def answered(
    clinic: Path, ill_task: Path, ward: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """An honest model, and one that lies now and then."""
    folder = tmp_path_factory.mktemp("asked")

    def lying(body: dict[str, Any]) -> dict[str, Any]:
        number = int(body["request"], 16) % 10
        return {"score": 3} if number == 0 else {"score": "low"} if number == 1 else honest(body)

    with servers.server(honest) as one, servers.server(lying) as two:
        (folder / "honest.toml").write_text(f'url = "{one.url}/score"\nname = "honest"\nmost = 400\n')
        (folder / "lying.toml").write_text(f'url = "{two.url}/score"\nname = "lying"\nmost = 400\n')
        asking = Asking(
            (str(folder / "honest.toml"), str(folder / "lying.toml")), ill_task, clinic / "timelines"
        )
        validate_endpoints(folder / "out", asking, FAST, now=ward.now)
    return folder / "out", one.seen


def test_a_model_over_http_is_judged_on_ones_own_patients(answered: tuple[Path, Any]) -> None:
    found = {one.model: one for one in read_verdicts(answered[0] / "verdict.json").verdicts}
    assert found["honest"].figures["auroc"].value > 0.8
    assert found["honest"].predictions == found["honest"].asked == 400
    assert found["honest"].verdict == "cannot tell"
    assert "98 patients here are without the outcome" in found["honest"].why[0]


def test_lies_are_abstentions_that_are_named_and_in_no_figure(answered: tuple[Path, Any]) -> None:
    found = {one.model: one for one in read_verdicts(answered[0] / "verdict.json").verdicts}
    log = pl.read_parquet(next((answered[0] / "sent" / "lying" / "ill").glob("*.parquet")))
    reasons = dict(log.group_by("reason").len().iter_rows())
    assert found["lying"].predictions == reasons[""]
    assert reasons["score outside 0 to 1"] + reasons["score is no number"] == 400 - reasons[""]
    assert any("score outside 0 to 1" in line for line in found["lying"].cautions)
    held = read_report(answered[0] / "models" / "lying" / "report.json").tasks["ill"]["all"]
    assert held.abstained == 400 - reasons[""]


def test_nothing_that_identifies_is_sent_and_what_was_sent_is_on_record(answered: tuple[Path, Any]) -> None:
    out, seen = answered
    log = pl.read_parquet(next((out / "sent" / "honest" / "ill").glob("*.parquet")))
    assert len(seen) == len(log) == 400
    subjects = set(log["subject_id"].cast(pl.String))
    for one in seen:
        assert set(one["body"]) == {"request", "task", "age_years", "records"}
        assert {key for record in one["body"]["records"] for key in record} <= {
            "code",
            "value",
            "unit",
            "days_before",
        }
        assert one["body"]["request"] not in subjects
    assert log["sha256"].n_unique() == 400
    evidence = {one.key: one for one in read_verdicts(out / "verdict.json").evidence["honest"]}
    assert "400 requests to 127.0.0.1" in evidence["sent"].found


def test_nothing_after_the_index_time_is_sent(ward: Any) -> None:
    rows = [
        (1, None, "DEMOGRAPHIC/SEX=male", None),
        (1, 0.0, "VISIT/AMB", None),
        (1, 5.0, "LOINC/2160-0", 1.5),
    ]
    packed = ward.packed([*rows, (1, 10.0, "LOINC/2160-0", 9.0)])
    spec = EndpointSpec(url="https://x/score")
    chart = chart_of(packed, ward.codes, 0, ward.microseconds(7.0), spec)
    assert [(one.code, one.value, one.days_before) for one in chart.records] == [
        ("DEMOGRAPHIC/SEX=male", None, None),
        ("VISIT/AMB", None, 7.0),
        ("LOINC/2160-0", 1.5, 2.0),
    ]
    before = body_of(chart, ward.task(), spec, "1")
    later = ward.packed([*rows, (1, 10.0, "ICD10CM/N18", None)])
    again = chart_of(later, ward.codes, 0, ward.microseconds(7.0), spec)
    assert body_of(again, ward.task(), spec, "1") == before


def test_what_the_settings_hold_back_is_held_back_and_counted(ward: Any) -> None:
    rows = [(1, None, "DEMOGRAPHIC/SEX=male", None), *((1, float(at), "VISIT/AMB", None) for at in range(6))]
    packed = ward.packed([*rows, (1, 5.5, "LOINC/2160-0", 1.0)])
    now = ward.microseconds(6.0)
    few = chart_of(packed, ward.codes, 0, now, EndpointSpec(url="https://x/score", most_events=2))
    assert [one.days_before for one in few.records] == [None, 1.0, 0.5]
    assert few.held_back == 5
    labs = chart_of(packed, ward.codes, 0, now, EndpointSpec(url="https://x/score", codes=("LOINC/",)))
    assert [one.code for one in labs.records] == ["LOINC/2160-0"]
    recent = chart_of(packed, ward.codes, 0, now, EndpointSpec(url="https://x/score", window_days=1.5))
    assert recent.held_back == 5
    none = EndpointSpec(url="https://x/score", leave_out=("DEMOGRAPHIC/",))
    assert "DEMOGRAPHIC/SEX=male" not in [
        one.code for one in chart_of(packed, ward.codes, 0, now, none).records
    ]


def test_each_kind_of_service_is_asked_in_its_own_words(ward: Any) -> None:
    packed = ward.packed([(1, 0.0, "VISIT/AMB", None), (1, 5.0, "LOINC/2160-0", 1.5)])
    task = ward.task()
    for url, keys in {
        "https://x/v1": {"model", "messages", "temperature"},
        "https://x/residency/v1/ask": {"meds", "as_of", "question"},
    }.items():
        spec = EndpointSpec(url=url, model="m")
        body = json.loads(
            body_of(chart_of(packed, ward.codes, 0, ward.microseconds(6.0), spec), task, spec, "1")
        )
        assert set(body) == keys
    assert body["meds"][-1]["time"] == "2019-12-31T00:00:00"
    assert body["question"]["horizons_days"] == [100.0]


def test_a_service_that_answers_nothing_is_an_error_and_leaves_nothing(
    clinic: Path, ill_task: Path, ward: Any, tmp_path: Path
) -> None:
    with servers.server(lambda _: {"score": "no"}) as served:
        (tmp_path / "bad.toml").write_text(f'url = "{served.url}"\nmost = 5\n')
        asking = Asking((str(tmp_path / "bad.toml"),), ill_task, clinic / "timelines")
        with pytest.raises(InputError, match="score is no number 5"):
            validate_endpoints(tmp_path / "out", asking, FAST, now=ward.now)
    assert not (tmp_path / "out").exists()


def test_a_draw_keeps_the_share_with_the_outcome_by_its_weights(clinic: Path, tasks: Path) -> None:
    cohort = cohort_of(Timelines.open(clinic / "timelines"), load_tasks(tasks)[1], 0)
    some = draw(cohort, 60, 0)
    assert len(some) == 60
    assert some.label.sum() == min(30, cohort.label.sum())
    assert np.average(some.label, weights=some.weight) == pytest.approx(
        np.average(cohort.label, weights=cohort.weight)
    )
    assert some.weight.sum() == pytest.approx(cohort.weight.sum())


def test_the_outcomes_of_anybodys_index_times_are_those_of_the_task(clinic: Path, tasks: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    for task in load_tasks(tasks):
        cohort = cohort_of(timelines, task, 0)
        shuffled = np.random.default_rng(0).permutation(len(cohort))
        subject = np.append(cohort.subject[shuffled], [-5, cohort.subject[0]])
        as_of = np.append(cohort.as_of[shuffled], [0, cohort.as_of[0] - 40_000 * DAY])
        found = cohort_at(timelines, task, subject, as_of)
        np.testing.assert_array_equal(found.subject, cohort.subject)
        np.testing.assert_array_equal(found.label, cohort.label)
        np.testing.assert_array_equal(found.event_time, cohort.event_time)
        assert found.counts["no such patient"] == 1
        assert found.counts["outside the task"] == 1


def test_a_release_can_read_what_it_is_asked(ward: Any) -> None:
    packed = ward.packed([(1, None, "DEMOGRAPHIC/SEX=male", None), (1, 5.0, "LOINC/2160-0", 1.5)])
    spec, task = EndpointSpec(url="https://x/residency/v1/ask"), ward.task(gap_days=5.0)
    chart = chart_of(packed, ward.codes, 0, ward.microseconds(6.0), spec)
    context = read_context(body_of(chart, task, spec, "1"))
    events = events_of_meds(bytes(context.meds), {}).events
    assert events.column("code").to_pylist() == ["DEMOGRAPHIC/SEX=male", "LOINC/2160-0"]
    assert read_question(bytes(context.question)) == task.question
    assert context.as_of - events.column("time").to_pylist()[1] == timedelta(days=1)
