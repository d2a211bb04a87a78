"""Small data: `bench/small_data.py [FOLDER] [PATIENTS] [SEED] [TAUGHT]`. Both learn from a few patients.

FOLDER holds `timelines` and `truth` of a larger simulated hospital; without, one of 4,000 is made. Of its
train and tuning patients only so many teach, the same for both; its held-out patients judge. The vocabulary
is that of all train patients. TAUGHT is 1 where trees teach the network first records, and death.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np
from invented import NOW, TASKS, Invented, hospital, made

from residency import Model, ModelSpec, Timelines
from residency.contract.codes import DEATH
from residency.contract.lineage import Step
from residency.contract.progress import silent
from residency.contract.report import Metric
from residency.model.attachments import Attaching
from residency.model.fitting import fit, setup
from residency.model.foretelling import with_teacher
from residency.model.marginals import marginals
from residency.model.training import conclude, steady
from residency.timeline import take
from residency.validation.baseline import BaselineSpec
from residency.validation.examination import ValidationSpec, examined
from residency.validation.landmarks import hashed
from residency.validation.predicting import Bench, predict
from residency.validation.tasks import CodedOutcome, load_tasks


def few(data: Timelines, n_patients: int, seed: int) -> Timelines:
    """Leave so many train and tuning patients, by a hash, beside those held out."""
    teaches = [np.isin(data.split(shard), ["train", "tuning"]) for shard in range(len(data.shards))]
    draw = []
    for packed in data.shards:
        subject = np.array(packed.subject)
        draw.append(hashed(subject, np.zeros_like(subject), seed))
    most = np.sort(np.concatenate([d[t] for d, t in zip(draw, teaches, strict=True)]))[n_patients - 1]
    rows = [np.flatnonzero(~t | (d <= most)) for d, t in zip(draw, teaches, strict=True)]
    return dataclasses.replace(
        data,
        shards=tuple(take(packed, mine) for packed, mine in zip(data.shards, rows, strict=True)),
        _splits=tuple(data.split(shard)[mine] for shard, mine in enumerate(rows)),
        _sites=tuple(data.site(shard)[mine] for shard, mine in enumerate(rows)),
    )


def learned(data: Timelines, folder: Path, out: Path, spec: ModelSpec) -> Model:
    """Train on coded events of what is left."""
    step = Step(out, name="train", inputs=[folder], spec={}, now=NOW)
    with step, steady(spec.threads, strict=True):
        given = with_teacher(setup(data, spec, marginals(data, spec)), step.work, silent)
        training = fit(given, step.work, silent)
        conclude(step, given, training.best, training.point, Attaching({}, {}))
    return Model.open(out)


def shown(found: Metric | None) -> str:
    """Give a figure with its interval."""
    return "–" if found is None else f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def main(of: Invented, n_patients: int = 500, seed: int = 0, taught: int = 0) -> None:
    """Train, examine, print."""
    folder, tasks = of.folder / "timelines", load_tasks(TASKS)
    data = few(of.timelines, n_patients, seed)
    spec = ModelSpec(size="small", seed=seed, threads=1)
    if taught:
        coded = (task.outcome for task in tasks if isinstance(task.outcome, CodedOutcome))
        codes = sorted({code for outcome in coded for code in outcome.codes})
        spec = dataclasses.replace(spec, teacher="trees", taught=(DEATH, *codes))
    with tempfile.TemporaryDirectory() as place:
        model = learned(data, folder, Path(place) / "model", spec)
        bench = Bench(model, data, of.risks, BaselineSpec(), seed, tasks)
        print(f"{n_patients} patients teach\n| first diagnosis | held out; events | network | LightGBM |"
              " network − LightGBM | best possible |\n|---|---|---|---|---|---|")  # fmt: skip
        for task in tasks:
            table, counts = predict(bench, task)
            found = examined(table, task, ValidationSpec(), counts).slices["all"]
            best = (found.best_possible or {}).get("auroc")
            print(
                f"| {task.name} | {found.patients}; {found.events} | "
                + " | ".join(shown(one.get("auroc")) for one in (found.model, found.baseline, found.paired))
                + f" | {shown(best)} |",
                flush=True,
            )


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        given = Path(words[0]) if words else Path(temporary)
        main(made(given, hospital(4000, 11), with_model=False), *map(int, words[1:]))
