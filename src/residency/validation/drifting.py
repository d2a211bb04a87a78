"""In: scores of a good time, and scores since, with outcomes and inputs. Out: a folder with the alarms.

Levels are fixed on the good time, so that without any shift at most a stated share of runs of so many
patients would sound at all. OUT holds `drift.json` and `drift.md`.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from residency.contract import specs
from residency.contract.errors import InputError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.specs import spec
from residency.validation.drift import WATCHED, Alarm, Quiet, watch, watchman_of
from residency.validation.offered import read_offered

INPUT: Final = "input_"


@spec
class DriftSpec:
    """How closely one watches.

    Attributes:
        patients: a run's length.
        false: share of runs without any shift in which anything may sound.
        least: patients of a group in the good time, below which it is not watched alone.
        seed: of the draws that fix the levels.
    """

    patients: int = 1000
    false: float = 0.05
    least: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.patients < 10 or not 0 < self.false < 1 or self.least < 1:
            raise ValueError("patients 10 or more, false between 0 and 1, least 1 or more")


def watch_drift(out: Path, good: Path, since: Path, settings: DriftSpec, *, now: datetime) -> Manifest:
    """Watch for shifts of calibration, of inputs, and of groups.

    Args:
        out: the folder to write.
        good: scores with outcomes of a time that is known to be good; columns as for `validate_scores`, and
            `input_NAME` for what the model reads.
        since: the same of the time that is watched, in the order in which patients came: by their times.
        settings: see `DriftSpec`.
        now: the run's start, aware.

    Raises:
        InputError: a file cannot be examined, or there are too few patients to fix levels by.
    """
    with Step(out, name="drift", inputs=[good, since], spec=specs.plain(settings), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        before, after = (_patients(path) for path in (good, since))
        if len(before) < settings.least:
            raise InputError(
                f"{len(before)} patients, where {settings.least} fix the levels", where=str(good)
            )
        alarms = alarms_of(before, after, settings)
        body = msgspec.json.format(msgspec.json.encode([asdict(one) for one in alarms]), indent=1)
        step.put("drift.json", body)
        step.put("drift.md", table(alarms, len(after), settings))
        sounded = {one.watch: one.sounded_after for one in alarms if one.sounded_after is not None}
        return step.finish(rows=Rows(read=len(after), kept=len(after)), result={"sounded": sounded})


def _patients(path: Path) -> pl.DataFrame:
    """Take each patient's first score, in the order of their times."""
    read = read_offered(path)
    inputs = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    named = [name for name in inputs.columns if name.startswith(INPUT)]
    if named and len(inputs) != len(read.rows):
        raise InputError("rows without a known outcome cannot be watched beside inputs", where=str(path))
    values = inputs.select(pl.col(named).cast(pl.Float64, strict=False)) if named else pl.DataFrame()
    rows = pl.concat([read.rows, values], how="horizontal")
    rows = rows.filter(pl.col("score").is_not_nan())
    order = ["prediction_time"] if read.has_times else []
    return rows.sort(order, maintain_order=True).unique("subject_id", keep="first", maintain_order=True)


def alarms_of(before: pl.DataFrame, after: pl.DataFrame, settings: DriftSpec) -> list[Alarm]:
    """Watch everything, and each group's calibration; the share of false alarms is divided among all."""
    parts = {"": (before, after)} | {
        f"{name} {value}: ": (before.filter(pl.col(column) == value), after.filter(pl.col(column) == value))
        for column in sorted(name for name in before.columns if name.startswith("group_"))
        for name in [column.removeprefix("group_")]
        for value in sorted(before[column].unique())
        if (before[column] == value).sum() >= settings.least and column in after.columns
    }
    inputs = [name for name in before.columns if name.startswith(INPUT) and name in after.columns]
    n_watches = len(parts) * len(WATCHED) + 2 * len(inputs)
    found = []
    for name, (good, since) in parts.items():
        shown = inputs if not name else []
        n = len(WATCHED) + 2 * len(shown)
        quiet = Quiet(settings.patients, settings.false * n / n_watches, settings.seed)
        watchman = watchman_of(good["score"].to_numpy(), _inputs(good, shown), quiet)
        told = watch(watchman, since["score"].to_numpy(), since["label"].to_numpy(), _inputs(since, shown))
        found += [replace(one, watch=name + one.watch) for one in told]
    return found


def _inputs(rows: pl.DataFrame, names: list[str]) -> Mapping[str, np.ndarray]:
    return {name.removeprefix(INPUT): rows[name].fill_null(float("nan")).to_numpy() for name in names}


def table(alarms: list[Alarm], n: int, settings: DriftSpec) -> str:
    """Give the alarms in Markdown."""
    lines = [
        f"{n:,} patients watched. Without any shift, anything sounds in {settings.false:.0%} of runs of"
        f" {settings.patients:,} patients.",
        "",
        "| watch | sounded after, patients | highest, of its level |",
        "|---|---|---|",
    ]
    for one in alarms:
        after = "quiet" if one.sounded_after is None else f"**{one.sounded_after:,}**"
        lines.append(f"| {one.watch} | {after} | {one.highest:.2f} |")
    return "\n".join(lines) + "\n"
