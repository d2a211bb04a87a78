"""Emulated trials against truth: `bench/treatment.py FOLDER [PATIENTS] [SEED]`. Simulated, two variants.

Fitted to train and tuning patients, judged on held-out ones by the risks that the simulation knows of both
arms. A policy treats who gains more than the true average: of a drug that helps, treating all is then worth
as much as treating nobody. In the variant `hidden_confounder` a cause that nobody records raises the drug's
use and the outcome.
"""

import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from invented import Invented, hospital, made
from sklearn.ensemble import HistGradientBoostingClassifier

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY
from residency.reasoning.covariates import rows_of
from residency.reasoning.effects import Effects, estimated, instant_of
from residency.reasoning.emulating import Codes, Entrant, Recruiting, TargetTrial, followed

WARFARIN = TargetTrial(
    name="warfarin", eligible=("ICD10CM/I48",), drug=("RXNORM/855332",), outcome=("ICD10CM/I63",),
    horizon_days=1826.25, grace_days=7.0, negative_control=("ICD10CM/C34",),
)  # fmt: skip
TRIALS = {
    ("warfarin", "stroke"): WARFARIN,
    ("warfarin", "bleeding"): replace(WARFARIN, outcome=("ICD10CM/K92.2",)),
    ("losartan", "kidney_failure"): replace(
        WARFARIN, name="losartan", eligible=("ICD10CM/N18",), drug=("RXNORM/979492",),
        outcome=("ICD10CM/N18.6",),
    ),
    ("carvedilol", "decompensation"): replace(
        WARFARIN, name="carvedilol", eligible=("ICD10CM/I50",), drug=("RXNORM/200031",),
        outcome=("ICD10CM/I50.23",),
    ),
    ("clopidogrel", "reinfarction"): replace(
        WARFARIN, name="clopidogrel", eligible=("ICD10CM/I21",), drug=("RXNORM/309362",),
        comparator=("RXNORM/1116635",), outcome=("ICD10CM/I21",), grace_days=30.0,
    ),
}  # fmt: skip
HORIZONS = {1826.25: "risk_5y"}
N_PARTS = 3


@dataclass(frozen=True)
class Known:
    """Entrants with the truth about each: the effect of the drug on the risk."""

    entrants: list[Entrant]
    effect: np.ndarray
    split: np.ndarray

    def some(self, chosen: np.ndarray) -> "Known":
        """Give some of them."""
        rows = np.flatnonzero(chosen)
        return Known([self.entrants[row] for row in rows], self.effect[rows], self.split[rows])


def known(of: Invented, trial: TargetTrial, question: tuple[str, str], column: str) -> Known:
    """Find who enters, and what the truth says of them."""
    drug, outcome = question
    table = of.truth("treatments").filter(pl.col("treatment") == drug, pl.col("outcome") == outcome)
    risk = {
        (subject, arm): value for subject, arm, value in table.select("subject_id", "arm", column).iter_rows()
    }
    recruiting = Recruiting(trial, Codes.of(trial, of.timelines.vocabulary), Counter())
    found, effect, split = [], [], []
    for shard, packed in enumerate(of.timelines.shards):
        for one in recruiting.entrants(packed, shard):
            subject = int(packed.subject[one.row])
            if (subject, "drug") in risk:
                found.append(one)
                effect.append(risk[subject, "drug"] - risk[subject, "alternative"])
                split.append(of.timelines.split(shard)[one.row])
    return Known(found, np.array(effect), np.array(split))


def s_learner(effects: Effects, of: Invented, taught: Known, judged: Known) -> np.ndarray:
    """Give effects of one boosted model of outcome by covariates and drug, asked twice."""
    trial = effects.trial
    codes = Codes.of(trial, of.timelines.vocabulary)
    x = effects.layout.scaled(
        rows_of(effects.layout, [instant_of(of.timelines, one) for one in taught.entrants])
    )
    treated = np.array([one.treated for one in taught.entrants], float)
    found = followed(of.timelines, taught.entrants, codes, codes.outcome, trial.horizon_days)
    seen = found.weight > 0
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=7, min_samples_leaf=20, random_state=0)
    model.fit(np.column_stack([x, treated])[seen], found.outcome[seen], sample_weight=found.weight[seen])
    y = effects.layout.scaled(
        rows_of(effects.layout, [instant_of(of.timelines, one) for one in judged.entrants])
    )
    with_it, without = (
        model.predict_proba(np.column_stack([y, np.full(len(y), arm)]))[:, 1] for arm in (1.0, 0.0)
    )
    return np.asarray(with_it - without)


def policy(effect: np.ndarray, truth: np.ndarray, least: float) -> float:
    """Give what treating who gains more than `least` brings a patient; who has no figure is not treated."""
    treat = np.nan_to_num(effect, nan=0.0) < -least
    return float(np.where(treat, -truth - least, 0.0).mean())


def coverage(of: Invented, trial: TargetTrial, taught: Known) -> tuple[int, int]:
    """Say of how many disjoint parts of the entrants the interval holds the truth, and of how many at all."""
    order = np.random.default_rng(0).permutation(len(taught.entrants))
    held = total = 0
    for part in np.array_split(order, N_PARTS):
        mine = taught.some(np.isin(np.arange(len(order)), part))
        try:
            found = estimated(of.timelines, trial, mine.entrants, {})
        except QuestionError:
            continue
        total += 1
        held += found.effect.low <= mine.effect.mean() <= found.effect.high
    return held, total


def refusals(of: Invented, trial: TargetTrial, taught: Known, judged: Known) -> tuple[float, float]:
    """Take the treated above 70 away: say what share of the older, and of others, then get no figure."""
    ages = [np.array([_age(of, one) for one in part.entrants]) for part in (taught, judged)]
    treated = np.array([one.treated for one in taught.entrants])
    found = estimated(of.timelines, trial, taught.some(~(treated & (ages[0] > 70))).entrants, {})
    none = np.isnan(found.individual([instant_of(of.timelines, one) for one in judged.entrants])[0])
    return float(none[ages[1] > 75].mean()), float(none[ages[1] < 65].mean())


def _age(of: Invented, one: Entrant) -> float:
    packed = of.timelines.shards[one.shard]
    return (one.zero - int(packed.moment_time[packed.moments_of(one.row)][0])) / DAY / 365.25


def shown(estimate: object) -> str:
    """Write an estimate in percent."""
    return f"{100 * estimate.value:+.1f} ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})"  # type: ignore[attr-defined]


def rows(of: Invented, variant: str) -> None:
    """Print a row a question and horizon."""
    for question, base in TRIALS.items():
        for days, column in HORIZONS.items():
            trial = replace(base, horizon_days=days)
            every = known(of, trial, question, column)
            taught, judged = every.some(every.split != "held_out"), every.some(every.split == "held_out")
            what = f"{question[0]}: {question[1].replace('_', ' ')}"
            name = f"| {variant} | {what} | {days / 365.25:.0f} | {len(taught.entrants)} |"
            try:
                found = estimated(of.timelines, trial, taught.entrants, {})
            except QuestionError as error:
                print(f"{name} refused: {error.what} |")
                continue
            mine = found.individual([instant_of(of.timelines, one) for one in judged.entrants])[0]
            truth, some = judged.effect, np.isfinite(mine)
            single = s_learner(found, of, taught, judged)
            pehe = [
                np.sqrt(np.mean((guess[some] - truth[some]) ** 2))
                for guess in (mine, np.full(len(mine), found.naive.value), single)
            ]
            least = abs(float(taught.effect.mean()))  # at such a price treating all is worth nothing
            values = [
                policy(mine, truth, least),
                float((-truth - least).mean()),
                0.0,
                policy(truth, truth, least),
            ]
            held, total = coverage(of, trial, taught)
            print(
                f"{name} {100 * taught.effect.mean():+.1f} | {shown(found.effect)} | {shown(found.naive)} |"
                f" {held}/{total} | {' | '.join(f'{100 * one:.1f}' for one in pehe)} |"
                f" {' | '.join(f'{100 * one:+.2f}' for one in values)} |"
                f" {found.e_value:.2f} | {'' if found.control is None else shown(found.control)} |",
                flush=True,
            )


def main(folder: Path, n_patients: int = 4000, seed: int = 11) -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    print(
        "| variant | drug: outcome | years | entrants | true effect, % | doubly robust | naive |"
        " interval holds truth | PEHE | naive | S-learner | policy, per 100 | treat all | none | best |"
        " E-value | negative control |"
    )
    print("|" + "---|" * 17)
    hidden = made(folder / "hidden", hospital(n_patients, seed + 1, "hidden_confounder"), with_model=False)
    for variant, of in (
        ("plain", made(folder / "plain", hospital(n_patients, seed), with_model=False)),
        ("hidden", hidden),
    ):
        rows(of, variant)
        if variant == "plain":
            every = known(of, WARFARIN, ("warfarin", "stroke"), "risk_5y")
            older, younger = refusals(
                of, WARFARIN, every.some(every.split != "held_out"), every.some(every.split == "held_out")
            )
            print(
                f"\nno treated patient above 70 left: without a figure {older:.0%} above 75,"
                f" {younger:.0%} under 65\n"
            )


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
