"""What records can show of a known truth: `bench/ceiling.py [FOLDER] [PATIENTS] [SEED]`. Simulated.

The true risk knows the hidden state, which no reader of records does. Nearer to what one can reach are trees
that are taught the true chances of train patients in place of what came: no learner has them, and they carry
none of its noise. They read the baseline's features, so a reader of more might still do better. All are
judged on held-out patients against the true chances: each index time counts as an event by its chance. The
same trees taught on a third of the patients show how much more patients would still bring.
"""

import sys
import tempfile
from pathlib import Path

import lightgbm
import numpy as np
from invented import TASKS, Invented, hospital, made

from residency.validation.baseline import BaselineSpec
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.features import features, layout_of, windows_for
from residency.validation.metrics import auroc
from residency.validation.predicting import Bench, predict
from residency.validation.tally import Tally
from residency.validation.tasks import load_tasks
from residency.validation.truth import best_possible

N_DRAWS = 200


def against_chances(score: np.ndarray, chance: np.ndarray, weight: np.ndarray) -> float:
    """Give the AUROC in which each index time counts as an event by its true chance.

    Args:
        score: [row].
        chance: true chance of the event, [row].
        weight: [row].
    """
    level, group = np.unique(score, return_inverse=True)
    ill, well = (np.bincount(group, weight * share)[:, None] for share in (chance, 1 - chance))
    return float(auroc(Tally(level, ill, well))[0])


def taught(rows: np.ndarray, chance: np.ndarray, weight: np.ndarray, tuning: np.ndarray, x: np.ndarray):
    """Grow trees on true chances of some rows until those of tuning patients gain no more."""
    settings = BaselineSpec(learning_rate=0.1, leaves=63).parameters(int(rows.sum()))
    settings |= {"objective": "cross_entropy", "metric": "cross_entropy"}
    part, held = (
        lightgbm.Dataset(x[of], label=chance[of], weight=weight[of] / weight[of].mean(), params=settings)
        for of in (rows, tuning)
    )
    stop = lightgbm.early_stopping(40, verbose=False)
    return lightgbm.train(settings, part, 1500, valid_sets=[held.set_reference(part)], callbacks=[stop])


def ceilings(of: Invented, cohort: Cohort, chance: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Give what trees that know true chances say of every index time: of all train patients, of a third."""
    layout = layout_of(of.timelines.vocabulary, windows_for(of.timelines), BaselineSpec().max_codes)
    x = np.empty((len(cohort), layout.n_features), np.float32)
    for number, packed in enumerate(of.timelines.shards):
        here = cohort.shard == number
        x[here] = features(packed, of.timelines.vocabulary, layout, cohort.of_shard(number))
    known = np.isfinite(chance)
    train, tuning = (known & (cohort.split == split) for split in ("train", "tuning"))
    everyone = np.unique(cohort.subject[train])
    third = np.random.default_rng(seed).permutation(everyone)[: len(everyone) // 3]
    return {
        name: taught(rows, chance, cohort.weight, tuning, x).predict(x)
        for name, rows in (("all", train), ("third", train & np.isin(cohort.subject, third)))
    }


def with_interval(
    score: np.ndarray, beside: np.ndarray | None, chance: np.ndarray, weight: np.ndarray, who: np.ndarray
) -> str:
    """Write an AUROC, or its distance from another's, with the 95% interval over draws of patients."""
    _, patient = np.unique(who, return_inverse=True)
    rng, n = np.random.default_rng(0), int(patient.max()) + 1

    def of(weight: np.ndarray) -> float:
        found = against_chances(score, chance, weight)
        return found if beside is None else found - against_chances(beside, chance, weight)

    draws = [of(weight * np.bincount(rng.integers(n, size=n), minlength=n)[patient]) for _ in range(N_DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{of(weight):.3f} ({low:.3f} to {high:.3f})"


def main(folder: Path, n_patients: int = 2000, seed: int = 1) -> None:
    """Print the table."""
    of = made(folder, hospital(n_patients, seed))
    tasks, truth = load_tasks(TASKS), of.risks
    bench = Bench(of.model, of.timelines, truth, BaselineSpec(), 0, tasks)
    print(
        "| first diagnosis | network | LightGBM | taught true chances, a third of the patients | all |"
        " true risk | all − network | all − LightGBM |\n|---|---|---|---|---|---|---|---|"
    )
    for task in tasks:
        cohort = cohort_of(of.timelines, task, 0)
        chance = best_possible(truth, cohort, task)
        if chance is None:
            continue
        said = ceilings(of, cohort, chance, seed)
        table, _ = predict(bench, task)
        place = {key: n for n, key in enumerate(zip(cohort.subject, cohort.as_of, strict=True))}
        times = table["prediction_time"].to_physical().to_numpy()
        rows = np.array([place[key] for key in zip(table["subject_id"].to_numpy(), times, strict=True)])
        judges = (table["split"].to_numpy() == "held_out") & np.isfinite(chance[rows])
        rows = rows[judges]
        columns = {name: table[name].to_numpy()[judges] for name in ("score", "baseline") if name in table}
        columns |= {name: one[rows] for name, one in said.items()} | {"truth": chance[rows]}
        given = chance[rows], cohort.weight[rows], cohort.subject[rows]
        names = ("score", "baseline", "third", "all", "truth")
        cells = [with_interval(columns[name], None, *given) if name in columns else "–" for name in names]
        cells += [
            with_interval(columns["all"], columns[name], *given) if name in columns else "–"
            for name in names[:2]
        ]
        print(f"| {task.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
