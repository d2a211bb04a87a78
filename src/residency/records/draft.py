"""In: columns of events, piece by piece. Out: batches of the events table, with text dictionary-encoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from residency.contract.schema import MOMENT
from residency.records import clock

COLUMNS = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", MOMENT),
        pa.field("code", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("numeric_value", pa.float64()),
        pa.field("text_value", pa.large_string()),
        pa.field("unit", pa.dictionary(pa.int32(), pa.string())),
        pa.field("available", MOMENT),
        pa.field("visit_id", pa.int64()),
        pa.field("site", pa.dictionary(pa.int32(), pa.string())),
        pa.field("era", pa.string()),
        pa.field("source", pa.string()),
    ]
)
"""The events table as the sources here write it."""

DECLARED = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("site", pa.string(), nullable=False),
        pa.field("where", pa.string(), nullable=False),
    ]
)
"""Which patients a source describes, and where: file and row."""

LINKS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # study or genome
        pa.field("key", pa.string(), nullable=False),  # StudyInstanceUID; empty for a genome
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", MOMENT),
        pa.field("available", MOMENT),
        pa.field("visit_id", pa.int64()),
        pa.field("source", pa.string()),  # of the record that says it
    ]
)
"""What one feed says of records that another brings: whose they are, when they were known, in which visit."""

SLICES = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", MOMENT),
        pa.field("available", MOMENT),
        pa.field("visit_id", pa.int64()),
        pa.field("site", pa.string()),
        pa.field("source", pa.string()),  # reference to the record; null where series and instance tell it
        pa.field("study", pa.string()),  # StudyInstanceUID; null where there is none
        pa.field("series", pa.string(), nullable=False),
        pa.field("instance", pa.string(), nullable=False),
        pa.field("modality", pa.string()),
        pa.field("body_site", pa.string()),
        pa.field("positions", pa.list_(pa.float64())),  # three numbers a frame; empty where unknown
        pa.field("orientation", pa.list_(pa.float64())),  # six numbers; empty where unknown
        pa.field("spacing_mm", pa.list_(pa.float64())),  # slice, row, column; NaN where unknown
        pa.field("at_detector", pa.bool_()),  # the spacing is that of the detector, not of the patient
        pa.field("window", pa.list_(pa.float64())),  # centre and width; empty where unknown
        pa.field("low", pa.float64()),  # the range that values may have
        pa.field("high", pa.float64()),
        pa.field("shape", pa.list_(pa.int32())),  # frame, row, column
        pa.field("dtype", pa.string()),  # numpy's, little-endian
        pa.field("data", pa.large_binary(), nullable=False),
    ]
)
"""Images as a source gives them, one instance a row: rescaled, MONOCHROME1 turned over, one channel."""

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def ints(values: Sequence[int]) -> Ints:
    """Make an int64 column."""
    return np.fromiter(values, np.int64, len(values))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Events of one kind.

    Attributes:
        subject: ingest ids.
        time, available: microseconds; `clock.NONE` where there is none.
        code, unit: numbers in lists that the draft is closed with; -1 where there is no unit.
        source: the reference to the record that each came from.
        visit: ingest ids of visits; -1 where there is none.
        value: NaN where there is none.
        text: None where there is none; None altogether where no event of the piece has any.
    """

    subject: Ints
    time: Ints
    available: Ints
    code: Ints
    source: pa.StringArray
    visit: Ints | None = None
    value: Floats | None = None
    unit: Ints | None = None
    text: Sequence[str | None] | None = None


def _moments(values: Ints) -> pa.Array:
    return pa.array(values, mask=values == clock.NONE).cast(MOMENT)


def _numbers(values: Ints | None, n: int, mask: int) -> pa.Array:
    return pa.nulls(n, pa.int64()) if values is None else pa.array(values, mask=values == mask)


def _indices(values: Ints | None, n: int, names: pa.StringArray) -> pa.DictionaryArray:
    if values is None:
        return pa.DictionaryArray.from_arrays(pa.nulls(n, pa.int32()), names)
    return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32), mask=values < 0), names)


def close(pieces: list[Piece], *, codes: list[str], units: list[str], site: str) -> pa.Table:
    """Put pieces together as events of one site."""
    code_names, unit_names = pa.array(codes, pa.string()), pa.array(units, pa.string())
    site_names = pa.array([site], pa.string())
    return pa.concat_tables(
        [_table(piece, code_names, unit_names, site_names) for piece in pieces] or [COLUMNS.empty_table()]
    )


def _table(piece: Piece, codes: pa.StringArray, units: pa.StringArray, site: pa.StringArray) -> pa.Table:
    n = len(piece.subject)
    value = (
        pa.nulls(n, pa.float64())
        if piece.value is None
        else pa.array(piece.value, mask=np.isnan(piece.value))
    )
    text = pa.nulls(n, pa.large_string()) if piece.text is None else pa.array(piece.text, pa.large_string())
    available = np.where(piece.time == clock.NONE, clock.NONE, np.maximum(piece.available, piece.time))
    return pa.Table.from_arrays(
        [
            pa.array(piece.subject),
            _moments(piece.time),
            _indices(piece.code, n, codes),
            value,
            text,
            _indices(piece.unit, n, units),
            _moments(available),
            _numbers(piece.visit, n, -1),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), site),
            pa.nulls(n, pa.string()),
            piece.source,
        ],
        schema=COLUMNS,
    )


def wide(schema: pa.Schema) -> pa.Schema:
    """Give a schema with its numbers in double precision, as long as units are not settled."""
    return pa.schema([item.with_type(pa.float64()) if item.type == pa.float32() else item for item in schema])


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """Give a table as one batch."""
    found = table.combine_chunks().to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=table.schema)


def references(kind: str, ids: list[str]) -> pa.StringArray:
    """Give `Kind/id` for each id."""
    return pc.binary_join_element_wise(pa.scalar(kind), pa.array(ids, pa.string()), "/")
