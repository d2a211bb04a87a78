import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from residency.validation.baseline import BaselineSpec, Sample, grow, log_odds, stack_of
from residency.validation.tally import Scored


def sample(seed: int, n: int, n_patients: int = 400) -> Sample:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4)).astype(np.float32)
    label = rng.random(n) < 1 / (1 + np.exp(-(3 * np.abs(features[:, 0]) - 3)))
    return Sample(features, label, rng.uniform(0.01, 0.1, n), rng.integers(0, n_patients, n))


@pytest.mark.parametrize("min_tuning_events", [10, 10**9])
def test_the_trees_find_what_no_line_can(min_tuning_events: int) -> None:
    settings = BaselineSpec(max_trees=100, min_tuning_events=min_tuning_events)
    trees = grow(sample(0, 3_000), sample(1, 600), settings)
    assert trees is not None
    held = sample(2, 2_000)
    found = trees.predict(held.features)
    assert roc_auc_score(held.label, found) > 0.75
    assert found.mean() == pytest.approx(held.label.mean(), abs=0.04)


def test_trees_are_the_same_on_one_thread_and_on_two() -> None:
    grown = [
        grow(sample(0, 2_000), sample(1, 600), BaselineSpec(max_trees=20, min_tuning_events=10))
        for _ in range(2)
    ]
    held = sample(2, 50).features
    first, second = (
        trees.predict(held, num_threads=n) for n, trees in enumerate(grown, 1) if trees is not None
    )
    assert np.array_equal(first, second)


def test_no_trees_are_grown_on_a_handful_of_events() -> None:
    few = sample(0, 300)
    few.label[:] = np.arange(300) < 15
    assert grow(few, sample(1, 100), BaselineSpec()) is None


def test_the_stack_is_a_logistic_regression_on_both_log_odds() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.uniform(0.05, 0.95, 3_000), rng.uniform(0.05, 0.95, 3_000)
    label = rng.random(3_000) < 1 / (1 + np.exp(-(0.3 + 0.5 * log_odds(one) + 0.8 * log_odds(other))))
    weight = rng.uniform(0.5, 2, 3_000)
    stack = stack_of(Scored(np.arange(3_000), label, one, weight), other)
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.stack([log_odds(one), log_odds(other)], axis=1), label, sample_weight=weight
    )
    assert stack is not None
    assert (stack.model, stack.baseline) == pytest.approx(tuple(fitted.coef_[0]), abs=1e-4)
