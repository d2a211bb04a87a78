"""In: a model, timelines, a task. Out: a table of outcomes, and the scores of model, baseline and stack.

Train patients teach the baseline, tuning patients stop it and fit the stack; neither is in any figure.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Float, Float32

from residency.model import Model
from residency.reasoning import Limits, ask
from residency.timeline import Timelines
from residency.validation.baseline import BaselineSpec, Sample, grow, stack_of
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.features import Layout, features, layout_of, windows_for
from residency.validation.landmarks import hashed
from residency.validation.tally import Scored
from residency.validation.tasks import Task
from residency.validation.truth import best_possible

MAX_TRAIN_ROWS: Final = 1_000_000  # for the baseline; above it patients are drawn by a hash


@dataclass(frozen=True)
class Bench:
    """What a task is examined with."""

    model: Model
    timelines: Timelines
    truth: Path | None
    baseline: BaselineSpec
    seed: int


def predict(bench: Bench, task: Task) -> tuple[pl.DataFrame, dict[str, int]]:
    """Predict every index time of the patients who taught nothing.

    Returns:
        One row an index time, and counts of what was left out and of the training.
    """
    cohort = cohort_of(bench.timelines, task, bench.seed)
    rest = cohort.take(cohort.split != "train")
    model = _of_model(bench, task, rest)
    answered = ~np.isnan(model)
    rest, model = rest.take(answered), model[answered]
    train = _thinned(cohort.take(cohort.split == "train"), bench.seed)
    baseline = _of_baseline(bench, train, rest)
    best = best_possible(bench.truth, rest, task) if bench.truth is not None else None
    scores = {
        "score": model,
        "baseline": baseline,
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


def _of_model(bench: Bench, task: Task, cohort: Cohort) -> Float[np.ndarray, " row"]:
    """Give the model's risk; NaN where it abstains. With a gap: given that nothing came in it."""
    question = msgspec.structs.replace(task.question, interval=False)
    limits = Limits(min_moments=task.population.min_moments)
    result = np.full(len(cohort), np.nan)
    for number, packed in enumerate(bench.timelines.shards):
        index = cohort.of_shard(number)
        if len(index):
            risk = ask(bench.model, packed, [question], index, limits=limits).risk.astype(np.float64)
            early = risk[:, 0] if task.gap_days else 0.0
            result[cohort.shard == number] = (risk[:, -1] - early) / (1 - early)
    return result


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
        **{name: value.astype(np.float32) for name, value in scores.items() if value is not None},
        **{f"group_{name}": value for name, value in cohort.groups.items()},
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
