"""In: tables without identities. Out: what an outsider who knows a little would find.

Two attacks that tables invite though every identifier is gone: a list of people with sex, birth date and
postal code; and the knowledge of when somebody was seen, since the days between visits are true.
"""

from typing import Any, Final

import polars as pl

from residency.contract.codes import BIRTH

N_PATIENTS: Final = 20_000  # a sample, by pseudonym, that bounds memory
_VISITS: Final = (2, 3, 4)  # how many consecutive days with events the outsider knows
_WINDOWS: Final = 50  # of one patient, at most


def gaps(events: pl.DataFrame) -> pl.DataFrame:
    """Give the days between consecutive days with events: `subject_id`, `gap`, in order.

    Args:
        events: columns `subject_id`, `time`, `code`. A birth is no visit.
    """
    day = pl.col("time").dt.date().alias("day")
    days = (
        events.filter(pl.col("code") != BIRTH)
        .select("subject_id", day)
        .drop_nulls()
        .unique()
        .sort("subject_id", "day")
    )
    gap = pl.col("day").diff().over("subject_id").dt.total_days().cast(pl.Int32)
    return (
        days.select("subject_id", gap=gap)
        .drop_nulls()
        .filter(pl.int_range(pl.len()).over("subject_id") < _WINDOWS)
    )


def date_pattern(found: pl.DataFrame) -> dict[str, Any]:
    """Tell how many patients are found by the days between some of their visits.

    The outsider knows consecutive days on which somebody was seen, the first of those on record; the dates
    moved, the days between did not.

    Args:
        found: as `gaps` gives, of many shards.
    """
    sample = found.filter(
        pl.col("subject_id").is_in(found["subject_id"].unique().sort().head(N_PATIENTS).implode())
    )
    result: dict[str, Any] = {"patients": sample["subject_id"].n_unique()}
    for n in _VISITS:
        columns = [pl.col("gap").shift(-i).over("subject_id").alias(f"g{i}") for i in range(n - 1)]
        names = [f"g{i}" for i in range(n - 1)]
        windows = sample.with_columns(columns).drop_nulls(names).select("subject_id", *names)
        holders = windows.unique().group_by(names).agg(n_holders=pl.len())
        known = windows.group_by("subject_id", maintain_order=True).first()
        alone = known.join(holders, on=names)["n_holders"]
        result[f"found_by_{n}_visits"] = round(float((alone == 1).sum()) / max(1, len(known)), 4)
    return result


def linkage(patients: pl.DataFrame) -> dict[str, Any]:
    """Tell how often an outside list of people finds its patient.

    The list has sex, birth year and ZIP3; since dates moved, a birth year one off is taken too.

    Args:
        patients: columns `sex`, `birth_year`, `zip3`.
    """
    cells = patients.group_by("sex", "zip3", "birth_year").len()
    near = pl.concat([cells.with_columns(birth_year=pl.col("birth_year") + step) for step in (-1, 0, 1)])
    likely = near.group_by("sex", "zip3", "birth_year").agg(n_candidates=pl.col("len").sum())
    keys = ["sex", "zip3", "birth_year"]
    seen = patients.join(likely, on=keys, how="left", nulls_equal=True)["n_candidates"].fill_null(1)
    n = max(1, len(patients))
    return {
        "expected_right": round(float((1 / seen).sum()) / n, 4),
        "share_with_one_candidate": round(float((seen == 1).sum()) / n, 4),
    }
