"""Forecasts of sets, of values and of what comes before something else: coherent, and right where planted."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented_charts import index_times
from scipy.integrate import solve_ivp
from sklearn.metrics import roc_auc_score

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Forecast, Outcome, read_question
from residency.model import Model, Range
from residency.reasoning import Examined, Index, Limits, ask
from residency.reasoning.abstaining import history_of
from residency.reasoning.incidence import cumulative_incidence, incidence_inside
from residency.reasoning.outcomes import Family, cause_of
from residency.timeline import Vocabulary, take, until

LAB, VISIT, PARENT, STAGES = "LOINC/2160-0", "VISIT/AMB", "ICD10CM/N18", ("ICD10CM/N18.3", "ICD10CM/N18.4")
DEATH = "MEDS_DEATH"
EVERYTHING = Limits(min_moments=0)
DAYS = (10.0, 60.0, 300.0)


def outcome(*codes: str, **more: object) -> Outcome:
    return Outcome(name="-".join(map(str, (*codes, *more.values()))), codes=codes, **more)  # type: ignore[arg-type]


ALL = (
    *(outcome(LAB, above=x) for x in (3.5, 2.5, 1.5, -5.0)),
    outcome(LAB),
    outcome(LAB, above=2.5, before=(DEATH, PARENT)),
    outcome(LAB, above=2.5, before=(PARENT,)),
    outcome(PARENT),
    outcome(PARENT, before=(VISIT,)),
    outcome(DEATH, before=(VISIT,)),
    outcome(VISIT, before=(DEATH,)),
    outcome(STAGES[0], LAB),
    outcome(*STAGES, LAB),
    outcome(PARENT, LAB),
    outcome(PARENT, LAB, DEATH),
    outcome(*STAGES),
    outcome(LAB, below=2.5),
)
ASKED = Forecast(outcomes=ALL, horizons_days=DAYS)


@pytest.fixture(scope="module")
def risk(model: Model, packed: Packed) -> dict[Outcome, np.ndarray]:
    found = ask(model, packed, [ASKED], index_times(packed, 60, 1), limits=EVERYTHING)
    assert np.isfinite(found.risk).all()
    assert (found.low <= found.risk).all()
    return {one: found.risk[:, 3 * n : 3 * n + 3] for n, one in enumerate(ALL)}


def test_a_looser_threshold_is_never_less_likely_and_none_is_likelier_than_the_code(risk: dict) -> None:
    rising = [risk[outcome(LAB, above=x)] for x in (3.5, 2.5, 1.5, -5.0)] + [risk[outcome(LAB)]]
    for strict, loose in pairwise(rising):
        assert (loose >= strict - 1e-6).all()
    assert (risk[outcome(LAB)] >= risk[outcome(LAB, below=2.5)] - 1e-6).all()
    assert (np.diff(risk[outcome(LAB, above=2.5)], axis=1) >= -1e-6).all()


def test_what_must_come_first_is_never_likelier_and_falls_with_more_that_ends_the_window(risk: dict) -> None:
    assert (risk[outcome(PARENT, before=(VISIT,))] <= risk[outcome(PARENT)] + 1e-6).all()
    free, one, two = (
        risk[outcome(LAB, above=2.5, **more)]
        for more in ({}, {"before": (PARENT,)}, {"before": (DEATH, PARENT)})
    )
    assert (one <= free + 1e-6).all()
    assert (two <= one + 1e-6).all()
    either = risk[outcome(DEATH, before=(VISIT,))] + risk[outcome(VISIT, before=(DEATH,))]
    assert (either <= 1.0 + 1e-6).all()


def test_a_larger_set_is_never_less_likely_and_no_set_beats_its_sum(risk: dict) -> None:
    nested = [(STAGES[0], LAB), (*STAGES, LAB), (PARENT, LAB), (PARENT, LAB, DEATH)]
    for small, large in pairwise(nested):
        assert (risk[outcome(*large)] >= risk[outcome(*small)] - 1e-6).all()
    assert (risk[outcome(*STAGES)] <= risk[outcome(PARENT)] + 1e-6).all()
    assert (risk[outcome(PARENT, LAB)] >= np.maximum(risk[outcome(PARENT)], risk[outcome(LAB)]) - 1e-6).all()


@given(seed=st.integers(0, 1_000))
@settings(max_examples=2, deadline=None)
def test_every_prefix_equals_cut_then_ask_in_whatever_order_a_moment_is_told(
    model: Model, packed: Packed, seed: int
) -> None:
    index, rng = index_times(packed, 3, seed), np.random.default_rng(seed)
    owner = np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))
    order = np.lexsort((rng.random(packed.n_events), owner))
    names = ("event_code", "event_value", "event_time", "event_ref")
    shuffled = packed.with_arrays(**{name: np.asarray(getattr(packed, name))[order] for name in names})
    together = ask(model, shuffled, [ASKED], index, limits=EVERYTHING)
    for row in range(len(index)):
        cut = until(take(packed, index.patient[row : row + 1]), int(index.as_of[row]))
        alone = ask(
            model, cut, [ASKED], Index(np.zeros(1, np.int64), index.as_of[row : row + 1]), limits=EVERYTHING
        )
        np.testing.assert_allclose(alone.risk[0], together.risk[row], atol=1e-5)


def beyond(packed: Packed, index: Index, model: Model, above: float, days: float) -> np.ndarray:
    code, came = model.vocabulary.index_of(LAB), []
    owner = np.repeat(np.arange(packed.n_moments), np.diff(packed.event_offset))
    for who, as_of in zip(index.patient.tolist(), index.as_of.tolist(), strict=True):
        first, end = packed.moment_offset[who : who + 2]
        mine = (owner >= first) & (owner < end) & (packed.event_code == code)
        time = packed.moment_time[owner[mine]]
        later = (time > as_of) & (time <= as_of + days * DAY)
        came.append(bool((packed.event_value[mine][later] > above).any()))
    return np.array(came)


def test_a_planted_high_value_is_foretold_and_as_often_as_it_comes(model: Model, packed: Packed) -> None:
    """The ill have values around 3, the others around 1; every three weeks."""
    index = index_times(packed, 400, 11)
    seen = packed.observation_end[packed.observation_offset[index.patient + 1] - 1]
    index = index.take(np.flatnonzero(seen >= index.as_of + 40 * DAY))
    question = Forecast(outcomes=(outcome(LAB, above=2.0),), horizons_days=(40.0,))
    said = ask(model, packed, [question], index, limits=EVERYTHING).risk[:, 0]
    came = beyond(packed, index, model, 2.0, 40.0)
    assert roc_auc_score(came, said) > 0.85
    assert came.sum() / said.sum() == pytest.approx(1.0, abs=0.2)


def test_a_first_value_above_is_not_forecast_after_it_came(model: Model, packed: Packed) -> None:
    index = index_times(packed, 60, 12)
    question = Forecast(outcomes=(outcome(LAB, above=2.5),), horizons_days=(40.0,), occurrence="incident")
    answers = ask(model, packed, [question], index, limits=EVERYTHING)
    past = Index(index.patient, np.zeros(60, np.int64))
    had = beyond(packed, past, model, 2.5, 0.0)
    code = np.array([model.vocabulary.index_of(LAB)])
    assert len(history_of(packed, code, Range(int(code[0]), 2.5, np.inf)).moment) < len(
        history_of(packed, code).moment
    )
    for row, as_of in enumerate(index.as_of.tolist()):
        had[row] = beyond(packed, past.take(np.array([row])), model, 2.5, as_of / DAY)[0]
    assert [bool(answers[row].abstentions) for row in range(60)] == had.tolist()
    assert 0 < had.sum() < 60


@pytest.mark.parametrize(
    "asked",
    [outcome(PARENT, before=(STAGES[0],)), outcome(LAB, before=(LAB,)), outcome(LAB, VISIT, above=1.0)],
)
def test_what_can_have_no_answer_is_refused(model: Model, packed: Packed, asked: Outcome) -> None:
    with pytest.raises(QuestionError):
        ask(model, packed, [Forecast(outcomes=(asked,), horizons_days=DAYS)], index_times(packed, 1, 0))


@pytest.mark.parametrize(
    "asked",
    [
        outcome(VISIT, above=1.0),
        outcome(LAB, above=1e9),
        outcome(LAB, below=-1e9),
        outcome(LAB, before=("X/1",)),
    ],
)
def test_values_and_windows_that_the_model_does_not_know_have_no_figure(
    model: Model, packed: Packed, asked: Outcome
) -> None:
    question = Forecast(outcomes=(asked, outcome(PARENT)), horizons_days=(30.0,))
    answer = ask(model, packed, [question], index_times(packed, 1, 2))[0]
    assert [one.outcome for one in answer.risks] == [PARENT]
    assert [one.reason for one in answer.abstentions] == ["not_examined"]


def test_another_window_or_value_than_the_examined_one_is_not_answered(model: Model, packed: Packed) -> None:
    asked = outcome(LAB, above=2.0, before=(PARENT,))
    allowed = frozenset({Examined.of(asked, 30.0, "any")})
    for other, n in (
        (asked, 1),
        (outcome(LAB, above=2.0), 0),
        (outcome(LAB, above=1.0, before=(PARENT,)), 0),
    ):
        question = Forecast(outcomes=(other,), horizons_days=(30.0,))
        assert len(ask(model, packed, [question], index_times(packed, 1, 2), allowed=allowed)[0].risks) == n


def test_a_question_of_values_and_windows_is_read_from_json_and_a_label_has_neither() -> None:
    body = {"name": "high", "codes": [LAB], "above": 2.0, "before": [VISIT]}
    question = read_question({"kind": "forecast", "outcomes": [body]})
    assert isinstance(question, Forecast)
    assert question.outcomes[0].before == (VISIT,)
    assert read_question(msgspec.json.encode(question)) == question
    for wrong in ({"label": "ill", "codes": []}, {"above": 3.0, "below": 2.0}, {"above": float("inf")}):
        with pytest.raises(QuestionError):
            read_question({"kind": "forecast", "outcomes": [{**body, **wrong}]})


TREE = {"": (), "A": (), "A.1": ("A",), "A.2": ("A",), "A.1.x": ("A.1", "A"), "B": (), "B.1": ("B",), "C": ()}


def family() -> Family:
    codes = tuple(TREE)
    place = {code: number for number, code in enumerate(codes)}
    above = [[place[one] for one in TREE[code]] for code in codes]
    n, none = len(codes), np.zeros(0, np.float32)
    offset = np.concatenate([[0], np.cumsum([len(one) for one in above])])
    flat, zero = np.array([one for many in above for one in many], np.int32), np.zeros(n + 1, np.int64)
    vocabulary = Vocabulary(
        codes, ("",) * n, (None,) * n, zero[1:], zero[1:], offset, flat, zero, none, none, {}
    )
    return Family(vocabulary, codes[1:])


@given(seed=st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_hazards_of_sets_are_coherent_whatever_stands_above_what(seed: int) -> None:
    rng, kin = np.random.default_rng(seed), family()
    n = len(kin.targets)
    hazards = (rng.random((2, 1, n, 3)) ** 3).astype(np.float32)
    shared = rng.dirichlet(np.full(5, 0.3), n).astype(np.float32)
    column = {one: one for one in range(n)}

    def hazard(*codes: str) -> np.ndarray:
        return cause_of(codes, kin).hazard(hazards, column, shared)

    some = rng.permutation(kin.targets)[: rng.integers(1, n)].tolist()
    more = [*some, *rng.permutation(kin.targets)[:2].tolist()]
    single = {code: hazard(code) for code in kin.targets}
    assert (hazard(*more) >= hazard(*some) - 1e-5).all()
    assert (hazard(*some) >= np.max([single[code] for code in some], axis=0) - 1e-5).all()
    assert (hazard(*some) <= np.sum([single[code] for code in some], axis=0) + 1e-5).all()
    assert (hazard("A.1", "A.2") <= single["A"] + 1e-6).all()
    assert np.array_equal(single["B.1"], hazards[:, :, kin.targets.index("B.1")])
    assert hazard(*reversed(some)) == pytest.approx(hazard(*some), rel=1e-5)


HAZARDS = st.lists(st.floats(0.0, 3.0), min_size=3, max_size=3).map(np.array)
SHARES = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).map(np.array)
EDGES, HORIZONS = np.array([0.0, 1.0, 4.0, 10.0]), np.array([0.5, 3.0, 10.0])


@given(rate=HAZARDS, first=SHARES, later=HAZARDS, against=HAZARDS)
@settings(max_examples=6, deadline=None)
def test_the_incidence_of_values_solves_its_differential_equations(
    rate: np.ndarray, first: np.ndarray, later: np.ndarray, against: np.ndarray
) -> None:
    def flow(days: float, state: np.ndarray, at: int) -> np.ndarray:
        waiting, missed, _ = state
        new, again = rate[at] * waiting, later[at] * missed
        return np.array(
            [-(rate[at] + against[at]) * waiting, new * (1 - first[at]) - again - against[at] * missed,
             new * first[at] + again]
        )  # fmt: skip

    state, by_hand = np.array([1.0, 0.0, 0.0]), []
    for at in range(3):
        days = HORIZONS[at] - EDGES[at]
        by_hand.append(solve_ivp(flow, (0, days), state, args=(at,), rtol=1e-9, atol=1e-11).y[2, -1])
        state = solve_ivp(flow, (0, EDGES[at + 1] - EDGES[at]), state, args=(at,), rtol=1e-9, atol=1e-11).y[
            :, -1
        ]
    said = incidence_inside(rate, (first, later), against, EDGES, HORIZONS)
    assert said == pytest.approx(np.array(by_hand), abs=1e-6)


@given(rate=HAZARDS, first=SHARES, later=HAZARDS, against=HAZARDS, more=SHARES)
@settings(max_examples=40, deadline=None)
def test_values_inside_come_no_more_often_than_the_code_and_less_often_the_fewer_count(
    rate: np.ndarray, first: np.ndarray, later: np.ndarray, against: np.ndarray, more: np.ndarray
) -> None:
    said = incidence_inside(rate, (first, later), against, EDGES, HORIZONS)
    whole = cumulative_incidence(rate, against, EDGES, HORIZONS)
    assert (said <= whole + 1e-9).all()
    assert (np.diff(said) >= -1e-9).all()
    assert (
        incidence_inside(rate, (first * more, later * more), against, EDGES, HORIZONS) <= said + 1e-9
    ).all()
    assert (incidence_inside(rate, (first, later), against + more, EDGES, HORIZONS) <= said + 1e-9).all()
    every = incidence_inside(rate, (np.ones(3), later), against, EDGES, HORIZONS)
    assert every == pytest.approx(whole, abs=1e-9)
