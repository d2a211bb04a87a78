"""In: a model, timelines, a task. Out: a table of outcomes, and the scores of model, baseline and stack.

Train patients teach the baseline, tuning patients stop it and fit the stack; neither is in any figure.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Float, Float32

from residency.model import Model
from residency.model.adaptation import in_words_of
from residency.reasoning import Index, Limits, ask
from residency.timeline import Timelines
from residency.validation.baseline import BaselineSpec, Sample, grow, stack_of
from residency.validation.clinical import clinical_risk
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.features import Layout, features, layout_of, windows_for
from residency.validation.landmarks import hashed
from residency.validation.tally import Scored
from residency.validation.tasks import Task
from residency.validation.truth import best_possible

MAX_TRAIN_ROWS: Final = 1_000_000  # for the baseline; above it patients are drawn by a hash


@dataclass(frozen=True)
class Bench:
    """What tasks are examined with.

    Attributes:
        model: frozen.
        timelines: all patients.
        truth: the simulation's; None for real patients.
        baseline: how the trees are grown.
        seed: of the draws of index times.
        tasks: all that are examined: the model is asked for all of them at once.
    """

    model: Model
    timelines: Timelines
    truth: Path | None
    baseline: BaselineSpec
    seed: int
    tasks: tuple[Task, ...]

    @cached_property
    def cohorts(self) -> dict[str, Cohort]:
        """Index times of each task."""
        return {task.name: cohort_of(self.timelines, task, self.seed) for task in self.tasks}

    @cached_property
    def read(self) -> Timelines:
        """The timelines in the words that the model knows: it may come from elsewhere."""
        return in_words_of(self.timelines, self.model)

    @cached_property
    def risks(self) -> dict[str, Float[np.ndarray, " row"]]:
        """The model's risk at each task's index times of patients who taught nothing; NaN where it abstains.

        A patient is read once for all tasks.
        """
        rest = {name: cohort.take(cohort.split != "train") for name, cohort in self.cohorts.items()}
        found = {name: np.full(len(cohort), np.nan) for name, cohort in rest.items()}
        for number in range(len(self.timelines.shards)):
            for task, risk in zip(self.tasks, self._ask(number, list(rest.values())), strict=True):
                found[task.name][rest[task.name].shard == number] = risk
        return found

    def _ask(self, shard: int, rest: list[Cohort]) -> list[Float[np.ndarray, " row"]]:
        """Ask every task's question at every task's index times, and give each task its own."""
        parts = [cohort.of_shard(shard) for cohort in rest]
        index = Index(
            np.concatenate([part.patient for part in parts]), np.concatenate([part.as_of for part in parts])
        )
        questions = [msgspec.structs.replace(task.question, interval=False) for task in self.tasks]
        limits = Limits(min_moments=0)  # a cohort holds nobody with fewer moments than its task wants
        packed, attachments = self.read.shards[shard], self.timelines.attachments(shard)
        answers = ask(self.model, packed, questions, index, attachments=attachments, limits=limits)
        ends = np.cumsum([len(part) for part in parts])
        result = []
        for number, (task, end, part) in enumerate(zip(self.tasks, ends, parts, strict=True)):
            columns = [at for at, column in enumerate(answers.columns) if column.question == number]
            risk = answers.risk[end - len(part) : end][:, columns].astype(np.float64)
            early = risk[:, 0] if task.gap_days else 0.0
            result.append((risk[:, -1] - early) / (1 - early))
        return result


def predict(bench: Bench, task: Task) -> tuple[pl.DataFrame, dict[str, int]]:
    """Predict every index time of the patients who taught nothing.

    With a gap, the model's risk is the risk given that nothing came in the gap.

    Returns:
        One row an index time, and counts of what was left out and of the training.
    """
    cohort, model = bench.cohorts[task.name], bench.risks[task.name]
    rest = cohort.take(cohort.split != "train")
    answered = ~np.isnan(model)
    rest, model = rest.take(answered), model[answered]
    train = _thinned(cohort.take(cohort.split == "train"), bench.seed)
    baseline = _of_baseline(bench, train, rest)
    best = best_possible(bench.truth, rest, task) if bench.truth is not None else None
    scores = {
        "score": model,
        "baseline": baseline,
        "clinical": _clinical(bench, task, train, rest),
        "stack": _stacked(rest, model, baseline),
        "best_possible": best,
    }
    counts = {
        **cohort.counts,
        "abstained": int((~answered).sum()),
        "train rows": len(train),
        "train rows with outcome": int(train.label.sum()),
    }
    return _frame(rest, scores), counts


def _clinical(bench: Bench, task: Task, train: Cohort, rest: Cohort) -> Float[np.ndarray, " row"] | None:
    if task.clinical is None:
        return None
    return clinical_risk(bench.timelines, task.clinical, train, rest)


def _of_baseline(bench: Bench, train: Cohort, rest: Cohort) -> Float[np.ndarray, " row"] | None:
    shards, vocabulary = bench.timelines.shards, bench.timelines.vocabulary
    layout = layout_of(vocabulary, windows_for(bench.timelines), bench.baseline.max_codes)
    tuning = rest.take(rest.split == "tuning")
    trees = grow(_sample(bench, layout, train), _sample(bench, layout, tuning), bench.baseline)
    if trees is None:
        return None
    result = np.empty(len(rest))
    for number, packed in enumerate(shards):
        index = rest.of_shard(number)
        if len(index):
            result[rest.shard == number] = trees.predict(features(packed, vocabulary, layout, index))
    return result


def _sample(bench: Bench, layout: Layout, cohort: Cohort) -> Sample:
    made: list[Float32[np.ndarray, "row feature"]] = [np.empty((0, layout.n_features), np.float32)]
    for number, packed in enumerate(bench.timelines.shards):
        made.append(features(packed, bench.timelines.vocabulary, layout, cohort.of_shard(number)))
    return Sample(np.concatenate(made), cohort.label, cohort.weight, cohort.subject)


def _thinned(cohort: Cohort, seed: int) -> Cohort:
    """Keep whole patients, drawn by a hash, until the rows are few enough."""
    if len(cohort) <= MAX_TRAIN_ROWS:
        return cohort
    share = MAX_TRAIN_ROWS / len(cohort)
    drawn = hashed(cohort.subject, cohort.subject * 0, seed) < np.uint64(share * float(1 << 63) * 2)
    return cohort.take(drawn)


def _stacked(
    cohort: Cohort, model: Float[np.ndarray, " row"], baseline: Float[np.ndarray, " row"] | None
) -> Float[np.ndarray, " row"] | None:
    if baseline is None:
        return None
    tuning = cohort.split == "tuning"
    rows = Scored(np.arange(int(tuning.sum())), cohort.label[tuning], model[tuning], cohort.weight[tuning])
    stack = stack_of(rows, baseline[tuning])
    return None if stack is None else stack.score(model, baseline)


def _frame(cohort: Cohort, scores: dict[str, Float[np.ndarray, " row"] | None]) -> pl.DataFrame:
    known = np.where(cohort.label, cohort.event_time, 0)
    columns = {
        "subject_id": cohort.subject,
        "prediction_time": cohort.as_of,
        "site": cohort.site,
        "split": cohort.split,
        "label": cohort.label,
        "event_time": known,
        "weight": cohort.weight,
        "censoring": cohort.censoring.astype(np.float32),
        **{name: value.astype(np.float32) for name, value in scores.items() if value is not None},
        **cohort.columns,
    }
    moment = pl.Datetime("us")
    return (
        pl.DataFrame(columns)
        .with_columns(
            pl.col("prediction_time").cast(moment),
            event_time=pl.when("label").then(pl.col("event_time").cast(moment)),
        )
        .sort("subject_id", "prediction_time")
    )
