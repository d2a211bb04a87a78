"""In: timelines, and a target trial as text. Out: what a drug did here, doubly robust. Research only.

EconML's `LinearDRLearner`, cross-fitted by patient: propensity and outcome models of a fold never saw it.
A patient's own effect is what one hazard ratio does to their own risk without the drug, the ratio that on
average makes the average effect: a relative effect is more alike between patients than an absolute one (the
*risk modelling* of the PATH statement). Covariates are plain, and
nothing of a model that was trained on these outcomes. Where hardly anybody comparable was treated, or was
not, there is no figure.
"""

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float64

from residency.contract.errors import PluginError, QuestionError
from residency.reasoning.covariates import Instant, Layout, rows_of
from residency.reasoning.emulating import Codes, Entrant, Followed, Recruiting, TargetTrial, followed
from residency.timeline import Timelines

FOLDS: Final = 5
LEAST_ARM: Final = 50  # patients with overlap of either arm: with fewer there is nothing to estimate
LEAST_EVENTS: Final = 10
LEVEL: Final = 0.90
_Z: Final = 1.6449
_PENALTIES: Final = (0.003, 0.01, 0.03, 0.1, 0.3)  # as scikit-learn counts: small is strong
_RATIOS: Final = (-6.0, 6.0)  # logarithms of hazard ratios that are looked through
_INSIDE: Final = 1e-4  # a risk lies so far from 0 and 1
_Rows = Float64[np.ndarray, "patient covariate"]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 90% interval."""

    value: float
    low: float
    high: float

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Effects:
    """What a drug did here. Research: not examined, and what nobody recorded is not ruled out.

    Attributes:
        trial: as text.
        counts: entrants, in each arm, with overlap, and who was left out, by reason.
        effect: risk difference among those with overlap.
        naive: the same without any adjustment, beside it.
        untreated: risk of those not treated.
        e_value: how strongly (as risk ratios) an unseen cause would have to raise both the drug's use and the
            outcome to move the nearer end of the interval to no effect; 1 where it is there already.
        control: the drug's effect on an outcome that it cannot change; None where none was named.
    """

    trial: TargetTrial
    counts: dict[str, int]
    effect: Estimate
    naive: Estimate
    untreated: float
    e_value: float
    control: Estimate | None
    layout: Layout
    fitted: "Fitted"
    propensity: Any

    @property
    def doubted(self) -> bool:
        """Whether the negative control shows bias."""
        return self.control is not None and self.control.leaves_out_zero

    def individual(self, instants: list[Instant]) -> Float64[np.ndarray, "3 patient"]:
        """Give patients' risk differences with intervals; NaN where nobody is comparable in either arm."""
        covariates = self.layout.scaled(rows_of(self.layout, instants))
        found = self.fitted.individual(covariates)
        chance = self.propensity.predict_proba(covariates)[:, 1]
        found[:, ~_within(chance, self.trial.least_overlap)] = np.nan
        return found


def emulate(timelines: Timelines, trial: TargetTrial) -> Effects:
    """Emulate a trial on the train patients.

    Raises:
        QuestionError: too few patients, or too few of them comparable, in either arm.
    """
    codes = Codes.of(trial, timelines.vocabulary)
    recruiting = Recruiting(trial, codes, Counter())
    entrants = [
        one
        for number, packed in enumerate(timelines.shards)
        for one in recruiting.entrants(packed, number)
        if timelines.split(number)[one.row] == "train"
    ]
    return estimated(timelines, trial, entrants, dict(recruiting.counts))


def estimated(
    timelines: Timelines, trial: TargetTrial, entrants: list[Entrant], left_out: dict[str, int]
) -> Effects:
    """Estimate the effect among some entrants.

    Raises:
        QuestionError: too few patients, or too few of them comparable, in either arm.
    """
    codes = Codes.of(trial, timelines.vocabulary)
    treated = np.array([one.treated for one in entrants], bool)
    _enough(treated, "entered the trial")
    about = (*trial.eligible, *trial.drug, *trial.comparator, *trial.outcome)
    instants = [instant_of(timelines, one) for one in entrants]
    layout = Layout.of(timelines.vocabulary, instants, trial.max_covariates, about)
    rows = rows_of(layout, instants)
    layout = layout.fitted(rows)
    covariates = layout.scaled(rows)
    overlap = _within(_chance(covariates, treated, trial.seed), trial.least_overlap)
    _enough(treated[overlap], "are comparable with anybody of the other arm")
    found = followed(timelines, entrants, codes, codes.outcome, trial.horizon_days)
    fitted = fit(covariates[overlap], treated[overlap], _some(found, overlap), trial.seed)
    control = None
    if len(codes.control):
        nothing = followed(timelines, entrants, codes, codes.control, trial.horizon_days)
        control = fit(covariates[overlap], treated[overlap], _some(nothing, overlap), trial.seed).average()
    effect, untreated = fitted.average(), _mean(found, ~treated)[0]
    counts = {
        "entered": len(entrants), "treated": int(treated.sum()), "not treated": int((~treated).sum()),
        "with overlap": int(overlap.sum()), **left_out,
    }  # fmt: skip
    return Effects(
        trial,
        counts,
        effect,
        naive(found, treated),
        untreated,
        e_value(untreated, effect),
        control,
        layout,
        fitted,
        _trees(trial.seed).fit(covariates, treated),
    )


def instant_of(timelines: Timelines, one: Entrant) -> Instant:
    """Give when an entrant's covariates are looked at: at time zero, as known when follow-up begins."""
    return Instant(timelines.shards[one.shard], one.row, one.zero, one.start)


def _enough(treated: Bool[np.ndarray, " patient"], what: str) -> None:
    for arm, n in (("treated", int(treated.sum())), ("not treated", int((~treated).sum()))):
        if n < LEAST_ARM:
            raise QuestionError(
                f"fewer than {LEAST_ARM} patients who were {arm} {what}", mend="there is no figure from here"
            )


def _some(found: Followed, chosen: Bool[np.ndarray, " patient"]) -> Followed:
    return Followed(found.outcome[chosen], found.weight[chosen])


def _within(chance: Float64[np.ndarray, " patient"], least: float) -> Bool[np.ndarray, " patient"]:
    within: np.ndarray = (chance >= least) & (chance <= 1 - least)
    return within


def _logistic(seed: int) -> Any:
    """Give a lasso whose penalty is chosen by cross-validation: few covariates, hardly shrunk, tell most."""
    from sklearn.linear_model import LogisticRegression  # an extra
    from sklearn.model_selection import GridSearchCV

    one = LogisticRegression(l1_ratio=1.0, solver="liblinear", max_iter=500, random_state=seed)
    return GridSearchCV(one, {"C": _PENALTIES}, cv=3, scoring="neg_log_loss")


def _trees(seed: int) -> Any:
    """Give a model of who gets the drug that also sees borders, such as an age from which nobody does."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=40,
        max_leaf_nodes=4,
        min_samples_leaf=30,
        l2_regularization=1.0,
        random_state=seed,
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=5,
    )


def _chance(
    covariates: _Rows, treated: Bool[np.ndarray, " patient"], seed: int
) -> Float64[np.ndarray, " patient"]:
    """Give each patient's chance of the drug, by models that never saw the patient."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return np.asarray(
        cross_val_predict(_trees(seed), covariates, treated, cv=folds, method="predict_proba")[:, 1]
    )


@dataclass(frozen=True)
class Fitted:
    """The doubly robust learner, and the model of the patients' own risk.

    Attributes:
        learner: of EconML, fitted.
        prognosis: risk of the outcome by covariates and drug, the last column.
        untreated: risk without the drug of those it was fitted to, with their weights.
    """

    learner: Any
    prognosis: Any
    untreated: tuple[Float64[np.ndarray, " patient"], Float64[np.ndarray, " patient"]]

    def average(self) -> Estimate:
        """Give the average effect of those it was fitted to."""
        found = self.learner.ate_inference(X=None)
        low, high = found.conf_int_mean(alpha=1 - LEVEL)
        return Estimate(*(float(np.ravel(one)[0]) for one in (found.mean_point, low, high)))

    def individual(self, covariates: _Rows) -> Float64[np.ndarray, "3 patient"]:
        """Give effects of patients, with intervals: one hazard ratio, each patient's own risk."""
        own, average = _without_drug(self.prognosis, covariates), self.average()
        return np.stack(
            [
                changed(own, hazard_ratio(*self.untreated, one))
                for one in (average.value, average.low, average.high)
            ]
        )


def _without_drug(prognosis: Any, covariates: _Rows) -> Float64[np.ndarray, " patient"]:
    rows = np.column_stack([covariates, np.zeros(len(covariates))])
    risk: np.ndarray = prognosis.predict_proba(rows)[:, 1].clip(_INSIDE, 1 - _INSIDE)
    return risk


def changed(risk: Float64[np.ndarray, " patient"], ratio: float) -> Float64[np.ndarray, " patient"]:
    """Give how a hazard ratio changes risks.

    Example:
        >>> changed(np.array([0.75]), 0.5)
        array([-0.25])
    """
    change: np.ndarray = (1 - (1 - risk) ** ratio) - risk
    return change


def hazard_ratio(
    risk: Float64[np.ndarray, " patient"], weight: Float64[np.ndarray, " patient"], average: float
) -> float:
    """Give the hazard ratio that changes some risks by so much on average; the nearest where none does.

    Example:
        >>> round(hazard_ratio(np.array([0.75, 0.75]), np.ones(2), -0.25), 6)
        0.5
    """
    low, high = _RATIOS
    for _ in range(60):  # it rises with the ratio: halve
        middle = (low + high) / 2
        below = float(np.average(changed(risk, float(np.exp(middle))), weights=weight)) < average
        low, high = (middle, high) if below else (low, middle)
    return float(np.exp((low + high) / 2))


def fit(covariates: _Rows, treated: Bool[np.ndarray, " patient"], found: Followed, seed: int) -> Fitted:
    """Fit the doubly robust learner.

    Raises:
        QuestionError: too few outcomes.
        PluginError: EconML is not installed.
    """
    if int(found.outcome.sum()) < LEAST_EVENTS or int((~found.outcome).sum()) < LEAST_EVENTS:
        raise QuestionError("too few outcomes in the trial", mend="there is no figure from here")
    learner = _learner(seed)
    seen = found.weight > 0
    x, t, y, w = covariates[seen], treated[seen], found.outcome[seen], found.weight[seen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's, about other libraries
        learner.fit(y.astype(int), t.astype(int), X=None, W=x, sample_weight=w)
    prognosis = _logistic(seed).fit(np.column_stack([x, t]), y, sample_weight=w)
    return Fitted(learner, prognosis, (_without_drug(prognosis, x), w))


def _learner(seed: int) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's, about other libraries
            from econml.dr import LinearDRLearner
    except ModuleNotFoundError as missing:
        raise PluginError(
            f"an emulated trial needs {missing.name}", mend="pip install 'residency[effects]'"
        ) from None
    return LinearDRLearner(
        model_propensity=_logistic(seed), model_regression=_logistic(seed), discrete_outcome=True, cv=FOLDS,
        min_propensity=0.05, random_state=seed,
    )  # fmt: skip


def naive(found: Followed, treated: Bool[np.ndarray, " patient"]) -> Estimate:
    """Give the difference of the arms' risks, with no adjustment but for who left."""
    (one, own), (other, others) = _mean(found, treated), _mean(found, ~treated)
    value, reach = one - other, _Z * float(np.hypot(own, others))
    return Estimate(value, value - reach, value + reach)


def _mean(found: Followed, chosen: Bool[np.ndarray, " patient"]) -> tuple[float, float]:
    """Give a weighted risk and its standard error."""
    y, w = found.outcome[chosen].astype(float), found.weight[chosen]
    mean = float((w * y).sum() / max(w.sum(), 1e-12))
    error = float(np.sqrt((w**2 * (y - mean) ** 2).sum()) / max(w.sum(), 1e-12))
    return mean, error


def e_value(untreated: float, effect: Estimate) -> float:
    """Give VanderWeele and Ding's E-value of the interval's end that lies nearer to no effect.

    Example:
        >>> round(e_value(0.10, Estimate(-0.05, -0.06, -0.04)), 2)
        2.72
    """
    if not effect.leaves_out_zero:
        return 1.0
    nearer = effect.low if effect.low > 0 else effect.high
    ratio = max(untreated + nearer, 1e-4) / max(untreated, 1e-4)
    ratio = max(ratio, 1 / ratio)
    return float(ratio + np.sqrt(ratio * (ratio - 1)))
