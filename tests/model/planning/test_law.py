"""The scaling law: what is put in comes out, and intervals are as wide as the noise makes them."""

import numpy as np
import pytest

from residency.contract.errors import TrainingError
from residency.model.planning.advice import Means, advise
from residency.model.planning.law import Law, Tried, bootstrap_laws, fit_law

HOFFMANN = Law((np.log(406.4), np.log(410.7), np.log(1.69), 0.34, 0.28), (1.0, 1.0))
DIAL = {"tiny": 1e4, "small": 1e5, "base": 1e6, "large": 1e7, "huge": 1e8}


def _ladder(law: Law, noise: float, rng: np.random.Generator) -> Tried:
    size, events = (grid.ravel() for grid in np.meshgrid([1e6, 1e7, 1e8, 1e9], [1e8, 1e9, 1e10, 1e11]))
    return Tried(size, events, law.loss(size, events) * np.exp(noise * rng.normal(size=len(size))))


def test_a_law_without_noise_is_found_again() -> None:
    law = fit_law(_ladder(HOFFMANN, 0.0, np.random.default_rng(0)))
    *_, e, alpha, beta = law.numbers
    assert (np.exp(e), alpha, beta) == pytest.approx((1.69, 0.34, 0.28), abs=0.01)
    far = np.array([7e10]), np.array([1.4e12])
    assert law.loss(*far) == pytest.approx(HOFFMANN.loss(*far), rel=0.005)


def test_the_three_parts_of_the_loss_add_up() -> None:
    parts = HOFFMANN.shares(1e8, 1e10)
    assert sum(parts) == pytest.approx(float(HOFFMANN.loss(np.array(1e8), np.array(1e10))))


@pytest.mark.slow
def test_nine_in_ten_intervals_hold_the_true_loss_of_a_larger_training() -> None:
    far = np.array(4e9), np.array(4e11)
    truth, held = float(HOFFMANN.loss(*far)), 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        tried = _ladder(HOFFMANN, 0.01, rng)
        law = fit_law(tried)
        said = [float(one.loss(*far)) for one in bootstrap_laws(tried, law, 25, rng)]
        low, high = np.quantile(said, [0.05, 0.95])
        held += low <= truth <= high
    assert held >= 10  # fewer of 15 come once in 400 times if the chance is .9


def test_more_noise_gives_wider_intervals() -> None:
    def width(noise: float) -> float:
        rng = np.random.default_rng(1)
        tried = _ladder(HOFFMANN, noise, rng)
        draws = bootstrap_laws(tried, fit_law(tried), 20, rng)
        return float(np.std([one.numbers[2] for one in draws]))

    assert width(0.02) > 2 * width(0.002)


def test_too_few_trainings_make_no_law() -> None:
    three = Tried(np.array([1e4, 1e5, 1e6]), np.array([1e5, 1e5, 1e6]), np.ones(3))
    with pytest.raises(TrainingError, match="6 trainings"):
        fit_law(three)
    with pytest.raises(TrainingError, match="not above 0"):
        fit_law(_ladder(Law((0.0, 0.0, -np.inf, 0.1, 0.1), (1.0, 1.0)), np.nan, np.random.default_rng(0)))


def _means(hours: float, events: float) -> Means:
    return Means(hours, 4e14, 6.0, events, (1e9, 1e11), DIAL)


def test_the_balance_of_a_budget_is_the_one_in_closed_form() -> None:
    """Hoffmann et al., 2022, equation 4: N = G (C/6)^(beta / (alpha + beta))."""
    means = _means(1000.0, 1e9)
    advice = advise(HOFFMANN, [HOFFMANN], means)
    compute = means.product * 6.0
    a = 0.28 / (0.34 + 0.28)
    g = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / (0.34 + 0.28))
    assert advice.budget.parameters.value == pytest.approx(g * (compute / 6.0) ** a, rel=0.06)
    assert advice.budget.gpu_hours == pytest.approx(1000.0, rel=1e-6)


def test_few_events_are_what_holds_a_training_back() -> None:
    advice = advise(HOFFMANN, [HOFFMANN], _means(1000.0, 1e7))
    assert advice.short_of == "events"
    assert advice.twice_the_events.value > 5 * advice.twice_the_size.value
    assert advice.here.events.value == 1e7


def test_a_small_budget_holds_a_training_on_many_events_back() -> None:
    means = _means(0.001, 1e11)
    advice = advise(HOFFMANN, [HOFFMANN], means)
    assert advice.short_of == "budget"
    assert advice.here.parameters.value <= max(means.product / means.events, DIAL["tiny"])


def test_a_choice_far_beyond_what_was_tried_is_said_to_be_far() -> None:
    assert advise(HOFFMANN, [HOFFMANN], _means(1e9, 1e9)).far
    assert not advise(HOFFMANN, [HOFFMANN], _means(10.0, 1e10)).far
