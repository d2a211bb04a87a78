"""In: what is expected of a model. Out: how many patients it takes to develop it, or to examine it.

Development: Riley et al., BMJ 2020;368:m441 and Stat Med 2019;38:1276 (the criteria of `pmsampsize`).
Examination: Riley et al., Stat Med 2021;40:4230 (the criteria of `pmvalsampsize`). A pilot: two arms whose
shares differ, or a stepped wedge (Hussey and Hughes 2007).
"""

from dataclasses import dataclass
from math import ceil, exp, log, pi, sqrt
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy import optimize, special, stats

from residency.contract.errors import SpecError

_OPTIMISM: Final = 0.05  # apparent less adjusted Nagelkerke R², at most
_MARGIN: Final = 0.05  # of the overall risk
_SURVIVAL_MARGIN: Final = 0.05
_GRID: Final = 20_001


@dataclass(frozen=True)
class Criterion:
    """One criterion: what it wants, and how many patients that takes."""

    wants: str
    n: int


@dataclass(frozen=True)
class SampleSize:
    """How many patients, by each criterion; the largest counts.

    Attributes:
        criteria: each one.
        prevalence: share with the outcome.
    """

    criteria: tuple[Criterion, ...]
    prevalence: float

    @property
    def n(self) -> int:
        """Patients needed."""
        return max(one.n for one in self.criteria)

    @property
    def events(self) -> int:
        """Of them with the outcome."""
        return ceil(self.n * self.prevalence - 1e-9)


def most_r2(prevalence: float) -> float:
    """Give the highest Cox–Snell R² that any model of a binary outcome can have."""
    null = prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)
    return 1 - exp(2 * null)


def r2_of_auroc(auroc: float, prevalence: float) -> float:
    """Give the Cox–Snell R² of a model with normal linear predictors in both groups (Riley 2021).

    The two normals have variance 1 and lie √2·Φ⁻¹(AUROC) apart; the log-likelihoods are integrals over them,
    where `pmsampsize` draws a million patients.
    """
    apart = sqrt(2) * float(stats.norm.ppf(auroc))
    at = np.linspace(-9, 9 + apart, _GRID)
    density = np.stack([stats.norm.pdf(at), stats.norm.pdf(at - apart)])
    weight = density * np.array([[1 - prevalence], [prevalence]]) * (at[1] - at[0])
    risk = weight[1] / np.maximum(weight.sum(axis=0), 1e-300)
    full = float((special.xlogy(weight[1], risk) + special.xlogy(weight[0], 1 - risk)).sum())
    null = prevalence * log(prevalence) + (1 - prevalence) * log(1 - prevalence)
    return 1 - exp(2 * (null - full))


def to_develop(
    parameters: int,
    prevalence: float,
    *,
    r2: float | None = None,
    auroc: float | None = None,
    shrinkage: float = 0.9,
) -> SampleSize:
    """Say how many patients it takes to develop a model of a binary outcome.

    Args:
        parameters: candidate predictor parameters.
        prevalence: expected share with the outcome.
        r2: expected Cox–Snell R², adjusted for optimism.
        auroc: where that is not known, the expected AUROC.
        shrinkage: uniform shrinkage aimed at.

    Raises:
        SpecError: a number cannot be.
    """
    _within("prevalence", prevalence)
    _within("shrinkage", shrinkage)
    if (r2 is None) == (auroc is None):
        raise SpecError("give one of r2 and auroc")
    held = r2_of_auroc(_above_half(auroc), prevalence) if r2 is None else r2
    highest = most_r2(prevalence)
    if not 0 < held < highest:
        raise SpecError(f"r2 must be between 0 and {highest:.3f}, the most that this prevalence allows")
    second = held / (held + _OPTIMISM * highest)
    criteria = (
        Criterion(
            f"predictions shrink by at most {1 - shrinkage:.0%}", _shrinking(parameters, held, shrinkage)
        ),
        Criterion("apparent and adjusted R² differ by at most .05", _shrinking(parameters, held, second)),
        Criterion("overall risk within .05", ceil((1.96 / _MARGIN) ** 2 * prevalence * (1 - prevalence))),
    )
    return SampleSize(criteria, prevalence)


def _shrinking(parameters: int, r2: float, shrinkage: float) -> int:
    if r2 >= shrinkage:
        raise SpecError("r2 must be below the shrinkage")
    return ceil(parameters / ((shrinkage - 1) * log(1 - r2 / shrinkage)))


def to_develop_survival(
    parameters: int,
    r2: float,
    *,
    rate: float,
    time_point: float,
    mean_follow_up: float,
    shrinkage: float = 0.9,
) -> SampleSize:
    """Say how many patients it takes to develop a model of time to an event.

    Args:
        parameters: candidate predictor parameters.
        r2: expected Cox–Snell R².
        rate: events a person-year.
        time_point: of interest, in years.
        mean_follow_up: in years.
        shrinkage: aimed at.
    """
    events = rate * mean_follow_up
    highest = 1 - exp(2 * (events * log(events) - events))
    second = r2 / (r2 + _OPTIMISM * highest)
    first = (_shrinking(parameters, r2, shrinkage), _shrinking(parameters, r2, second))
    n = max(first)
    while (
        exp(-(rate - 1.96 * sqrt(rate / (n * mean_follow_up))) * time_point) - exp(-rate * time_point)
        > _SURVIVAL_MARGIN
    ):
        n += 1
    criteria = (
        Criterion(f"predictions shrink by at most {1 - shrinkage:.0%}", first[0]),
        Criterion("apparent and adjusted R² differ by at most .05", first[1]),
        Criterion("overall risk within .05", n),
    )
    return SampleSize(criteria, events)


def to_examine(
    prevalence: float,
    auroc: float,
    *,
    oe_width: float = 0.2,
    slope_width: float = 0.2,
    auroc_width: float = 0.1,
) -> SampleSize:
    """Say how many patients it takes to examine a calibrated model.

    Args:
        prevalence: expected share with the outcome.
        auroc: expected.
        oe_width: of the 95% interval of O:E.
        slope_width: of that of the calibration slope.
        auroc_width: of that of the AUROC.

    Raises:
        SpecError: a number cannot be.
    """
    _within("prevalence", prevalence)
    mean, sd = normal_predictor(prevalence, _above_half(auroc))
    criteria = (
        Criterion(f"interval of O:E at most {oe_width:g} wide", for_oe(prevalence, oe_width)),
        Criterion(f"interval of the slope at most {slope_width:g} wide", for_slope(mean, sd, slope_width)),
        Criterion(
            f"interval of the AUROC at most {auroc_width:g} wide", for_auroc(prevalence, auroc, auroc_width)
        ),
        Criterion("100 patients with the outcome", ceil(100 / prevalence)),
    )
    return SampleSize(criteria, prevalence)


def for_oe(prevalence: float, width: float) -> int:
    """Say how many patients make the interval of O:E, about 1, so wide."""
    error = float(np.arcsinh(width / 2)) / 1.96  # exp(1.96 e) − exp(−1.96 e) = width
    rounded = ceil(error * 1e4 - 1e-9) / 1e4  # as the published tool steps
    return ceil((1 - prevalence) / (prevalence * rounded**2) - 1e-9)


def for_slope(mean: float, sd: float, width: float) -> int:
    """Say how many patients make the interval of the slope so wide, of normal log-odds."""
    at = np.linspace(mean - 9 * sd, mean + 9 * sd, _GRID)
    weight = stats.norm.pdf(at, mean, sd) * (at[1] - at[0])
    risk: Float[np.ndarray, " point"] = special.expit(at)
    a = weight * risk * (1 - risk)
    first, cross, second = float(a.sum()), float((a * at).sum()), float((a * at**2).sum())
    error = width / (2 * 1.96)
    return ceil(first / (error**2 * (first * second - cross**2)))


def for_auroc(prevalence: float, auroc: float, width: float) -> int:
    """Say how many patients make the interval of the AUROC so wide (Newcombe's error)."""
    error, n = width / (2 * 1.96), 2.0
    low, high = 2.0, 1e9
    while high - low > 0.5:
        n = (low + high) / 2
        low, high = (low, n) if _auroc_error(auroc, prevalence, n) <= error else (n, high)
    return ceil(high - 1e-6)


def _auroc_error(auroc: float, prevalence: float, n: float) -> float:
    half = n / 2 - 1
    above = auroc * (1 - auroc) * (
        1 + half * (1 - auroc) / (2 - auroc) + half * auroc / (1 + auroc)
    )  # fmt: skip
    return sqrt(above / (n**2 * prevalence * (1 - prevalence)))


def normal_predictor(prevalence: float, auroc: float) -> tuple[float, float]:
    """Give mean and spread of normal log-odds with that prevalence and AUROC."""
    at = np.linspace(-9, 9, 4001)
    weight = stats.norm.pdf(at) * (at[1] - at[0])

    def miss(terms: Float[np.ndarray, " 2"]) -> list[float]:
        risk = special.expit(terms[0] + abs(terms[1]) * at)
        share = float((weight * risk).sum())
        below = np.cumsum(weight * (1 - risk)) - weight * (1 - risk) / 2
        ranked = float((weight * risk * below).sum()) / (share * (1 - share))
        return [float(special.logit(share) - special.logit(prevalence)), ranked - auroc]

    start = [float(special.logit(prevalence)), sqrt(2) * float(stats.norm.ppf(auroc)) * sqrt(pi) / sqrt(3)]
    found = optimize.root(miss, start)
    if not found.success:
        raise SpecError("no normal predictor has that prevalence and AUROC")
    return float(found.x[0]), abs(float(found.x[1]))


def two_arms(control: float, treated: float, *, power: float = 0.8, level: float = 0.05) -> int:
    """Say how many patients each arm of a randomised pilot needs to show a change of a share."""
    _within("control", control)
    _within("treated", treated)
    if control == treated:
        raise SpecError("the two shares must differ")
    z = float(stats.norm.ppf(1 - level / 2)) + float(stats.norm.ppf(power))
    return ceil(z**2 * (control * (1 - control) + treated * (1 - treated)) / (control - treated) ** 2)


def stepped_wedge(
    control: float, treated: float, *, clusters: int, patients: int, spread: float, power: float = 0.8
) -> tuple[float, bool]:
    """Give the power of a stepped wedge in which one cluster a step starts to use the model.

    Args:
        control: share with the outcome before.
        treated: share after.
        clusters: wards; each starts at a step of its own.
        patients: of each ward in each period.
        spread: standard deviation of the share between wards.
        power: aimed at.

    Returns:
        The power at the 5% level, and whether that is enough.
    """
    periods = clusters + 1
    use = (np.arange(periods)[None, :] > np.arange(clusters)[:, None]).astype(np.float64)
    middle = (control + treated) / 2
    within, between = middle * (1 - middle) / patients, spread**2
    u, w = use.sum(), (use.sum(axis=0) ** 2).sum()
    v = (use.sum(axis=1) ** 2).sum()
    top = clusters * within * (within + periods * between)
    below = (clusters * u - w) * within + (
        u**2 + clusters * periods * u - periods * w - clusters * v
    ) * between
    error = sqrt(top / below)
    found = float(stats.norm.cdf(abs(control - treated) / error - stats.norm.ppf(0.975)))
    return found, found >= power


def _within(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise SpecError(f"{name} must be between 0 and 1")


def _above_half(auroc: float | None) -> float:
    if auroc is None or not 0.5 < auroc < 1:
        raise SpecError("auroc must be between .5 and 1")
    return auroc
