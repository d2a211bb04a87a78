"""In: how long index times were followed, and what is known. Out: weights that undo the censoring."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

MOST: Final = 20.0  # a weight above this would let one patient speak for twenty


def kaplan_meier(
    days: Float[np.ndarray, " row"], happened: Bool[np.ndarray, " row"], weight: Float[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"]]:
    """Estimate survival.

    Args:
        days: to the event or to the end of follow-up.
        happened: whether it ended in the event.
        weight: of each row.

    Returns:
        Distinct days, rising, and the chance to be free of the event just after each.
    """
    times, place = np.unique(days, return_inverse=True)
    events = np.bincount(place, weights=weight * happened, minlength=len(times))
    leaving = np.bincount(place, weights=weight, minlength=len(times))
    at_risk = np.cumsum(leaving[::-1])[::-1]
    return times, np.cumprod(1 - np.divide(events, at_risk, out=np.zeros(len(times)), where=at_risk > 0))


def weights(
    followed_days: Float[np.ndarray, " row"],
    known: Bool[np.ndarray, " row"],
    weight: Float[np.ndarray, " row"],
) -> Float[np.ndarray, " row"]:
    """Weigh the rows whose outcome is known by one over the chance to be followed as long as they were.

    Censoring at the very time of an outcome comes after it, so the chance is taken just before.

    Args:
        followed_days: to the outcome, death, the horizon or the end of observation.
        known: whether the outcome is known; the others are censored.
        weight: of the sampling.

    Returns:
        The weight times at most `MOST`; 0 for the censored.
    """
    times, free = kaplan_meier(followed_days, ~known, weight)
    before = np.concatenate(([1.0], free))[np.searchsorted(times, followed_days, "left")]
    return np.where(known, weight * np.minimum(1 / np.maximum(before, 1e-9), MOST), 0.0)
