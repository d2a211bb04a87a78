"""In: a range of patients' events, or intervals that a source gives. Out: when each would have been seen."""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from residency.contract import codes, schema
from residency.records.runs import Run
from residency.records.settings import ObservationRule
from residency.records.shards import Range, Writing

_DAY = 86_400_000_000


def by_contact(
    frame: pl.DataFrame, how: Writing, rule: ObservationRule, latest: dict[str, int]
) -> pl.DataFrame:
    """Give intervals from first to last contact, and as long after the last as a silence may be.

    Args:
        frame: events of whole patients.
        how: names of codes and sites.
        rule: how long a silence may be.
        latest: the last time anything was known at each site, in microseconds: nobody is watched for longer.
    """
    gap = int(rule.gap_days * _DAY)
    birth, death = (how.codes.index(code) if code in how.codes else -1 for code in (codes.BIRTH, codes.DEATH))
    known = {number: latest.get(site, 0) for number, site in enumerate(how.sites)}
    dead = (
        frame.filter(pl.col("code") == death)
        .group_by("subject_id")
        .agg(dead=pl.col("available").min().cast(pl.Int64))
    )
    contact = (
        frame.filter(pl.col("time").is_not_null() & ~pl.col("code").is_in([birth, death]))
        .select("subject_id", "site", at=pl.col("time").cast(pl.Int64))
        .sort("subject_id", "at")
    )
    breaks = (pl.col("at").diff() > gap) | (pl.col("subject_id").diff() != 0)
    return (
        contact.group_by(stretch=breaks.fill_null(value=True).cum_sum(), maintain_order=True)
        .agg(
            pl.col("subject_id").first(),
            pl.col("site").last(),
            start=pl.col("at").first(),
            end=pl.col("at").last(),
        )
        .join(dead, on="subject_id", how="left")
        .with_columns(
            watched=pl.max_horizontal("end", pl.col("site").replace_strict(known, return_dtype=pl.Int64))
        )
        .with_columns(end=pl.min_horizontal(pl.col("end") + gap, "watched", "dead"))
        .filter(pl.col("end") >= pl.col("start"))
        .select(
            "subject_id",
            start=pl.col("start").cast(pl.Datetime("us")),
            end=pl.col("end").cast(pl.Datetime("us")),
            rule=pl.lit(f"contact, gap {rule.gap_days:g} days"),
        )
    )


def by_source(table: pa.Table) -> pl.DataFrame:
    """Give one interval a patient and rule: the hull of what a source gave, piece by piece."""
    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.group_by("subject_id", "rule").agg(pl.col("start").min(), pl.col("end").max())


def observation(runs: Sequence[Run], part: Range, contact: pl.DataFrame | None) -> pa.Table:
    """Put a range's intervals together: what the source gave, else what contact tells."""
    columns = list(schema.OBSERVATION.names)
    if contact is None:
        contact = by_source(pa.concat_tables([run.between(part.low, part.high) for run in runs]))
    frame = contact.select(columns).sort(columns)
    return schema.check(frame.to_arrow().cast(schema.OBSERVATION), schema.OBSERVATION)
