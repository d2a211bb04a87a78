"""In: rows that name image files. Out: the images, as slices; and why others were left out.

Beside a table the files are opened by their path. In an archive, which is read as a stream, they are picked
out in a second passage, one in memory at a time.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import polars as pl

from residency.contract.plugins import Dropped, Rows
from residency.records.documents import LARGEST, Document, unpacked
from residency.records.draft import SLICES
from residency.records.image_files import TOO_LARGE, picture
from residency.records.pixels import little_endian
from residency.records.series import NAN
from residency.records.side_tables import batch
from residency.records.table_columns import filled
from residency.records.table_mapping import TableImage
from residency.records.table_rows import ROW, Desk, key

PATTERNS: Final = ("*.png", "*.jpg", "*.jpeg")
ABSENT: Final = "image: no such file"
OUTSIDE: Final = "image: a path that leads out of the folder"
Named = dict[Document, dict[str, list[dict[str, Any]]]]
"""Rows of slices without their pixels, by the archive or table that names them and the path of the file."""


class NamedImages:
    """Images that tables name, until they are read."""

    def __init__(self) -> None:
        self._named: Named = defaultdict(lambda: defaultdict(list))
        self._n_outside = 0

    def add(self, desk: Desk, what: TableImage) -> pl.Series:
        """Take note of what rows of a sheet name; give the numbers of those rows."""
        frame = _rows(desk, what)
        documents, of = desk.sheet.documents, desk.sheet.document
        for row in frame.iter_rows(named=True):
            path = PurePosixPath(row["path"])
            if path.is_absolute() or ".." in path.parts:
                self._n_outside += 1
                continue
            document = documents[int(of[row[ROW]])]
            self._named[_holder(document)][str(_folder(document) / path)].append(_slice(row))
        return frame[ROW]

    def read(self) -> Iterator[Rows | Dropped]:
        """Give the images, and what was left out."""
        if self._n_outside:
            yield Dropped(OUTSIDE, n=self._n_outside)
        for holder, named in self._named.items():
            yield from _packed(holder, named) if holder.is_archive else _beside(holder, named)


def _rows(desk: Desk, what: TableImage) -> pl.DataFrame:
    keys = [
        pl.col(key(name)).alias(name)
        for name in ("subject_id", "site", "visit_id", "source", "time", "available")
    ]
    columns = {"path": filled(desk.frame, what.path)}
    for name, template in (
        ("modality", what.modality),
        ("body_site", what.body_site),
        ("source", what.source),
    ):
        if template:
            columns[name] = filled(desk.frame, template)
    if what.time is not None:
        columns["time"], columns["available"] = desk.moment(what.time)
    frame = desk.frame.select(ROW, *keys).with_columns(**columns)
    for name in ("modality", "body_site"):
        frame = frame.with_columns(pl.col(name) if name in columns else pl.lit(None, pl.String).alias(name))
    return desk.good(frame.drop_nulls("path"))


def _slice(row: Mapping[str, Any]) -> dict[str, Any]:
    upper = {name: row[name].upper() if row[name] else None for name in ("modality", "body_site")}
    kept = {name: row[name] for name in ("subject_id", "site", "visit_id", "source", "time", "available")}
    known = {"series": row["path"], "instance": row["path"], "positions": [], "orientation": [], "window": []}
    return kept | upper | known | {"spacing_mm": [NAN] * 3, "at_detector": False}


def _holder(document: Document) -> Document:
    """Give the archive that a table came out of, else the table itself."""
    if document.body is None:
        return document
    return replace(document, name=document.path.name, body=None)


def _folder(document: Document) -> PurePosixPath:
    """Give the folder of a table, within its archive or on disk."""
    if document.body is not None:
        return PurePosixPath(document.name).parent
    return PurePosixPath(document.path.parent.as_posix())


def _beside(holder: Document, named: Mapping[str, list[dict[str, Any]]]) -> Iterator[Rows | Dropped]:
    for path, rows in sorted(named.items()):
        file = Path(path)
        if not file.is_file():
            yield Dropped(ABSENT, holder.shown, len(rows))
        elif file.stat().st_size > LARGEST:
            yield Dropped(TOO_LARGE, holder.shown, len(rows))
        else:
            yield from _read(file.read_bytes(), rows, holder)


def _packed(holder: Document, named: Mapping[str, list[dict[str, Any]]]) -> Iterator[Rows | Dropped]:
    waiting = dict(named)
    for document in unpacked((holder,), PATTERNS):
        rows = waiting.pop(str(PurePosixPath(document.name)), None)
        if rows is not None:
            yield from _read(document.body or b"", rows, document)
    if left := sum(len(rows) for rows in waiting.values()):
        yield Dropped(ABSENT, holder.shown, left)


def _read(body: bytes, rows: Sequence[dict[str, Any]], document: Document) -> Iterator[Rows | Dropped]:
    frame = picture(body)
    if isinstance(frame, str):
        yield Dropped(frame, document.shown, len(rows))
        return
    most = float(2 ** (8 * frame.dtype.itemsize) - 1)
    pixels = little_endian(frame) | {"low": 0.0, "high": most}
    yield Rows("slices", batch([row | pixels for row in rows], SLICES))
