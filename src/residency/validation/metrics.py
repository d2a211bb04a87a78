"""In: a tally of scores and outcomes. Out: one value of a metric for each draw.

NaN where a metric is not defined, for example an AUROC without events.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from residency.validation.tally import Tally

_KNOTS: Final = (0.05, 0.35, 0.65, 0.95)  # Harrell, Regression Modeling Strategies, table 2.3
_STEPS: Final = 30
_LONGEST: Final = 4.0  # step, as a change of log-odds: Newton's own may overshoot
_SETTLED: Final = 1e-6  # a coefficient's last step: the next would be its square


def auroc(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Chance that a row with the outcome is scored above one without; ties count half."""
    below = np.cumsum(tally.others, axis=0) - tally.others / 2
    return _ratio((tally.events * below).sum(axis=0), tally.events.sum(axis=0) * tally.others.sum(axis=0))


def auprc(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Average precision: precision at each threshold, weighted by the events that it adds."""
    events = np.cumsum(tally.events[::-1], axis=0)[::-1]
    flagged = events + np.cumsum(tally.others[::-1], axis=0)[::-1]
    precision = np.divide(events, flagged, out=np.zeros_like(events), where=flagged > 0)
    return _ratio((precision * tally.events).sum(axis=0), tally.events.sum(axis=0))


def calibration_slope(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Slope of a logistic regression of the outcome on the predicted log-odds; below 1 is too bold."""
    log_odds = _log_odds(tally.score)
    slope: np.ndarray = fit_logistic(np.stack([np.ones_like(log_odds), log_odds], axis=1), tally)[1]
    return slope


def calibration_intercept(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Log-odds by which the outcome is commoner than predicted (slope held at 1); 0 is right."""
    log_odds = _log_odds(tally.score)
    shift: np.ndarray = fit_logistic(np.ones((len(log_odds), 1)), tally, offset=log_odds)[0]
    return shift


def prevalence(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Share of the rows with the outcome."""
    events = tally.events.sum(axis=0)
    return _ratio(events, events + tally.others.sum(axis=0))


def observed_expected(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Outcomes that came, over those that the scores add up to; above 1 more came than was said."""
    return _ratio(
        tally.events.sum(axis=0), ((tally.events + tally.others) * tally.score[:, None]).sum(axis=0)
    )


def ici(tally: Tally) -> Float[np.ndarray, " draw"]:
    """Integrated calibration index: mean distance between predicted and smoothed observed risk.

    The smoother is a logistic regression on a restricted cubic spline of the predicted log-odds (Austin and
    Steyerberg 2019 use loess or such a spline).
    """
    total = tally.events + tally.others
    gap = np.abs(smoothed(tally) - tally.score[:, None])
    return _ratio((total * gap).sum(axis=0), total.sum(axis=0))


def smoothed(tally: Tally) -> Float[np.ndarray, "group draw"]:
    """Observed risk at each group's score, smoothed."""
    design = _spline(_log_odds(tally.score), (tally.events + tally.others).mean(axis=1))
    return _logistic(design @ fit_logistic(design, tally))


def at_threshold(tally: Tally, threshold: float) -> dict[str, Float[np.ndarray, " draw"]]:
    """Say what acting at and above a risk comes to: whom it flags and finds, how often it is right."""
    flagged = tally.score >= threshold
    true, false = tally.events[flagged].sum(axis=0), tally.others[flagged].sum(axis=0)
    events, others = tally.events.sum(axis=0), tally.others.sum(axis=0)
    return {
        "flagged_share": _ratio(true + false, events + others),
        "sensitivity": _ratio(true, events),
        "specificity": _ratio(others - false, others),
        "ppv": _ratio(true, true + false),
        "number_needed_to_evaluate": _ratio(true + false, true),
    }


def benefit_of_all(tally: Tally, threshold: float) -> Float[np.ndarray, " draw"]:
    """Net benefit of acting on everybody."""
    share = prevalence(tally)
    gain: np.ndarray = share - (1 - share) * threshold / (1 - threshold)
    return gain


def net_benefit(tally: Tally, threshold: float) -> Float[np.ndarray, " draw"]:
    """True alarms a row, less false ones at the threshold's odds (Vickers 2006); 0 is acting on nobody."""
    flagged = tally.score >= threshold
    rows = (tally.events + tally.others).sum(axis=0)
    true, false = tally.events[flagged].sum(axis=0), tally.others[flagged].sum(axis=0)
    return _ratio(true - false * threshold / (1 - threshold), rows)


def fit_logistic(
    design: Float[np.ndarray, "group term"], tally: Tally, offset: Float[np.ndarray, " group"] | float = 0.0
) -> Float[np.ndarray, "term draw"]:
    """Maximum-likelihood logistic regression by Newton's steps, one fit a draw.

    Every draw begins at the fit of all draws together, and is left alone once it has settled.

    Returns:
        Coefficients; NaN where the fit does not settle (too few events, or groups that separate).
    """
    base = np.broadcast_to(np.asarray(offset, dtype=np.float64), design.shape[:1])[:, None]
    events, total = tally.events, tally.events + tally.others
    pooled, _ = _newton(
        design, base, events.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True), np.zeros(1)
    )
    beta, settled = _newton(design, base, events, total, np.nan_to_num(pooled))
    both = (events.sum(axis=0) > 0) & (tally.others.sum(axis=0) > 0)
    return np.where(settled & both, beta, np.nan)


def _newton(
    design: Float[np.ndarray, "group term"],
    base: Float[np.ndarray, "group 1"],
    events: Float[np.ndarray, "group draw"],
    total: Float[np.ndarray, "group draw"],
    begin: Float[np.ndarray, "..."],
) -> tuple[Float[np.ndarray, "term draw"], Bool[np.ndarray, " draw"]]:
    """Step from `begin` until each draw has settled; give the coefficients and which draws did."""
    terms, draws = design.shape[1], events.shape[1]
    squares = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1).T
    beta = np.broadcast_to(begin.reshape(-1, 1), (terms, draws)).copy()
    moving, settled = np.arange(draws), np.zeros(draws, bool)
    for _ in range(_STEPS):
        risk = _logistic(design @ beta[:, moving] + base)
        expected = total * risk
        slope = design.T @ (events - expected)
        expected *= 1 - risk
        curve = (squares @ expected).T.reshape(len(moving), terms, terms)
        step = np.linalg.solve(curve + 1e-10 * np.eye(terms), slope.T[:, :, None])[:, :, 0].T
        beta[:, moving] += step * np.minimum(
            1, _LONGEST / np.maximum(np.abs(design @ step).max(axis=0), 1e-12)
        )
        still = np.abs(step).max(axis=0) >= _SETTLED
        settled[moving[~still]] = True
        if not still.any():
            break
        if not still.all():
            moving, events, total = moving[still], events[:, still], total[:, still]
    return beta, settled


def _spline(
    log_odds: Float[np.ndarray, " group"], weight: Float[np.ndarray, " group"]
) -> Float[np.ndarray, "group term"]:
    """Restricted cubic spline: constant, linear, and two terms that are linear beyond the outer knots."""
    share = np.cumsum(weight) / max(float(weight.sum()), 1e-12)
    places = np.minimum(np.searchsorted(share, _KNOTS), max(len(share) - 1, 0))
    knots = log_odds[places] if len(log_odds) else np.zeros(4)
    linear = [np.ones_like(log_odds), log_odds]
    if np.min(np.diff(knots)) < 1e-3:
        return np.stack(linear, axis=1)
    last, before = knots[-1], knots[-2]
    wide = (last - knots[0]) ** 2

    def cube(at: float) -> Float[np.ndarray, " group"]:
        return np.maximum(log_odds - at, 0.0) ** 3

    curves = [
        (cube(k) - cube(before) * (last - k) / (last - before) + cube(last) * (before - k) / (last - before))
        / wide
        for k in knots[:-2]
    ]
    return np.stack([*linear, *curves], axis=1)


def _log_odds(probability: Float[np.ndarray, " group"]) -> Float[np.ndarray, " group"]:
    inside = np.clip(probability, 1e-7, 1 - 1e-7)
    log_odds: np.ndarray = np.log(inside / (1 - inside))
    return log_odds


def _logistic(log_odds: np.ndarray) -> np.ndarray:
    risk: np.ndarray = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    return risk


def _ratio(
    above: Float[np.ndarray, " draw"], below: Float[np.ndarray, " draw"]
) -> Float[np.ndarray, " draw"]:
    result: np.ndarray = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return result
