"""In: rows of notes, images or variants. Out: the same with the columns they share without identities."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from residency.deid import pseudonyms
from residency.deid.events import era_of
from residency.deid.policy import Policy

ROW: Final = "row"
_MOMENT: Final = pl.Datetime("us")


@dataclass(frozen=True)
class HiddenRows:
    """Rows of a document table without identities.

    Attributes:
        table: in the order of the rows that went in, with the columns of its schema.
        rows: of each, its row in what went in.
        dropped: rows left out, by reason.
        changed: values changed or removed, by what was done.
    """

    table: pl.DataFrame
    rows: pl.Series
    dropped: dict[str, int]
    changed: dict[str, int]


def known_rows(table: pl.DataFrame, people: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Put what is done to each patient beside each row; leave out rows that would show a too high age.

    Args:
        table: rows of a document table.
        people: see `people.PEOPLE`; rows of a patient who is not there are left out.

    Returns:
        The rows with the columns of `people` and their place (`row`); those left out, by reason.
    """
    placed = table.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW))
    rows = placed.join(people, on="subject_id", how="inner", maintain_order="left")
    known_at = pl.max_horizontal("time", "available").cast(pl.Int64) + pl.col("shift")
    kept = rows.filter((known_at < pl.col("limit")).fill_null(value=True))
    left_out = {"patient without events": len(table) - len(rows), "age too high": len(rows) - len(kept)}
    return kept, left_out


def hide_common(rows: pl.DataFrame, policy: Policy, key: bytes) -> pl.DataFrame:
    """Hide patient, times, visit, site and source; other columns stay as they are.

    Args:
        rows: as `known_rows` gives them.
        policy: what may stay.
        key: the secret.
    """
    hidden = rows.with_columns(
        subject_id="pseudonym",
        time=_shifted("time"),
        available=_shifted("available"),
        visit_id=pseudonyms.visits(rows["visit_id"], key),
        site=pseudonyms.sites(rows["site"], key) if policy.sites == "pseudonym" else rows["site"],
        era=era_of(policy.era),
        source=pseudonyms.references(rows["source"], key, policy.reference_kinds),
    )
    gone = [name for name in policy.hidden_columns if name in rows.columns]
    return hidden.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in gone)


def _shifted(name: str) -> pl.Expr:
    return (pl.col(name).cast(pl.Int64) + pl.col("shift")).cast(_MOMENT)
