"""In: scores, outcomes and inputs as care goes on. Out: alarms that something shifted, and after how many.

Each watch is a CUSUM: a sum that grows while what happens departs from what was expected, falls back to 0
otherwise, and sounds at a level that is fixed before, by drawing runs without any shift: at most a stated
share of such runs may sound within a stated number of patients. A group is watched by watching it alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

RUNS: Final = 2_000
ODDS: Final = 1.5  # the shift that a watch of calibration is tuned to: the odds times this, or over this
WATCHED: Final[Mapping[str, float]] = {"more": ODDS, "fewer": 1 / ODDS}
_SHIFT: Final = 0.25  # of a standard deviation: the shift of an input that is watched for
_FAR: Final = 4.0  # spreads: a single value cannot sound a watch


@dataclass(frozen=True)
class Alarm:
    """Whether a watch sounded.

    Attributes:
        watch: what was watched.
        sounded_after: patients until it did; None where it did not.
        highest: of the sum, over its level.
    """

    watch: str
    sounded_after: int | None
    highest: float


def cusum(steps: Float[np.ndarray, "run step"]) -> Float[np.ndarray, "run step"]:
    """Give the sum that never falls below 0, after each step."""
    total = np.cumsum(steps, axis=1)
    lowest = np.minimum.accumulate(np.minimum(total, 0.0), axis=1)
    result: np.ndarray = total - lowest
    return result


def calibration_steps(
    score: Float[np.ndarray, " patient"], label: Bool[np.ndarray, " patient"], odds: float
) -> Float[np.ndarray, " patient"]:
    """Give the log-likelihood of odds times `odds`, less that of the scores as they are: each step.

    Steiner et al. 2000: the step of a patient with risk p is log(odds) if the outcome came, less
    log(1 − p + odds·p).
    """
    inside = np.clip(score, 1e-6, 1 - 1e-6)
    steps: np.ndarray = np.where(label, np.log(odds), 0.0) - np.log1p((odds - 1) * inside)
    return steps


@dataclass(frozen=True)
class Quiet:
    """How seldom a watch may sound without a shift.

    Attributes:
        patients: a run's length.
        false: share of runs that may sound.
        seed: of the draws.
    """

    patients: int = 2_000
    false: float = 0.05
    seed: int = 0

    def level(self, steps: Float[np.ndarray, "run step"]) -> float:
        """Give the level that only so many runs reach."""
        return float(np.quantile(cusum(steps).max(axis=1), 1 - self.false))


def level_of(score: Float[np.ndarray, " patient"], odds: float, quiet: Quiet) -> float:
    """Give the level of a watch of calibration, from runs whose outcomes come as the scores say.

    Args:
        score: of patients as they come: their mix is that of the runs.
        odds: the shift that is watched for.
        quiet: how seldom it may sound.
    """
    rng = np.random.default_rng(quiet.seed)
    drawn = rng.choice(score, size=(RUNS, quiet.patients))
    label = rng.random(drawn.shape) < drawn
    steps = calibration_steps(drawn.reshape(-1), label.reshape(-1), odds)
    return quiet.level(steps.reshape(drawn.shape))


@dataclass(frozen=True)
class Norm:
    """What an input was like before.

    Attributes:
        mean: of its values.
        spread: their standard deviation.
        level: of its watches.
    """

    mean: float
    spread: float
    level: float

    def steps(self, value: Float[np.ndarray, " patient"], sign: int) -> Float[np.ndarray, " patient"]:
        """Give the log-likelihood of a shift by a quarter of a spread; a missing value says nothing."""
        away = np.clip((value - self.mean) / max(self.spread, 1e-12), -_FAR, _FAR)
        steps: np.ndarray = np.where(np.isnan(away), 0.0, sign * _SHIFT * np.nan_to_num(away) - _SHIFT**2 / 2)
        return steps


def norm_of(value: Float[np.ndarray, " patient"], quiet: Quiet) -> Norm:
    """Fix what an input is like, and the level of its watches, from runs drawn of its own values."""
    held = value[np.isfinite(value)]
    norm = Norm(float(held.mean()), float(held.std()), float("inf"))
    drawn = np.random.default_rng(quiet.seed).choice(value, size=(RUNS, quiet.patients)).reshape(-1)
    levels = [quiet.level(norm.steps(drawn, sign).reshape(RUNS, -1)) for sign in (1, -1)]
    return replace(norm, level=max(levels))


@dataclass(frozen=True)
class Watchman:
    """Watches, with levels that were fixed before.

    Attributes:
        levels: of each watch of calibration: `more` and `fewer` outcomes than foretold.
        norms: of each input.
    """

    levels: Mapping[str, float]
    norms: Mapping[str, Norm]


def watchman_of(
    score: Float[np.ndarray, " patient"], inputs: Mapping[str, Float[np.ndarray, " patient"]], quiet: Quiet
) -> Watchman:
    """Fix levels on a time that is known to be good.

    The share of false alarms is that of any watch: it is divided among them (Bonferroni).

    Args:
        score: the model's, one a patient.
        inputs: values that the model reads, by name; NaN where missing.
        quiet: how seldom anything may sound.
    """
    each = replace(quiet, false=quiet.false / (len(WATCHED) + 2 * len(inputs)))
    return Watchman(
        levels={name: level_of(score, odds, each) for name, odds in WATCHED.items()},
        norms={name: norm_of(value, each) for name, value in inputs.items()},
    )


def watch(
    watchman: Watchman,
    score: Float[np.ndarray, " patient"],
    label: Bool[np.ndarray, " patient"],
    inputs: Mapping[str, Float[np.ndarray, " patient"]],
) -> list[Alarm]:
    """Watch patients in the order in which they come.

    Args:
        watchman: with the levels.
        score: the model's.
        label: whether the outcome came.
        inputs: values that the model reads.
    """
    found = [
        _alarm(f"{name} outcomes than foretold", calibration_steps(score, label, odds), watchman.levels[name])
        for name, odds in WATCHED.items()
    ]
    for name, value in inputs.items():
        norm = watchman.norms[name]
        found += [
            _alarm(f"{name} {word} than before", norm.steps(value, sign), norm.level)
            for sign, word in ((1, "higher"), (-1, "lower"))
        ]
    return found


def _alarm(name: str, steps: Float[np.ndarray, " patient"], level: float) -> Alarm:
    course = cusum(steps[None, :])[0]
    over = np.flatnonzero(course > level)
    return Alarm(name, int(over[0]) + 1 if len(over) else None, float(course.max(initial=0.0) / level))
