import numpy as np
import pytest

from residency.contract.errors import SpecError
from residency.validation.sample_size import (
    for_auroc,
    for_oe,
    for_slope,
    most_r2,
    normal_predictor,
    stepped_wedge,
    to_develop,
    to_develop_survival,
    to_examine,
    two_arms,
)


def test_development_agrees_with_the_published_examples_of_pmsampsize() -> None:
    by_r2 = to_develop(24, 0.174, r2=0.288)
    assert [one.n for one in by_r2.criteria] == [623, 662, 221]
    assert (by_r2.n, by_r2.events) == (662, 116)
    by_auroc = to_develop(24, 0.174, auroc=0.89)  # theirs by drawing a million patients
    assert [one.n for one in by_auroc.criteria] == [615, 660, 221]
    survival = to_develop_survival(30, 0.051, rate=0.065, time_point=2.0, mean_follow_up=2.07)
    assert [one.n for one in survival.criteria] == [5143, 1039, 5143]
    assert survival.events == 692


def test_examination_agrees_with_the_published_example_of_pmvalsampsize() -> None:
    assert for_oe(0.018, 1.0) == 905
    assert for_auroc(0.018, 0.8, 0.1) == 4252
    assert for_slope(-5.0, 2.5, 0.2) == pytest.approx(4544, rel=0.005)  # theirs is drawn: 4,501 and 4,544


def test_the_highest_r2_is_that_of_a_perfect_model() -> None:
    assert most_r2(0.5) == pytest.approx(0.75)
    with pytest.raises(SpecError, match="most that this prevalence allows"):
        to_develop(10, 0.05, r2=0.5)


@pytest.mark.parametrize(("prevalence", "auroc"), [(0.1, 0.75), (0.018, 0.8), (0.4, 0.9)])
def test_the_normal_predictor_has_the_prevalence_and_auroc_asked_for(prevalence: float, auroc: float) -> None:
    mean, sd = normal_predictor(prevalence, auroc)
    rng = np.random.default_rng(0)
    at = rng.normal(mean, sd, 400_000)
    label = rng.random(400_000) < 1 / (1 + np.exp(-at))
    assert label.mean() == pytest.approx(prevalence, abs=0.002)
    rank = np.argsort(np.argsort(at))[label]
    below = rank - np.arange(len(rank))[np.argsort(np.argsort(rank))]
    assert below.mean() / (~label).sum() == pytest.approx(auroc, abs=0.005)


def test_the_interval_of_the_slope_is_as_wide_as_asked() -> None:
    mean, sd = normal_predictor(0.2, 0.75)
    n, rng = for_slope(mean, sd, 0.4), np.random.default_rng(1)
    slopes = []
    for _ in range(200):
        at = rng.normal(mean, sd, n)
        label = (rng.random(n) < 1 / (1 + np.exp(-at))).astype(float)
        design, beta = np.stack([np.ones(n), at], axis=1), np.array([0.0, 1.0])
        for _ in range(6):
            risk = 1 / (1 + np.exp(-design @ beta))
            curve = design.T @ (design * (risk * (1 - risk))[:, None])
            beta = beta + np.linalg.solve(curve, design.T @ (label - risk))
        slopes.append(beta[1])
    assert 2 * 1.96 * np.std(slopes) == pytest.approx(0.4, rel=0.15)


def test_two_arms_agree_with_the_textbook() -> None:
    assert two_arms(0.6, 0.4) == 95  # (1.96 + 0.84)² (.24 + .24) / .2², rounded up
    with pytest.raises(SpecError):
        two_arms(0.1, 0.1)


def test_the_power_of_a_stepped_wedge_agrees_with_generalised_least_squares() -> None:
    clusters, patients, spread, control, treated = 6, 40, 0.03, 0.2, 0.14
    periods, middle = clusters + 1, (control + treated) / 2
    use = (np.arange(periods)[None, :] > np.arange(clusters)[:, None]).astype(float)
    block = np.eye(periods) * middle * (1 - middle) / patients + spread**2
    design = [np.column_stack([np.eye(periods), row]) for row in use]
    information = sum(one.T @ np.linalg.solve(block, one) for one in design)
    error = np.sqrt(np.linalg.inv(information)[-1, -1])
    found, _ = stepped_wedge(control, treated, clusters=clusters, patients=patients, spread=spread)
    from scipy.stats import norm

    assert found == pytest.approx(norm.cdf(0.06 / error - 1.959964), abs=1e-5)


@pytest.mark.parametrize("asked", [(0.0, 0.8), (0.1, 0.5), (0.1, 1.0), (1.0, 0.8)])
def test_what_cannot_be_is_refused(asked: tuple[float, float]) -> None:
    with pytest.raises(SpecError, match="must be between"):
        to_examine(*asked)
