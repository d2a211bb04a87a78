"""In: predictions with outcomes, draws of patients. Out: every metric of one score, and on each draw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float, UInt
from scipy import stats

from residency.contract.report import Metric
from residency.validation import alerts, metrics, utility
from residency.validation.tally import Scored, Tally, exact, resampled

SCORES: Final = {
    "model": "score",
    "baseline": "baseline",
    "clinical": "clinical",
    "stack": "stack",
    "best_possible": "best_possible",
}
LEVEL: Final = 0.95
GROUPS_OF_SAMPLE: Final = 20_000  # for calibration, which does not hang on ranks within a group
GROUPS_OF_DRAWS: Final = 512
COVERED: Final = 0.98  # share of the rows that a score must have: the truth's grid may lack a few
MetricOfTally = Callable[[Tally], Float[np.ndarray, " draw"]]
_RANKING: Final[dict[str, MetricOfTally]] = {
    "auroc": metrics.auroc,
    "auprc": metrics.auprc,
    "observed_expected": metrics.observed_expected,
}
_CALIBRATION: Final[dict[str, MetricOfTally]] = {
    "calibration_slope": metrics.calibration_slope,
    "calibration_intercept": metrics.calibration_intercept,
    "ici": metrics.ici,
}


@dataclass(frozen=True)
class Figure:
    """One metric: its value on the sample, and on each draw of patients."""

    value: float
    draws: Float[np.ndarray, " draw"]

    @property
    def metric(self) -> Metric:
        """As the report has it."""
        held = self.draws[np.isfinite(self.draws)]
        if not np.isfinite(self.value) or not len(held):
            return Metric(value=_finite(self.value), low=None, high=None)
        low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Metric(value=float(self.value), low=float(low), high=float(high))

    @property
    def p(self) -> float | None:
        """Chance of a value so far from 0, were it 0: normal, with the draws' spread."""
        held = self.draws[np.isfinite(self.draws)]
        spread = float(held.std(ddof=1)) if len(held) > 1 else 0.0
        if spread == 0 or not np.isfinite(self.value):
            return None
        return float(2 * stats.norm.sf(abs(self.value) / spread))

    def less(self, other: "Figure") -> "Figure":
        """Give this less another, draw by draw."""
        return Figure(self.value - other.value, self.draws - other.draws)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Rules:
    """What was fixed before the held-out patients were looked at.

    Attributes:
        threshold: risk at and above which one would act, for the net benefit.
        alarms: for each score, at and above which the utility's alarms sound.
        alerts_per_100_days: alerts that may be made per 100 patient-days on which the model is asked.
    """

    threshold: float
    alarms: Mapping[str, float]
    alerts_per_100_days: float = 5.0


def dense(predictions: pl.DataFrame) -> np.ndarray:
    """Number the patients in the order of the rows."""
    number: np.ndarray = predictions.select(pl.col("subject_id").rank("dense") - 1).to_numpy()[:, 0]
    return number.astype(np.int64)


def stakes(predictions: pl.DataFrame) -> utility.Stakes:
    """Give what alarms are worth, by the challenge's utility."""
    return utility.stakes_of(dense(predictions), predictions["label"].to_numpy())


@dataclass(frozen=True)
class Held:
    """Rows that have a score, and the draws of their patients."""

    rows: pl.DataFrame
    scored: Scored
    counts: UInt[np.ndarray, "patient draw"]


def held_of(rows: pl.DataFrame, column: str, counts: UInt[np.ndarray, "patient draw"]) -> Held | None:
    """Take the rows with a score; None where it is lacking for more than a few.

    Args:
        rows: sorted by patient and time.
        column: of the score.
        counts: how often each patient of the rows is in each draw.
    """
    if column not in rows.columns or not len(rows):
        return None
    score = rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    there = np.isfinite(score)
    if there.mean() < COVERED:
        return None
    counts = counts[np.unique(dense(rows)[there])]
    rows, score = rows.filter(there), score[there]
    label, weight = rows["label"].to_numpy(), rows["weight"].to_numpy().astype(np.float64)
    return Held(rows, Scored(dense(rows), label, score, weight), counts)


def figures_of(
    rows: pl.DataFrame, score: str, rules: Rules, counts: UInt[np.ndarray, "patient draw"]
) -> dict[str, Figure] | None:
    """Work out every metric of one score; None where it is lacking for more than a few rows."""
    held = held_of(rows, SCORES.get(score, score), counts)
    if held is None:
        return None
    whole, drawn = exact(held.scored), resampled(held.scored, held.counts, cuts=(rules.threshold,))
    found = _of_tallies(whole, drawn, rules.threshold)
    if held.rows["prediction_time"].null_count() == 0:
        found |= alerted(held, rules.alerts_per_100_days)
    if score in rules.alarms:
        found["utility"] = _utility(held, held.scored.score >= rules.alarms[score])
    return found


def _of_tallies(whole: Tally, drawn: Tally, threshold: float) -> dict[str, Figure]:
    found = {name: Figure(float(give(whole)[0]), give(drawn)) for name, give in _RANKING.items()}
    whole_coarse, drawn_coarse = whole.coarse(GROUPS_OF_SAMPLE), drawn.coarse(GROUPS_OF_DRAWS)
    for metric, give in _CALIBRATION.items():
        found[metric] = Figure(float(give(whole_coarse)[0]), give(drawn_coarse))
    share = metrics.prevalence(whole)[0], metrics.prevalence(drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        found["ici_over_prevalence"] = Figure(
            float(found["ici"].value / share[0]), found["ici"].draws / share[1]
        )
    found["net_benefit"] = Figure(
        float(metrics.net_benefit(whole, threshold)[0]), metrics.net_benefit(drawn, threshold)
    )
    of_draws = metrics.at_threshold(drawn, threshold)
    for name, value in metrics.at_threshold(whole, threshold).items():
        found[name] = Figure(float(value[0]), of_draws[name])
    return found


def alerted(held: Held, per_100_days: float) -> dict[str, Figure]:
    """Work out what alerts within a burden find."""
    rows = held.rows
    watch = alerts.Watch(
        patient=held.scored.patient,
        time=rows["prediction_time"].cast(pl.Int64).to_numpy(),
        event_time=rows["event_time"].cast(pl.Int64).fill_null(0).to_numpy(),
        label=held.scored.label,
        score=held.scored.score,
    )
    found = alerts.alert(watch, per_100_days)
    once = np.ones((len(held.counts), 1), dtype=np.uint8)
    give = {"sensitivity_at_alerts": alerts.sensitivity, "alerts_per_found": alerts.alerts_per_found}
    if rows.filter(pl.col("label") & pl.col("event_time").is_null()).is_empty():
        give["lead_time_days"] = alerts.lead_time
    return {name: Figure(float(of(found, once)[0]), of(found, held.counts)) for name, of in give.items()}


def _utility(held: Held, alarms: np.ndarray) -> Figure:
    totals = stakes(held.rows).totals(alarms)
    value = float(utility.normalised(totals.sum(axis=1, keepdims=True))[0])
    return Figure(value, utility.normalised(totals @ held.counts))
