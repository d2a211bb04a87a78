import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from residency.validation.censoring import MOST, kaplan_meier, weights


def test_survival_agrees_with_lifelines_with_weights_and_ties() -> None:
    rng = np.random.default_rng(0)
    days, weight = rng.integers(1, 60, 500).astype(float), rng.integers(1, 4, 500).astype(float)
    happened = rng.random(500) < 0.4
    other = KaplanMeierFitter().fit(days, happened, weights=weight)
    times, free = kaplan_meier(days, happened, weight)
    assert free == pytest.approx(other.predict(times).to_numpy(), abs=1e-9)


def test_without_censoring_every_weight_stays() -> None:
    weight = np.array([1.0, 0.5, 2.0])
    assert weights(np.array([1.0, 2.0, 3.0]), np.ones(3, bool), weight).tolist() == weight.tolist()


def test_weighting_finds_the_share_that_censoring_hides() -> None:
    rng = np.random.default_rng(1)
    event, censored = rng.exponential(200, 100_000), rng.exponential(150, 100_000)
    followed = np.minimum(np.minimum(event, censored), 100.0)
    known = (event <= censored) | (censored >= 100.0)
    label = (event <= 100.0) & known
    found = weights(followed, known, np.ones(len(event)))
    truth = 1 - np.exp(-100 / 200)
    assert np.average(label, weights=found) == pytest.approx(truth, abs=0.006)
    assert abs(label[known].mean() - truth) > 0.03


def test_no_row_speaks_for_more_than_the_limit() -> None:
    days = np.arange(1, 101).astype(float)
    known = days > 98
    assert weights(days, known, np.ones(100)).max() == MOST


def test_a_site_in_which_nobody_is_at_risk_has_no_weights() -> None:
    nothing = np.zeros(0)
    assert len(weights(nothing, nothing.astype(bool), nothing)) == 0
