from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter
from scipy.integrate import quad

from residency.reasoning import cumulative_incidence

EDGES = np.array([0.0, 1.0, 7.0, 30.0, 365.0, 1000.0])
HAZARDS = st.lists(st.floats(0, 0.3), min_size=5, max_size=5).map(np.array)
HORIZON = st.floats(0.01, 1000.0)


def by_quadrature(hazard: np.ndarray, competing: np.ndarray, horizon: float) -> float:
    def at(rate: np.ndarray, day: float) -> float:
        return float(rate[min(int(np.searchsorted(EDGES, day, "right")) - 1, 4)])

    def spent(day: float) -> float:
        return float(((hazard + competing) * np.clip(day - EDGES[:-1], 0, np.diff(EDGES))).sum())

    pieces = [0.0, *EDGES[1:][EDGES[1:] < horizon], horizon]
    return sum(
        quad(lambda day: at(hazard, day) * np.exp(-spent(day)), low, high, epsabs=1e-11)[0]
        for low, high in pairwise(pieces)
    )


@given(hazard=HAZARDS, competing=HAZARDS, horizon=HORIZON)
@settings(max_examples=40, deadline=None)
def test_incidence_is_the_integral_of_hazard_times_survival(
    hazard: np.ndarray, competing: np.ndarray, horizon: float
) -> None:
    exact = cumulative_incidence(hazard, competing, EDGES, np.array([horizon]))[0]
    assert exact == pytest.approx(by_quadrature(hazard, competing, horizon), abs=1e-6)


@given(hazard=HAZARDS, competing=HAZARDS, horizons=st.lists(HORIZON, min_size=2, max_size=6))
@settings(deadline=None)
def test_incidence_never_falls_with_the_horizon(
    hazard: np.ndarray, competing: np.ndarray, horizons: list[float]
) -> None:
    found = cumulative_incidence(hazard, competing, EDGES, np.array(sorted(horizons)))
    assert (np.diff(found) >= -1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


@given(hazard=HAZARDS, more=HAZARDS, competing=HAZARDS, horizon=HORIZON)
@settings(deadline=None)
def test_a_higher_hazard_never_gives_a_lower_incidence(
    hazard: np.ndarray, more: np.ndarray, competing: np.ndarray, horizon: float
) -> None:
    low = cumulative_incidence(hazard, competing, EDGES, np.array([horizon]))[0]
    high = cumulative_incidence(hazard + more, competing, EDGES, np.array([horizon]))[0]
    assert high >= low - 1e-12


def test_incidence_agrees_with_aalen_johansen_on_simulated_patients() -> None:
    hazard, death = np.array([0.02, 0.01, 0.02, 0.002, 0.001]), np.array([0.01, 0.02, 0.004, 0.001, 0.002])
    rng = np.random.default_rng(0)
    total = np.concatenate(([0.0], np.cumsum((hazard + death) * np.diff(EDGES))))
    drawn = rng.exponential(size=20_000)
    days = np.interp(drawn, total, EDGES, right=1000.0)
    interval = np.clip(np.searchsorted(EDGES, days, "right") - 1, 0, 4)
    ours = rng.random(20_000) < (hazard / (hazard + death))[interval]
    cause = np.where(drawn > total[-1], 0, np.where(ours, 1, 2))
    fitted = AalenJohansenFitter(calculate_variance=False, seed=0).fit(days, cause, event_of_interest=1)
    curve = fitted.cumulative_density_.iloc[:, 0]
    for horizon in (5.0, 20.0, 200.0, 900.0):
        estimate = float(curve[curve.index <= horizon].iloc[-1])
        exact = cumulative_incidence(hazard, death, EDGES, np.array([horizon]))[0]
        assert exact == pytest.approx(estimate, abs=0.012)
