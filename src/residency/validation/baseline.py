"""In: plain features and outcomes of train and tuning patients. Out: gradient-boosted trees, and their stack.

The baseline is meant to be hard to beat: it is trained on the same patients and index times as the network,
and is shown beside every result.
"""

from dataclasses import dataclass
from typing import Final, cast

import lightgbm
import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from residency.contract.specs import spec
from residency.model.teaching import tree_settings
from residency.validation.metrics import fit_logistic
from residency.validation.tally import Scored, exact

MIN_EVENTS: Final = 20  # rows; below it neither trees nor a stack are fitted
N_FOLDS: Final = 5


@spec
class BaselineSpec:
    """How the trees are grown.

    Attributes:
        max_codes: the commonest codes make features.
        learning_rate: of each tree.
        leaves: of each tree.
        max_trees: at most so many; the tuning patients say when to stop.
        patience: trees without gain on the tuning patients before stopping.
        min_tuning_events: with fewer, train patients say when to stop, by cross-validation over patients.
        seed: of the draws of features and rows.
    """

    max_codes: int = 150
    learning_rate: float = 0.05
    leaves: int = 31
    max_trees: int = 1000
    patience: int = 30
    min_tuning_events: int = 200
    seed: int = 0

    def parameters(self, n_rows: int) -> dict[str, object]:
        """As LightGBM names them; with them the same rows give the same trees on any number of threads."""
        return tree_settings(n_rows, learning_rate=self.learning_rate, leaves=self.leaves, seed=self.seed)


@dataclass(frozen=True)
class Sample:
    """Features and outcomes of some index times."""

    features: Float32[np.ndarray, "row feature"]
    label: Bool[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]
    subject: Int64[np.ndarray, " row"]

    @property
    def mean_1(self) -> Float[np.ndarray, " row"]:
        """Weights with mean 1, so that penalties mean the same on any sample."""
        scaled: np.ndarray = (
            self.weight / max(float(self.weight.mean()), 1e-12) if len(self.weight) else self.weight
        )
        return scaled


def grow(train: Sample, tuning: Sample, settings: BaselineSpec) -> lightgbm.Booster | None:
    """Grow trees on train patients until the tuning patients gain no more; None with too few events."""
    if min(int(train.label.sum()), int((~train.label).sum())) < MIN_EVENTS:
        return None
    parameters = settings.parameters(len(train.label))
    data = lightgbm.Dataset(
        train.features, label=train.label, weight=train.mean_1, params=parameters, free_raw_data=False
    )
    stop = lightgbm.early_stopping(settings.patience, verbose=False)
    if tuning.label.sum() < settings.min_tuning_events or (~tuning.label).sum() < settings.min_tuning_events:
        found = lightgbm.cv(
            parameters,
            data,
            settings.max_trees,
            folds=_folds(train.subject),
            callbacks=[stop],
            stratified=False,
        )
        curve = cast("list[float]", found["valid binary_logloss-mean"])
        return lightgbm.train(parameters, data, num_boost_round=len(curve))
    held = lightgbm.Dataset(tuning.features, label=tuning.label, weight=tuning.mean_1, reference=data)
    return lightgbm.train(
        parameters, data, num_boost_round=settings.max_trees, valid_sets=[held], callbacks=[stop]
    )


def _folds(
    subject: Int64[np.ndarray, " row"],
) -> list[tuple[Int64[np.ndarray, " in"], Int64[np.ndarray, " out"]]]:
    """Divide rows for cross-validation; a patient's rows stay together."""
    _, patient = np.unique(subject, return_inverse=True)
    fold = np.random.default_rng(0).permutation(int(patient.max()) + 1)[patient] % N_FOLDS
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(N_FOLDS)]


@dataclass(frozen=True)
class Stack:
    """A logistic regression on the log-odds of model and baseline, fitted on tuning patients."""

    constant: float
    model: float
    baseline: float

    def score(
        self, model: Float[np.ndarray, " row"], baseline: Float[np.ndarray, " row"]
    ) -> Float[np.ndarray, " row"]:
        """Give the stacked probability."""
        at = self.constant + self.model * log_odds(model) + self.baseline * log_odds(baseline)
        risk: np.ndarray = 1 / (1 + np.exp(-at))
        return risk


def stack_of(scored: Scored, baseline: Float[np.ndarray, " row"]) -> Stack | None:
    """Fit the stack on tuning patients; None with too few events.

    Args:
        scored: outcomes, and the model's scores.
        baseline: its scores of the same rows.
    """
    if scored.label.sum() < MIN_EVENTS or (~scored.label).sum() < MIN_EVENTS:
        return None
    design = np.stack([np.ones(len(baseline)), log_odds(scored.score), log_odds(baseline)], axis=1)
    rows = Scored(scored.patient, scored.label, np.arange(len(baseline), dtype=np.float64), scored.weight)
    terms = fit_logistic(design, exact(rows))[:, 0]
    return None if np.isnan(terms).any() else Stack(*(float(term) for term in terms))


def log_odds(probability: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Give log-odds, of probabilities kept off 0 and 1."""
    inside = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    at: np.ndarray = np.log(inside / (1 - inside))
    return at
