"""In: a file of anybody's scores with outcomes. Out: the same report, of that model alone.

The file is Parquet or CSV with `subject_id`, `prediction_time`, `score` (a probability) and `label`; `task`
where there are several; `site`, `weight`, `event_time` and `group_…` where they are known.
"""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from residency.contract import specs
from residency.contract.digests import digest_file
from residency.contract.errors import InputError, SchemaError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.validation.examination import ValidationSpec, examined, written
from residency.validation.tasks import Task, load_tasks

NEEDED: Final = ("subject_id", "prediction_time", "score", "label")


def validate_scores(
    out: Path,
    tasks: Path,
    predictions: Path,
    settings: ValidationSpec | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Examine scores that somebody else's model gave; there is no baseline then.

    Args:
        out: the folder to write.
        tasks: folder of `*.toml`, one a task.
        predictions: the file.
        settings: see `ValidationSpec`.
        now: the run's start, aware.
        progress: is told of each task.

    Raises:
        InputError: the file cannot be read, lacks a column, or holds scores that are no probabilities.
    """
    settings = settings or ValidationSpec()
    asked = load_tasks(tasks)
    spec = {**specs.plain(settings), "tasks": [specs.plain(task) for task in asked]}
    table = _read(predictions)
    digest = digest_file(predictions)
    with Step(out, name="validate", inputs=[digest], spec=spec, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        parts = []
        for number, task in enumerate(asked):
            progress("examining tasks", number, len(asked))
            rows = _of_task(table, task, asked, predictions)
            place = f"predictions/{task.name}"
            shard = step.shard(task.name, place, suffix=".parquet", make=partial(_write, rows))
            parts.append(examined(rows, task, settings, shard.counts))
        about = {"scores": digest, "simulated": "no"}
        kept = sum(len(part.predictions) for part in parts)
        return written(step, tuple(parts), about, Rows(read=len(table), kept=kept))


def _write(rows: pl.DataFrame, path: Path) -> int:
    rows.write_parquet(path, compression="zstd")
    return len(rows)


def _read(path: Path) -> pl.DataFrame:
    try:
        is_parquet = path.suffix == ".parquet"
        table = pl.read_parquet(path) if is_parquet else pl.read_csv(path, try_parse_dates=True)
    except (OSError, pl.exceptions.PolarsError):
        raise InputError("cannot read the predictions as Parquet or CSV", where=str(path)) from None
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise SchemaError(f"missing columns: {', '.join(missing)}", where=str(path))
    try:
        typed = table.with_columns(
            pl.col("prediction_time").cast(pl.Datetime("us")),
            pl.col("score").cast(pl.Float64),
            pl.col("label").cast(pl.Int8).cast(pl.Boolean),
            *_optional(table),
        )
    except pl.exceptions.PolarsError:
        raise SchemaError("a column of the predictions has a wrong type", where=str(path)) from None
    outside = typed.filter(
        pl.col("score").is_between(0, 1).not_() | pl.any_horizontal(pl.col(*NEEDED).is_null())
    )
    if len(outside):
        raise InputError(
            f"{len(outside)} rows have a null, or a score that is no probability",
            where=str(path),
            mend="scores must lie between 0 and 1",
        )
    return typed.sort("subject_id", "prediction_time")


def _optional(table: pl.DataFrame) -> list[pl.Expr]:
    """Give the optional columns, or what stands for them."""
    held = table.columns
    return [
        (pl.col("site").cast(pl.String) if "site" in held else pl.lit("here")).alias("site"),
        (pl.col("weight").cast(pl.Float64) if "weight" in held else pl.lit(1.0)).alias("weight"),
        (pl.col("event_time") if "event_time" in held else pl.col("prediction_time"))
        .cast(pl.Datetime("us"))
        .alias("event_time"),
        pl.lit("held_out").alias("split"),
    ]


def _of_task(table: pl.DataFrame, task: Task, asked: tuple[Task, ...], where: Path) -> pl.DataFrame:
    if "task" in table.columns:
        return table.filter(pl.col("task") == task.name).drop("task")
    if len(asked) > 1:
        raise SchemaError("there are several tasks, and no column `task`", where=str(where))
    return table
