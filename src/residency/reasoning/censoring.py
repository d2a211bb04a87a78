"""In: how long index times were followed, and what is known. Out: weights that undo the censoring.

Data end at a date. Of an index time less than the horizon before it, nobody can be known to stay well; who
falls ill or dies can. One curve of the censoring for all index times would leave hardly any but the ill among
the late ones, and who can tell a late index time from an early one would seem to tell the ill apart. So
each era of index times has a curve of its own, and where few can be followed, nobody is asked about (inverse
probability of censoring weights need that everybody could have been followed: Robins and Finkelstein, 2000).
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64

MOST: Final = 20.0  # a weight above this would let one patient speak for twenty
_ERAS: Final = 32  # at most
_PATIENTS: Final = 50  # in an era, at least
_FOLLOWED: Final = 0.5  # of the share followed to the horizon in the best era: below it nobody is asked about


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


def eras(subject: Int64[np.ndarray, " row"], as_of: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
    """Cut index times (µs) into eras of as many rows each, few enough for each to have a curve of its own."""
    n = min(max(len(np.unique(subject)) // _PATIENTS, 1), _ERAS)
    era = np.empty(len(as_of), np.int64)
    era[np.argsort(as_of, kind="stable")] = np.arange(len(as_of)) * n // max(len(as_of), 1)
    return era


def weights(
    followed_days: Float[np.ndarray, " row"],
    known: Bool[np.ndarray, " row"],
    weight: Float[np.ndarray, " row"],
    era: Int64[np.ndarray, " row"],
    horizon_days: float,
) -> tuple[Float[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    """Weigh the rows whose outcome is known by one over the chance to be followed as long as they were.

    Censoring at the very time of an outcome comes after it, so the chance is taken just before.

    Args:
        followed_days: to the outcome, death, the horizon or the end of observation.
        known: whether the outcome is known; the others are censored.
        weight: of the sampling.
        era: of each index time.
        horizon_days: of the task.

    Returns:
        The weight times at most `MOST`, 0 for the censored; and which rows are of an era in which the horizon
        can be reached.
    """
    chance, reached = np.ones(len(known)), np.ones(len(known))
    for one in np.unique(era):
        mine = era == one
        times, free = kaplan_meier(followed_days[mine], ~known[mine], weight[mine])
        just_before = np.concatenate(([1.0], free))
        chance[mine] = just_before[np.searchsorted(times, followed_days[mine], "left")]
        reached[mine] = just_before[np.searchsorted(times, horizon_days, "left")]
    held = reached >= _FOLLOWED * reached.max(initial=0.0)
    return np.where(known & held, weight * np.minimum(1 / np.maximum(chance, 1e-9), MOST), 0.0), held
