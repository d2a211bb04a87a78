"""In: scores with outcomes on local patients. Out: a recalibration, and scores that it did not learn from.

`new log-odds = intercept + slope × log-odds`. Each fifth of the patients is recalibrated by what the other
four fifths say (cross-fitting), so the gain is not flattered; the recipe to use is fitted on all.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from residency.validation.baseline import log_odds
from residency.validation.figures import dense
from residency.validation.metrics import fit_logistic
from residency.validation.tally import Scored, exact

FOLDS: Final = 5
COLUMN: Final = "recalibrated"


@dataclass(frozen=True)
class Recipe:
    """How a score is recalibrated.

    Attributes:
        intercept: added.
        slope: times the score's log-odds.
    """

    intercept: float
    slope: float

    def apply(self, score: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
        """Give recalibrated scores."""
        risk: np.ndarray = 1 / (1 + np.exp(-(self.intercept + self.slope * log_odds(score))))
        return risk


def recipe_of(scored: Scored) -> Recipe | None:
    """Fit a recalibration; None where it cannot be: too few outcomes, or scores that are all the same."""
    if len(np.unique(scored.score)) < 2:
        return None
    at = log_odds(scored.score)
    order, place = np.unique(at, return_inverse=True)
    tally = exact(Scored(scored.patient, scored.label, place.astype(np.float64), scored.weight))
    terms = fit_logistic(np.stack([np.ones_like(order), order], axis=1), tally)[:, 0]
    return None if np.isnan(terms).any() else Recipe(float(terms[0]), float(terms[1]))


@dataclass(frozen=True)
class Recalibrated:
    """What recalibration comes to.

    Attributes:
        recipe: fitted on all patients.
        rows: with the cross-fitted scores as `recalibrated`.
    """

    recipe: Recipe
    rows: pl.DataFrame


def recalibrate(rows: pl.DataFrame, seed: int) -> Recalibrated | None:
    """Recalibrate the scores of some rows.

    Args:
        rows: with `subject_id`, `score`, `label`, `weight`; sorted by patient and time.
        seed: of the division of the patients.
    """
    patient, score = dense(rows), rows["score"].cast(pl.Float64).to_numpy()
    label, weight = rows["label"].to_numpy(), rows["weight"].cast(pl.Float64).to_numpy()
    whole = recipe_of(Scored(patient, label, score, weight))
    if whole is None:
        return None
    fold = _folds(patient, label, seed)
    found = np.empty(len(score))
    for one in range(FOLDS):
        out = fold == one
        recipe = recipe_of(Scored(patient[~out], label[~out], score[~out], weight[~out]))
        if recipe is None:
            return None
        found[out] = recipe.apply(score[out])
    return Recalibrated(whole, rows.with_columns(pl.Series(COLUMN, found)))


def _folds(
    patient: Int[np.ndarray, " row"], label: Bool[np.ndarray, " row"], seed: int
) -> Int[np.ndarray, " row"]:
    """Divide patients into fifths, those with the outcome and those without apart."""
    had = np.zeros(int(patient.max()) + 1, dtype=bool)
    had[patient[label]] = True
    rng = np.random.default_rng([seed, FOLDS])
    fold = np.empty(len(had), dtype=np.int64)
    for some in (np.flatnonzero(had), np.flatnonzero(~had)):
        fold[rng.permutation(some)] = np.arange(len(some)) % FOLDS
    of_row: np.ndarray = fold[patient]
    return of_row
