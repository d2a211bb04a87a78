from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import index_times

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Answer, Forecast, Outcome, read_question
from residency.model import Model
from residency.reasoning import Examined, Index, Limits, ask
from residency.timeline import take, until

PARENT = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
STAGE_3 = Outcome(name="stage_3", codes=("ICD10CM/N18.3",))
BOTH = Outcome(name="either_stage", codes=("ICD10CM/N18.3", "ICD10CM/N18.4"))
DYING = Outcome(name="death", codes=("MEDS_DEATH",))
ILL = Outcome(name="ill", label="ill")
QUESTION = Forecast(outcomes=(PARENT, STAGE_3, BOTH, DYING, ILL), horizons_days=(10.0, 45.0, 400.0))
EVERYTHING = Limits(min_moments=0)


@given(seed=st.integers(0, 1_000))
@settings(max_examples=5, deadline=None)
def test_every_prefix_equals_cut_then_ask(model: Model, packed: Packed, seed: int) -> None:
    index = index_times(packed, 12, seed)
    together = ask(model, packed, [QUESTION], index, limits=EVERYTHING)
    for row in range(len(index)):
        alone = take(packed, index.patient[row : row + 1])
        cut = until(alone, int(index.as_of[row]))
        answer = ask(
            model,
            cut,
            [QUESTION],
            Index(np.zeros(1, np.int64), index.as_of[row : row + 1]),
            limits=EVERYTHING,
        )
        np.testing.assert_allclose(answer.risk[0], together.risk[row], atol=1e-5)
        np.testing.assert_allclose(answer.high[0], together.high[row], atol=1e-5)
        assert answer.reason[0].tolist() == together.reason[row].tolist()


@given(seed=st.integers(0, 1_000))
@settings(max_examples=8, deadline=None)
def test_what_comes_after_the_index_time_changes_nothing(model: Model, packed: Packed, seed: int) -> None:
    index = index_times(packed, 30, seed)
    before = ask(model, packed, [QUESTION], index, limits=EVERYTHING)
    latest = np.full(packed.n_patients, np.iinfo(np.int64).max)
    latest[index.patient] = 0
    np.maximum.at(latest, index.patient, index.as_of)
    owner = np.repeat(np.arange(packed.n_patients), np.diff(packed.moment_offset))
    later = np.repeat(packed.moment_time > latest[owner], np.diff(packed.event_offset))
    rng = np.random.default_rng(seed)
    code, value = packed.event_code.copy(), packed.event_value.copy()
    code[later] = rng.permutation(code[later])
    value[later] = rng.normal(100, 50, later.sum())
    after = ask(
        model, packed.with_arrays(event_code=code, event_value=value), [QUESTION], index, limits=EVERYTHING
    )
    np.testing.assert_allclose(after.risk, before.risk, atol=1e-6)
    assert (after.reason == before.reason).all()


def test_other_patients_in_the_batch_change_nothing(model: Model, packed: Packed) -> None:
    index = index_times(packed, 25, 3)
    together = ask(model, packed, [QUESTION], index)
    for row in (0, 7, 24):
        alone = ask(model, packed, [QUESTION], index.take(np.array([row])))
        np.testing.assert_allclose(alone.risk[0], together.risk[row], atol=1e-5)


def test_the_order_of_index_times_changes_nothing(model: Model, packed: Packed) -> None:
    index = index_times(packed, 40, 4)
    shuffled = np.random.default_rng(0).permutation(40)
    straight = ask(model, packed, [QUESTION], index)
    np.testing.assert_allclose(
        ask(model, packed, [QUESTION], index.take(shuffled)).risk, straight.risk[shuffled], atol=1e-5
    )


def test_risks_rise_with_the_horizon_and_lie_in_their_interval(model: Model, packed: Packed) -> None:
    answers = ask(model, packed, [QUESTION], index_times(packed, 200, 5))
    for start in range(0, 12, 3):
        for bound in (answers.risk, answers.low, answers.high):
            assert (np.diff(bound[:, start : start + 3], axis=1) >= -1e-6).all()
    assert (answers.low <= answers.risk).all()
    assert (answers.risk <= answers.high).all()


def test_a_parent_is_never_less_likely_than_its_child(model: Model, packed: Packed) -> None:
    risk = ask(model, packed, [QUESTION], index_times(packed, 200, 6)).risk
    parent, child, both = risk[:, 0:3], risk[:, 3:6], risk[:, 6:9]
    assert (parent >= child - 1e-6).all()
    assert (parent >= both - 1e-6).all()
    assert (both >= child - 1e-6).all()


def test_a_taught_code_speaks_for_itself_and_bounds_those_below_it(model: Model, packed: Packed) -> None:
    taught = replace(model, taught=((model.targets.index("ICD10CM/N18"), (0,)),))
    index = index_times(packed, 200, 6)
    before, after = (ask(one, packed, [QUESTION], index).risk for one in (model, taught))
    parent, child, both = after[:, 0:3], after[:, 3:6], after[:, 6:9]
    assert (parent <= before[:, 0:3] + 1e-6).all()
    assert (parent < before[:, 0:3] - 1e-6).any()  # what its children say no longer lifts it
    assert (parent >= both - 1e-6).all()
    assert (both >= child - 1e-6).all()
    alone = ask(taught, packed, [msgspec.structs.replace(QUESTION, outcomes=(STAGE_3,))], index).risk
    np.testing.assert_allclose(alone, child, atol=1e-6)
    assert np.array_equal(after[:, 9:], before[:, 9:])


def test_what_else_is_asked_changes_no_risk(model: Model, packed: Packed) -> None:
    index = index_times(packed, 30, 7)
    all_of_it = ask(model, packed, [QUESTION], index).risk[:, 0:3]
    alone = ask(
        model, packed, [Forecast(outcomes=(PARENT,), horizons_days=QUESTION.horizons_days)], index
    ).risk
    np.testing.assert_allclose(alone, all_of_it, atol=1e-6)


def test_a_first_occurrence_is_not_forecast_after_it_came(model: Model, packed: Packed) -> None:
    n18 = [model.vocabulary.index_of(f"ICD10CM/N18.{stage}") for stage in (3, 4)]
    index = index_times(packed, 200, 8)
    first = Forecast(outcomes=(PARENT,), horizons_days=(30.0,), occurrence="incident")
    again = msgspec.structs.replace(first, occurrence="recurrent")
    incident, recurrent = (ask(model, packed, [q], index, limits=EVERYTHING) for q in (first, again))
    for row in range(len(index)):
        moments = packed.moments_of(int(index.patient[row]))
        events = slice(packed.event_offset[moments.start], packed.event_offset[moments.stop])
        times = np.repeat(
            packed.moment_time[moments], np.diff(packed.event_offset[moments.start : moments.stop + 1])
        )
        had = bool((np.isin(packed.event_code[events], n18) & (times <= index.as_of[row])).any())
        assert [one.reason for one in incident[row].abstentions] == (["already_present"] if had else [])
        assert [one.reason for one in recurrent[row].abstentions] == ([] if had else ["never_present"])


def test_what_was_not_examined_is_not_answered(model: Model, packed: Packed) -> None:
    allowed = frozenset({Examined.of(PARENT, 45.0, "any")})
    answer = ask(model, packed, [QUESTION], index_times(packed, 1, 9), allowed=allowed, release="abc")[0]
    assert [(risk.outcome, risk.horizon_days) for risk in answer.risks] == [("kidney_disease", 45.0)]
    assert {one.outcome for one in answer.abstentions} == {outcome.name for outcome in QUESTION.outcomes}
    assert {one.reason for one in answer.abstentions} == {"not_examined"}
    assert not answer.research
    assert answer.release == "abc"


def test_another_outcome_under_an_examined_name_is_not_answered(model: Model, packed: Packed) -> None:
    allowed = frozenset({Examined.of(STAGE_3, 45.0, "any")})
    disguised = Outcome(name=STAGE_3.name, codes=DYING.codes)
    question = Forecast(outcomes=(disguised,), horizons_days=(45.0,))
    assert not ask(model, packed, [question], index_times(packed, 1, 1), allowed=allowed)[0].risks


def test_an_unknown_code_is_an_abstention_and_not_an_error(model: Model, packed: Packed) -> None:
    question = Forecast(
        outcomes=(Outcome(name="rare", codes=("ICD10CM/E75.2",)), PARENT), horizons_days=(30.0,)
    )
    answer = ask(model, packed, [question], index_times(packed, 1, 2))[0]
    assert [risk.outcome for risk in answer.risks] == ["kidney_disease"]
    assert [(one.outcome, one.reason) for one in answer.abstentions] == [("rare", "not_examined")]


def test_nobody_is_answered_before_their_first_record_or_long_after_their_last(
    model: Model, packed: Packed
) -> None:
    first, last = packed.moment_time[1], packed.moment_time[packed.moment_offset[1] - 1]
    unseen = packed.with_arrays(
        observation_offset=packed.observation_offset * 0,
        observation_start=packed.observation_start[:0],
        observation_end=packed.observation_end[:0],
    )
    index = Index(np.zeros(3, np.int64), np.array([first - 1, first, last + 800 * DAY]))
    answers = ask(model, unseen, [QUESTION], index)
    reasons = [{one.reason for one in answers[row].abstentions} for row in range(3)]
    assert reasons == [{"too_little_history"}, set(), {"stale_feed"}]
    assert answers[0].freshness.latest is None
    assert answers[2].freshness.age_days == pytest.approx(800)


def test_nobody_is_answered_after_their_observation(model: Model, packed: Packed) -> None:
    index = Index(np.zeros(1, np.int64), packed.observation_end[:1] + DAY)
    assert {one.reason for one in ask(model, packed, [QUESTION], index)[0].abstentions} == {
        "outside_observation"
    }


def test_a_patient_of_unknown_codes_is_out_of_distribution(model: Model, packed: Packed) -> None:
    strange = packed.with_arrays(event_code=packed.event_code * 0)
    index = index_times(packed, 5, 2)
    late = Index(index.patient, packed.moment_time[packed.moment_offset[index.patient + 1] - 1])
    answers = ask(model, strange, [QUESTION], late)
    assert {one.reason for row in range(5) for one in answers[row].abstentions} == {"out_of_distribution"}


def test_an_answer_survives_the_contract(model: Model, packed: Packed) -> None:
    answer = ask(model, packed, [QUESTION], index_times(packed, 1, 12))[0]
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
    assert answer.research
    assert len(answer.risks) == 15


@pytest.mark.parametrize(
    "question",
    [
        Forecast(outcomes=(PARENT,), horizons_days=(1e6,)),
        Forecast(outcomes=(Outcome(name="x", label="nobody_trained_this"),)),
        Forecast(outcomes=(PARENT,), evidence=True),
    ],
)
def test_what_the_model_cannot_answer_is_refused(model: Model, packed: Packed, question: Forecast) -> None:
    with pytest.raises(QuestionError):
        ask(model, packed, [question], index_times(packed, 1, 0))


def test_a_question_read_from_json_is_answered(model: Model, packed: Packed) -> None:
    body = b'{"kind": "forecast", "outcomes": [{"name": "death", "codes": ["MEDS_DEATH"]}]}'
    assert len(ask(model, packed, [read_question(body)], index_times(packed, 1, 0))[0].risks) == 2
