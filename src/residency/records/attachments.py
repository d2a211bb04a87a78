"""In: spooled notes and variants. Out: their tables, by ranges of patients that fit in memory, in order."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract import schema
from residency.records.draft import Ints
from residency.records.links import Links
from residency.records.runs import Run
from residency.records.shards import Range

NOTE_BYTES: Final = 64 << 20
VARIANT_ROWS: Final = 1_000_000
_ORDER: Final = ("subject_id", "available", "time", "source")


def split(runs: Sequence[Run], part: Range, known: Ints, most: int) -> list[Range]:
    """Cut a range of patients so that what each piece holds is not heavier than `most`, one patient apart."""
    here = known[_between(known, part)]
    inside = [np.isin(run.subject, here) for run in runs]
    if not any(at.any() for at in inside):
        return []
    subject = np.concatenate([run.subject[at] for run, at in zip(runs, inside, strict=True)])
    weight = np.concatenate([run.weight[at] for run, at in zip(runs, inside, strict=True)])
    found, at = np.unique(subject, return_inverse=True)
    piece = np.maximum(np.cumsum(np.bincount(at, weights=weight)).astype(np.int64) - 1, 0) // most
    starts = np.flatnonzero(np.diff(piece, prepend=-1))
    ends = np.append(starts[1:], len(found)) - 1
    return [
        Range(f"{part.key}.{number:04}", int(found[start]), int(found[end]))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def notes(runs: Sequence[Run], part: Range, known: Ints) -> pa.Table:
    """Give the notes of a range of patients."""
    return in_order(_rows(runs, part, known), schema.NOTES)


def variants(runs: Sequence[Run], part: Range, known: Ints, links: Links) -> pa.Table:
    """Give the genomes of a range of patients; one without a time takes that of its report."""
    rows = _rows(runs, part, known).join(links.genomes, on="subject_id", how="left", suffix="_of_report")
    timeless = pl.col("time").is_null() & pl.col("available").is_null()
    taken = [
        pl.when(timeless & (pl.col("source").str.starts_with("Genome/")))
        .then(pl.col(f"{name}_of_report"))
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("time", "available", "visit_id")
    ]
    return in_order(rows.with_columns(taken), schema.VARIANTS)


def _rows(runs: Sequence[Run], part: Range, known: Ints) -> pl.DataFrame:
    table = pa.concat_tables([run.between(part.low, part.high) for run in runs])
    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.filter(pl.col("subject_id").is_in(known[_between(known, part)]))


def _between(known: Ints, part: Range) -> slice:
    low, high = np.searchsorted(known, part.low), np.searchsorted(known, part.high, side="right")
    return slice(int(low), int(high))


def in_order(frame: pl.DataFrame, of: pa.Schema) -> pa.Table:
    """Give rows with the columns of a schema, in the contract's order; lists do not break ties."""
    rest = [name for name in of.names if name not in _ORDER and not pa.types.is_list(of.field(name).type)]
    ordered = frame.select(of.names).sort([*_ORDER, *rest], nulls_last=False)
    return schema.check(ordered.to_arrow().cast(of), of)
