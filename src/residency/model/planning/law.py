"""In: losses of small trainings. Out: loss as a function of size and events, with bootstrap intervals.

L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al., 2022), fitted to log L with Huber's loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float64
from scipy.optimize import least_squares
from scipy.special import logsumexp
from scipy.stats import norm
from scipy.stats import t as student

from residency.contract.errors import TrainingError

HUBER: Final = 0.01  # of the loss: seeds of small trainings differ by about as much
LEAST: Final = 6  # trainings: one more than the law has numbers
_N_NUMBERS: Final = 5
_BOUNDS: Final = ((-30.0, 10.0), (-30.0, 10.0), (-30.0, 10.0), (0.02, 2.0), (0.02, 2.0))
_STARTS: Final = tuple(product((-3.0, 0.0), (-3.0, 0.0), (-1.0,), (0.2, 0.7), (0.2, 0.7)))


@dataclass(frozen=True)
class Tried:
    """What small trainings reached.

    Attributes:
        size: parameters of the network without its tables.
        events: of the train patients.
        loss: on the tuning patients; above 0.
    """

    size: Float64[np.ndarray, " rung"]
    events: Float64[np.ndarray, " rung"]
    loss: Float64[np.ndarray, " rung"]


@dataclass(frozen=True)
class Law:
    """How the loss falls with size and events.

    Attributes:
        numbers: log A, log B, log E, alpha, beta, of size and events in units of `unit`.
        unit: size and events in whose multiples the law is written: the middle of what was tried.
    """

    numbers: tuple[float, ...]
    unit: tuple[float, float]

    def loss(self, size: Float64[np.ndarray, "..."], events: Float64[np.ndarray, "..."]) -> np.ndarray:
        """Give the loss that the law expects.

        Example:
            >>> law = Law((0.0, 0.0, 0.0, 0.5, 0.5), (1.0, 1.0))
            >>> law.loss(np.array([4.0]), np.array([100.0])).round(3).tolist()
            [1.6]
        """
        parts = _parts(np.array(self.numbers), self._relative(size, events))
        result: np.ndarray = np.asarray(np.exp(parts).sum(axis=0))
        return result

    def shares(self, size: float, events: float) -> tuple[float, float, float]:
        """Give what the loss is made of: too small a network, too few events, and what nothing mends."""
        parts = np.exp(_parts(np.array(self.numbers), self._relative(np.array(size), np.array(events))))
        return float(parts[0]), float(parts[1]), float(parts[2])

    def _relative(self, size: np.ndarray, events: np.ndarray) -> np.ndarray:
        size, events = np.broadcast_arrays(np.log(size / self.unit[0]), np.log(events / self.unit[1]))
        return np.stack([size, events])


def fit_law(tried: Tried) -> Law:
    """Fit the law.

    Raises:
        TrainingError: there are too few trainings, sizes or amounts of events, or a loss is not above 0.
    """
    if len(tried.loss) < LEAST or min(len(np.unique(tried.size)), len(np.unique(tried.events))) < 2:
        raise TrainingError(
            f"a law needs {LEAST} trainings or more, of two sizes and two amounts of events",
            mend="add sizes, shares or seeds",
        )
    if not (np.isfinite(tried.loss).all() and (tried.loss > 0).all()):
        raise TrainingError("a loss of the ladder is not above 0", mend="look at rungs/")
    unit = float(np.exp(np.log(tried.size).mean())), float(np.exp(np.log(tried.events).mean()))
    middle = float(np.log(tried.loss).mean())
    starts = [(middle + a, middle + b, middle + e, alpha, beta) for a, b, e, alpha, beta in _STARTS]
    return _best(tried, unit, starts)


def _best(tried: Tried, unit: tuple[float, float], starts: Sequence[tuple[float, ...]]) -> Law:
    x = np.stack([np.log(tried.size / unit[0]), np.log(tried.events / unit[1])])
    y = np.log(tried.loss)
    low, high = np.array(_BOUNDS).T
    found = [
        least_squares(
            _missed, start, _slope, (low, high), args=(x, y), loss="huber", f_scale=HUBER, max_nfev=100
        )
        for start in starts
    ]
    best = min(found, key=lambda one: float(one.cost))
    return Law(tuple(float(number) for number in best.x), unit)


def _parts(numbers: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Give the logs of the three parts of the loss."""
    a, b, e, alpha, beta = numbers
    return np.stack([a - alpha * x[0], b - beta * x[1], np.full_like(x[0], e)])


def _missed(numbers: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Give by how much the law misses the logs of the losses."""
    missed: np.ndarray = logsumexp(_parts(numbers, x), axis=0) - y
    return missed


def _slope(numbers: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Give how each number moves what `_missed` gives."""
    parts = _parts(numbers, x)
    share = np.exp(parts - logsumexp(parts, axis=0))
    return np.stack([share[0], share[1], share[2], -share[0] * x[0], -share[1] * x[1]], axis=1)


def bootstrap_laws(tried: Tried, law: Law, n_draws: int, rng: np.random.Generator) -> tuple[Law, ...]:
    """Fit the law again to what it says, with its own misses drawn anew: how far it could be off.

    Misses are widened for the five numbers that were fitted, and, by Student's t, for how few they are.
    """
    said = np.log(law.loss(tried.size, tried.events))
    missed = np.log(tried.loss) - said
    free = max(len(missed) - _N_NUMBERS, 1)
    missed = (missed - missed.mean()) * np.sqrt(len(missed) / free) * student.ppf(0.95, free) / norm.ppf(0.95)
    laws = []
    for _ in range(n_draws):
        drawn = Tried(tried.size, tried.events, np.exp(said + rng.choice(missed, len(missed))))
        laws.append(_best(drawn, law.unit, [law.numbers]))
    return tuple(laws)
