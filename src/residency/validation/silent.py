"""In: a model, timelines in true dates, tasks, a plan. Out: a folder of scores that were stored blind.

A silent trial: as time goes on, everybody who is due is asked about, and the score is put away; nobody sees
it, and nothing that came later was there when it was made (each period reads timelines cut at its end).
The first time, a run-in, only fixes the thresholds, from the alerts that people have time for: no outcome is
looked at. OUT holds `scores/PERIOD.parquet`, `tasks/` with these thresholds, `capacity.json`, and
`scores.parquet`, all scores after the run-in; `report` joins them with what came, once that is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
import tomli_w
from jaxtyping import Bool, Float, Int64

from residency.contract import specs
from residency.contract.errors import InputError, SpecError
from residency.contract.lineage import Manifest, Rows, Shard, Step, open_made
from residency.contract.progress import Progress, silent
from residency.contract.specs import spec
from residency.model import Model
from residency.model.adaptation import in_words_of
from residency.reasoning import Index, Limits, ask
from residency.timeline import Timelines, until
from residency.validation.alerts import Watch, alert
from residency.validation.examination import ValidationSpec, without_none
from residency.validation.figures import dense
from residency.validation.landmarks import hashed, landmarks
from residency.validation.scores import Offer, validate_scores
from residency.validation.tasks import LabelledOutcome, Task, load_tasks

TAUGHT: Final = ("train", "tuning")
HELD_BACK, SHOWN = "held_back", "shown"
_ARMS: Final = 0x5117E57  # of the hash that deals patients to arms
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - times in tables are naive


@spec
class SilentSpec:
    """How a silent trial is held.

    Attributes:
        start: its first day, `2018-01-01`; in the records' own time.
        end: the day after its last.
        every_days: scores are put away so often.
        run_in_days: at first; fixes the thresholds, and is in no figure.
        holdout_share: share of patients to whom a score will not be shown after release either, so that there
            is always a comparison that nothing influenced.
        seed: of the phase of regular steps, and of the arms.
    """

    start: str
    end: str
    every_days: float = 30.0
    run_in_days: float = 180.0
    holdout_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every_days <= 0 or self.run_in_days < 0 or not 0 <= self.holdout_share <= 1:
            raise ValueError("every_days above 0, run_in_days 0 or more, holdout_share 0 to 1")
        if len(self.periods) < 2 or (self.run_in_days and self.periods[1] >= self.ends):
            raise ValueError("end must lie after start and the run-in")

    @property
    def ends(self) -> int:
        """When it ends, µs."""
        return _moment(self.end)

    @property
    def periods(self) -> tuple[int, ...]:
        """Where periods begin, the run-in as one, and the end, µs."""
        day = timedelta(days=1) // timedelta(microseconds=1)
        start = _moment(self.start)
        first = start + round(self.run_in_days * day)
        steps = np.arange(first, max(self.ends, first), round(self.every_days * day)).tolist()
        return (*([start] if self.run_in_days else []), *steps, self.ends)


def _moment(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("start and end must be days, as 2018-01-01") from None
    return (at.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Trial:
    """What is tried, on whom: folders of the model, of timelines in true dates, and of the tasks."""

    model: Path
    timelines: Path
    tasks: Path


def arm_of(subject: Int64[np.ndarray, " patient"], share: float, seed: int) -> np.ndarray:
    """Deal patients to arms, by a hash: the same for ever, whoever else is there.

    Example:
        >>> arm_of(np.array([1, 2, 3, 4]), 0.5, 0).tolist()
        ['shown', 'shown', 'held_back', 'shown']
    """
    draw = hashed(subject, np.full(len(subject), _ARMS), seed) / float(1 << 64)
    arm: np.ndarray = np.where(draw < share, HELD_BACK, SHOWN)
    return arm


def replay(
    out: Path, trial: Trial, plan: SilentSpec, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Hold a silent trial over a past time, date by date, as though it went on.

    Patients who taught the model are not asked about.

    Args:
        out: the folder to write.
        trial: what is tried.
        plan: when, and how.
        now: the run's start, aware.
        progress: is told of each period.

    Raises:
        SpecError: a task's index times look ahead.
        InputError: nobody was due.
    """
    tasks = load_tasks(trial.tasks)
    ahead = [task.name for task in tasks if isinstance(task.outcome, LabelledOutcome)]
    if ahead:
        raise SpecError(
            f"{', '.join(ahead)}: a label's times look ahead",
            mend="a silent trial asks by the clock or at visits",
        )
    spec_of = {**specs.plain(plan), "tasks": [specs.plain(task) for task in tasks]}
    with Step(out, name="silent", inputs=[trial.model, trial.timelines], spec=spec_of, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        ward = Ward(Model.open(trial.model), Timelines.open(trial.timelines), tasks, plan)
        return _replayed(step, ward, progress)


def _replayed(step: Step, ward: "Ward", progress: Progress) -> Manifest:
    edges, run_in = ward.plan.periods, None
    stored: list[Shard] = []
    for number, (begin, end) in enumerate(pairwise(edges)):
        progress("periods", number, len(edges) - 1)
        make = partial(_store, ward, begin, end)
        shard = step.shard(f"{number:04}", "scores", suffix=".parquet", make=make)
        if number == 0 and ward.plan.run_in_days:
            run_in = pl.read_parquet(step.out / shard.path)
        else:
            stored.append(shard)
    progress("periods", len(edges) - 1, len(edges) - 1)
    fixed = {task.name: _threshold(run_in, task) for task in ward.tasks}
    body = msgspec.json.format(msgspec.json.encode(fixed, order="deterministic"), indent=1)
    step.put("capacity.json", body)
    for task in ward.tasks:
        known = replace(task, threshold=fixed[task.name] or task.threshold)
        text = tomli_w.dumps(without_none(specs.plain(known)))
        step.put(f"tasks/{task.name}.toml", text)
    whole = pl.concat([pl.read_parquet(step.out / shard.path) for shard in stored])
    if not len(whole):
        raise InputError("nobody was due in the time of the trial", where="start, end")
    step.file("scores.parquet", make=lambda path: whole.write_parquet(path, compression="zstd"))
    n_silent = int(whole["score"].is_null().sum())
    rows = Rows(read=len(whole), kept=len(whole) - n_silent, dropped={"abstained": n_silent})
    return step.finish(rows=rows, result={"thresholds": fixed, "periods": len(edges) - 1})


@dataclass(frozen=True)
class Ward:
    """Who is asked about, and what is asked."""

    model: Model
    timelines: Timelines
    tasks: tuple[Task, ...]
    plan: SilentSpec

    @cached_property
    def read(self) -> Timelines:
        """The timelines in the words that the model knows."""
        return in_words_of(self.timelines, self.model)

    def due(self, number: int, begin: int, end: int) -> Iterator[tuple[Task, Index]]:
        """Give whom each task asks about in a period, as far as was known at its end."""
        timelines = self.timelines
        known = until(timelines.shards[number], end - 1)
        fresh = ~np.isin(timelines.split(number), TAUGHT)
        for task in self.tasks:
            index = landmarks(known, timelines.vocabulary, (), task, self.plan.seed).index
            mine = (index.as_of >= begin) & (index.as_of < end) & fresh[index.patient]
            yield task, index.take(mine)

    def scores(
        self, number: int, end: int, asked: list[tuple[Task, Index]]
    ) -> list[Float[np.ndarray, " row"]]:
        """Give each task's risk at its own index times; NaN where there is no answer."""
        whole = Index(
            *(np.concatenate([getattr(one, name) for _, one in asked]) for name in ("patient", "as_of"))
        )
        packed = until(self.read.shards[number], end - 1)
        questions = [msgspec.structs.replace(task.question, interval=False) for task, _ in asked]
        attachments = self.timelines.attachments(number)
        limits = Limits(min_moments=0)
        answers = ask(self.model, packed, questions, whole, attachments=attachments, limits=limits)
        found, first = [], 0
        for at, (task, index) in enumerate(asked):
            columns = [n for n, column in enumerate(answers.columns) if column.question == at]
            risk = answers.risk[first : first + len(index)][:, columns].astype(np.float64)
            early = risk[:, 0] if task.gap_days else 0.0
            found.append((risk[:, -1] - early) / (1 - early))
            first += len(index)
        return found


def _store(ward: Ward, begin: int, end: int, path: Path) -> int:
    """Ask about everybody who is due, and put the scores away."""
    parts = [_table(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), "", ward.plan)]
    for number, packed in enumerate(ward.timelines.shards):
        asked = [(task, index) for task, index in ward.due(number, begin, end) if len(index)]
        for (task, index), risk in zip(asked, ward.scores(number, end, asked) if asked else [], strict=True):
            subject = np.asarray(packed.subject)[index.patient]
            parts.append(_table(subject, index.as_of, risk, task.name, ward.plan))
    table = pl.concat(parts).sort("task", "subject_id", "prediction_time")
    table.write_parquet(path, compression="zstd")
    return len(table)


def _table(
    subject: Int64[np.ndarray, " row"],
    as_of: Int64[np.ndarray, " row"],
    risk: Float[np.ndarray, " row"],
    task: str,
    plan: SilentSpec,
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "subject_id": subject,
            "prediction_time": pl.Series(as_of, dtype=pl.Int64).cast(pl.Datetime("us")),
            "task": pl.Series([task] * len(subject), dtype=pl.String),
            "score": pl.Series(risk, dtype=pl.Float64).fill_nan(None),
            "group_arm": pl.Series(arm_of(subject, plan.holdout_share, plan.seed).tolist(), dtype=pl.String),
        }
    )


def _threshold(run_in: pl.DataFrame | None, task: Task) -> float | None:
    """Fix the risk at which one will be alerted, from the run-in's scores alone; None without any."""
    if run_in is None:
        return None
    rows = run_in.filter((pl.col("task") == task.name) & pl.col("score").is_not_null())
    if not len(rows):
        return None
    nothing: Bool[np.ndarray, " row"] = np.zeros(len(rows), dtype=bool)
    watch = Watch(
        patient=dense(rows),
        time=rows["prediction_time"].cast(pl.Int64).to_numpy(),
        event_time=np.zeros(len(rows), np.int64),
        label=nothing,
        score=rows["score"].to_numpy(),
    )
    found = alert(watch, task.alerts_per_100_days).threshold
    return float(min(max(found, 1e-4), 1 - 1e-4)) if np.isfinite(found) else None


def report(
    out: Path,
    trial: Path,
    timelines: Path,
    settings: ValidationSpec | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Join a silent trial's scores with what came, and write the report of any examination from them.

    Args:
        out: the folder to write.
        trial: what `replay` wrote, unaltered since.
        timelines: built when the outcomes are known, with the same patients.
        settings: see `ValidationSpec`.
        now: the run's start, aware.
        progress: is told of each task.

    Raises:
        LineageError: the trial is not finished, or its scores were altered.
    """
    open_made(trial, "silent", verify=True)
    offer = Offer((f"silent={trial / 'scores.parquet'}",), tasks=trial / "tasks", timelines=timelines)
    return validate_scores(out, offer, settings, now=now, progress=progress)
