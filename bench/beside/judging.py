"""In: patients and what models said of them. Out: who is asked about, and AUROCs with their intervals."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from cohort import Cohort
from sklearn.metrics import roc_auc_score

N_DRAWS = 1000


def asked_of(patients: Cohort, code: str, days: float, n: int) -> pl.DataFrame:
    """Give the first held-out patients, the middle of each one's record, and whether the outcome came."""
    events = pl.read_parquet(patients.meds / "data/held_out/0.parquet")
    dated = events.filter(pl.col("time").is_not_null() & ~pl.col("code").str.starts_with("MEDS_"))
    times = dated.group_by("subject_id").agg(pl.col("time").unique().sort())
    middle = (
        times.select("subject_id", prediction_time=pl.col("time").list.get(pl.col("time").list.len() // 2))
        .sort("subject_id")
        .head(n)
    )
    after = pl.col("time") - pl.col("prediction_time")
    came = (
        dated.filter(pl.col("code") == code)
        .join(middle, on="subject_id")
        .filter((after > timedelta()) & (after <= timedelta(days=days)))["subject_id"]
    )
    return middle.with_columns(boolean_value=pl.col("subject_id").is_in(came.unique().implode()))


def judged(truth: pl.DataFrame, ours: pl.DataFrame, theirs: pl.DataFrame) -> dict[str, Any]:
    """Give their AUROC and ours less theirs: value, low and high of 95%, by draws of the patients of both."""
    rows = truth.sort("subject_id")
    for name, one in (("ours", ours), ("theirs", theirs)):
        said = one.select("subject_id", pl.col("probability").alias(name))
        rows = rows.join(said, on="subject_id", validate="1:1", maintain_order="left")
    label, us, them = (rows[name].to_numpy() for name in ("boolean_value", "ours", "theirs"))
    rng = np.random.default_rng(0)
    chosen = [np.arange(len(label)), *rng.integers(0, len(label), (N_DRAWS, len(label)))]
    chosen = [draw for draw in chosen if 0 < label[draw].sum() < len(draw)]
    area = np.array([roc_auc_score(label[draw], them[draw]) for draw in chosen])
    less = np.array([roc_auc_score(label[draw], us[draw]) for draw in chosen]) - area
    return {
        "patients": len(label),
        "with_outcome": int(label.sum()),
        "auroc": _interval(area),
        "less": _interval(less),
    }


def _interval(drawn: np.ndarray) -> list[float]:
    """Give what all patients say, and 95% of the draws after it."""
    return [float(drawn[0]), *map(float, np.quantile(drawn[1:], [0.025, 0.975]))]
