"""In: scores with outcomes on local patients. Out: what a verdict hangs on, as they are and recalibrated."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Float, UInt

from residency.contract.verdict import Recipe
from residency.validation.baseline import log_odds
from residency.validation.figures import Figure, Rules, figures_of, held_of
from residency.validation.measuring import Course
from residency.validation.metrics import benefit_of_all
from residency.validation.recalibrating import COLUMN, Recalibrated, recalibrate
from residency.validation.tally import exact, resampled


@dataclass(frozen=True)
class Judged:
    """Figures that a verdict is made of.

    Attributes:
        asked: scores asked for, abstentions among them.
        predictions: answered.
        patients: answered for.
        events: patients with the outcome.
        others: patients without.
        rules: threshold and burden.
        figures: as the scores are; empty without any outcome.
        after: recalibrated; None where that could not be fitted.
        gain: what that gains.
        recipe: the recalibration.
    """

    asked: int
    predictions: int
    patients: int
    events: int
    others: int
    rules: Rules
    figures: dict[str, Figure]
    after: dict[str, Figure] | None = None
    gain: dict[str, Figure] | None = None
    recipe: Recipe | None = None


def judged_of(rows: pl.DataFrame, rules: Rules, course: Course, name: str) -> Judged:
    """Measure scores as they are, and recalibrated.

    Args:
        rows: sorted by patient and time; a NaN score is an abstention.
        rules: threshold and burden.
        course: of the bootstrap.
        name: of the draws; the same for models that are compared.
    """
    answered = rows.filter(pl.col("score").is_not_nan())
    patients = answered["subject_id"].n_unique()
    events = answered.filter("label")["subject_id"].n_unique()
    judged = Judged(len(rows), len(answered), patients, events, patients - events, rules, {})
    if not events or events == patients:
        return judged
    counts = course.counts(name, patients)
    figures = _with_benefit(answered, "score", rules, counts)
    found = recalibrate(answered, course.seed)
    judged = replace(judged, figures=figures)
    return judged if found is None else _recalibrated(judged, found, counts)


def _recalibrated(judged: Judged, found: Recalibrated, counts: UInt[np.ndarray, "patient draw"]) -> Judged:
    before, after = judged.figures, _with_benefit(found.rows, COLUMN, judged.rules, counts)
    gain = {
        "log_loss": _log_loss(found.rows, "score", counts).less(_log_loss(found.rows, COLUMN, counts)),
        "ici": before["ici"].less(after["ici"]),
        "net_benefit": after["net_benefit"].less(before["net_benefit"]),
    }
    recipe = Recipe(found.recipe.intercept, found.recipe.slope)
    return replace(judged, after=after, gain=gain, recipe=recipe)


def _with_benefit(
    rows: pl.DataFrame, column: str, rules: Rules, counts: UInt[np.ndarray, "patient draw"]
) -> dict[str, Figure]:
    """Work out every metric, and the net benefit less that of the better of acting on all and on nobody."""
    held = held_of(rows, column, counts)
    figures = figures_of(rows, column, rules, counts)
    if held is None or figures is None:
        return {}
    whole, drawn = exact(held.scored), resampled(held.scored, counts, cuts=(rules.threshold,))
    everybody = Figure(
        float(benefit_of_all(whole, rules.threshold)[0]), benefit_of_all(drawn, rules.threshold)
    )
    default = everybody if everybody.value > 0 else Figure(0.0, np.zeros_like(everybody.draws))
    return {**figures, "benefit": figures["net_benefit"].less(default)}


def _log_loss(rows: pl.DataFrame, column: str, counts: UInt[np.ndarray, "patient draw"]) -> Figure:
    """Mean log loss, and on each draw."""
    held = held_of(rows, column, counts)
    if held is None:
        return Figure(float("nan"), np.full(counts.shape[1], np.nan))
    at = log_odds(held.scored.score)
    each = np.logaddexp(0, np.where(held.scored.label, -at, at)) * held.scored.weight
    n = held.scored.n_patients
    total = np.bincount(held.scored.patient, each, n), np.bincount(held.scored.patient, held.scored.weight, n)
    once: Float[np.ndarray, " draw"] = (total[0] @ counts) / np.maximum(total[1] @ counts, 1e-12)
    return Figure(float(total[0].sum() / total[1].sum()), once)
