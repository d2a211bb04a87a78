"""In: scores without outcomes, timelines, tasks. Out: the same scores with what came of each, once known.

So are scores examined that were stored blind as care went on: nothing in the file can have seen the outcome.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from residency.contract.errors import InputError, SpecError
from residency.timeline import Timelines
from residency.validation.cohort import Cohort, cohort_at
from residency.validation.judgement import Candidate
from residency.validation.tasks import Task

_KEY = ("subject_id", "prediction_time")


def with_outcomes(one: Candidate, timelines: Path, tasks: tuple[Task, ...], where: Path) -> Candidate:
    """Give a candidate's scores their outcomes.

    Args:
        one: scores of each task.
        timelines: folder that building made.
        tasks: definitions of the outcomes.
        where: the file, for errors.

    Raises:
        SpecError: there are no times, or patients do not go by number.
        InputError: no outcome is known.
    """
    if not one.has_times or one.source:
        raise SpecError("scores without outcomes need a patient and a time", where=str(where))
    opened = Timelines.open(timelines)
    rows: dict[str, pl.DataFrame] = {}
    left_out = dict(one.left_out)
    for task in tasks:
        given = _numbered(one.rows[task.name], where)
        found = cohort_at(opened, task, given["subject_id"].to_numpy(), _times(given))
        rows[task.name] = _joined(given, found)
        _add(left_out, found.counts)
        if not len(rows[task.name]):
            raise InputError(f"no outcome of {task.name} is known", where=str(where))
    return replace(one, rows=rows, left_out={reason: n for reason, n in left_out.items() if n})


def _numbered(rows: pl.DataFrame, where: Path) -> pl.DataFrame:
    number = rows["subject_id"].cast(pl.Int64, strict=False)
    if number.null_count():
        raise SpecError("patients must go by the subject_id of the timelines", where=str(where))
    return rows.with_columns(subject_id=number)


def _times(rows: pl.DataFrame) -> np.ndarray:
    times: np.ndarray = rows["prediction_time"].cast(pl.Int64).to_numpy()
    return times


def _joined(given: pl.DataFrame, found: Cohort) -> pl.DataFrame:
    moment = pl.Datetime("us")
    known = pl.DataFrame(
        {
            "subject_id": found.subject,
            "prediction_time": pl.Series(found.as_of).cast(moment),
            "label": found.label,
            "event_time": pl.Series(np.where(found.label, found.event_time, 0)).cast(moment),
            "weight": found.weight,
            "site": found.site.astype(str),
            "censoring": found.censoring,
            **{name: value.astype(str) for name, value in found.columns.items()},
        }
    ).with_columns(event_time=pl.when("label").then("event_time"))
    kept = given.drop(name for name in known.columns if name not in _KEY and name in given.columns)
    return kept.join(known, on=list(_KEY), how="inner").sort(*_KEY)


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, n in more.items():
        counts[reason] = counts.get(reason, 0) + n
