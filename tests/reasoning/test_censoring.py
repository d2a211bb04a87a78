import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from sklearn.metrics import roc_auc_score

from residency.reasoning.censoring import MOST, eras, kaplan_meier, weights

HORIZON = 100.0


def by_one_curve(followed: np.ndarray, known: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weights(followed, known, weight, np.zeros(len(known), np.int64), HORIZON)[0]


def test_survival_agrees_with_lifelines_with_weights_and_ties() -> None:
    rng = np.random.default_rng(0)
    days, weight = rng.integers(1, 60, 500).astype(float), rng.integers(1, 4, 500).astype(float)
    happened = rng.random(500) < 0.4
    other = KaplanMeierFitter().fit(days, happened, weights=weight)
    times, free = kaplan_meier(days, happened, weight)
    assert free == pytest.approx(other.predict(times).to_numpy(), abs=1e-9)


def test_without_censoring_every_weight_stays() -> None:
    weight = np.array([1.0, 0.5, 2.0])
    assert by_one_curve(np.array([1.0, 2.0, 3.0]), np.ones(3, bool), weight).tolist() == weight.tolist()


def test_weighting_finds_the_share_that_censoring_hides() -> None:
    rng = np.random.default_rng(1)
    event, censored = rng.exponential(200, 100_000), rng.exponential(150, 100_000)
    followed = np.minimum(np.minimum(event, censored), 100.0)
    known = (event <= censored) | (censored >= 100.0)
    label = (event <= 100.0) & known
    found = by_one_curve(followed, known, np.ones(len(event)))
    truth = 1 - np.exp(-100 / 200)
    assert np.average(label, weights=found) == pytest.approx(truth, abs=0.006)
    assert abs(label[known].mean() - truth) > 0.03


def test_no_row_speaks_for_more_than_the_limit() -> None:
    days = np.arange(1, 101).astype(float)
    known = days > 98
    assert by_one_curve(days, known, np.ones(100)).max() == MOST


@pytest.mark.parametrize("moved_days", [0.0, 60.0])
def test_where_data_end_at_a_date_a_late_index_time_tells_nothing(moved_days: float) -> None:
    """By one curve of the censoring the date seems to tell who falls ill; by eras it does not."""
    rng = np.random.default_rng(2)
    n, last = 60_000, 400.0
    at, event, lost = rng.random(n) * last, rng.exponential(800, n), rng.exponential(500, n)
    followed = np.minimum.reduce([event, lost, last - at, np.full(n, HORIZON)])
    known, label = (followed == event) | (followed == HORIZON), followed == event
    date = at + rng.random(n) * moved_days
    found, held = weights(followed, known, np.ones(n), eras(np.arange(n), date.astype(np.int64)), HORIZON)
    one = by_one_curve(followed, known, np.ones(n))
    assert roc_auc_score(label[known], date[known], sample_weight=one[known]) > 0.55
    asked = found > 0
    assert roc_auc_score(label[asked], date[asked], sample_weight=found[asked]) == pytest.approx(
        0.5, abs=0.015
    )
    assert np.average(label, weights=found) == pytest.approx(1 - np.exp(-HORIZON / 800), abs=0.006)
    assert not held[date > last - HORIZON / 2 + moved_days].any()
    assert held[date < last - HORIZON - moved_days].all()


def test_nobody_is_left_out_where_all_can_be_followed_alike() -> None:
    rng = np.random.default_rng(3)
    at, lost = rng.integers(0, 10**9, 5000), rng.exponential(150, 5000)
    followed = np.minimum(lost, HORIZON)
    patient = np.arange(5000) // 3
    assert weights(followed, followed == HORIZON, np.ones(5000), eras(patient, at), HORIZON)[1].all()


def test_eras_follow_time_and_have_fifty_patients_each_or_more() -> None:
    rng = np.random.default_rng(4)
    patient, at = rng.integers(0, 333, 4000), rng.integers(0, 10**15, 4000)
    era = eras(patient, at)
    order = np.argsort(at)
    assert (np.diff(era[order]) >= 0).all()
    assert era.max() == 333 // 50 - 1
    assert set(eras(np.zeros(9, np.int64), at[:9]).tolist()) == {0}


def test_a_site_in_which_nobody_is_at_risk_has_no_weights() -> None:
    nothing = np.zeros(0)
    assert len(by_one_curve(nothing, nothing.astype(bool), nothing)) == 0
