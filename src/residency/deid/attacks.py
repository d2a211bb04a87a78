"""In: tables without identities. Out: what an outsider who knows a little would find.

Attacks that tables invite though every identifier is gone: a list of people with sex, birth date and postal
code; the knowledge of when somebody was seen, since the days between visits are true; and what true eras
beside moved dates tell of how far they moved.
"""

from typing import Any, Final

import polars as pl

from residency.contract.codes import BIRTH

N_PATIENTS: Final = 20_000  # a sample, by pseudonym, that bounds memory
_KNOWN: Final = ("sex", "birth_year", "zip3")
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


def outside_list(people: pl.DataFrame, patients: pl.DataFrame, reach: int) -> dict[str, Any]:
    """Look everybody of a true list of people up in the result.

    Args:
        people: `subject_id` as in the result, true `sex`, `birth_year` and `zip3`.
        patients: the same as they stand in the result; a ZIP3 of 000, or none, could be any.
        reach: years by which a birth may have moved.

    Returns:
        How many people were looked up; the chance to name the right patient by a guess among the candidates;
        who has one candidate alone, and for whom that is the right one.
    """
    listed = people.join(patients.select("subject_id"), on="subject_id", how="semi").with_columns(_area())
    mine = patients.with_columns(_area())
    cells = mine.group_by(*_KNOWN).len()
    steps = pl.DataFrame({"step": list(range(-reach, reach + 1))}, schema={"step": pl.Int32})
    asked = pl.concat([listed, listed.with_columns(zip3=pl.lit("000")).filter(listed["zip3"] != "000")])
    near = asked.join(steps, how="cross").with_columns(pl.col("birth_year") + pl.col("step"))
    seen = near.join(cells, on=_KNOWN, nulls_equal=True).group_by("subject_id").agg(pl.col("len").sum())
    right = near.join(mine, on=["subject_id", *_KNOWN], how="semi", nulls_equal=True).select("subject_id")
    alone = seen.filter(pl.col("len") == 1)
    n = max(1, len(listed))
    return {
        "people": len(listed),
        "expected_right": round(float((1 / seen.join(right, on="subject_id")["len"]).sum()) / n, 4),
        "share_with_one_candidate": round(len(alone) / n, 4),
        "share_found": round(len(alone.join(right, on="subject_id", how="semi")) / n, 4),
    }


def _area() -> pl.Expr:
    return pl.col("zip3").str.extract(r"(\d{3})\d{0,2}$").fill_null("000").alias("zip3")


def clues(events: pl.DataFrame) -> pl.DataFrame:
    """Give what eras beside dates tell of a patient's shift: days from `low` to `high`, borders' own apart.

    Args:
        events: columns `subject_id`, `time`, `era`, as they stand in the result.
    """
    year, half = pl.col("era").str.head(4).cast(pl.Int32), pl.col("era").str.slice(4)
    begins = pl.date(year, pl.when(half == "H2").then(7).otherwise(1), 1)
    ends = pl.date(
        pl.when(half == "H1").then(year).otherwise(year + 1), pl.when(half == "H1").then(7).otherwise(1), 1
    )
    day = pl.col("time").dt.date()
    dated = events.select("subject_id", "time", "era").drop_nulls()
    return dated.group_by("subject_id").agg(
        low=((day - ends).dt.total_days() + 1).max(), high=(day - begins).dt.total_days().min()
    )


def shift_left(found: pl.DataFrame, most: int, blur: int) -> dict[str, Any]:
    """Tell how many shifts, in weeks, are left to an outsider who reads the eras beside the dates.

    Args:
        found: as `clues` gives, of all patients.
        most: weeks that dates may move, forwards or backwards.
        blur: days that a patient's borders between eras may move.
    """
    low = pl.max_horizontal((pl.col("low") - blur) / 7, pl.lit(-most)).ceil()
    high = pl.min_horizontal((pl.col("high") + blur) / 7, pl.lit(most)).floor()
    none = ((low <= 0) & (high >= 0)).cast(pl.Int64)  # nobody's dates stay
    left = found.select((high - low + 1).cast(pl.Int64) - none).to_series()
    if not len(left):
        return {"patients": 0}
    return {
        "patients": len(left),
        "weeks_possible": 2 * most,
        "median_weeks_left": float(left.median()),  # type: ignore[arg-type]
        "fewest_weeks_left": int(left.min()),  # type: ignore[arg-type]
        "share_with_one_week_left": round(float((left <= 1).mean()), 4),  # type: ignore[arg-type]
    }
