"""In: people, rates and states. Out: exact chances of a diagnosis within each horizon, death competing.

The truth is a Markov chain whose rates are constant within a year: each quarter is one matrix exponential.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.chains import Chain, chain, speeds, state_at
from residency.simulation.course import Course
from residency.simulation.intensities import intensities
from residency.simulation.people import People
from residency.simulation.spec import HORIZONS_DAYS, QUARTER_DAYS, YEAR_DAYS, HospitalSpec

_QUARTERS: Final = YEAR_DAYS // QUARTER_DAYS
_STEPS: Final = tuple((horizon, round(horizon / QUARTER_DAYS)) for horizon in HORIZONS_DAYS)
_AHEAD: Final = max(steps for _, steps in _STEPS)
_TOGETHER: Final = 40_000
"""Numbers in the matrices that are worked on at once: they fit a core's cache."""


def risk(
    people: People, course: Course, spec: HospitalSpec, target: int
) -> Float64[np.ndarray, "patient quarter horizon"]:
    """Give the chance of a diagnosis of one disease within each horizon, at each quarter from entry.

    Returns:
        Probabilities; meaningless where the patient is dead or diagnosed, see `at_risk`.
    """
    layout, k = chain(target), spec.n_quarters
    rates = intensities(people, 0, (k + _AHEAD) // _QUARTERS, spec.variant)
    wanted = at_risk(course, target, k)
    last = np.where(wanted.any(axis=1), k - wanted[:, ::-1].argmax(axis=1) + _AHEAD, 0)
    needed = np.arange(rates.death.shape[1]) * _QUARTERS <= last[:, None]
    quarter, ends = _moves(layout, speeds(layout, people, rates), needed)
    day = np.broadcast_to(np.arange(k) * float(QUARTER_DAYS), wanted.shape)
    return _forward(state_at(layout, course, day), quarter, ends, int(last.max()))


def at_risk(course: Course, target: int, n_quarters: int) -> Bool[np.ndarray, "patient quarter"]:
    """Say at which quarters a patient is alive, seen, not dying of a strike, and not diagnosed."""
    day = np.arange(n_quarters) * QUARTER_DAYS
    alive = (day <= course.until[:, None]) & (day < course.fatal[:, None])
    return alive & (day < course.diagnosis[:, target, None])


def exponential(matrix: Float64[np.ndarray, "*axes state state"]) -> Float64[np.ndarray, "*axes state state"]:
    """Give matrix exponentials: a Taylor polynomial of order 8 of a quarter of the matrix, squared twice.

    Example:
        >>> float(exponential(np.full((1, 1, 1, 1), -0.5))[0, 0, 0, 0].round(9))
        0.60653066
    """
    a = matrix / 4
    a2 = a @ a
    a3 = a2 @ a
    a4 = a2 @ a2
    one = np.eye(a.shape[-1])
    high = one / 24 + a / 120 + a2 / 720 + a3 / 5040 + a4 / 40320
    power = one + a + a2 / 2 + a3 / 6 + a4 @ high
    power = power @ power
    result: np.ndarray = power @ power
    return result


def _moves(
    layout: Chain,
    speed: Float64[np.ndarray, "patient year part"],
    needed: Bool[np.ndarray, "patient year"],
) -> tuple[
    Float64[np.ndarray, "patient year state state"], Float64[np.ndarray, "patient year state horizon"]
]:
    """Give what a quarter does in each year, and the chance of the end in the days around a horizon."""
    states = layout.n_states
    quarter = np.zeros((*needed.shape, states, states))
    ends = np.zeros((*needed.shape, states, len(HORIZONS_DAYS)))
    patient, year = np.nonzero(needed)
    flat = layout.matrix.reshape(len(layout.parts), -1)
    step = max(1, _TOGETHER // states**2)
    for first in range(0, len(patient), step):
        where = patient[first : first + step], year[first : first + step]
        generator = (speed[where] @ flat).reshape(-1, states, states)
        quarter[where] = exponential(generator * QUARTER_DAYS)
        ends[where] = _remainder(generator)
    return quarter, ends


def _remainder(
    generator: Float64[np.ndarray, "matrix state state"],
) -> Float64[np.ndarray, "matrix state horizon"]:
    """Give the chance of being at the end after the days from the nearest quarter to each horizon, by state.

    Where the horizon comes before the quarter's end, the days are negative: they are taken back.
    """
    days = np.array([horizon - steps * QUARTER_DAYS for horizon, steps in _STEPS], np.float64)
    term = np.zeros((*generator.shape[:-1], len(days)))
    term[:, -1] = 1.0
    total = term
    for order in range(1, 7):
        term = (generator @ term) * (days / order)
        total = total + term
    return total


def _forward(
    begin: Int64[np.ndarray, "patient quarter"],
    quarter: Float64[np.ndarray, "patient year state state"],
    ends: Float64[np.ndarray, "patient year state horizon"],
    last: int,
) -> Float64[np.ndarray, "patient quarter horizon"]:
    """Move each start on, quarter by quarter, and read the chance of the end at each horizon."""
    n, k = begin.shape
    result = np.zeros((n, k, len(_STEPS)))
    chances = np.zeros((n, _AHEAD, quarter.shape[-1]))
    for q in range(min(k + _AHEAD - 1, last + 1)):
        if q < k:
            chances[:, q % _AHEAD] = 0.0
            chances[np.arange(n), q % _AHEAD, begin[:, q]] = 1.0
        chances = chances @ quarter[:, q // _QUARTERS]
        for h, (horizon, steps) in enumerate(_STEPS):
            start = q + 1 - steps
            if 0 <= start < k:
                year = (q if horizon < steps * QUARTER_DAYS else q + 1) // _QUARTERS
                result[:, start, h] = (chances[:, start % _AHEAD] * ends[:, year, :, h]).sum(axis=1)
    return result
