"""In: table files. Out: frames of their needed columns with the file and row that each row stands in.

Small text files of one shape are parsed together: twenty thousand files of one patient each are read as one
text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from residency.contract.errors import InputError
from residency.records.documents import Document
from residency.records.draft import Ints
from residency.records.table_mapping import TableMapping

SMALL: Final = 8 << 20
TOGETHER: Final = 24 << 20
_BLOCK: Final = 32 << 20
_ROWS: Final = 500_000


@dataclass(frozen=True)
class Sheet:
    """Rows of one table, all columns as they stand.

    Attributes:
        frame: the needed columns.
        documents: the files that the rows come from.
        document: which of them, for each row.
        first_row: number of each file's first row here, and the index in the frame where it stands.
    """

    frame: pl.DataFrame
    documents: tuple[Document, ...]
    starts: Ints
    first_row: int = 1

    @property
    def document(self) -> Ints:
        """Which file each row is of."""
        return np.repeat(np.arange(len(self.documents)), np.diff(np.append(self.starts, self.frame.height)))

    def where(self, index: int, column: str = "") -> str:
        """Say where a row stands."""
        at = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.documents[at].where(self.first_row + index - int(self.starts[at]), column)


def sheets(documents: Iterator[Document], table: TableMapping) -> Iterator[Sheet]:
    """Read files of one table.

    Raises:
        InputError: a file is no such table, is cut short, or lacks a column.
    """
    waiting: list[tuple[Document, bytes]] = []
    size = 0
    for document in documents:
        if document.name.endswith(".parquet"):
            yield from _parquet(document, table)
        elif document.size > SMALL:
            yield from _large(document, table)
        else:
            body = b"".join(document.blocks())
            if b'"' in body:
                yield from _streamed(document, BytesIO(body), table)
                continue
            waiting.append((document, body))
            size += len(body)
            if size > TOGETHER:
                yield from _together(waiting, table)
                waiting, size = [], 0
    yield from _together(waiting, table)


def _together(found: list[tuple[Document, bytes]], table: TableMapping) -> Iterator[Sheet]:
    """Parse many small files as one, as long as their header is the same."""
    groups: dict[bytes, list[tuple[Document, bytes]]] = {}
    for document, body in found:
        header, _, rows = _text(document, body).partition(b"\n")
        groups.setdefault(header.rstrip(b"\r"), []).append((document, rows.rstrip(b"\r\n")))
    for header, group in groups.items():
        names = _names(group[0][0], header, table)
        counts = [_count(document, rows, len(names), table) for document, rows in group]
        kept = [(document, rows, n) for (document, rows), n in zip(group, counts, strict=True) if n]
        starts = np.cumsum([0, *(n for _, _, n in kept)])[:-1].astype(np.int64)
        if kept:
            frame = _parsed(header + b"\n" + b"\n".join(rows for _, rows, _ in kept), table, group[0][0])
            yield Sheet(frame, tuple(document for document, _, _ in kept), starts)


def _text(document: Document, body: bytes) -> bytes:
    if not body.strip():
        raise InputError("the file is empty", where=document.where())
    if b"\x00" in body[:4096] or body.startswith(b"\x89PNG"):
        raise InputError("not a text table", where=document.where())
    return body.removeprefix(b"\xef\xbb\xbf")


def _names(document: Document, header: bytes, table: TableMapping) -> list[str]:
    try:
        names = header.decode("utf-8").split(table.separator)
    except UnicodeDecodeError:
        raise InputError("not a text table", where=document.where()) from None
    _refuse_missing(document, [name.strip() for name in names], table)
    return names


def _refuse_missing(document: Document, names: Sequence[str], table: TableMapping) -> None:
    missing = [name for name in table.columns if name not in names]
    if missing:
        raise InputError(f"columns are missing: {', '.join(missing)}", where=document.where())


def _count(document: Document, rows: bytes, n_columns: int, table: TableMapping) -> int:
    """Count rows, and refuse a file in which one has more or fewer columns than the header."""
    if not rows:
        return 0
    n, separator = rows.count(b"\n") + 1, table.separator.encode()
    if rows.count(separator) != n * (n_columns - 1):
        for number, row in enumerate(rows.split(b"\n"), start=1):
            if row.count(separator) != n_columns - 1:
                found = row.count(separator) + 1
                raise InputError(
                    f"a row has {found} columns, the header {n_columns}: the file is cut short or damaged",
                    where=document.where(number),
                )
    return n


def _parsed(text: bytes, table: TableMapping, document: Document) -> pl.DataFrame:
    numbers = dict.fromkeys(table.measures, pl.Float64)
    for overrides in (numbers, {}):
        try:
            return pl.read_csv(
                BytesIO(text), separator=table.separator, columns=list(table.columns), infer_schema=False,
                schema_overrides=overrides, null_values=["", *table.null_values], quote_char=None,
            )  # fmt: skip
        except pl.exceptions.ComputeError:
            continue  # a cell is no number: read all as text, to count and place it
    raise InputError("not a text table in UTF-8", where=document.where())


def _large(document: Document, table: TableMapping) -> Iterator[Sheet]:
    with document.open() as handle:
        yield from _streamed(document, handle, table)


def _streamed(document: Document, handle: object, table: TableMapping) -> Iterator[Sheet]:
    """Read a text file of any size block by block."""
    done = 0
    try:
        reader = pyarrow.csv.open_csv(
            pa.PythonFile(handle, mode="r"),
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter=table.separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(table.columns, pa.string()),
                include_columns=list(table.columns),
                null_values=["", *table.null_values],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )  # fmt: skip
        for batch in reader:
            frame = pl.DataFrame(pl.from_arrow(batch))
            yield Sheet(frame, (document,), np.zeros(1, np.int64), done + 1)
            done += frame.height
    except KeyError:
        raise InputError(
            f"columns are missing, of these: {', '.join(table.columns)}", where=document.where()
        ) from None
    except EOFError:
        raise InputError(
            "the file is cut short: its gzip stream does not end", where=document.where()
        ) from None
    except (pa.ArrowInvalid, OSError):
        raise InputError(
            "not a text table, cut short, or a row has more or fewer columns than the header",
            where=f"{document.where()}, after row {done}",
        ) from None


def _parquet(document: Document, table: TableMapping) -> Iterator[Sheet]:
    done = 0
    try:
        with document.open() as handle:
            file = pq.ParquetFile(handle)
            _refuse_missing(document, file.schema_arrow.names, table)
            for batch in file.iter_batches(_ROWS, columns=list(table.columns)):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield Sheet(frame, (document,), np.zeros(1, np.int64), done + 1)
                done += frame.height
    except (pa.ArrowInvalid, OSError):
        raise InputError("not a Parquet file, or cut short", where=document.where()) from None
