"""In: task definitions, a model, timelines, perhaps the simulation's truth. Out: a folder with the report.

OUT holds `report.json` (format 1), `report.html` (for people, self-contained), `tasks.json` (what each task
asked), `tasks/` (their definitions), and `predictions/` (one table a task).
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
import polars as pl
import tomli_w

from residency.contract import specs
from residency.contract.lineage import Manifest, Rows, Shard, Step, open_made
from residency.contract.progress import Progress, silent
from residency.contract.report import Report, Slice, write_report
from residency.contract.specs import spec
from residency.model import Model
from residency.timeline import Timelines
from residency.validation.baseline import BaselineSpec
from residency.validation.clinical import clinical_score
from residency.validation.contrasts import contrasts_of
from residency.validation.measuring import Course, measure, rules_of
from residency.validation.page import Examined, write_page
from residency.validation.predicting import Bench, predict
from residency.validation.tasks import Task, load_tasks


@spec
class ValidationSpec:
    """How an examination is held.

    Attributes:
        n_draws: bootstrap draws of patients behind each interval.
        seed: of the draws, and of the index times where a few are drawn.
        baseline: how the baseline is grown.
    """

    n_draws: int = 1000
    seed: int = 0
    baseline: BaselineSpec = field(default_factory=BaselineSpec)


def validate(  # noqa: PLR0913 - what is examined, on whom, and with what
    out: Path,
    tasks: Path,
    model: Path,
    timelines: Path,
    truth: Path | None = None,
    settings: ValidationSpec | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Examine a model beside a strong baseline.

    Args:
        out: the folder to write.
        tasks: folder of `*.toml`, one a task.
        model: folder that training made.
        timelines: folder that building made.
        truth: the simulation's truth, re-keyed; None for real patients.
        settings: see `ValidationSpec`.
        now: the run's start, aware.
        progress: is told of each task.

    Raises:
        SpecError: a task is wrong, or names what the data do not have.
        LineageError: an input is not finished or was altered, or `out` holds something else.
    """
    settings = settings or ValidationSpec()
    asked = load_tasks(tasks)
    for task in asked:
        if task.clinical is not None:
            clinical_score(task.clinical)
    inputs = [model, timelines, *([] if truth is None else [truth])]
    spec = {**specs.plain(settings), "tasks": [specs.plain(task) for task in asked]}
    with Step(out, name="validate", inputs=inputs, spec=spec, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        bench = Bench(
            Model.open(model), Timelines.open(timelines), truth, settings.baseline, settings.seed, asked
        )
        shards, parts = [], []
        for number, task in enumerate(asked):
            progress("examining tasks", number, len(asked))
            shards.append(_predictions(step, bench, task))
            parts.append(examined(pl.read_parquet(out / shards[-1].path), task, settings, shards[-1].counts))
        progress("examining tasks", len(asked), len(asked))
        about = {
            "model": bench.model.digest,
            "timelines": open_made(timelines).digest,
            "simulated": "no" if truth is None else "yes",
        }
        put_report(step, tuple(parts), about)
        return step.finish(rows=_rows(shards), result={"tasks": headlines(tuple(parts))})


def _predictions(step: Step, bench: Bench, task: Task) -> Shard:
    def make(path: Path) -> dict[str, int]:
        table, counts = predict(bench, task)
        table.write_parquet(path, compression="zstd")
        return {"rows": len(table), **counts}

    return step.shard(task.name, f"predictions/{task.name}", suffix=".parquet", make=make)


def examined(
    predictions: pl.DataFrame,
    task: Task,
    settings: ValidationSpec,
    counts: Mapping[str, int],
    *,
    bare: bool = False,
) -> Examined:
    """Measure one task; `bare` where its outcome is only what a file states."""
    rules = rules_of(predictions, task)
    measured = measure(predictions, task, rules, Course(settings.n_draws, settings.seed))
    return Examined(
        task=task,
        rules=rules,
        slices={name: found.slice for name, found in measured.items()},
        contrasts=contrasts_of(measured),
        predictions=predictions,
        counts=counts,
        bare=bare,
    )


def put_report(step: Step, parts: tuple[Examined, ...], about: dict[str, str], under: str = "") -> None:
    """Write the report for machines and for people.

    Args:
        step: that it is part of.
        parts: what was examined.
        about: digests, and whether the patients are simulated.
        under: folder in the step's own, for example `models/a/`.
    """
    report = Report(
        tasks={part.task.name: dict(part.slices) for part in parts},
        contrasts={part.task.name: part.contrasts for part in parts if part.contrasts},
        about=about,
    )
    step.file(f"{under}report.json", make=lambda path: write_report(report, path))
    asked = msgspec.json.encode([_asked(part.task) for part in parts])
    step.file(f"{under}tasks.json", make=partial(_write, asked))
    for part in parts:
        text = tomli_w.dumps(without_none(specs.plain(part.task)))
        step.file(f"{under}tasks/{part.task.name}.toml", make=partial(_write, text.encode()))
    step.file(f"{under}report.html", make=lambda path: write_page(path, parts, about))


def headlines(parts: tuple[Examined, ...]) -> dict[str, object]:
    """Give the few figures that a manifest names."""
    return {part.task.name: _headline(part.slices["all"]) for part in parts}


def _rows(shards: list[Shard]) -> Rows:
    reasons = ("not at risk", "censored", "too late to follow", "abstained")
    dropped = {reason: sum(shard.counts.get(reason, 0) for shard in shards) for reason in reasons}
    kept = sum(shard.rows for shard in shards)
    return Rows(read=kept + sum(dropped.values()), kept=kept, dropped=dropped)


def _headline(measured: Slice) -> dict[str, float | int | None]:
    auroc, difference = measured.model.get("auroc"), measured.paired.get("auroc")
    return {
        "events": measured.events,
        "auroc": None if auroc is None else auroc.value,
        "auroc_less_baseline": None if difference is None else difference.value,
    }


def _asked(task: Task) -> dict[str, object]:
    return {
        "task": task.name,
        "outcome": msgspec.to_builtins(task.asked),
        "horizons_days": [task.horizon_days],
        "occurrence": task.question.occurrence,
        "who": task.who,
    }


def _write(body: bytes, path: Path) -> None:
    path.write_bytes(body)


def without_none(value: Mapping[str, object]) -> dict[str, object]:
    """Leave out what TOML cannot say."""
    return {
        key: without_none(inner) if isinstance(inner, dict) else inner
        for key, inner in value.items()
        if inner is not None
    }
