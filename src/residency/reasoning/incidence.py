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
