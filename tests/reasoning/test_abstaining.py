"""When there is no answer, and what is said of input that cannot be right."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import Row, chart

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Draft, Forecast, Outcome, read_question
from residency.model import Model
from residency.reasoning import Index, Limits, ask
from residency.reasoning.contradictions import contradictions
from residency.reasoning.feeds import feeds_of, stalled
from residency.reasoning.telling import tell

PARENT = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
FORECAST = Forecast(outcomes=(PARENT,), horizons_days=(30.0,))


def last(packed: Packed) -> Index:
    ends = packed.moment_offset[1:5] - 1
    return Index(np.arange(4), packed.moment_time[ends])


def reasons(model: Model, packed: Packed, question: Forecast, limits: Limits) -> set[str]:
    answers = ask(model, packed, [question], last(packed), limits=limits)
    return {one.reason for row in range(4) for one in answers[row].abstentions}


def test_a_kind_of_record_that_is_needed_and_not_there_is_a_reason(model: Model, packed: Packed) -> None:
    assert reasons(model, packed, FORECAST, Limits()) == set()
    assert reasons(model, packed, FORECAST, Limits(needed=("codes",))) == set()
    assert reasons(model, packed, FORECAST, Limits(needed=("notes",))) == {"modality_missing"}


def test_a_feed_that_is_known_to_have_stalled_is_a_reason(model: Model, packed: Packed) -> None:
    assert reasons(model, packed, FORECAST, Limits(stalled=("LOINC",))) == {"stale_feed"}


def test_an_unknown_code_gets_no_guess_and_the_nearest_known_are_named(model: Model, packed: Packed) -> None:
    strange = Forecast(outcomes=(Outcome(name="x", codes=("ICD10CM/N18.33",)),), horizons_days=(30.0,))
    answer = ask(model, packed, [strange], last(packed))[0]
    (one,) = answer.abstentions
    assert one.reason == "not_examined"
    assert "nearest known: ICD10CM/N18.3" in one.detail
    assert "N18.33" not in one.detail


@pytest.mark.parametrize("days", [float("inf"), 1e7])
def test_an_impossible_horizon_is_refused(model: Model, packed: Packed, days: float) -> None:
    with pytest.raises(QuestionError, match="horizon"):
        ask(model, packed, [Forecast(outcomes=(PARENT,), horizons_days=(days,))], last(packed))


@pytest.mark.parametrize("days", [0, -3, "soon"])
def test_a_horizon_that_is_none_cannot_be_read(days: object) -> None:
    body = {"kind": "forecast", "outcomes": [{"name": "a", "codes": ["b"]}], "horizons_days": [days]}
    with pytest.raises(QuestionError, match="horizons_days"):
        read_question(body)


def test_a_wrong_key_is_named_by_its_place_and_never_repeated() -> None:
    with pytest.raises(QuestionError) as caught:
        read_question({"kind": "draft", "document": "referral", "CANARY": 1})
    assert "CANARY" not in str(caught.value)
    assert "kinds: forecast" in str(caught.value)


def test_records_that_contradict_each_other_are_told_and_nothing_is_guessed() -> None:
    rows: list[Row] = [
        (None, "DEMOGRAPHIC/SEX=female"),
        (None, "DEMOGRAPHIC/SEX=male"),
        (0, "VISIT/AMB"),
        (10, "MEDS_DEATH"),
        (40, "LOINC/2160-0", 1.0),
    ]
    seen = chart(rows, 50)
    said = contradictions(seen)
    assert [one.text.split()[0] for one in said] == ["Different", "Care"]
    assert all(one.citations for one in said)
    assert seen.sex == ""
    answer = tell(Draft(document="referral"), seen, [])
    assert answer.statements[:2] == said
    assert any(one.text.startswith("Patient of") for one in answer.statements)
    assert contradictions(chart(rows[:1] + rows[2:4], 50)) == ()


def feed(days: list[float]) -> dict[str, np.ndarray]:
    return {"LOINC": np.sort(np.array(days) * DAY).astype(np.int64)}


def after(days: float) -> datetime:
    return datetime(1970, 1, 1) + timedelta(days=days)  # noqa: DTZ001


def test_a_feed_that_stops_is_noticed_and_one_that_pauses_as_usual_is_not() -> None:
    weekdays = [day + hour / 24 for day in range(200) if day % 7 < 5 for hour in range(8, 17)]
    assert stalled(feed(weekdays), after(201)) == ()
    assert stalled(feed(weekdays), after(210)) == ("LOINC",)
    assert stalled(feed(weekdays[:20]), after(400)) == ()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 300), min_size=60, max_size=120), st.floats(50, 250))
def test_what_a_feed_delivers_later_changes_nothing(days: list[float], now: float) -> None:
    past = [day for day in days if day <= now]
    assert stalled(feed(days), after(now)) == stalled(feed(past), after(now))


def test_feeds_are_told_apart_by_their_code_system() -> None:
    events = pl.DataFrame(
        {
            "code": ["LOINC/1", "LOINC/2", "RXNORM/3", "DEMOGRAPHIC/SEX=male"],
            "time": [after(1), after(2), after(3), None],
            "available": [after(4), None, after(3), None],
        }
    )
    found = feeds_of(events)
    assert {name: (at // DAY).tolist() for name, at in found.items()} == {"LOINC": [2, 4], "RXNORM": [3]}
