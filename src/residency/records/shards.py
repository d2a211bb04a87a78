"""In: spooled runs and how each signal is written down. Out: shards of events and labels, by patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from residency.contract import schema
from residency.contract.codes import BIRTH, DEATH
from residency.records.draft import Ints
from residency.records.runs import Run
from residency.records.units import Reading

SHARD_EVENTS: Final = 2_000_000


@dataclass(frozen=True)
class Range:
    """Patients from `low` to `high`, both included."""

    key: str
    low: int
    high: int


def ranges(events: Sequence[Run], others: Sequence[Run]) -> list[Range]:
    """Cut the patients of all runs into ranges of about two million events."""
    subject = np.concatenate([run.subject for run in (*events, *others)])
    n = np.concatenate(
        [*(np.diff(run.offset) for run in events), *(np.zeros(len(run.subject)) for run in others)]
    )
    found, at = np.unique(subject, return_inverse=True)
    total = np.cumsum(np.bincount(at, weights=n, minlength=len(found)).astype(np.int64))
    shard = np.maximum(total - 1, 0) // SHARD_EVENTS
    starts = np.flatnonzero(np.diff(shard, prepend=-1))
    ends = np.append(starts[1:], len(found)) - 1
    return [
        Range(f"{number:05}", int(found[start]), int(found[end]))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


@dataclass(frozen=True)
class Writing:
    """How numbers of spooled rows become what the tables say.

    Attributes:
        codes, units, sites: names, in alphabetical order, so that sorting by number sorts by name.
        code, unit: of each chunk's signals, as numbers; -1 where there is no unit, or where the code is not
            known.
        factor, offset: of each chunk's signals.
        site: of each chunk's sites, as numbers.
    """

    codes: list[str]
    units: list[str]
    sites: list[str]
    code: tuple[Ints, ...]
    unit: tuple[Ints, ...]
    factor: tuple[np.ndarray, ...]
    offset: tuple[np.ndarray, ...]
    site: tuple[Ints, ...]

    @property
    def once(self) -> list[int]:
        """Numbers of the codes that a patient has once: birth and death."""
        return [self.codes.index(code) for code in (BIRTH, DEATH) if code in self.codes]


def writing(pairs: Sequence[Sequence[Reading | None]], sites: Sequence[Sequence[str]]) -> Writing:
    """Number everything once.

    Args:
        pairs: per chunk, how each of its signals is written down; None for one that is left out.
        sites: per chunk, the names of its sites.
    """
    known = [reading for chunk in pairs for reading in chunk if reading is not None]
    codes = sorted({reading.code for reading in known})
    units = sorted({reading.unit for reading in known if reading.unit is not None})
    names = sorted({site for chunk in sites for site in chunk})
    code_at = {name: number for number, name in enumerate(codes)}
    unit_at: dict[str | None, int] = {name: number for number, name in enumerate(units)}
    site_at = {name: number for number, name in enumerate(names)}
    return Writing(
        codes, units, names,
        tuple(np.array([-1 if r is None else code_at[r.code] for r in c], np.int64) for c in pairs),
        tuple(np.array([-1 if r is None else unit_at.get(r.unit, -1) for r in c], np.int64) for c in pairs),
        tuple(np.array([1.0 if r is None else r.factor for r in c]) for c in pairs),
        tuple(np.array([0.0 if r is None else r.offset for r in c]) for c in pairs),
        tuple(np.array([site_at[site] for site in c], np.int64) for c in sites),
    )  # fmt: skip


def events(runs: Sequence[Run], part: Range, how: Writing) -> pl.DataFrame:
    """Gather the events of a range of patients, in the contract's order, with codes as numbers still."""
    found = [_numbers(run.between(part.low, part.high), run.chunk, how) for run in runs]
    found = found or [pl.DataFrame(schema=_NUMBERED)]
    frame = pl.concat([one for one in found if one.height] or found[:1])
    return _once(_in_order(frame.filter(pl.col("code") >= 0)), how)


_NUMBERED: Final[dict[str, Any]] = {
    "subject_id": pl.Int64, "time": pl.Datetime("us"), "code": pl.Int32, "numeric_value": pl.Float32,
    "text_value": pl.String, "unit": pl.Int32, "available": pl.Datetime("us"), "visit_id": pl.Int64,
    "site": pl.Int32, "source": pl.String,
}  # fmt: skip
_REST: Final = ("numeric_value", "text_value", "unit", "visit_id", "site", "source")


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by the contract's four columns, and only where those are equal by the rest, which are slow."""
    first = list(schema.EVENT_ORDER)
    frame = frame.sort(first, nulls_last=False).with_row_index("row")
    as_before = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in first)
    same = frame.select(as_before.alias("same"))["same"].fill_null(value=False)
    if frame.height:
        same = same.set(pl.Series([True, *[False] * (frame.height - 1)]), value=False)
    tied = same | same.shift(-1, fill_value=False)
    if not tied.any():
        return frame.drop("row")
    at = frame["row"].to_numpy().copy()
    at[tied.to_numpy()] = frame.filter(tied).sort([*first, *_REST], nulls_last=False)["row"].to_numpy()
    return frame[at].drop("row")


_FACT: Final = ["subject_id", "time", "code", "numeric_value", "text_value", "unit", "site"]
"""What makes a fact without a time the same fact: said in a thousand rows, it is kept once."""


def _once(frame: pl.DataFrame, how: Writing) -> pl.DataFrame:
    """Keep static facts, births and deaths once."""
    facts = frame.with_row_index("row").filter(pl.col("time").is_null() | pl.col("code").is_in(how.once))
    again = facts.filter(~pl.struct(_FACT).is_first_distinct())["row"]
    return (
        frame
        if again.is_empty()
        else frame.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(again.implode()))
    )


def _numbers(table: pa.Table, chunk: int, how: Writing) -> pl.DataFrame:
    pair = table.column("pair").to_numpy()
    value = table.column("value").to_numpy() * how.factor[chunk][pair] + how.offset[chunk][pair]
    unit = how.unit[chunk][pair]
    return pl.DataFrame(
        {
            "subject_id": pl.from_arrow(table.column("subject_id")),
            "time": pl.from_arrow(table.column("time")),
            "code": pl.Series(how.code[chunk][pair].astype(np.int32)),
            "numeric_value": pl.Series(value.astype(np.float32)).fill_nan(None),
            "text_value": pl.from_arrow(table.column("text")),
            "unit": pl.Series(unit.astype(np.int32)).replace(-1, None),
            "available": pl.from_arrow(table.column("available")),
            "visit_id": pl.from_arrow(table.column("visit_id")),
            "site": pl.Series(how.site[chunk][table.column("site").to_numpy()].astype(np.int32)),
            "source": pl.from_arrow(table.column("source")),
        }
    )


def events_table(frame: pl.DataFrame, how: Writing) -> pa.Table:
    """Write names where numbers stood."""

    def named(column: str, names: list[str]) -> pa.Array:
        indices = frame[column].to_arrow().cast(pa.int32())
        return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string())).cast(pa.string())

    n = frame.height
    columns = {
        "subject_id": frame["subject_id"].to_arrow(),
        "time": frame["time"].to_arrow(),
        "code": named("code", how.codes),
        "numeric_value": frame["numeric_value"].to_arrow(),
        "text_value": frame["text_value"].to_arrow().cast(pa.large_string()),
        "unit": named("unit", how.units),
        "available": frame["available"].to_arrow(),
        "visit_id": frame["visit_id"].to_arrow(),
        "site": named("site", how.sites),
        "era": pa.nulls(n, pa.string()),
        "source": frame["source"].to_arrow().cast(pa.string()),
    }
    return schema.check(pa.table(columns), schema.EVENTS)


_NAMED: Final = [
    "code", "unit", "site", "era", "text_value", "kind", "modality", "body_site", "assembly", "chromosome",
    "genotype", "gene",
]  # fmt: skip


def write(table: pa.Table, path: Path) -> int:
    """Write a table as one Parquet file, and give its rows."""
    dictionary = [name for name in _NAMED if name in table.column_names]
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionary,
        row_group_size=1 << 18,
    )
    return int(table.num_rows)


def labels(runs: Sequence[Run], part: Range) -> pa.Table:
    """Gather the labels of a range of patients, by patient and time."""
    table = pa.concat_tables([run.between(part.low, part.high) for run in runs])
    return schema.check(table.sort_by([(name, "ascending") for name in schema.LABELS.names]), schema.LABELS)
