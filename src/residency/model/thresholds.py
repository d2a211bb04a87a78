"""In: a frozen model and states at instants. Out: what comes of a code with a value inside a range."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Int64

from residency.model.generative import VALUE_BINS
from residency.model.measuring import edges_of, inside
from residency.model.opened import Model
from residency.model.states import States

_MOST_ROWS: Final = 16_384


@dataclass(frozen=True)
class Range:
    """Values of a code, in its unit.

    Attributes:
        code: in the model's vocabulary; one whose values are known.
        above: values are above this; −∞ for none.
        below: and below this; ∞ for none.
    """

    code: int
    above: float
    below: float

    def reaches_beyond(self, model: Model) -> bool:
        """Whether it lies all beyond the values that are told apart, so that its chance is not known."""
        edges = edges_of(model.vocabulary, self.code)
        return bool(self.above >= edges[-1] or self.below <= edges[0])


@dataclass(frozen=True)
class Inside:
    """What is said of results inside a range.

    Attributes:
        first: chance that the next result lies there, by when it comes.
        later: hazard per day of one there after a first that did not, by time from the instant.
    """

    first: Float32[np.ndarray, "index interval"]
    later: Float32[np.ndarray, "index interval"]


def values_inside(
    model: Model,
    states: States,
    moment: Int64[np.ndarray, " index"],
    elapsed_days: Float32[np.ndarray, " index"],
    asked: Range,
) -> Inside:
    """Give the calibrated chance of a first result inside a range, and how fast later ones come.

    Both are a distribution over bins, summed inside the range: a wider range is never less likely.

    Args:
        model: a frozen model.
        states: from `encode`.
        moment: rows of `states.z`: the last moment known.
        elapsed_days: from that moment to the instant; 0 or more.
        asked: code and values.
    """
    hours = states.hours_since(moment, elapsed_days)
    part = inside(edges_of(model.vocabulary, asked.code)[::2], asked.above, asked.below)
    weight = torch.from_numpy(part.astype(np.float32))
    found = [
        _inside(model, states, torch.from_numpy(moment[rows]), hours[rows], asked.code, weight)
        for rows in (slice(at, at + _MOST_ROWS) for at in range(0, max(len(moment), 1), _MOST_ROWS))
    ]
    return Inside(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _inside(
    model: Model,
    states: States,
    at: torch.Tensor,
    hours: torch.Tensor,
    code: int,
    weight: Float32[torch.Tensor, " bin"],
) -> tuple[Float32[np.ndarray, "index interval"], Float32[np.ndarray, "index interval"]]:
    bins, faster = model.calibration.of_value(int(np.searchsorted(model.valued, code)))
    factor = torch.from_numpy(bins)
    first = np.empty((len(at), len(model.edges_days) - 1), np.float32)
    with torch.inference_mode():
        z, panel = model.network.waiting(states.z[at], hours), states.record.panel[at]
        for number, days in enumerate((model.edges_days[:-1] + model.edges_days[1:]) / 2):
            asked = model.result_of(code, len(at), 24.0 * float(days))
            share = torch.softmax(model.network.future.values(z, panel, asked), dim=1) * factor
            held = share[:, :VALUE_BINS] @ weight / share.sum(dim=1)
            first[:, number] = held.clamp(0.0, 1.0).numpy()
        log_rate, log_share = model.network.query.after(z, panel, model.result_of(code, len(at), 0.0))
        later = faster * log_rate.exp() * (log_share.exp() @ weight)[:, None]
    return first, later.numpy()
