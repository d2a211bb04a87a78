"""In: a table of predictions with outcomes. Out: every metric of every slice, with intervals by patient."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
import polars as pl
from jaxtyping import UInt

from residency.contract.report import TOO_FEW_EVENTS, Metric, Point, Slice
from residency.validation import utility
from residency.validation.bounds import bounds
from residency.validation.curves import burden, decision
from residency.validation.figures import SCORES, Figure, Rules, figures_of, stakes
from residency.validation.tally import draws_of_patients
from residency.validation.tasks import Task

GROUPED: Final = ("group", "apart")  # beginnings of slices of groups


def rules_of(predictions: pl.DataFrame, task: Task) -> Rules:
    """Fix thresholds on the tuning patients; without any, on nobody: the utility is then not given."""
    tuning = predictions.filter(pl.col("split") == "tuning")
    weight = tuning["weight"].to_numpy()
    share = float(np.average(tuning["label"].to_numpy(), weights=weight)) if weight.sum() > 0 else 0.1
    alarms = {}
    if task.utility is not None and len(tuning):
        worth = stakes(tuning)
        alarms = {
            name: utility.best_threshold(worth, tuning[column].to_numpy().astype(np.float64))
            for name, column in SCORES.items()
            if column in tuning.columns
        }
    threshold = task.threshold or min(max(share, 0.001), 0.999)
    return Rules(threshold, alarms, task.alerts_per_100_days)


def slices_of(predictions: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the slices: held-out patients of the training sites, each site, and the groups."""
    held = predictions.filter(pl.col("split") == "held_out")
    yield "all", held
    examined = predictions.filter(pl.col("split").is_in(["held_out", "external"]))
    for site in sorted(examined["site"].unique()):
        yield f"site={site}", examined.filter(pl.col("site") == site)
    for kind in GROUPED:
        for column in sorted(name for name in predictions.columns if name.startswith(f"{kind}_")):
            for value in sorted(held[column].unique()):
                name = f"{kind}={column.removeprefix(f'{kind}_')}={value}"
                yield name, held.filter(pl.col(column) == value)


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
    """One slice: how many, and each score's figures; curves where they were asked for."""

    patients: int
    predictions: int
    events: int
    figures: Figures
    abstained: int = 0
    decision: tuple[Point, ...] = ()
    burden: tuple[Point, ...] = ()
    censoring: tuple[Point, ...] = ()

    @property
    def slice(self) -> Slice:
        """As the report has it."""
        shown = {name: None if found is None else shown_of(found) for name, found in self.figures.items()}
        return Slice(
            patients=self.patients,
            predictions=self.predictions,
            events=self.events,
            model=shown["model"] or {},
            baseline=shown["baseline"] or {},
            stack=shown["stack"],
            best_possible=shown["best_possible"],
            clinical=shown.get("clinical"),
            paired=self.less("baseline"),
            paired_clinical=self.less("clinical"),
            abstained=self.abstained,
            decision=list(self.decision),
            burden=list(self.burden),
            censoring=list(self.censoring),
        )

    def less(self, other: str) -> dict[str, Metric]:
        """Give the model's figures less another score's."""
        model, theirs = self.figures["model"] or {}, self.figures.get(other) or {}
        return {
            metric: model[metric].less(theirs[metric]).metric
            for metric in model
            if metric in theirs and np.isfinite(model[metric].value - theirs[metric].value)
        }


def measure(predictions: pl.DataFrame, task: Task, rules: Rules, course: Course) -> dict[str, Measured]:
    """Measure every slice.

    Args:
        predictions: sorted by subject and time; see `predicting`. Rows without a score are abstentions.
        task: what was examined.
        rules: fixed on tuning patients.
        course: of the bootstrap.
    """
    found: dict[str, Measured] = {}
    for name, rows in slices_of(predictions):
        if name.startswith("site=") and _is_whole(rows, found["all"]):
            found[name] = found["all"]
        else:
            answered = rows.filter(pl.col("score").is_not_nan() & pl.col("score").is_not_null())
            counts = course.counts(f"{task.name}/{name}", answered["subject_id"].n_unique())
            curved = not name.startswith(GROUPED)
            silent = len(rows) - len(answered)
            if name.startswith("apart=") and _n_events(answered) < TOO_FEW_EVENTS:
                few: Figures = dict.fromkeys(SCORES)
                found[name] = Measured(len(counts), len(answered), _n_events(answered), few, silent)
            else:
                found[name] = _measured(answered, rules, counts, abstained=silent, curved=curved)
    return found


def _is_whole(rows: pl.DataFrame, whole: Measured) -> bool:
    """Whether a site's rows are all the held-out rows: it is the one training site."""
    return len(rows) == whole.predictions + whole.abstained and set(rows["split"].unique()) == {"held_out"}


def _n_events(rows: pl.DataFrame) -> int:
    return rows.filter("label")["subject_id"].n_unique()


def _measured(
    rows: pl.DataFrame,
    rules: Rules,
    counts: UInt[np.ndarray, "patient draw"],
    *,
    abstained: int,
    curved: bool,
) -> Measured:
    return Measured(
        patients=len(counts),
        predictions=len(rows),
        events=_n_events(rows),
        figures={name: figures_of(rows, name, rules, counts) for name in SCORES},
        abstained=abstained,
        decision=decision(rows, rules, counts) if curved else (),
        burden=burden(rows, rules, counts) if curved else (),
        censoring=bounds(rows, counts) if curved else (),
    )


def shown_of(figures: Mapping[str, Figure]) -> dict[str, Metric]:
    """Give figures as the report has them; what is not defined is left out."""
    return {name: figure.metric for name, figure in figures.items() if np.isfinite(figure.value)}
