"""Which test would settle a decision: its value, held against a hand-worked case and against simulation."""

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented_charts import events_of, vocabulary_of

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Forecast, NextTest, Outcome
from residency.model import Measured, Model
from residency.reasoning import Index, ask
from residency.reasoning.choosing import ranked
from residency.reasoning.supposing import Result, suppose
from residency.reasoning.trying import Choice, Tried, choices, results_of, worth
from residency.timeline import events_of as rows_of
from residency.timeline import packing_of, take, until

STAGE = Outcome(name="kidney_disease", codes=("ICD10CM/N18",))
QUESTION = NextTest(outcome=STAGE, horizon_days=400.0, act_above=0.4, tests=("creatinine",))
risks = st.lists(st.floats(0, 1), min_size=1, max_size=9)


def tried(risk: list[float], cost: float = 10.0) -> Tried:
    n = len(risk)
    return Tried(
        Choice("creatinine", 1, cost, 5.0), np.arange(n, dtype=float), np.full(n, 1 / n), np.array(risk)
    )


@given(risk=risks, act_above=st.floats(0.01, 0.99))
def test_a_test_is_never_worth_less_than_nothing_and_nothing_where_no_result_changes_the_decision(
    risk: list[float], act_above: float
) -> None:
    one = tried(risk)
    assert one.worth(act_above) >= 0
    if min(risk) > act_above or max(risk) < act_above:
        assert one.worth(act_above) == pytest.approx(0, abs=1e-9)
        assert one.crosses(act_above) == 0


@given(risk=risks, act_above=st.floats(0.05, 0.95))
def test_a_tests_worth_is_the_net_benefit_that_deciding_after_it_brings(
    risk: list[float], act_above: float
) -> None:
    one = tried(risk)
    harm = act_above / (1 - act_above)
    after = np.mean([max(r - (1 - r) * harm, 0) for r in risk])
    mean = float(np.mean(risk))
    assert one.worth(act_above) == pytest.approx(after - max(mean - (1 - mean) * harm, 0), abs=1e-9)


def test_more_worth_for_less_money_comes_first() -> None:
    dear, cheap, idle = tried([0.0, 0.8], 40.0), tried([0.1, 0.7], 10.0), tried([0.3, 0.3], 0.0)
    assert [one.choice.cost for one in ranked([dear, idle, cheap], 0.5)] == [10.0, 40.0, 0.0]
    assert worth(dear.risk, dear.weight, 0.5) > worth(cheap.risk, cheap.weight, 0.5)


def test_a_result_that_one_in_two_hundred_has_may_be_what_a_test_is_worth() -> None:
    come = Measured(
        "LOINC/33762-6",
        "pg/mL",
        np.array([0.0, 400.0, 4000.0], np.float32),
        np.array([90.0, 900.0], np.float32),
        np.array([[0.5, 0.5], [0.995, 0.005]], np.float32),
    )
    value, weight = results_of(come, 1)
    assert value.tolist() == [90.0, 900.0]
    one = Tried(Choice("nt_pro_bnp", 1, 25.0, 5.0), value, weight, np.array([0.02, 0.9]))
    assert one.worth(0.06) == pytest.approx(0.005 * (0.9 - 0.06) / 0.94, rel=1e-4)


@pytest.mark.parametrize("joins", [True, False])
def test_a_supposed_result_stands_at_the_end_and_changes_nothing_before(joins: bool) -> None:
    events = events_of([(0.0, "VISIT/AMB"), (5.0, "LOINC/2160-0", 1.0)])
    vocabulary = vocabulary_of(["VISIT/AMB", "LOINC/2160-0"])
    packed = packing_of(events, vocabulary).packed
    last = int(packed.moment_time[-1])
    creatinine = vocabulary.index_of("LOINC/2160-0")
    results = [(Result(creatinine, 3.0),), (Result(creatinine, 9.0),)]
    made, index = suppose(packed, results, last if joins else last + DAY)
    assert made.n_patients == 2
    assert index.as_of.tolist() == [last + 1 if joins else last + DAY] * 2
    for patient, value in ((0, 3.0), (1, 9.0)):
        rows = rows_of(made, patient)
        assert rows.value[-1] == value
        assert rows.available[-1] == rows.time[-1] == index.as_of[patient]
        assert rows.code[:-1].tolist() == rows_of(packed, 0).code.tolist()


def places(packed: Packed, n: int) -> Index:
    return Index(np.arange(n), packed.moment_time[packed.moment_offset[1 : n + 1] - 1])


def test_a_supposed_result_counts_as_though_it_had_come(model: Model, packed: Packed) -> None:
    """Records with the result in them and the same result supposed give the same risk."""
    index = places(packed, 1)
    before = int(index.as_of[0]) - 1
    cut = until(take(packed, index.patient), before)
    creatinine = model.vocabulary.index_of("LOINC/2160-0")
    real = until(take(packed, index.patient), int(index.as_of[0]))
    there = rows_of(real, 0)
    newest = there.available == int(index.as_of[0])
    results = tuple(
        Result(int(c), float(v)) for c, v in zip(there.code[newest], there.value[newest], strict=True)
    )
    assert creatinine in [one.code for one in results] or len(results)
    ask_ = Forecast(outcomes=(STAGE,), horizons_days=(400.0,), interval=False)
    at = Index(np.zeros(1, np.int64), index.as_of)
    supposed, earlier = suppose(cut, [results], before)
    assert ask(model, supposed, [ask_], earlier).risk[0, 0] == pytest.approx(
        float(ask(model, real, [ask_], at).risk[0, 0]), abs=1e-5
    )


def test_the_clinics_one_telling_test_is_advised_where_the_decision_hangs_on_it(
    model: Model, packed: Packed
) -> None:
    records = pl.DataFrame({"source": [f"Observation/{n}" for n in range(int(packed.event_ref.max()) + 1)]})
    plain = Forecast(outcomes=(STAGE,), horizons_days=(400.0,), interval=False)
    index = places(packed, 4)
    risk = ask(model, packed, [plain], index).risk[:, 0]
    advised = []
    for row in np.flatnonzero(np.isfinite(risk)):
        one = index.take(np.array([row]))
        near = [min(float(risk[row]) * share, 0.99) for share in np.linspace(0.5, 1.5, 21)]
        questions = [msgspec.structs.replace(QUESTION, act_above=level) for level in (*near, 0.9999)]
        answers = ask(model, packed, questions, one, records=records)
        said = [answers.answer(0, number).statements for number in range(len(questions))]
        advised += [text for statements in said for text in statements if text.tag == "test"]
        assert "no_test" in {text.tag for text in said[-1]}
    assert advised
    assert all(one.citations for one in advised)


def test_an_unknown_test_and_a_cost_of_nothing_asked_about_are_refused(model: Model, packed: Packed) -> None:
    index = places(packed, 1)
    for change in (
        {"tests": ("creatinin",)},
        {"tests": ("LOINC/0-0",)},
        {"costs": {"hba1c": 3.0}},
        {"costs": {"creatinine": -1.0}},
    ):
        with pytest.raises(QuestionError):
            ask(model, packed, [msgspec.structs.replace(QUESTION, **change)], index)


def test_the_questions_own_price_goes_before_the_tables(model: Model) -> None:
    (own,) = choices(
        NextTest(
            outcome=STAGE, horizon_days=9.0, act_above=0.4, tests=("creatinine",), costs={"creatinine": 2.0}
        ),
        model.vocabulary,
    )
    (usual,) = choices(QUESTION, model.vocabulary)
    assert own.cost == 2.0
    assert usual.cost == pytest.approx(5.12 + 8.57)
