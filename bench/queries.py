"""Sets, thresholds and bounds on held-out patients: `bench/queries.py [FOLDER] [PATIENTS] [SEED]`. Simulated.

Asked twice a year, and in stays for what is to come before discharge. A row counts whose patient was seen to
the horizon, or died before. Beside each, LightGBM taught on the train patients for that query.
"""

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm
import numpy as np
from differential import drawn, in_stays, landmarks
from invented import Invented, hospital, made
from sklearn.metrics import roc_auc_score

from residency import Index, ask
from residency.contract.codes import DEATH
from residency.contract.packed import DAY, Packed
from residency.contract.questions import Forecast, Outcome
from residency.model import Model, Range
from residency.reasoning.abstaining import Limits, history_of
from residency.reasoning.index import place
from residency.reasoning.outcomes import Family
from residency.validation.features import SPARSE_DAYS, features, layout_of

HBA1C, CREATININE, STAY, DISCHARGE = "LOINC/4548-4", "LOINC/2160-0", "VISIT/IMP", "VISIT_END/IMP"
EVERY_DAYS, N_DRAWS = 183, 200


@dataclass(frozen=True)
class Query:
    """What is asked, how far ahead, and whether in stays."""

    title: str
    horizon_days: float
    codes: tuple[str, ...]
    above: float | None = None
    before: tuple[str, ...] = ()
    in_stays: bool = False

    @property
    def outcome(self) -> Outcome:
        """As the contract has it."""
        return Outcome(name=self.title, codes=self.codes, above=self.above, before=self.before)


QUERIES = (
    Query(
        "stroke, infarction or heart failure, 1 year", 365.25, ("ICD10CM/I63", "ICD10CM/I21", "ICD10CM/I50")
    ),
    Query("creatinine or HbA1c measured, 90 days", 90.0, (CREATININE, HBA1C)),
    Query("HbA1c above 6.5 %, 180 days", 180.0, (HBA1C,), 6.5),
    Query("HbA1c above 8 %, 180 days", 180.0, (HBA1C,), 8.0),
    Query("creatinine above 1.5 mg/dL, 90 days", 90.0, (CREATININE,), 1.5),
    Query("discharge, 3 days", 3.0, (DISCHARGE,), in_stays=True),
    Query("death before discharge, 30 days", 30.0, (DEATH,), None, (DISCHARGE,), in_stays=True),
    Query("sepsis before discharge, 30 days", 30.0, ("ICD10CM/A41",), None, (DISCHARGE,), in_stays=True),
    Query("creatinine above 1.5 before discharge, 30 days", 30.0, (CREATININE,), 1.5, (DISCHARGE,), True),
)


@dataclass(frozen=True)
class Asked:
    """Rows of one query: who, when, and what came."""

    packed: Packed
    index: Index
    came: np.ndarray

    def take(self, keep: np.ndarray) -> "Asked":
        """Give some."""
        return Asked(self.packed, self.index.take(keep), self.came[keep])


def wait(
    model: Model, asked: tuple[Packed, Index], codes: tuple[str, ...], above: float | None
) -> np.ndarray:
    """Give the days to the next of some codes after each instant; infinite where none comes."""
    packed, index = asked
    family = Family(model.vocabulary, ())
    below = np.unique(np.concatenate([family.below(model.vocabulary.index_of(code)) for code in codes]))
    values = None if above is None else Range(int(below[0]), above, np.inf)
    moments = history_of(packed, below, values).moment
    after = np.append(moments, packed.n_moments)[
        np.searchsorted(moments, place(packed, index).moment, "right")
    ]
    there = after < packed.moment_offset[index.patient + 1]
    time = np.asarray(packed.moment_time)[np.where(there, after, 0)]
    return np.where(there, (time - index.as_of) / DAY, np.inf)


def rows_of(of: Invented, split: tuple[str, ...], query: Query) -> Asked:
    """Give the rows of a query whose answer is known."""
    packed, model = of.timelines.shards[0], of.model
    rows = np.flatnonzero(np.isin(of.timelines.split(0), split))
    if query.in_stays:
        stays = np.array([model.vocabulary.index_of(STAY)])
        index = in_stays(packed, rows, stays, np.random.default_rng(0))
        asked = packed, index
        index = index.take(wait(model, asked, (DISCHARGE,), None) < wait(model, asked, (STAY,), None))
    else:
        index = landmarks(packed, rows, EVERY_DAYS)
    asked = packed, index
    outcome = wait(model, asked, query.codes, query.above)
    ends = [wait(model, asked, (one,), None) for one in (*query.before, DEATH)]
    end = np.minimum.reduce([np.full(len(index), query.horizon_days), *ends])
    seen = (packed.observation_end[packed.observation_offset[index.patient + 1] - 1] - index.as_of) / DAY
    began = packed.observation_start[packed.observation_offset[index.patient]] <= index.as_of
    # whoever could not be watched to the end counts for nobody, ill or not; death is an end of its own
    kept = began & (seen >= np.minimum(query.horizon_days, ends[-1])) & (np.minimum(seen, ends[-1]) > 0)
    return Asked(packed, index, outcome <= end).take(kept)


def said(model: Model, asked: Asked, query: Query) -> np.ndarray:
    """Give the model's answers."""
    question = Forecast(outcomes=(query.outcome,), horizons_days=(query.horizon_days,), interval=False)
    found = ask(model, asked.packed, [question], asked.index, limits=Limits(min_moments=0, stale_days=1e9))
    return found.risk[:, 0].astype(np.float64)


def trees(of: Invented, train: Asked, test: Asked) -> np.ndarray:
    """Give LightGBM's answers, taught on the train patients."""
    vocabulary = of.timelines.vocabulary
    layout = layout_of(vocabulary, SPARSE_DAYS, 60)
    rows, mine = (features(one.packed, vocabulary, layout, one.index) for one in (train, test))
    settings = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 40,
                "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63,
                "lambda_l2": 5.0, "verbosity": -1, "seed": 0, "num_threads": 1}  # fmt: skip
    return np.asarray(lightgbm.train(settings, lightgbm.Dataset(rows, train.came * 1.0), 120).predict(mine))


def figures(asked: Asked, *scores: np.ndarray) -> np.ndarray:
    """Give observed over expected and AUROC of each, and the difference of the AUROCs: value, low, high."""
    rng, patient = np.random.default_rng(0), asked.index.patient
    draws = [np.arange(len(patient)), *(drawn(patient, rng) for _ in range(N_DRAWS))]
    found = np.array([_figures(asked.came[pick], [one[pick] for one in scores]) for pick in draws])
    return np.stack([found[0], *np.nanquantile(found[1:], [0.025, 0.975], axis=0)])


def _figures(came: np.ndarray, scores: list[np.ndarray]) -> list[float]:
    ratio = [came.sum() / one.sum() for one in scores]
    if came.all() or not came.any():
        return [*ratio, *[np.nan] * (len(scores) + 1)]
    areas = [float(roc_auc_score(came, one)) for one in scores]
    return [*ratio, *areas, areas[0] - areas[-1]]


def shown(three: np.ndarray) -> str:
    """Put a figure and its interval into words."""
    return f"{three[0]:.3f} ({three[1]:.3f} to {three[2]:.3f})"


def plain_sum(model: Model) -> Model:
    """Give the model with every code's moments its own: sets are sums."""
    alone = replace(model)
    vars(alone)["moments_shared"] = np.eye(1, model.moments_shared.shape[1], dtype=np.float32).repeat(
        len(model.targets), axis=0
    )
    return alone


def main(of: Invented) -> None:
    """Print a row for each query."""
    print("| query | rows, patients, with it | observed over expected | AUROC | LightGBM | | difference |")
    for query in QUERIES:
        test, train = (rows_of(of, split, query) for split in (("held_out", "external"), ("train",)))
        mine = said(of.model, test, query)
        known = np.isfinite(mine)
        test, mine = test.take(known), mine[known]
        found = figures(test, mine, trees(of, train, test))
        n = f"{len(mine)}, {len(np.unique(test.index.patient))}, {int(test.came.sum())}"
        if len(query.codes) > 1:
            query = replace(query, title=query.title + _as_sum(of, test, query))
        print(
            "|",
            " | ".join([query.title, n, *(shown(found[:, at]) for at in (0, 2, 3, 1, 4))]),
            "|",
            flush=True,
        )


def _as_sum(of: Invented, test: Asked, query: Query) -> str:
    """Say what a plain sum of hazards would give."""
    summed = figures(test, said(plain_sum(of.model), test, query))
    return f" (a sum: {shown(summed[:, 0])}, AUROC {summed[0, 1]:.3f})"


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(words[0]) if words else Path(temporary)
        main(made(folder, hospital(*map(int, words[1:3] or (1000, 11)))))
