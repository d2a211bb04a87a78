"""In: index times, timelines, perhaps a model and eras. Out: shortcuts that a good figure may hang on.

A random split that does better than a split in time, a representation that gives the site away, a score that
foretells what it should know nothing of (negative controls): none is an error by itself, each is a question.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from residency.contract.report import Metric
from residency.contract.schema import DATA
from residency.model import Model
from residency.reasoning import Index, Limits, ask
from residency.timeline import Timelines
from residency.validation import metrics
from residency.validation.baseline import BaselineSpec, Sample, grow
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.features import Layout, features, layout_of, windows_for
from residency.validation.figures import Figure
from residency.validation.groups import records_in
from residency.validation.measuring import Course
from residency.validation.membership import judge
from residency.validation.tally import Scored, exact, resampled
from residency.validation.tasks import Apart, CodedOutcome, Groups, Task

EARLY: Final = 0.7  # of the train patients' index times lie in the eras that teach
LEAST: Final = 30  # rows with the outcome, or patients of a site; below it nobody can tell
CONTROLS: Final = ("ICD10CM/S93", "ICD10CM/J06", "ICD10CM/B35", "ICD10CM/L30", "ICD10CM/H61", "ICD10CM/M54")
_FOLDS: Final = 5


class TimeSplit(msgspec.Struct, frozen=True, kw_only=True):
    """The same trees taught by early eras, and by as many index times of all eras; judged on late ones.

    Attributes:
        cut: the first era that is late.
        rows: late index times of patients who taught nothing.
        events: of them with the outcome.
        by_time: AUROC of the trees that early eras taught.
        at_random: of those that all eras taught.
        difference: random less time: what a random split promises too much.
    """

    cut: str
    rows: int
    events: int
    by_time: Metric
    at_random: Metric
    difference: Metric


class SiteGuess(msgspec.Struct, frozen=True, kw_only=True):
    """How well something gives one site's patients away, patients who are held out in turns."""

    site: str
    patients: int
    source: str  # `representation`, or `counts` of the commonest codes
    auroc: Metric


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """How well a task's score foretells what it should know nothing of.

    Attributes:
        code: the negative control: its next record within the task's horizon.
        events: index times with it.
        score: AUROC of the task's risk.
        records: AUROC of how much was recorded in the year before: how often a patient is seen.
    """

    code: str
    events: int
    score: Metric
    records: Metric


def auroc_of(
    subject: Int64[np.ndarray, " row"],
    label: Bool[np.ndarray, " row"],
    scores: Sequence[Float[np.ndarray, " row"]],
    weight: Float[np.ndarray, " row"],
    course: Course,
) -> list[Figure]:
    """Give the AUROC of several scores of the same rows, on the same draws of patients."""
    _, patient = np.unique(subject, return_inverse=True)
    counts = course.counts("leakage", int(patient.max(initial=-1)) + 1)
    held = (Scored(patient, label, score, weight) for score in scores)
    return [
        Figure(float(metrics.auroc(exact(one))[0]), metrics.auroc(resampled(one, counts))) for one in held
    ]


def eras_of(records: Path, cohort: Cohort) -> np.ndarray:
    """Give the era of each index time: that of the patient's last record known by then; empty without one."""
    known = (
        pl.scan_parquet(records / DATA / "*.parquet")
        .select("subject_id", pl.col("available").cast(pl.Datetime("us")), "era")
        .drop_nulls()
        .sort("subject_id", "available")
        .collect()
    )
    asked = pl.DataFrame({"subject_id": cohort.subject, "available": cohort.as_of}).with_row_index()
    asked = asked.with_columns(pl.col("available").cast(pl.Datetime("us"))).sort("subject_id", "available")
    joined = asked.join_asof(
        known, on="available", by="subject_id", strategy="backward", check_sortedness=False
    )
    era: np.ndarray = joined.sort("index")["era"].fill_null("").to_numpy().astype(str)
    return era


def time_split(
    timelines: Timelines, cohort: Cohort, era: np.ndarray, settings: BaselineSpec, course: Course
) -> TimeSplit | None:
    """Hold a split in time against a random one; None where eras or outcomes are too few."""
    train = (cohort.split == "train") & (era != "")
    if not train.any():
        return None
    cut = str(np.sort(era[train])[int(EARLY * train.sum())])
    late = np.isin(cohort.split, ["held_out", "external"]) & (era >= cut)
    early = np.flatnonzero(train & (era < cut))
    if min(int(cohort.label[late].sum()), int(cohort.label[early].sum())) < LEAST:
        return None
    rng = np.random.default_rng(course.seed)
    mixed = np.sort(rng.permutation(np.flatnonzero(train))[: len(early)])
    layout = layout_of(timelines.vocabulary, windows_for(timelines), settings.max_codes)
    judged = cohort.take(late)
    asked, nobody = (_sample(timelines, layout, cohort.take(mask)) for mask in (late, late & ~late))
    risks = []
    for rows in (early, mixed):
        taught = _sample(timelines, layout, cohort.take(np.isin(np.arange(len(cohort)), rows)))
        trees = grow(taught, nobody, settings)  # tuning patients of late eras would tell of the future
        if trees is None:
            return None
        risks.append(np.asarray(trees.predict(asked.features), np.float64))
    by_time, at_random = auroc_of(judged.subject, judged.label, risks, judged.weight, course)
    return TimeSplit(
        cut=cut,
        rows=len(judged),
        events=int(judged.label.sum()),
        by_time=by_time.metric,
        at_random=at_random.metric,
        difference=at_random.less(by_time).metric,
    )


def _sample(timelines: Timelines, layout: Layout, cohort: Cohort) -> Sample:
    made = [np.empty((0, layout.n_features), np.float32)]
    for number, packed in enumerate(timelines.shards):
        made.append(features(packed, timelines.vocabulary, layout, cohort.of_shard(number)))
    return Sample(np.concatenate(made), cohort.label, cohort.weight, cohort.subject)


def site_guesses(timelines: Timelines, model: Model | None) -> list[SiteGuess]:
    """Guess each patient's site from the model's last state, and from counts; nothing with a single site."""
    site = np.concatenate([timelines.site(number) for number in range(len(timelines.shards))])
    sources = {"counts": _counts(timelines)}
    if model is not None:
        sources["representation"] = _states(timelines, model)
    names, n = np.unique(site, return_counts=True)
    found = []
    for name in names[(n >= LEAST) & (len(site) - n >= LEAST)].tolist():
        for source, rows in sources.items():
            learner = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
            folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
            score = cross_val_predict(learner, rows, site == name, cv=folds, method="decision_function")
            told = judge(np.asarray(score), site == name)
            auroc = Metric(value=told.auroc, low=told.low, high=told.high)
            found.append(SiteGuess(site=name, patients=int((site == name).sum()), source=source, auroc=auroc))
    return found


def _ends(timelines: Timelines) -> list[Index]:
    """Give the last moment of every patient."""
    return [
        Index(np.arange(packed.n_patients), np.asarray(packed.moment_time[packed.moment_offset[1:] - 1]))
        for packed in timelines.shards
    ]


def _states(timelines: Timelines, model: Model) -> Float[np.ndarray, "patient width"]:
    rows = []
    for packed in timelines.shards:
        states = model.encode(packed)
        rows.append(states.z[states.offset[1:] - 1].numpy().astype(np.float64))
    return np.concatenate(rows)


def _counts(timelines: Timelines, most: int = 100) -> Float[np.ndarray, "patient code"]:
    """Count the commonest codes of each patient, on a log scale."""
    layout = layout_of(timelines.vocabulary, windows_for(timelines), most)
    rows = []
    for packed, index in zip(timelines.shards, _ends(timelines), strict=True):
        made = features(packed, timelines.vocabulary, layout, index)
        rows.append(np.log1p(np.clip(np.nan_to_num(made), 0, None)).astype(np.float64))
    return np.concatenate(rows)


def controls_of(
    timelines: Timelines, model: Model, tasks: Sequence[Task], seed: int, course: Course
) -> dict[str, list[Control]]:
    """Hold each task's risk against what it should know nothing of; patients are read once for all."""
    held = [
        (number, code, _of_control(timelines, task, code, seed))
        for number, task in enumerate(tasks)
        for code in _fit_for(timelines, task)
    ]
    found: dict[str, list[Control]] = {task.name: [] for task in tasks}
    for (number, code, cohort), risk in zip(held, _risks(timelines, model, tasks, held), strict=True):
        one = _control(timelines, (code, cohort), risk, course)
        found[tasks[number].name] += [] if one is None else [one]
    return found


def _fit_for(timelines: Timelines, task: Task) -> list[str]:
    """Give the controls that are on record, and have nothing to do with the task's outcome."""
    own = task.outcome.codes if isinstance(task.outcome, CodedOutcome) else ()
    return [
        code
        for code in CONTROLS
        if own
        and timelines.vocabulary.index_of(code)
        and not any(code.startswith(one) or one.startswith(code) for one in own)
    ]


def _of_control(timelines: Timelines, task: Task, code: str, seed: int) -> Cohort:
    """Find the task's index times, of patients who taught nothing, and whether the control came."""
    outcome = CodedOutcome(codes=(code,))
    bare = replace(task, outcome=outcome, occurrence="any", gap_days=0.0, groups=Groups(), apart=Apart())
    cohort = cohort_of(timelines, bare, seed)
    return cohort.take(np.isin(cohort.split, ["held_out", "external"]))


def _risks(
    timelines: Timelines, model: Model, tasks: Sequence[Task], held: list[tuple[int, str, Cohort]]
) -> list[Float[np.ndarray, " row"]]:
    """Give each control's rows the risk of their task's own outcome; NaN where there is no answer."""
    found = [np.full(len(cohort), np.nan) for _, _, cohort in held]
    questions = [msgspec.structs.replace(task.question, interval=False) for task in tasks]
    for number, packed in enumerate(timelines.shards if held else ()):
        parts = [cohort.of_shard(number) for _, _, cohort in held]
        patient = np.concatenate([one.patient for one in parts])
        as_of = np.concatenate([one.as_of for one in parts])
        answers = ask(model, packed, questions, Index(patient, as_of), limits=Limits(min_moments=0))
        first = 0
        for risk, (task, _, cohort), part in zip(found, held, parts, strict=True):
            column = max(n for n, one in enumerate(answers.columns) if one.question == task)
            risk[cohort.shard == number] = answers.risk[first : first + len(part), column]
            first += len(part)
    return found


def _control(
    timelines: Timelines, control: tuple[str, Cohort], risk: Float[np.ndarray, " row"], course: Course
) -> Control | None:
    code, known = control[0], np.isfinite(risk)
    rest = control[1].take(known)
    if min(int(rest.label.sum()), int((~rest.label).sum())) < LEAST:
        return None
    records = np.zeros(len(rest))
    for number, packed in enumerate(timelines.shards):
        records[rest.shard == number] = records_in(packed, rest.of_shard(number), 365.25)
    score, seen = auroc_of(rest.subject, rest.label, (risk[known], records), rest.weight, course)
    return Control(code=code, events=int(rest.label.sum()), score=score.metric, records=seen.metric)
