import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from residency.validation.recalibrating import COLUMN, FOLDS, _folds, recalibrate


def rows_of(seed: int, n: int = 3_000, *, slope: float = 2.0, shift: float = 1.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2, 1, n)
    label = rng.random(n) < 1 / (1 + np.exp(-truth))
    score = 1 / (1 + np.exp(-(slope * truth + shift)))
    return pl.DataFrame({"subject_id": np.arange(n), "score": score, "label": label, "weight": np.ones(n)})


def test_a_known_distortion_is_undone() -> None:
    found = recalibrate(rows_of(0, n=40_000), seed=0)
    assert found is not None
    assert found.recipe.slope == pytest.approx(0.5, abs=0.02)
    assert found.recipe.intercept == pytest.approx(-0.5, abs=0.05)


def test_each_fifth_is_corrected_by_the_other_four_as_scikit_learn_would() -> None:
    rows = rows_of(1, n=500)
    found = recalibrate(rows, seed=3)
    assert found is not None
    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    fold, at = _folds(np.arange(500), label, 3), np.log(score / (1 - score))[:, None]
    for one in range(FOLDS):
        other = LogisticRegression(C=np.inf, tol=1e-10).fit(at[fold != one], label[fold != one])
        expected = other.predict_proba(at[fold == one])[:, 1]
        np.testing.assert_allclose(found.rows[COLUMN].to_numpy()[fold == one], expected, atol=1e-5)


def test_all_rows_of_a_patient_are_in_one_fifth_and_outcomes_are_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(100), 5)
    label = np.repeat(rng.random(100) < 0.3, 5)
    fold = _folds(patient, label, 0).reshape(100, 5)
    assert (fold == fold[:, :1]).all()
    events = np.bincount(fold[:, 0][label[::5]], minlength=FOLDS)
    assert events.max() - events.min() <= 1


def test_scores_that_are_all_the_same_cannot_be_recalibrated() -> None:
    rows = rows_of(0, n=200).with_columns(score=pl.lit(0.2))
    assert recalibrate(rows, seed=0) is None
