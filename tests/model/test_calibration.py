"""Corrections from tuning patients, held against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from residency.contract.errors import LineageError
from residency.model.calibration import SLOPES, Calibration, factors, hazard_corrections, label_line


def test_the_line_is_logistic_regression_on_the_logit() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(size=5000)
    value = (rng.random(5000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))).astype(np.float32)
    slope, intercept = label_line(
        torch.from_numpy(logit.astype(np.float32))[:, None], torch.from_numpy(value)
    )
    other = LogisticRegression(C=1e6, tol=1e-8).fit(logit[:, None], value)
    assert slope == pytest.approx(float(other.coef_[0, 0]), abs=0.01)
    assert intercept == pytest.approx(float(other.intercept_[0]), abs=0.01)


def test_the_mean_of_the_heads_answers_adds_up_to_what_came() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(-4, 1, size=(20_000, 1)) + rng.normal(0, 1, size=(20_000, 5))  # rare, heads apart
    value = (rng.random(20_000) < 1 / (1 + np.exp(-logit.mean(axis=1)))).astype(np.float32)
    slope, intercept = label_line(torch.from_numpy(logit.astype(np.float32)), torch.from_numpy(value))
    said = 1 / (1 + np.exp(-(slope * logit + intercept)))
    assert said.mean() == pytest.approx(value.mean(), rel=0.01)


def test_one_class_or_no_label_corrects_nothing() -> None:
    assert label_line(torch.randn(5, 2), torch.ones(5)) == (1.0, 0.0)
    assert label_line(torch.zeros(0, 2), torch.zeros(0)) == (1.0, 0.0)


def test_few_events_move_a_hazard_little_and_many_move_it_all() -> None:
    few, many = factors(np.array([2.0, 20_000.0]), np.array([1.0, 10_000.0]))
    assert 1.0 < few < 1.2
    assert many == pytest.approx(2.0, abs=0.01)


def test_a_calibration_comes_back_as_it_was_written(tmp_path: Path) -> None:
    calibration = Calibration(((0.9, -0.1),), ((1.0, 1.2), (0.5, 2.0)), (0.85, 1.3))
    calibration.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json") == calibration


def test_a_damaged_calibration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"labels": [[1')
    with pytest.raises(LineageError):
        Calibration.read(tmp_path / "calibration.json")


def _counted(
    beyond: np.ndarray, came: np.ndarray, usual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count what `borne` counts, of one interval of a day: [target], [slope, target], [slope, target]."""
    at = [usual + slope * beyond for slope in SLOPES]
    spent = np.stack([np.exp(one).sum(axis=0) for one in at])
    return came.sum(axis=0), spent, np.stack([(one * came).sum(axis=0) for one in at])


def test_hazards_said_too_boldly_are_found_out_and_made_to_add_up_again() -> None:
    """The truth is .7 of what is said, and half of its size: an independent Poisson regression agrees."""
    rng = np.random.default_rng(0)
    said = rng.normal(size=(20_000, 6))
    came = rng.poisson(0.5 * np.exp(0.7 * said)).astype(np.float64)
    factor, slope = hazard_corrections(*_counted(said, came, np.zeros(6)), np.ones(6))
    assert slope == 0.7
    assert factor == pytest.approx((0.5,) * 6, rel=0.05)
    other = PoissonRegressor(alpha=0.0).fit(said[:, :1], came[:, 0])
    assert float(other.coef_[0]) == pytest.approx(slope, abs=0.05)
    assert float(np.exp(other.intercept_)) == pytest.approx(factor[0], rel=0.05)


def test_a_target_with_few_events_takes_after_the_others() -> None:
    rng = np.random.default_rng(1)
    said = rng.normal(size=(4_000, 20))
    usual = np.where(np.arange(20) > 0, 0.0, np.log(2 / 4_000))
    came = rng.poisson(0.8 * np.exp(usual + 0.7 * said)).astype(np.float64)
    came[:, 0] = 0.0
    came[:6, 0] = 1.0  # six events, of whom nothing is told, where two were expected
    factor, slope = hazard_corrections(*_counted(said, came, usual), (np.arange(20) > 0).astype(float))
    assert slope == 0.7
    assert factor[1:] == pytest.approx((0.8,) * 19, rel=0.1)
    assert 0.8 < factor[0] < 1.2


def test_where_nothing_came_nothing_is_corrected() -> None:
    none = np.zeros((len(SLOPES), 3))
    assert hazard_corrections(np.zeros(3), none, none, np.ones(3)) == ((1.0,) * 3, 1.0)
