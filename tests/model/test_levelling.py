"""What trees expect, held to what came."""

import numpy as np
import pytest

from residency.model.levelling import LEAST, levelled


def drawn(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give hazards, what is said of them (too high where they are low), days at risk and events."""
    rng = np.random.default_rng(0)
    truth = np.exp(rng.normal(-7.0, 1.0, n))
    said = truth + np.quantile(truth, 0.4)  # the low are hardly told apart from the middle
    wait, seen = rng.exponential(1 / truth), rng.uniform(50, 360, n)
    came, days = (wait <= seen).astype(np.float32), np.minimum(wait, seen).astype(np.float32)
    return truth, said.astype(np.float32), days, came


def fifths(rate: np.ndarray, days: np.ndarray, came: np.ndarray) -> np.ndarray:
    part = np.argsort(np.argsort(rate, kind="stable")) * 5 // len(rate)
    return np.bincount(part, came) / np.bincount(part, rate * days)


def test_where_the_many_at_low_risk_are_expected_too_often_each_height_comes_right() -> None:
    _, said, days, came = drawn(60_000)
    assert fifths(said, days, came)[:2].max() < 0.7
    found = levelled(said, days, came, int(came.sum()))
    assert fifths(found, days, came) == pytest.approx(1.0, abs=0.2)
    assert (found * days).sum() == pytest.approx(came.sum(), rel=0.03)


def test_who_is_expected_more_often_than_another_stays_so() -> None:
    _, said, days, came = drawn(60_000)
    found = levelled(said, days, came, int(came.sum()))
    order = np.argsort(said, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()


def test_what_was_right_is_left_nearly_as_it_is_and_a_hundred_patients_move_it_little() -> None:
    truth, _, days, came = drawn(60_000)
    found = levelled(truth.astype(np.float32), days, came, int(came.sum()))
    assert np.abs(np.log(found / truth)).mean() < 0.1
    _, said, days, came = drawn(60_000)
    few, many = (levelled(said, days, came, n) for n in (LEAST, 100 * LEAST))
    assert np.abs(np.log(few / said)).mean() < np.abs(np.log(many / said)).mean()


def test_with_too_few_patients_or_nobody_at_risk_nothing_is_corrected() -> None:
    _, said, days, came = drawn(1_000)
    assert levelled(said, days, came, LEAST - 1) is said
    assert levelled(said, 0.0 * days, came, LEAST) is said
    nothing = said.copy()
    nothing[:500] = 0.0
    assert (levelled(nothing, days, came, LEAST)[:500] == 0.0).all()
