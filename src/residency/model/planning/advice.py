"""In: a law with its draws, and a budget. Out: the size and events that the budget deserves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from residency.model.planning.law import Law
from residency.model.spec import SIZES

INTERVAL: Final = 0.90
FAR: Final = 10.0  # times beyond what was tried: what a law says there is a guess
_LARGEST: Final = 1e12
_N_GRID: Final = 400
_ENOUGH: Final = 0.1  # of the loss that events leave: a larger network would not be noticed


class Bounds(msgspec.Struct, frozen=True):
    """A value and its 90% interval."""

    value: float
    low: float
    high: float


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A size and an amount of events.

    Attributes:
        size: name on the dial nearest to `parameters`.
        parameters: of moment encoder and trunk.
        events: of train patients.
        loss: that the law expects.
        gpu_hours: that it takes.
        beyond: how far outside what was tried, as a factor: of parameters or of events, the larger.
    """

    size: str
    parameters: Bounds
    events: Bounds
    loss: Bounds
    gpu_hours: float
    beyond: float


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget deserves.

    Attributes:
        budget: of GPU-hours, if there were as many events as one liked: size and events in balance.
        here: the largest network worth training on the events that there are.
        short_of: what holds `here` back: `events`, `budget`, or `nothing` (the rest is noise).
        twice_the_events: how much the loss of `here` would fall with twice the events.
        twice_the_size: the same with a network of twice the size.
        far: whether either choice lies more than ten times beyond what was tried.
    """

    budget: Choice
    here: Choice
    short_of: str
    twice_the_events: Bounds
    twice_the_size: Bounds
    far: bool


@dataclass(frozen=True)
class Means:
    """What there is to spend.

    Attributes:
        gpu_hours: the budget.
        gpu_flops: that a GPU does in a second.
        per_event: multiplications and additions a parameter and event, all passes together.
        events: of the train patients at hand.
        tried: largest size and most events of the ladder.
        dial: parameters of each size of the dial.
    """

    gpu_hours: float
    gpu_flops: float
    per_event: float
    events: float
    tried: tuple[float, float]
    dial: dict[str, float]

    @property
    def product(self) -> float:
        """Parameters times events that the budget pays for."""
        return self.gpu_hours * 3600.0 * self.gpu_flops / self.per_event

    def hours(self, size: float, events: float) -> float:
        """Give the GPU-hours of a training."""
        return size * events * self.per_event / self.gpu_flops / 3600.0


def advise(law: Law, draws: Sequence[Law], means: Means) -> Advice:
    """Choose size and events for a budget, with intervals over the law's draws."""
    best, here = _balanced(law, means), (_worth(law, means), means.events)
    all_best = [_balanced(draw, means) for draw in draws]
    all_here = [(_worth(draw, means), means.events) for draw in draws]
    budget = _choice(law, draws, means, best, all_best)
    at_hand = _choice(law, draws, means, here, all_here)
    return Advice(
        budget=budget,
        here=at_hand,
        short_of=_short_of(law, means, here[0]),
        twice_the_events=_gain(law, draws, here, (1.0, 2.0)),
        twice_the_size=_gain(law, draws, here, (2.0, 1.0)),
        far=max(budget.beyond, at_hand.beyond) > FAR,
    )


def _sizes(means: Means) -> np.ndarray:
    return np.geomspace(min(means.dial.values()), _LARGEST, _N_GRID)


def _balanced(law: Law, means: Means) -> tuple[float, float]:
    """Give size and events of the lowest loss whose product the budget pays for."""
    sizes = _sizes(means)
    events = means.product / sizes
    sizes, events = sizes[events >= 1], events[events >= 1]
    if not len(sizes):
        return min(means.dial.values()), 1.0
    at = int(np.argmin(law.loss(sizes, events)))
    return float(sizes[at]), float(events[at])


def _worth(law: Law, means: Means) -> float:
    """Give the size whose smallness costs a tenth of what the fewness of events does, if it can be paid."""
    sizes = _sizes(means)
    sizes = sizes[sizes <= max(means.product / means.events, sizes[0])]
    cost, fewness, rest = np.array([law.shares(float(size), means.events) for size in sizes]).T
    enough = np.flatnonzero(cost <= _ENOUGH * np.maximum(fewness, 0.01 * (fewness + rest)))
    return float(sizes[enough[0]] if len(enough) else sizes[-1])


def _short_of(law: Law, means: Means, size: float) -> str:
    small, few, rest = law.shares(size, means.events)
    if max(small, few) < 0.01 * rest:
        return "nothing"
    return "events" if few >= small else "budget"


def _choice(
    law: Law, draws: Sequence[Law], means: Means, at: tuple[float, float], others: list[tuple[float, float]]
) -> Choice:
    size, events = at
    losses = [float(draw.loss(np.array(size), np.array(events))) for draw in draws]
    nearest = min(means.dial, key=lambda name: abs(np.log(means.dial[name] / size)))
    return Choice(
        size=nearest,
        parameters=bounds(size, [one for one, _ in others]),
        events=bounds(events, [one for _, one in others]),
        loss=bounds(float(law.loss(np.array(size), np.array(events))), losses),
        gpu_hours=means.hours(size, events),
        beyond=max(size / means.tried[0], events / means.tried[1]),
    )


def _gain(law: Law, draws: Sequence[Law], at: tuple[float, float], times: tuple[float, float]) -> Bounds:
    size, events = at

    def fall(one: Law) -> float:
        before = one.loss(np.array(size), np.array(events))
        return float(before - one.loss(np.array(size * times[0]), np.array(events * times[1])))

    return bounds(fall(law), [fall(draw) for draw in draws])


def bounds(value: float, draws: Sequence[float]) -> Bounds:
    """Give a value and the 90% interval of its draws, the value always inside."""
    low, high = np.quantile(np.array([*draws, value]), [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return Bounds(value, min(float(low), value), max(float(high), value))


def dial_of(parameters: dict[str, int]) -> dict[str, float]:
    """Give the dial's sizes in order, as numbers."""
    return {name: float(parameters[name]) for name in SIZES if name in parameters}
