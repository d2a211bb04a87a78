"""In: tables (CSV, TSV, PSV, Parquet) and a mapping. Out: events, labels and observation."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract import specs
from residency.contract.errors import InputError, PluginError, SpecError
from residency.contract.plugins import Dropped, Rows
from residency.contract.schema import CODES, EVENTS, LABELS, OBSERVATION
from residency.records import table_events
from residency.records.documents import Document, listing, unpacked
from residency.records.draft import Ints, one_batch, wide
from residency.records.table_files import Sheet, sheets
from residency.records.table_mapping import Event, Measure, TableMapping, TablesMapping
from residency.records.table_rows import ROW, Desk, key

if TYPE_CHECKING:
    from residency.records.table_images import NamedImages


class TableSource:
    """Reads tables."""

    def read(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
        """Give every event, and why a row was left out."""
        return self.read_documents(self.documents(paths, mapping), mapping)

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read."""
        settings = _settings(mapping)
        return listing(paths, _patterns(settings), lambda name: _is_safe(name, settings))

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files, table by table."""
        settings = _settings(mapping)
        images = _images(settings)
        for sheet, table in _sheets(documents, settings):
            yield from _read(sheet, table, settings, images)
        yield from images.read() if images else ()
        yield Rows("codes", _described(settings), n=0)


def _settings(mapping: dict[str, Any]) -> TablesMapping:
    if not mapping:
        raise SpecError("tables need a mapping", mend="give --mapping FILE")
    return specs.read(TablesMapping, mapping, where="mapping")


def _patterns(settings: TablesMapping) -> tuple[str, ...]:
    return tuple(PurePosixPath(table.files).name.lower() for table in settings.tables)


def _is_safe(name: str, settings: TablesMapping) -> bool:
    """Tell a file name that is no patient's: where no table takes the patient from it."""
    return not any(table.subject.file for table in settings.tables)


def _sheets(documents: tuple[Document, ...], settings: TablesMapping) -> Iterator[tuple[Sheet, TableMapping]]:
    """Read documents that follow each other and are of one table together."""

    def table_of(document: Document) -> int:
        for number, table in enumerate(settings.tables):
            if table.reads(document.name):
                return number
        raise InputError("no table of the mapping reads the file", where=document.where())

    found = unpacked(documents, _patterns(settings), lambda name: _is_safe(name, settings))
    for number, group in groupby(found, key=table_of):
        table = settings.tables[number]
        yield from ((sheet, table) for sheet in sheets(group, table))


def _images(settings: TablesMapping) -> "NamedImages | None":
    """Give what collects image files, where the mapping names any: that needs the extra `imaging`."""
    if not any(table.images for table in settings.tables):
        return None
    try:
        from residency.records.table_images import NamedImages
    except ModuleNotFoundError as missing:
        raise PluginError(f"images need {missing.name}", mend="pip install 'residency[imaging]'") from None
    return NamedImages()


def _read(
    sheet: Sheet, table: TableMapping, settings: TablesMapping, images: "NamedImages | None"
) -> Iterator[Rows | Dropped]:
    """Give what a sheet holds, then what was left out of it."""
    desk = Desk(sheet, table, settings)
    pieces = [table_events.measure(desk, column, what) for column, what in table.measures.items()]
    pieces += [table_events.event(desk, what) for what in table.events]
    pieces += [table_events.birth(desk, table.birth)] if table.birth else []
    labels = {task: desk.good(table_events.label(desk, what)) for task, what in table.labels.items()}
    events = desk.good(pl.concat(pieces) if pieces else table_events.EVENT.to_frame())
    used = np.zeros(sheet.frame.height, bool)
    for frame in (events, *labels.values()):
        used[frame[ROW].to_numpy()] = True
    used[_with_images(desk, table, images)] = True
    left = desk.good(desk.frame)
    yield Rows("events", _batch(events.with_columns(era=pl.lit(None, pl.String)), EVENTS), n=int(used.sum()))
    for what in table.events:
        if "{" in what.code and (what.description or what.parents):
            yield Rows("codes", _batch(table_events.described(desk, what), CODES), n=0)
    for task, frame in labels.items():
        yield Rows("labels", _batch(frame, LABELS), task=task, n=0)
    if settings.observation.rule == "rows" and table.observed and table.time is not None:
        yield Rows("observation", _batch(_seen(left), OBSERVATION), n=0)
    if idle := left.height - int(used.sum()):
        yield Dropped("nothing in the row that the mapping reads", n=idle)
    yield from desk.dropped


def _with_images(desk: Desk, table: TableMapping, images: "NamedImages | None") -> Ints:
    """Take note of the image files that a sheet names; give the rows that name one."""
    if images is None or not table.images:
        return np.empty(0, np.int64)
    return np.concatenate([images.add(desk, image).to_numpy() for image in table.images])


def _seen(frame: pl.DataFrame) -> pl.DataFrame:
    patient, time = pl.col(key("subject_id")), pl.col(key("time"))
    return (
        frame.group_by(patient.alias("subject_id"))
        .agg(start=time.min(), end=time.max())
        .with_columns(rule=pl.lit("rows, first to last"))
    )


def _batch(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    return one_batch(frame.select(schema.names).to_arrow().cast(wide(schema)))


def _described(settings: TablesMapping) -> pa.RecordBatch:
    """Give what the mapping itself says of codes that it names."""
    said: list[Measure | Event] = []
    for table in settings.tables:
        said += [*table.measures.values(), *table.events]
    rows = [what for what in said if "{" not in what.code]
    return pa.RecordBatch.from_arrays(
        [
            pa.array([what.code for what in rows], pa.string()),
            pa.array([what.description or None for what in rows], pa.string()),
            pa.array([list(what.parents) for what in rows], pa.list_(pa.string())),
            pa.nulls(len(rows), pa.string()),
        ],
        schema=CODES,
    )
