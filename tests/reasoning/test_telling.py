"""Questions that are answered from the chart, by the one door that forecasts go through."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import index_times

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.contract.questions import (
    Answer,
    AnyQuestion,
    Changes,
    Differential,
    Draft,
    Forecast,
    LikeThis,
    NextTest,
    Outcome,
    Rollout,
    Treatment,
)
from residency.model import Model
from residency.reasoning import Alike, Index, alike_of, ask
from residency.reasoning.answers import instant
from residency.timeline import Timelines, take, until

PARENT = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
FORECAST = Forecast(outcomes=(PARENT,), horizons_days=(30.0,))


def every_kind(as_of: int) -> list[AnyQuestion]:
    since = instant(as_of) - timedelta(days=60)
    return [
        Changes(since=since),
        Changes(since=since, outcomes=(PARENT,), horizon_days=90.0),
        Treatment(options=("losartan", "warfarin"), outcome=PARENT, horizon_days=365.0),
        Differential(imminent_days=30.0),
        NextTest(outcome=PARENT, horizon_days=365.0, act_above=0.4, tests=("creatinine",)),
        LikeThis(outcomes=(PARENT,)),
        Rollout(horizon_days=30.0, draws=5),
        *(Draft(document=document) for document in get_args(Draft.__annotations__["document"])),
    ]


@pytest.fixture(scope="module")
def alike(model: Model, timelines: Path) -> Alike:
    return alike_of(model, Timelines.open(timelines))


def records_of(packed: Packed) -> pl.DataFrame:
    return pl.DataFrame({"source": [f"Observation/{row}" for row in range(int(packed.event_ref.max()) + 1)]})


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same, figures to the fifth digit."""
    for a, b in zip(one.risks, other.risks, strict=True):
        assert a.probability == pytest.approx(b.probability, abs=1e-5)
    for before, after in zip(one.moved, other.moved, strict=True):
        assert before.change == pytest.approx(after.change, abs=1e-5)
    bare = [msgspec.structs.replace(answer, risks=(), moved=()) for answer in (one, other)]
    return bare[0] == bare[1]


@given(seed=st.integers(0, 1_000))
@settings(max_examples=6, deadline=None)
def test_nothing_that_becomes_available_later_changes_any_answer_of_any_kind(
    model: Model, packed: Packed, alike: Alike, seed: int
) -> None:
    index, records = index_times(packed, 1, seed), records_of(packed)
    questions = [*every_kind(int(index.as_of[0])), FORECAST]
    whole = ask(model, packed, questions, index, records=records, alike=alike)
    alone = until(take(packed, index.patient), int(index.as_of[0]))
    cut = ask(
        model, alone, questions, Index(np.zeros(1, np.int64), index.as_of), records=records, alike=alike
    )
    for number in range(len(questions)):
        assert same(whole.answer(0, number), cut.answer(0, number))


def test_kinds_are_asked_together_and_answered_in_their_order(model: Model, packed: Packed) -> None:
    index = index_times(packed, 3, 1)
    changes = Changes(since=instant(int(index.as_of.min())), outcomes=(PARENT,))
    answers = ask(model, packed, [changes, FORECAST, changes, FORECAST], index)
    assert [answers.answer(2, number).kind for number in range(4)] == ["changes", "forecast"] * 2
    alone = ask(model, packed, [FORECAST], index)
    assert answers.answer(2, 1) == alone[2] == answers.answer(2, 3)
    now = ask(model, packed, [Forecast(outcomes=(PARENT,), horizons_days=(365.25,))], index)
    assert answers.answer(1, 0).risks == now[1].risks


def test_every_statement_of_a_change_cites_a_record(model: Model, packed: Packed) -> None:
    index = index_times(packed, 40, 2)
    changes = Changes(since=instant(int(index.as_of.min())), outcomes=(PARENT,))
    answers = ask(model, packed, [changes], index, records=records_of(packed))
    found = [one for row in range(40) for one in answers[row].statements]
    cited = [one for one in found if one.tag not in ("not_checked", "moved_risk")]
    assert cited
    assert all(one.citations for one in cited)


def test_a_release_moves_no_risk_that_it_was_not_examined_for(model: Model, packed: Packed) -> None:
    index = index_times(packed, 1, 3)
    changes = Changes(since=instant(int(index.as_of[0]) - 1), outcomes=(PARENT,))
    answer = ask(model, packed, [changes], index, allowed=frozenset())[0]
    assert not answer.risks
    assert {one.reason for one in answer.abstentions} == {"not_examined"}
    assert not any(one.tag == "moved_risk" for one in answer.statements)


def test_a_date_after_the_time_of_asking_is_refused(model: Model, packed: Packed) -> None:
    index = index_times(packed, 1, 4)
    with pytest.raises(QuestionError, match="since lies after"):
        ask(model, packed, [Changes(since=instant(int(index.as_of[0])) + timedelta(days=1))], index)


def test_of_nobody_nothing_is_told(model: Model, packed: Packed) -> None:
    index = Index(np.zeros(1, np.int64), packed.moment_time[[1]] - 40_000 * DAY)
    (question, *_) = every_kind(int(index.as_of[0]))
    answer = ask(model, packed, [question], index)[0]
    assert not answer.statements
    assert [one.reason for one in answer.abstentions] == ["too_little_history"]
