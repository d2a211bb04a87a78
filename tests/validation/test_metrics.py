import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from residency.validation import metrics
from residency.validation.tally import Scored, draws_of_patients, exact, resampled


def sample(seed: int, n: int = 400, *, ties: bool = False, weighted: bool = True) -> Scored:
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-1, 1.2, n)
    label = rng.random(n) < 1 / (1 + np.exp(-(0.3 + 0.7 * log_odds)))
    label[:2] = [True, False]
    score = 1 / (1 + np.exp(-log_odds))
    weight = rng.uniform(0.2, 3.0, n) if weighted else np.ones(n)
    return Scored(rng.integers(0, n // 4, n), label, score.round(1) if ties else score, weight)


@given(seed=st.integers(0, 10_000), ties=st.booleans(), weighted=st.booleans())
@settings(max_examples=30, deadline=None)
def test_ranking_metrics_agree_with_scikit_learn(seed: int, ties: bool, weighted: bool) -> None:
    scored = sample(seed, ties=ties, weighted=weighted)
    tally = exact(scored)
    assert metrics.auroc(tally)[0] == pytest.approx(
        roc_auc_score(scored.label, scored.score, sample_weight=scored.weight), abs=1e-9
    )
    assert metrics.auprc(tally)[0] == pytest.approx(
        average_precision_score(scored.label, scored.score, sample_weight=scored.weight), abs=1e-9
    )


def test_calibration_slope_agrees_with_an_unpenalised_logistic_regression() -> None:
    scored = sample(1, n=2_000)
    log_odds = np.log(scored.score / (1 - scored.score))
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(
        log_odds[:, None], scored.label, sample_weight=scored.weight
    )
    assert metrics.calibration_slope(exact(scored))[0] == pytest.approx(other.coef_[0, 0], abs=1e-4)


def test_the_slope_of_scores_that_hardly_differ_is_found_all_the_same() -> None:
    rng = np.random.default_rng(8)
    log_odds = rng.normal(-0.6, 0.02, 3_000)
    label = rng.random(3_000) < 1 / (1 + np.exp(-(-0.6 + 30 * (log_odds + 0.6))))
    score = 1 / (1 + np.exp(-log_odds))
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        (log_odds[:, None] + 0.6) * 30, label
    )
    slope = metrics.calibration_slope(exact(Scored(np.arange(3_000), label, score, np.ones(3_000))))[0]
    assert slope == pytest.approx(30 * other.coef_[0, 0], rel=1e-3)


def test_calibration_intercept_makes_the_mean_risk_right() -> None:
    scored = sample(2, n=2_000)
    shift = metrics.calibration_intercept(exact(scored))[0]
    log_odds = np.log(scored.score / (1 - scored.score)) + shift
    mean_risk = np.average(1 / (1 + np.exp(-log_odds)), weights=scored.weight)
    assert mean_risk == pytest.approx(np.average(scored.label, weights=scored.weight), abs=1e-6)


def test_calibration_of_true_risks_is_right_and_of_bold_ones_is_not() -> None:
    rng = np.random.default_rng(3)
    log_odds = rng.normal(-2, 1, 200_000)
    label = rng.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))
    patient, weight = np.arange(len(log_odds)), np.ones(len(log_odds))
    right = exact(Scored(patient, label, 1 / (1 + np.exp(-log_odds)), weight))
    bold = exact(Scored(patient, label, 1 / (1 + np.exp(-2 * log_odds)), weight))
    assert metrics.calibration_slope(right)[0] == pytest.approx(1, abs=0.02)
    assert metrics.calibration_intercept(right)[0] == pytest.approx(0, abs=0.02)
    assert metrics.ici(right)[0] < 0.003
    assert metrics.calibration_slope(bold)[0] == pytest.approx(0.5, abs=0.02)
    true_gap = np.abs(1 / (1 + np.exp(-log_odds)) - 1 / (1 + np.exp(-2 * log_odds))).mean()
    assert metrics.ici(bold)[0] == pytest.approx(true_gap, rel=0.03)


def test_net_benefit_equals_the_hand_worked_case() -> None:
    scored = Scored(
        np.arange(5),
        np.array([True, True, False, False, False]),
        np.array([0.9, 0.1, 0.5, 0.2, 0.1]),
        np.ones(5),
    )
    assert metrics.net_benefit(exact(scored), 0.2)[0] == pytest.approx(1 / 5 - 2 / 5 * 0.25)


@pytest.mark.parametrize("metric", [metrics.auroc, metrics.auprc, metrics.calibration_slope, metrics.ici])
def test_a_metric_without_events_is_undefined(metric: object) -> None:
    nobody = Scored(np.arange(9), np.zeros(9, bool), np.linspace(0.1, 0.9, 9), np.ones(9))
    assert np.isnan(metric(exact(nobody))[0])  # type: ignore[operator]


def test_a_draw_that_takes_everybody_once_gives_the_exact_value() -> None:
    scored = sample(4, n=9_000)
    once = np.ones((scored.n_patients, 1), dtype=np.uint8)
    rounded = resampled(scored, once, max_groups=1024)
    assert metrics.auroc(rounded)[0] == pytest.approx(metrics.auroc(exact(scored))[0], abs=1e-4)
    assert metrics.auprc(rounded)[0] == pytest.approx(metrics.auprc(exact(scored))[0], abs=1e-3)
    assert metrics.calibration_slope(rounded)[0] == pytest.approx(
        metrics.calibration_slope(exact(scored))[0], abs=1e-3
    )


def test_a_draw_equals_the_sample_with_patients_repeated() -> None:
    scored = sample(5, n=300)
    counts = draws_of_patients(scored.n_patients, 3, np.random.default_rng(0))
    times = counts[scored.patient, 1]
    rows = np.repeat(np.arange(300), times)
    expected = roc_auc_score(scored.label[rows], scored.score[rows], sample_weight=scored.weight[rows])
    assert metrics.auroc(resampled(scored, counts))[1] == pytest.approx(expected, abs=1e-5)


def test_tied_scores_stay_in_one_group_when_neighbours_are_joined() -> None:
    rng = np.random.default_rng(6)
    score = rng.integers(0, 3_000, 20_000) / 3_000
    scored = Scored(np.arange(20_000), rng.random(20_000) < score, score, np.ones(20_000))
    tally = resampled(scored, np.ones((20_000, 1), dtype=np.uint8), max_groups=256)
    swapped = Scored(scored.patient[::-1], scored.label[::-1], score[::-1], scored.weight)
    assert len(tally.score) <= 256
    other = resampled(swapped, np.ones((20_000, 1), dtype=np.uint8), max_groups=256)
    assert metrics.auroc(other)[0] == pytest.approx(metrics.auroc(tally)[0], abs=1e-9)


def test_the_spread_of_draws_is_the_known_standard_error() -> None:
    rng = np.random.default_rng(7)
    label = np.arange(600) < 200
    score = rng.normal(label * 1.0, 1.0)
    scored = Scored(np.arange(600), label, score, np.ones(600))
    drawn = metrics.auroc(resampled(scored, draws_of_patients(600, 2_000, rng)))
    area = roc_auc_score(label, score)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)  # Hanley and McNeil 1982
    known = np.sqrt((area * (1 - area) + 199 * (q1 - area**2) + 399 * (q2 - area**2)) / (200 * 400))
    assert drawn.std() == pytest.approx(known, rel=0.15)
