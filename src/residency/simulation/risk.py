"""In: people, rates and states. Out: exact chances of a diagnosis within each horizon, death competing.

For one disease the truth is a chain of 17 states: free of it or hidden, times which of the other three have
begun, and diagnosed. Rates are constant within a year, so that each quarter is one matrix exponential.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.course import Course
from residency.simulation.intensities import Effects, effects, intensities
from residency.simulation.people import People
from residency.simulation.spec import HORIZONS_DAYS, QUARTER_DAYS, YEAR_DAYS, HospitalSpec

_QUARTERS = YEAR_DAYS // QUARTER_DAYS
_STEPS = tuple((horizon, round(horizon / QUARTER_DAYS)) for horizon in HORIZONS_DAYS)
_AHEAD = max(steps for _, steps in _STEPS)


@dataclass(frozen=True)
class Chain:
    """The states of one disease's chain, and what each rate does.

    Attributes:
        target: the disease.
        others: the other diseases.
        parts: generators of each onset, of the diagnosis and of death; the last state is diagnosed.
    """

    target: int
    others: tuple[int, ...]
    parts: Float64[np.ndarray, "part state state"]


def chain(target: int, ratio: Effects) -> Chain:
    """Lay out the chain of one disease."""
    n = len(ratio.death)
    others = tuple(one for one in range(n) if one != target)
    order = (*others, target)
    last = 2**n
    parts = np.zeros((n + 2, last + 1, last + 1))
    for state in range(last):
        has = np.zeros(n)
        for bit, one in enumerate(order):
            has[one] = state >> bit & 1
        for bit, one in enumerate(order):
            if not has[one]:
                _leave(parts[one], state, state | 1 << bit, float(np.exp(has @ ratio.onset[:, one])))
        if has[target]:
            _leave(parts[n], state, last, float(ratio.diagnosis[target]))
        parts[n + 1, state, state] -= np.exp(has @ ratio.death)
    return Chain(target, others, parts)


def _leave(part: Float64[np.ndarray, "state state"], state: int, to: int, rate: float) -> None:
    part[state, to] += rate
    part[state, state] -= rate


def risk(
    people: People, course: Course, spec: HospitalSpec, target: int
) -> Float64[np.ndarray, "patient quarter horizon"]:
    """Give the chance of a diagnosis of one disease within each horizon, at each quarter from entry.

    Returns:
        Probabilities; meaningless where the patient is dead or diagnosed, see `at_risk`.
    """
    ratio = effects()
    layout = chain(target, ratio)
    k = spec.n_quarters
    rates = intensities(people, 0, (k + _AHEAD) // _QUARTERS)
    found = np.ones_like(rates.death)
    speed = np.concatenate([rates.onset, found[:, :, None], rates.death[:, :, None]], axis=2)
    generator = np.einsum("nyp,pst->nyst", speed, layout.parts, optimize=True)
    quarter = exponential(generator * QUARTER_DAYS)
    begin = _states(course, layout, k)
    return _forward(begin, generator, quarter)


def at_risk(course: Course, target: int, n_quarters: int) -> Bool[np.ndarray, "patient quarter"]:
    """Say at which quarters a patient is alive, seen, and not diagnosed."""
    day = np.arange(n_quarters) * QUARTER_DAYS
    return (day <= course.until[:, None]) & (day < course.diagnosis[:, target, None])


def exponential(
    matrix: Float64[np.ndarray, "patient year state state"],
) -> Float64[np.ndarray, "patient year state state"]:
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


def _states(course: Course, layout: Chain, k: int) -> Int64[np.ndarray, "patient quarter"]:
    day = np.arange(k) * QUARTER_DAYS
    state = np.zeros((len(course.death), k), np.int64)
    for bit, one in enumerate((*layout.others, layout.target)):
        state += (course.onset[:, one, None] <= day).astype(np.int64) << bit
    return state


def _forward(
    begin: Int64[np.ndarray, "patient quarter"],
    generator: Float64[np.ndarray, "patient year state state"],
    quarter: Float64[np.ndarray, "patient year state state"],
) -> Float64[np.ndarray, "patient quarter horizon"]:
    """Move the chances of all starts along, a quarter at a time; a start lives in slot `start mod ahead`."""
    n, k = begin.shape
    result = np.zeros((n, k, len(HORIZONS_DAYS)))
    chances = np.zeros((n, _AHEAD, generator.shape[-1]))
    ends = [_remainder(generator, horizon - steps * QUARTER_DAYS) for horizon, steps in _STEPS]
    for q in range(k + _AHEAD - 1):
        if q < k:
            chances[:, q % _AHEAD] = 0.0
            chances[np.arange(n), q % _AHEAD, begin[:, q]] = 1.0
        chances = chances @ quarter[:, q // _QUARTERS]
        for h, (horizon, steps) in enumerate(_STEPS):
            start = q + 1 - steps
            if 0 <= start < k:
                year = (q if horizon < steps * QUARTER_DAYS else q + 1) // _QUARTERS
                result[:, start, h] = (chances[:, start % _AHEAD] * ends[h][:, year]).sum(axis=1)
    return result


def _remainder(
    generator: Float64[np.ndarray, "patient year state state"], days: int
) -> Float64[np.ndarray, "patient year state"]:
    """Give the chance of being diagnosed after the few days from the nearest quarter to a horizon, by state.

    Where the horizon comes before the quarter's end, the days are negative: they are taken back.
    """
    term = np.zeros(generator.shape[:-1])
    term[..., -1] = 1.0
    total = term
    for order in range(1, 7):
        term = (generator @ term[..., None])[..., 0] * (days / order)
        total = total + term
    return total
