"""In: files of anybody's scores, with outcomes. Out: each model's report, and one page with the verdicts.

OUT holds `verdict.html` (the page), `verdict.json`, `predictions/`, and `report.html` and `report.json`; of
several models these lie under `models/NAME/`.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from residency.contract import specs
from residency.contract.digests import digest_file
from residency.contract.errors import InputError, SchemaError, SpecError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.validation.examination import ValidationSpec
from residency.validation.joining import with_outcomes
from residency.validation.judgement import Candidate, Docket, put_judgement
from residency.validation.offered import Offered, read_offered
from residency.validation.tasks import AtLabels, LabelledOutcome, Task, load_tasks

EXAMINED: tuple[str, ...] = ("held_out", "external")


@dataclass(frozen=True)
class Offer:
    """What is examined.

    Attributes:
        files: of scores; the name before an `=`, or else the file's, is the model's.
        tasks: folder of task definitions; None: the file's outcome as it stands.
        threshold: one would act at this risk, where there are no tasks; None for the share with the outcome.
        title: of the outcome, where there are no tasks.
        statements: what the vendors state, in TOML.
        leave_out: leave rows out that cannot be examined, rather than refuse the file.
        timelines: where the outcomes come from, for files that state none; with `tasks`. The patients in the
            file go by `subject_id`, the times are those of the timelines.
    """

    files: tuple[str, ...]
    tasks: Path | None = None
    threshold: float | None = None
    title: str = "The outcome in the file"
    statements: Path | None = None
    leave_out: bool = False
    timelines: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Give the files."""
        return tuple(Path(file.rpartition("=")[2]) for file in self.files)


def validate_scores(
    out: Path,
    offer: Offer,
    settings: ValidationSpec | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Examine scores that other people's models gave.

    Args:
        out: the folder to write.
        offer: files, and what they are held against.
        settings: see `ValidationSpec`.
        now: the run's start, aware.
        progress: is told of each task.

    Raises:
        InputError: a file cannot be read, or holds what cannot be examined.
        SpecError: two models have the same name, or the statements are none.
    """
    settings = settings or ValidationSpec()
    tasks = bare_task(offer) if offer.tasks is None else load_tasks(offer.tasks)
    candidates = _candidates(offer, tasks)
    spec = {
        **specs.plain(settings),
        "tasks": [specs.plain(task) for task in tasks],
        "models": sorted(candidates),
        "leave_out": offer.leave_out,
    }
    also = [] if offer.statements is None else [digest_file(offer.statements)]
    digests = [digest_file(path) for path in offer.paths]
    inputs: list[str | Path] = [*digests, *also]
    if offer.timelines is not None:
        inputs.append(offer.timelines)
    with Step(out, name="validate", inputs=inputs, spec=spec, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        docket = Docket(
            tasks=thresholds_of(tasks, candidates),
            candidates=candidates,
            settings=settings,
            statements=offer.statements,
            about={"scores": ", ".join(digests), "simulated": "no"},
            bare=offer.tasks is None,
        )
        result = put_judgement(step, docket, progress)
        return step.finish(rows=_rows(candidates, offer), result=result)


def _rows(candidates: dict[str, Candidate], offer: Offer) -> Rows:
    kept = sum(len(rows) for one in candidates.values() for rows in one.rows.values())
    dropped: dict[str, int] = {}
    for one in candidates.values():
        for reason, n in one.left_out.items():
            dropped[reason] = dropped.get(reason, 0) + n
    return Rows(read=kept + sum(dropped.values()), kept=kept, dropped=dropped)


def bare_task(offer: Offer) -> tuple[Task, ...]:
    """Make the task of a bare file: the outcome that it states."""
    try:
        task = Task(
            name="outcome",
            title=offer.title,
            landmark=AtLabels(kind="labels"),
            outcome=LabelledOutcome(label="outcome"),
            horizon_days=1.0,
            threshold=offer.threshold,
        )
    except ValueError as error:
        raise SpecError(str(error), where="threshold") from None
    return (task,)


def thresholds_of(tasks: tuple[Task, ...], candidates: dict[str, Candidate]) -> tuple[Task, ...]:
    """Give each task that states no threshold the share with the outcome, the same for all models."""

    def stated(task: Task) -> Task:
        if task.threshold is not None:
            return task
        held = [one.rows[task.name].select("label", "weight") for one in candidates.values()]
        rows = pl.concat(held)
        weight = rows["weight"].to_numpy()
        share = float(np.average(rows["label"].to_numpy(), weights=weight)) if weight.sum() > 0 else 0.1
        return replace(task, threshold=min(max(share, 0.001), 0.999))

    return tuple(stated(task) for task in tasks)


def _candidates(offer: Offer, tasks: tuple[Task, ...]) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for given, path in zip(offer.files, offer.paths, strict=True):
        offered = read_offered(path, leave_out=offer.leave_out, needs_label=offer.timelines is None)
        for inner in sorted(offered.rows["model"].unique()):
            name = named(inner or given.rpartition("=")[0] or path.stem)
            if name in found:
                raise SpecError(
                    f"two models are called {name}",
                    where=str(path),
                    mend="name them: --predictions NAME=FILE",
                )
            rows = offered.rows.filter(pl.col("model") == inner)
            one = _candidate(rows, offered, path, tasks)
            found[name] = one if offer.timelines is None else with_outcomes(one, offer.timelines, tasks, path)
    return found


def named(text: str) -> str:
    """Make a model's name fit for a folder.

    Example:
        >>> named("Vendor A, v2.1")
        'vendor_a_v2.1'
    """
    return re.sub(r"[^a-z0-9.]+", "_", text.lower()).strip("_.") or "model"


def _candidate(rows: pl.DataFrame, offered: Offered, path: Path, tasks: tuple[Task, ...]) -> Candidate:
    split = rows["split"].is_in(EXAMINED)
    left_out = {reason: n for reason, n in offered.counts.items() if n and reason != "abstained"}
    if not split.all():
        left_out["taught the model, by the file"] = int((~split).sum())
    rows = rows.filter(split).drop("model").sort("subject_id", "prediction_time")
    return Candidate(
        rows={task.name: _of_task(rows, task, tasks, path) for task in tasks},
        left_out=left_out,
        source=str(path.name) if not offered.has_patients else "",
        has_times=offered.has_times,
    )


def _of_task(rows: pl.DataFrame, task: Task, tasks: tuple[Task, ...], where: Path) -> pl.DataFrame:
    named_here = set(rows["task"].unique()) - {""}
    if len(tasks) > 1 and not named_here:
        raise SchemaError("there are several tasks, and no column `task`", where=str(where))
    mine = rows.filter(pl.col("task") == task.name) if named_here and len(tasks) > 1 else rows
    if not len(mine):
        raise InputError(f"no row is of the task {task.name}", where=str(where))
    return mine.drop("task")
