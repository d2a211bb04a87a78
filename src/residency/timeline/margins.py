"""In: observation and label tables. Out: their packed arrays, beside the moments of the same patients."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.errors import SchemaError
from residency.timeline.segments import offsets


def pack_observation(table: pl.DataFrame, subject: Int64[np.ndarray, " patient"]) -> dict[str, np.ndarray]:
    """Give each patient's observation intervals, joined where they touch or overlap.

    Args:
        table: `contract.schema.OBSERVATION`.
        subject: the patients that are kept, rising.
    """
    begin, end = pl.col("start").cast(pl.Int64), pl.col("end").cast(pl.Int64)
    rows = (
        table.select("subject_id", begin, end)
        .filter(pl.col("start") <= pl.col("end"))
        .sort("subject_id", "start", "end")
        .with_columns(reach=pl.col("end").cum_max().over("subject_id"))
        .with_columns(
            apart=pl.col("start") > pl.col("reach").shift(1).over("subject_id").fill_null(pl.col("start") - 1)
        )
        .with_columns(run=pl.col("apart").cum_sum())
        .group_by("run", maintain_order=True)
        .agg(pl.col("subject_id").first(), pl.col("start").first(), pl.col("end").max())
    )
    patient, kept = _patients(rows, subject)
    return {
        "observation_offset": offsets(np.bincount(patient, minlength=len(subject))),
        "observation_start": rows["start"].to_numpy()[kept],
        "observation_end": rows["end"].to_numpy()[kept],
    }


def pack_labels(
    tables: Sequence[pl.DataFrame], subject: Int64[np.ndarray, " patient"]
) -> dict[str, np.ndarray]:
    """Give each patient's labels, by time.

    Args:
        tables: `contract.schema.LABELS`, one a task.
        subject: the patients that are kept, rising.

    Raises:
        SchemaError: a label has no value that is a number.
    """
    value = pl.coalesce(
        pl.col("boolean_value").cast(pl.Float32),
        pl.col("integer_value").cast(pl.Float32),
        pl.col("float_value").cast(pl.Float32),
    )
    rows = pl.concat(
        table.select(
            "subject_id",
            time=pl.col("prediction_time").cast(pl.Int64),
            task=pl.lit(task, pl.Int16),
            value=value,
        )
        for task, table in enumerate(tables)
    ).sort("subject_id", "time", "task", "value")
    if n_without := rows["value"].null_count():
        raise SchemaError(f"{n_without} labels have no value that is a number", where="labels")
    patient, kept = _patients(rows, subject)
    return {
        "label_offset": offsets(np.bincount(patient, minlength=len(subject))),
        "label_time": rows["time"].to_numpy()[kept],
        "label_task": rows["task"].to_numpy()[kept],
        "label_value": rows["value"].to_numpy()[kept],
    }


def _patients(rows: pl.DataFrame, subject: Int64[np.ndarray, " patient"]) -> tuple[np.ndarray, np.ndarray]:
    """Give the patient row of each row that has one, and which rows those are."""
    of = rows["subject_id"].to_numpy()
    at = np.minimum(np.searchsorted(subject, of), max(len(subject) - 1, 0))
    kept = np.flatnonzero(subject[at] == of) if len(subject) else np.zeros(0, np.int64)
    return at[kept], kept
