"""In: piecewise-constant cause-specific hazards. Out: cumulative incidence, exact at any horizon."""

import numpy as np
from jaxtyping import Float


def cumulative_incidence(
    hazard: Float[np.ndarray, "*batch interval"],
    competing: Float[np.ndarray, "*batch interval"],
    edges_days: Float[np.ndarray, " interval_and_1"],
    horizons_days: Float[np.ndarray, " horizon"],
) -> Float[np.ndarray, "*batch horizon"]:
    """Chance that the event has come by each horizon, before what competes with it has.

    In an interval both hazards are constant, so the integral of λ·S has a closed form there:
    λ / (λ + μ) · S(start) · (1 − exp(−(λ + μ) · days)). A horizon inside an interval ends it early.

    Args:
        hazard: λ, events per day; 0 or more.
        competing: μ, of death for example, per day; 0 or more.
        edges_days: where intervals begin, and where the last one ends; rising from 0.
        horizons_days: between 0 and the last edge.

    Returns:
        Chances in [0, 1], never falling with the horizon.

    Example:
        >>> edges_days, horizons_days = np.array([0.0, 30.0]), np.array([10.0])
        >>> cumulative_incidence(np.array([0.1]), np.array([0.0]), edges_days, horizons_days).round(3)
        array([0.632])
    """
    total = hazard + competing
    spent = total * np.diff(edges_days).astype(total.dtype)
    at_start = np.exp(-(np.cumsum(spent, axis=-1) - spent))
    rate = hazard * at_start / np.maximum(total, np.finfo(total.dtype).tiny)
    result = np.empty((*total.shape[:-1], len(horizons_days)), dtype=total.dtype)
    for number, horizon in enumerate(horizons_days):
        days = np.clip(horizon - edges_days[:-1], 0, np.diff(edges_days)).astype(total.dtype)
        reached = days > 0
        gone = -np.expm1(-total[..., reached] * days[reached])
        result[..., number] = (rate[..., reached] * gone).sum(axis=-1)
    return np.clip(result, 0, 1, out=result)


def incidence_inside(
    hazard: Float[np.ndarray, "*batch interval"],
    inside: tuple[Float[np.ndarray, "*batch interval"], Float[np.ndarray, "*batch interval"]],
    competing: Float[np.ndarray, "*batch interval"],
    edges_days: Float[np.ndarray, " interval_and_1"],
    horizons_days: Float[np.ndarray, " horizon"],
) -> Float[np.ndarray, "*batch horizon"]:
    """Chance that a value inside a range has come by each horizon, before what competes with it has.

    A patient waits for a next result (at rate λ). It lies inside (with chance p), or else the patient waits
    for a later one that does (at rate κ). What competes (μ) ends either wait. All is constant in an interval,
    so each has a closed form. The chance rises with p and with κ, and is at most that of any next result.

    Args:
        hazard: λ, per day; 0 or more.
        inside: p, between 0 and 1; and κ, per day.
        competing: μ, per day.
        edges_days: where intervals begin, and where the last one ends; rising from 0.
        horizons_days: between 0 and the last edge.

    Example:
        >>> every = np.array([1.0]), np.array([0.0])
        >>> edges_days, horizons_days = np.array([0.0, 30.0]), np.array([10.0])
        >>> incidence_inside(np.array([0.1]), every, np.array([0.0]), edges_days, horizons_days).round(3)
        array([0.632])
    """
    said = [np.asarray(part, np.float64) for part in (hazard, *inside, competing)]
    result = np.empty((*said[0].shape[:-1], len(horizons_days)))
    for number, horizon in enumerate(horizons_days):
        waiting, missed, came = (np.full_like(said[0][..., :1], share) for share in (1.0, 0.0, 0.0))
        for at in range(int(np.searchsorted(edges_days[:-1], horizon))):
            rate, first, later, against = (part[..., at : at + 1] for part in said)
            days = float(min(horizon, edges_days[at + 1]) - edges_days[at])
            leave, go = rate + against, later + against
            missing, between = rate * (1 - first) * waiting, _between(leave, go, days)
            came += rate * first * waiting * _spent(leave, days)
            came += later * (missed * _spent(go, days) + missing * between)
            missed = missed * np.exp(-go * days) + missing * (_spent(go, days) - leave * between)
            waiting = waiting * np.exp(-leave * days)
        result[..., number] = came[..., 0]
    kept: np.ndarray = np.clip(result, 0, 1).astype(hazard.dtype)
    return kept


def _spent(rate: Float[np.ndarray, "*batch"], days: float) -> Float[np.ndarray, "*batch"]:
    """Days spent in a state that is left at a rate: ∫ exp(−rate · t)."""
    safe = np.maximum(rate, 1e-12)
    spent: np.ndarray = -np.expm1(-safe * days) / safe
    return spent


def _between(
    leave: Float[np.ndarray, "*batch"], go: Float[np.ndarray, "*batch"], days: float
) -> Float[np.ndarray, "*batch"]:
    """Days in a second state after a first: (∫ exp(−go · t) − ∫ exp(−leave · t)) / (leave − go).

    Where both rates are alike, the limit: the middle of the two stands for both.
    """
    apart = leave - go
    alike = np.abs(apart) * days < 1e-4
    rate = np.maximum((leave + go) / 2, 1e-12)
    x = rate * days
    # (1 − (1 + x) exp(−x)) / rate², by its series where x is small
    small = days**2 * (0.5 - x / 3 + x**2 / 8)
    limit = np.where(x < 1e-3, small, (-np.expm1(-x) - x * np.exp(-x)) / rate**2)
    exact = (_spent(go, days) - _spent(leave, days)) / np.where(alike, 1.0, apart)
    between: np.ndarray = np.where(alike, limit, exact)
    return between
