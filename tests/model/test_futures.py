"""Simulated futures: drawn as the model says, from the past alone, the same every time."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom, kstest

from residency.contract.codes import DEATH
from residency.contract.errors import QuestionError
from residency.contract.packed import DAY, Packed
from residency.model import Asked, Futures, Model, RolloutSpec, rollouts
from residency.model.anchors import anchors_of
from residency.model.running import Events, begin
from residency.model.simulating import pass_span, shared, waits
from residency.reasoning.incidence import cumulative_incidence
from residency.timeline import Timelines, take, until

SPEC = RolloutSpec(horizon_days=60.0, draws=20)
KIDNEY = "ICD10CM/N18.3"


@pytest.fixture(scope="module")
def asked(data: Timelines) -> Asked:
    packed = data.shards[0]
    ill = np.flatnonzero(packed.label_value[packed.label_offset[:-1]] == 1)
    patient = ill[np.diff(packed.moment_offset)[ill] > 6][:4]
    return Asked(patient, np.asarray(packed.moment_time[packed.moment_offset[patient] + 5]) + DAY // 24)


@pytest.fixture(scope="module")
def found(model: Model, data: Timelines, asked: Asked) -> tuple[Futures, ...]:
    return rollouts(model, data.shards[0], asked, SPEC)


def same(one: Futures, other: Futures) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(a, b, equal_nan=np.asarray(a).dtype == np.float32) for a, b in pairs)


def alike(one: Futures, other: Futures) -> bool:
    """Say if two hold the same events, at times that differ by no more than float32 rounds."""
    if not (np.array_equal(one.draw, other.draw) and np.array_equal(one.code, other.code)):
        return False
    second = DAY // 86_400
    return bool((np.abs(one.time - other.time) <= second).all()) and np.allclose(
        one.value, other.value, rtol=1e-5, equal_nan=True
    )


def test_futures_lie_between_the_instant_and_the_horizon_and_rise(found: tuple[Futures, ...]) -> None:
    assert sum(len(one.time) for one in found) > 100
    for one in found:
        assert (one.time > one.as_of).all()
        assert (one.time <= one.as_of + SPEC.horizon_days * DAY + 1).all()
        assert (np.diff(one.draw) >= 0).all()
        assert (np.diff(one.time)[np.diff(one.draw) == 0] >= 0).all()


def test_nothing_comes_after_death(model: Model, found: tuple[Futures, ...]) -> None:
    death = model.vocabulary.index_of(DEATH)
    for one in found:
        assert np.array_equal(one.had(np.array([death])), one.died)
        for draw in np.flatnonzero(one.died):
            mine = one.draw == draw
            assert one.time[mine].max() == one.time[mine][one.code[mine] == death][0]


def test_values_lie_within_what_train_patients_had(model: Model, found: tuple[Futures, ...]) -> None:
    code = model.vocabulary.index_of("LOINC/2160-0")
    held = slice(*model.vocabulary.knot_offset[code : code + 2])
    values = np.concatenate([one.value[one.code == code] for one in found])
    valued = values[np.isfinite(values)]
    assert len(valued) > 20
    assert model.vocabulary.knots[held].min() <= valued.min()
    assert valued.max() <= model.vocabulary.knots[held].max()
    assert len(np.unique(valued)) > 10


def test_the_same_seed_gives_the_same_futures_and_another_does_not(
    model: Model, data: Timelines, asked: Asked, found: tuple[Futures, ...]
) -> None:
    alone = Asked(asked.patient[2:3], asked.as_of[2:3])
    assert same(rollouts(model, data.shards[0], asked, SPEC)[2], found[2])
    assert alike(rollouts(model, data.shards[0], alone, SPEC)[0], found[2])
    other = rollouts(model, data.shards[0], alone, dataclasses.replace(SPEC, seed=1))[0]
    assert not alike(other, found[2])


def test_what_comes_after_the_instant_changes_no_future(
    model: Model, data: Timelines, asked: Asked, found: tuple[Futures, ...]
) -> None:
    packed: Packed = data.shards[0]
    as_of = np.full(packed.n_patients, np.iinfo(np.int64).max)
    as_of[asked.patient] = asked.as_of
    late = packed.moment_time > np.repeat(as_of, np.diff(packed.moment_offset))
    mine = np.repeat(late, np.diff(packed.event_offset))
    changed = packed.with_arrays(
        event_value=np.where(mine, 99.0, packed.event_value).astype(np.float32),
        event_code=np.where(mine, 1, packed.event_code).astype(np.int32),
    )
    again = rollouts(model, changed, asked, SPEC)
    assert all(same(*pair) for pair in zip(again, found, strict=True))


def test_as_many_futures_have_an_anchored_event_as_the_hazards_say(
    model: Model, data: Timelines, asked: Asked
) -> None:
    """The share of 300 futures lies where a binomial of the model's own risk puts 99.8% of shares."""
    packed, draws = data.shards[0], 300
    spec = RolloutSpec(horizon_days=90.0, draws=draws)
    found = rollouts(model, packed, asked, spec)
    states = model.encode(packed, asked.patient)
    moment = states.offset[:-1] + 5
    elapsed = (asked.as_of - np.asarray(packed.moment_time[packed.moment_offset[asked.patient] + 5])) / DAY
    anchors = anchors_of(model)
    names = [model.vocabulary.codes[code] for code in anchors.code]
    assert KIDNEY in names
    never = model.never(packed, asked.patient, asked.as_of, anchors.target)
    own = anchors.own(model.hazards(states, moment, elapsed.astype(np.float32), anchors.target, never))
    for name in (KIDNEY, DEATH):
        at, code = names.index(name), np.array([model.vocabulary.index_of(name)])
        competing = own[:, :, 0] if name != DEATH else np.zeros_like(own[:, :, 0])
        risk = cumulative_incidence(own[:, :, at], competing, model.edges_days, np.array([30.0, 90.0]))
        for place, days in enumerate((30.0, 90.0)):
            said = risk.mean(axis=1)[:, place]
            n = np.array([one.had(code, days).sum() for one in found])
            assert (binom.cdf(n, draws, said) > 0.001).all()
            assert (binom.sf(n - 1, draws, said) > 0.001).all()


@pytest.mark.parametrize("times", [0.2, 1.0, 6.0])
def test_routine_codes_are_held_to_the_hazards_whatever_was_drawn(
    model: Model, data: Timelines, asked: Asked, times: float
) -> None:
    """Creatinine comes with a visit in the data: held to other hazards, both are still had together."""
    draws, days = 400, 7.0
    past = until(take(data.shards[0], asked.patient), asked.as_of)
    run = begin(model, past, asked.as_of, (draws, 0, 16), None)
    run.marginal[:, :, run.anchors.routine] *= times
    edges = model.edges_days[model.edges_days <= days]
    for low, high in pairwise(edges.tolist()):
        pass_span(run, low, high)
    came, at = Events.of(run.came), np.flatnonzero(run.anchors.routine)
    had = [np.isin(np.arange(len(run.patient)), came.future[came.code == c]) for c in run.anchors.code[at]]
    spent = run.marginal[:, :, at][..., : len(edges) - 1] @ np.diff(edges)
    said = -np.expm1(-spent).mean(axis=1)
    for place, one in enumerate(had):
        n = np.bincount(run.patient[one], minlength=len(asked.patient))
        assert (binom.cdf(n, draws, said[:, place]) > 0.001).all()
        assert (binom.sf(n - 1, draws, said[:, place]) > 0.001).all()
    assert (had[0] == had[1]).mean() > 0.95


def test_a_horizon_beyond_the_models_is_refused(model: Model, data: Timelines, asked: Asked) -> None:
    with pytest.raises(QuestionError, match="farther"):
        rollouts(model, data.shards[0], asked, RolloutSpec(horizon_days=1e6))


def test_waits_of_a_piecewise_constant_hazard_are_exponential_on_its_own_clock() -> None:
    rng = np.random.default_rng(0)
    hazard, edges = np.array([[0.5, 0.1, 2.0]], np.float32), np.array([0.0, 1.0, 4.0, 400.0])
    drawn = waits(np.repeat(hazard, 4000, axis=0), edges, rng.standard_exponential(4000))
    spent = (np.clip(drawn[:, None] - edges[:-1], 0, np.diff(edges)) * hazard).sum(axis=1)
    assert kstest(spent, "expon").pvalue > 0.01
    assert waits(np.zeros((1, 3), np.float32), edges, np.array([1.0])).tolist() == [np.inf]


def test_sharing_out_a_chance_keeps_its_sum_and_favours_the_weighty() -> None:
    rng = np.random.default_rng(0)
    marginal, weight = rng.random((30, 4)), rng.lognormal(0, 2, (30, 4))
    free, group = rng.random((30, 4)) < 0.7, np.repeat([0, 1, 2], 10)
    chance = shared(marginal, weight, free, group)
    for patient in range(3):
        mine = group == patient
        for anchor in range(4):
            who = mine & free[:, anchor]
            wanted = -np.expm1(-marginal[who, anchor])
            assert chance[who, anchor].sum() == pytest.approx(wanted.sum(), rel=1e-6)
    even = shared(np.full((30, 4), 0.2), weight, np.ones((30, 4), bool), group)
    for patient in range(3):
        assert (np.argsort(even[group == patient, 0]) == np.argsort(weight[group == patient, 0])).all()
