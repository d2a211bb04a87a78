"""In: a MEDS 0.4 folder, or event tables in its schema. Out: events, labels and codes, with our columns."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from residency.contract import specs
from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of, visit_id_of
from residency.contract.plugins import Dropped, Rows
from residency.contract.schema import CODES, EVENTS, LABELS
from residency.contract.specs import spec
from residency.records.documents import Document, listing, unpacked
from residency.records.draft import one_batch, wide
from residency.records.settings import Settings

PATTERNS: Final = ("*.parquet",)
_BATCH_ROWS: Final = 500_000
_NEEDED: Final = ("subject_id", "time", "code")
_TYPES: Final = {
    "subject_id": pl.String,
    "time": pl.Datetime("us"),
    "code": pl.String,
    "numeric_value": pl.Float64,
    "text_value": pl.String,
    "unit": pl.String,
    "available": pl.Datetime("us"),
    "visit_id": pl.String,
    "site": pl.String,
    "era": pl.String,
    "source": pl.String,
}


@spec
class MedsMapping(Settings):
    """How MEDS data are read; a mapping file is optional."""


class MedsSource:
    """Reads MEDS."""

    def read(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
        """Give every event, and why a row was left out."""
        return self.read_documents(self.documents(paths, mapping), mapping)

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read: of a MEDS folder, those in its three places."""
        found = listing(paths, PATTERNS, lambda _: True)
        if any(_place(document) == "data" for document in found):
            found = tuple(
                document for document in found if _place(document) in _READERS or document.is_archive
            )
        return found

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files."""
        settings = specs.read(MedsMapping, mapping, where="mapping")
        for document in unpacked(documents, PATTERNS, lambda _: True):
            read = _READERS.get(_place(document), _events)
            yield from read(document, settings)


def _place(document: Document) -> str:
    """Say where in a MEDS folder a file lies: data, labels, or codes; empty elsewhere."""
    parts = PurePosixPath(document.name).parts
    if parts[-2:] == ("metadata", "codes.parquet"):
        return "codes"
    return next((part for part in parts[:-1] if part in ("data", "labels", "metadata")), "")


def _frames(
    document: Document, needed: tuple[str, ...], known: tuple[str, ...]
) -> Iterator[tuple[pl.DataFrame, int]]:
    """Give a file's rows block by block, and the number of the first of each.

    Raises:
        InputError: it is no Parquet, is cut short, or lacks a column.
    """
    done = 0
    try:
        with document.open() as handle:
            file = pq.ParquetFile(handle)
            names = file.schema_arrow.names
            if missing := [name for name in needed if name not in names]:
                raise InputError(f"columns are missing: {', '.join(missing)}", where=document.where())
            for batch in file.iter_batches(_BATCH_ROWS, columns=[name for name in known if name in names]):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield frame, done + 1
                done += frame.height
    except (pa.ArrowInvalid, OSError):
        raise InputError("not a Parquet file, or cut short", where=document.where()) from None


def _cast(frame: pl.DataFrame, types: dict[str, Any], settings: Settings, document: Document) -> pl.DataFrame:
    columns = []
    for name, kind in types.items():
        if name not in frame.columns:
            columns.append(pl.lit(None, kind).alias(name))
            continue
        stands = frame.schema[name]
        if isinstance(kind, pl.Datetime) and not stands.is_temporal() and stands != pl.Null:
            raise InputError("a time column holds no times", where=document.where(column=name))
        column = pl.col(name)
        if isinstance(stands, pl.Datetime) and stands.time_zone is not None:
            column = column.dt.convert_time_zone(settings.time_zone) if settings.time_zone else column
            column = column.dt.replace_time_zone(None)
        columns.append(column.cast(kind).alias(name))
    try:
        return frame.select(columns)
    except pl.exceptions.InvalidOperationError:
        raise InputError("a column is of another type than MEDS says", where=document.where()) from None


def _numbered(frame: pl.DataFrame, column: str, number: Callable[[str, str], int]) -> pl.DataFrame:
    """Replace a source's ids by ingest ids."""
    known = frame.select(column, "site").unique().drop_nulls()
    ids = [number(one, site) for one, site in known.iter_rows()]
    known = known.with_columns(pl.Series("\x00id", ids, dtype=pl.Int64))
    joined = frame.join(known, on=[column, "site"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("\x00id").alias(column)).drop("\x00id")


def _events(document: Document, settings: Settings) -> Iterator[Rows | Dropped]:
    for frame, _ in _frames(document, _NEEDED, tuple(EVENTS.names)):
        n = frame.height
        rows = _cast(frame, _TYPES, settings, document).with_columns(
            pl.col("site").replace(settings.sites).fill_null(settings.site_of(document)),
            available=pl.max_horizontal(pl.col("available").fill_null(pl.col("time")), "time"),
        )
        for reason, column in (("a row without a patient", "subject_id"), ("a row without a code", "code")):
            if lost := rows[column].null_count():
                yield Dropped(reason, n=lost)
                rows = rows.drop_nulls(column)
                n -= lost
        rows = _numbered(_numbered(rows, "subject_id", subject_id_of), "visit_id", visit_id_of)
        yield Rows("events", one_batch(rows.select(EVENTS.names).to_arrow().cast(wide(EVENTS))), n=n)


def _labels(document: Document, settings: Settings) -> Iterator[Rows | Dropped]:
    """Read labels; the folder below `labels`, or else the file, names the task."""
    parts = PurePosixPath(document.name).parts
    below = parts[parts.index("labels") + 1 :]
    task = below[0].removesuffix(".parquet")
    types = {
        "subject_id": pl.String, "prediction_time": pl.Datetime("us"), "boolean_value": pl.Boolean,
        "integer_value": pl.Int64, "float_value": pl.Float32, "categorical_value": pl.String,
    }  # fmt: skip
    for frame, _ in _frames(document, ("subject_id", "prediction_time"), tuple(LABELS.names)):
        rows = _cast(frame, types, settings, document).with_columns(site=pl.lit(settings.site_of(document)))
        rows = _numbered(rows, "subject_id", subject_id_of).drop("site")
        yield Rows("labels", one_batch(rows.select(LABELS.names).to_arrow().cast(LABELS)), task=task)


def _codes(document: Document, settings: Settings) -> Iterator[Rows | Dropped]:
    types = {
        "code": pl.String,
        "description": pl.String,
        "parent_codes": pl.List(pl.String),
        "unit": pl.String,
    }
    for frame, _ in _frames(document, ("code",), tuple(CODES.names)):
        rows = _cast(frame, types, settings, document).drop_nulls("code")
        yield Rows("codes", one_batch(rows.to_arrow().cast(CODES)), n=0)


_READERS: Final = {"data": _events, "labels": _labels, "codes": _codes}
