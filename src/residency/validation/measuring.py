"""In: a table of predictions with outcomes. Out: every metric of every slice, with intervals by patient."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
import polars as pl
from jaxtyping import Float, UInt

from residency.contract.report import Metric, Slice
from residency.validation import alerts, metrics, utility
from residency.validation.tally import Scored, Tally, draws_of_patients, exact, resampled
from residency.validation.tasks import Task

SCORES: Final = {"model": "score", "baseline": "baseline", "stack": "stack", "best_possible": "best_possible"}
LEVEL: Final = 0.95
GROUPS_OF_SAMPLE: Final = 20_000  # for calibration, which does not hang on ranks within a group
GROUPS_OF_DRAWS: Final = 512
COVERED: Final = 0.98  # share of the rows that a score must have: the truth's grid may lack a few
MetricOfTally = Callable[[Tally], Float[np.ndarray, " draw"]]
_RANKING: Final[dict[str, MetricOfTally]] = {"auroc": metrics.auroc, "auprc": metrics.auprc}
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


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Rules:
    """What was fixed before the held-out patients were looked at.

    Attributes:
        threshold: risk at and above which one would act, for the net benefit.
        alarms: for each score, at and above which the utility's alarms sound.
    """

    threshold: float
    alarms: Mapping[str, float]


def rules_of(predictions: pl.DataFrame, task: Task) -> Rules:
    """Fix thresholds on the tuning patients; without any, on nobody: the utility is then not given."""
    tuning = predictions.filter(pl.col("split") == "tuning")
    weight = tuning["weight"].to_numpy()
    share = float(np.average(tuning["label"].to_numpy(), weights=weight)) if weight.sum() > 0 else 0.1
    alarms = {}
    if task.utility is not None and len(tuning):
        stakes = _stakes(tuning)
        alarms = {
            name: utility.best_threshold(stakes, tuning[column].to_numpy().astype(np.float64))
            for name, column in SCORES.items()
            if column in tuning.columns
        }
    return Rules(task.threshold or min(max(share, 0.001), 0.999), alarms)


def _dense(predictions: pl.DataFrame) -> np.ndarray:
    """Number the patients in the order of the rows."""
    number: np.ndarray = predictions.select(pl.col("subject_id").rank("dense") - 1).to_numpy()[:, 0]
    return number.astype(np.int64)


def _stakes(predictions: pl.DataFrame) -> utility.Stakes:
    return utility.stakes_of(_dense(predictions), predictions["label"].to_numpy())


def slices_of(predictions: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the slices: held-out patients of the training sites, each site, and the groups."""
    held = predictions.filter(pl.col("split") == "held_out")
    yield "all", held
    examined = predictions.filter(pl.col("split").is_in(["held_out", "external"]))
    for site in sorted(examined["site"].unique()):
        yield f"site={site}", examined.filter(pl.col("site") == site)
    for column in sorted(name for name in predictions.columns if name.startswith("group_")):
        for value in sorted(held[column].unique()):
            yield f"group={column.removeprefix('group_')}={value}", held.filter(pl.col(column) == value)


@dataclass(frozen=True)
class Course:
    """How the draws of patients are made.

    Attributes:
        n_draws: how many.
        seed: the same patients and the same seed give the same draws, whichever model is looked at.
    """

    n_draws: int
    seed: int

    def counts(self, name: str, patients: int) -> UInt[np.ndarray, "patient draw"]:
        """Draw a slice's patients."""
        rng = np.random.default_rng([self.seed, crc32(name.encode())])
        return draws_of_patients(patients, self.n_draws if patients else 0, rng)


Figures = dict[str, dict[str, Figure] | None]


@dataclass(frozen=True)
class Measured:
    """One slice: how many, and each score's figures."""

    patients: int
    predictions: int
    events: int
    figures: Figures

    @property
    def slice(self) -> Slice:
        """As the report has it."""
        shown = {name: None if found is None else _metrics(found) for name, found in self.figures.items()}
        model, baseline = self.figures["model"] or {}, self.figures["baseline"] or {}
        return Slice(
            patients=self.patients,
            predictions=self.predictions,
            events=self.events,
            model=shown["model"] or {},
            baseline=shown["baseline"] or {},
            stack=shown["stack"],
            best_possible=shown["best_possible"],
            paired={
                metric: _less(model[metric], baseline[metric]).metric
                for metric in model
                if metric in baseline and np.isfinite(model[metric].value - baseline[metric].value)
            },
        )


def measure(predictions: pl.DataFrame, task: Task, rules: Rules, course: Course) -> dict[str, Measured]:
    """Measure every slice.

    Args:
        predictions: sorted by subject and time; see `predicting`.
        task: what was examined.
        rules: fixed on tuning patients.
        course: of the bootstrap.
    """
    found: dict[str, Measured] = {}
    for name, rows in slices_of(predictions):
        if name.startswith("site=") and _is_whole(rows, found["all"]):
            found[name] = found["all"]
        else:
            counts = course.counts(f"{task.name}/{name}", rows["subject_id"].n_unique())
            found[name] = _measured(rows, task, rules, counts)
    return found


def _is_whole(rows: pl.DataFrame, whole: Measured) -> bool:
    """Whether a site's rows are all the held-out rows: it is the one training site."""
    return len(rows) == whole.predictions and set(rows["split"].unique()) == {"held_out"}


def _measured(
    rows: pl.DataFrame, task: Task, rules: Rules, counts: UInt[np.ndarray, "patient draw"]
) -> Measured:
    return Measured(
        patients=len(counts),
        predictions=len(rows),
        events=rows.filter("label")["subject_id"].n_unique(),
        figures={
            name: _figures(rows, name, task, rules, counts) if column in rows.columns and len(rows) else None
            for name, column in SCORES.items()
        },
    )


def _metrics(figures: Mapping[str, Figure]) -> dict[str, Metric]:
    return {name: figure.metric for name, figure in figures.items() if np.isfinite(figure.value)}


def _less(one: Figure, other: Figure) -> Figure:
    return Figure(one.value - other.value, one.draws - other.draws)


def _figures(
    rows: pl.DataFrame, score_name: str, task: Task, rules: Rules, counts: UInt[np.ndarray, "patient draw"]
) -> dict[str, Figure] | None:
    """Work out every metric of one score; None where it is lacking for more than a few rows."""
    score = rows[SCORES[score_name]].to_numpy().astype(np.float64)
    held = np.isfinite(score)
    if held.mean() < COVERED:
        return None
    counts = counts[np.unique(_dense(rows)[held])]
    rows, score = rows.filter(held), score[held]
    patient = _dense(rows)
    label, weight = rows["label"].to_numpy(), rows["weight"].to_numpy().astype(np.float64)
    scored = Scored(patient, label, score, weight)
    whole, drawn = exact(scored), resampled(scored, counts, cuts=(rules.threshold,))
    found = {name: Figure(float(give(whole)[0]), give(drawn)) for name, give in _RANKING.items()}
    whole_coarse, drawn_coarse = whole.coarse(GROUPS_OF_SAMPLE), drawn.coarse(GROUPS_OF_DRAWS)
    for metric, give in _CALIBRATION.items():
        found[metric] = Figure(float(give(whole_coarse)[0]), give(drawn_coarse))
    found["net_benefit"] = Figure(
        float(metrics.net_benefit(whole, rules.threshold)[0]), metrics.net_benefit(drawn, rules.threshold)
    )
    found |= _alerted(rows, scored, task, counts)
    if score_name in rules.alarms:
        found["utility"] = _utility(rows, score >= rules.alarms[score_name], counts)
    return found


def _alerted(
    rows: pl.DataFrame, scored: Scored, task: Task, counts: UInt[np.ndarray, "patient draw"]
) -> dict[str, Figure]:
    watch = alerts.Watch(
        patient=scored.patient,
        time=rows["prediction_time"].cast(pl.Int64).to_numpy(),
        event_time=rows["event_time"].cast(pl.Int64).fill_null(0).to_numpy(),
        label=scored.label,
        score=scored.score,
    )
    found = alerts.alert(watch, task.alerts_per_100_days)
    once = np.ones((len(counts), 1), dtype=np.uint8)
    return {
        "sensitivity_at_alerts": Figure(
            float(alerts.sensitivity(found, once)[0]), alerts.sensitivity(found, counts)
        ),
        "lead_time_days": Figure(float(alerts.lead_time(found, once)[0]), alerts.lead_time(found, counts)),
    }


def _utility(rows: pl.DataFrame, alarms: np.ndarray, counts: UInt[np.ndarray, "patient draw"]) -> Figure:
    totals = _stakes(rows).totals(alarms)
    value = float(utility.normalised(totals.sum(axis=1, keepdims=True))[0])
    return Figure(value, utility.normalised(totals @ counts))
