"""In: the simulation's truth and index times. Out: the best possible risk: what a perfect model would say."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float

from residency.contract.errors import InputError
from residency.validation.cohort import Cohort
from residency.validation.tasks import Task

RISK_FILE: Final = "risk.parquet"
COLUMNS: Final = ("subject_id", "outcome", "time", "horizon_days", "probability")


def best_possible(truth: Path, cohort: Cohort, task: Task) -> Float[np.ndarray, " row"] | None:
    """Take the true risk at the last time of the truth's grid before each index time.

    Returns:
        NaN where the truth has none; None where it has none for the task's outcome and horizon.

    Raises:
        InputError: the folder holds no table of true risks.
    """
    path = truth / RISK_FILE
    if not path.exists():
        raise InputError(f"no {RISK_FILE}", where=str(truth))
    table = pl.scan_parquet(path)
    lacking = [name for name in COLUMNS if name not in table.collect_schema().names()]
    if lacking:
        raise InputError(f"missing columns: {', '.join(lacking)}", where=str(path))
    known = (
        table.filter(
            (pl.col("outcome") == task.truth_name)
            & ((pl.col("horizon_days").cast(pl.Float64) - task.horizon_days).abs() < 1)
        )
        .select("subject_id", pl.col("time").cast(pl.Datetime("us")), "probability")
        .drop_nulls()
        .sort("subject_id", "time")
        .collect()
    )
    if not len(known):
        return None
    asked = pl.DataFrame({"subject_id": cohort.subject, "time": cohort.as_of}).with_row_index()
    asked = asked.with_columns(pl.col("time").cast(pl.Datetime("us"))).sort("subject_id", "time")
    joined = asked.join_asof(known, on="time", by="subject_id", strategy="backward", check_sortedness=False)
    risk: np.ndarray = joined.sort("index")["probability"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return risk
