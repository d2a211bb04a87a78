"""In: event tables and a vocabulary. Out: packed timelines, of a data set or of one request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Bool, Float32, Int8, Int32, Int64

from residency.contract.codes import BIRTH
from residency.contract.errors import SchemaError
from residency.contract.packed import DAY, STATIC, UNKNOWN, Packed
from residency.timeline.attachments import NO_ARRAY, NO_TEXT, Attachments
from residency.timeline.margins import pack_labels, pack_observation
from residency.timeline.segments import offsets
from residency.timeline.vocabulary import Vocabulary

Table: TypeAlias = pa.Table | pl.DataFrame

PRENATAL: Final = 300 * DAY  # what lies further before a birth than a pregnancy is an error of dates
_NEEDED: Final = pl.Schema(
    {
        "subject_id": pl.Int64(),
        "time": pl.Datetime("us"),
        "code": pl.String(),
        "numeric_value": pl.Float32(),
    }
)
_OPTIONAL: Final = pl.Schema({"unit": pl.String(), "available": pl.Datetime("us")})
COLUMNS: Final = (*_NEEDED, *_OPTIONAL)
_STRANGER: Final = "attachment of a patient without events"
_EARLY: Final = "attachment before birth"
DROPPED: Final = (NO_TEXT, NO_ARRAY, _STRANGER, _EARLY)  # why an attachment is left out


@dataclass(frozen=True)
class Packing:
    """Packed timelines, and what of the tables did not enter as it was.

    Attributes:
        packed: the timelines.
        counts: events read as an ancestor or as `UNKNOWN`, values ignored for their unit, events dropped as
            lying before their patient's birth.
        attachments: those that `packed` points at.
        dropped: attachments left out, and why.
    """

    packed: Packed
    counts: Mapping[str, int]
    attachments: Attachments
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class _Events:
    """Columns of an events table: one row an event, `key` its moment's time."""

    patient: Int64[np.ndarray, " event"]
    key: Int64[np.ndarray, " event"]
    time: Int64[np.ndarray, " event"]
    code: Int32[np.ndarray, " event"]
    value: Float32[np.ndarray, " event"]
    ref: Int64[np.ndarray, " event"]

    def rows(self, chosen: np.ndarray) -> "_Events":
        return _Events(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Attached:
    """Attachments by patient, moment and kind: one row an attachment, `key` its moment's time."""

    patient: Int64[np.ndarray, " attachment"]
    key: Int64[np.ndarray, " attachment"]
    kind: Int8[np.ndarray, " attachment"]
    ref: Int64[np.ndarray, " attachment"]


def pack(
    events: Table,
    vocabulary: Vocabulary,
    *,
    observation: Table | None = None,
    labels: Mapping[str, Table] | None = None,
    attachments: Attachments | None = None,
) -> Packed:
    """Pack events; see `packing_of`. Attachments must all find their patient."""
    return packing_of(
        events, vocabulary, observation=observation, labels=labels, attachments=attachments
    ).packed


def packing_of(
    events: Table,
    vocabulary: Vocabulary,
    *,
    observation: Table | None = None,
    labels: Mapping[str, Table] | None = None,
    attachments: Attachments | None = None,
) -> Packing:
    """Pack events, and count what did not enter as it was.

    Each patient's first moment holds the birth and what has no time; it is there even when it is empty. An
    event available up to 300 days before the birth counts as known at birth; an earlier one is dropped. A
    code without an index is read as its nearest known ancestor, without its value. A value in a unit other
    than the vocabulary's is ignored.

    A note, an image or a genome is attached to the moment at which it was available; a moment may have
    attachments and no events. What `Packed.attachment_ref` means is a row of `Packing.attachments`.

    Args:
        events: columns of `contract.schema.EVENTS`; `unit` and `available` may be missing. Rows in any order.
        vocabulary: the indices of codes.
        observation: `contract.schema.OBSERVATION`; of patients without events nothing is kept.
        labels: `contract.schema.LABELS` of each task, in the order of the tasks.
        attachments: of these patients; of patients without events nothing is kept.

    Raises:
        SchemaError: a column is missing or of another type.
    """
    frame = _frame(events)
    read = _read(frame, vocabulary)
    subject, patient = np.unique(frame["subject_id"].to_numpy(), return_inverse=True)
    columns = _Events(
        patient=patient.astype(np.int64),
        key=read["key"].to_numpy(),
        time=read["time"].to_numpy(),
        code=read["index"].to_numpy(),
        value=read["value"].to_numpy(),
        ref=np.arange(len(frame), dtype=np.int64),
    )
    birth = _births(columns, read["is_birth"].to_numpy(), len(subject))
    columns, n_before = _after_birth(columns, birth)
    given = Attachments.of() if attachments is None else attachments
    attachments, dropped = _fitting(given, subject, birth)
    packed = _pack(subject, columns, _attached(attachments, subject, birth), birth)
    packed = packed.with_arrays(
        **(pack_observation(_frame_of(observation), subject) if observation is not None else {}),
        **(pack_labels([_frame_of(table) for table in labels.values()], subject) if labels else {}),
    )
    return Packing(packed, {**_counts(read), "before birth": n_before}, attachments, dropped)


def _frame_of(table: Table) -> pl.DataFrame:
    return table if isinstance(table, pl.DataFrame) else pl.DataFrame(pl.from_arrow(table))


def _frame(events: Table) -> pl.DataFrame:
    frame = _frame_of(events)
    codes, units = pl.Categorical(pl.Categories.random()), pl.Categorical(pl.Categories.random())
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise SchemaError(f"missing columns: {', '.join(missing)}", where="events")
    frame = frame.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in _OPTIONAL.items() if name not in frame.columns
    ).select(COLUMNS)
    try:
        frame = frame.cast(pl.Schema({**_NEEDED, **_OPTIONAL})).cast({"code": codes, "unit": units})
    except pl.exceptions.PolarsError:
        raise SchemaError("a column has another type", where="events") from None
    if frame["subject_id"].null_count() or frame["code"].null_count():
        raise SchemaError("subject_id or code is null", where="events")
    return frame


def _read(frame: pl.DataFrame, vocabulary: Vocabulary) -> pl.DataFrame:
    """Give each event's index, value, time and moment; STATIC where it has none."""
    time = pl.col("time").cast(pl.Int64)
    available = pl.max_horizontal(time, pl.col("available").cast(pl.Int64))
    number = pl.when(pl.col("numeric_value").is_finite()).then("numeric_value")
    return (
        frame.join(
            _readings(frame, vocabulary),
            on=["code", "unit"],
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        .with_columns(has_value=number.is_not_null())
        .select(
            "index",
            "exact",
            is_birth=pl.col("code") == BIRTH,
            time=time.fill_null(STATIC),
            key=pl.when(pl.col("time").is_null() | (pl.col("code") == BIRTH))
            .then(STATIC)
            .otherwise(available),
            value=pl.when(pl.col("exact") & pl.col("same_unit")).then(number).fill_null(np.nan),
            other_unit=pl.col("has_value") & pl.col("exact") & ~pl.col("same_unit"),
        )
    )


def _readings(frame: pl.DataFrame, vocabulary: Vocabulary) -> pl.DataFrame:
    """Give how each code and unit of a table is read."""
    pairs = frame.select("code", "unit").unique()
    readings = [vocabulary.reading_of(code) for code in pairs["code"].cast(pl.String)]
    units = [vocabulary.units[reading.index] for reading in readings]
    return pairs.with_columns(
        index=pl.Series([reading.index for reading in readings], dtype=pl.Int32),
        exact=pl.Series([reading.exact for reading in readings], dtype=pl.Boolean),
        same_unit=pl.col("unit").cast(pl.String).eq_missing(pl.Series(units, dtype=pl.String)),
    )


def _counts(read: pl.DataFrame) -> dict[str, int]:
    unknown = (read["index"] == UNKNOWN).sum()
    return {
        "code read as its ancestor": int((~read["exact"]).sum()) - int(unknown),
        "code unknown": int(unknown),
        "value in another unit": int(read["other_unit"].sum()),
    }


def _births(events: _Events, is_birth: np.ndarray, n_patients: int) -> Int64[np.ndarray, " patient"]:
    """Give each patient's earliest birth time; STATIC where it is not known."""
    rows = np.flatnonzero(is_birth & (events.time != STATIC))
    birth = np.full(n_patients, np.iinfo(np.int64).max)
    np.minimum.at(birth, events.patient[rows], events.time[rows])
    birth[birth == np.iinfo(np.int64).max] = STATIC
    return birth


def _after_birth(events: _Events, birth: Int64[np.ndarray, " patient"]) -> tuple[_Events, int]:
    """Put what was known at birth into the first moment; drop what lies too far before it."""
    born = birth[events.patient]
    early = (events.key != STATIC) & (born != STATIC) & (events.key <= born)
    if not early.any():
        return events, 0
    impossible = early & (events.key - born < -PRENATAL)
    kept = _Events(**{**events.__dict__, "key": np.where(early, STATIC, events.key)}).rows(~impossible)
    return kept, int(impossible.sum())


def _fitting(
    attachments: Attachments, subject: Int64[np.ndarray, " patient"], birth: Int64[np.ndarray, " patient"]
) -> tuple[Attachments, Mapping[str, int]]:
    """Give the attachments of patients with events, from the time of their birth on; count the others."""
    rows = attachments.rows
    owner, key = rows["subject_id"].to_numpy(), rows["key"].to_numpy()
    has_events = np.isin(owner, subject)
    born = (
        birth[np.minimum(np.searchsorted(subject, owner), max(len(subject) - 1, 0))] if len(subject) else key
    )
    impossible = (
        has_events & (key != STATIC) & (born != STATIC) & (key < born - np.where(born != STATIC, PRENATAL, 0))
    )
    dropped = {
        **attachments.dropped,
        _STRANGER: int((~has_events).sum()),
        _EARLY: int(impossible.sum()),
    }
    return attachments.keep(has_events & ~impossible), dropped


def _attached(
    attachments: Attachments, subject: Int64[np.ndarray, " patient"], birth: Int64[np.ndarray, " patient"]
) -> _Attached:
    """Give the attachments by moment: what was known at birth is in the first one."""
    rows = attachments.rows
    patient = np.searchsorted(subject, rows["subject_id"].to_numpy())
    key, kind, ref = (rows[name].to_numpy() for name in ("key", "kind", "ref"))
    born = birth[patient]
    key = np.where((born != STATIC) & (key <= born), STATIC, key)
    order = np.lexsort((ref, kind, key, patient))
    return _Attached(patient[order], key[order], kind[order], ref[order])


def _pack(
    subject: Int64[np.ndarray, " patient"],
    events: _Events,
    attached: _Attached,
    birth: Int64[np.ndarray, " patient"],
) -> Packed:
    """Sort events and attachments into moments; give every patient a first moment."""
    events = events.rows(_order(events))
    held = [_runs(events.patient, events.key), _runs(attached.patient, attached.key)]
    first = np.arange(len(subject)), np.full(len(subject), STATIC), np.zeros(len(subject), np.int64)
    nothing = np.zeros(0, np.int64)
    owner, key, _ = (np.concatenate(parts) for parts in zip(*held, first, strict=True))
    order = np.lexsort((key, owner))
    is_new = _changes(owner[order], key[order])
    moment = np.empty(len(order), np.int64)
    moment[order] = np.cumsum(is_new) - 1
    owner, key = owner[order][is_new], key[order][is_new]
    n_events, n_attached = (np.zeros(len(key), np.int64) for _ in held)
    n_event_moments = len(held[0][0])
    n_events[moment[:n_event_moments]] = held[0][2]
    n_attached[moment[n_event_moments : n_event_moments + len(held[1][0])]] = held[1][2]
    no_offset = np.zeros(len(subject) + 1, np.int64)
    return Packed(
        subject=subject,
        moment_offset=offsets(np.bincount(owner, minlength=len(subject))),
        moment_time=np.where(key == STATIC, birth[owner], key),
        event_offset=offsets(n_events),
        event_code=events.code,
        event_value=events.value,
        event_time=events.time,
        event_ref=events.ref,
        attachment_offset=offsets(n_attached),
        attachment_kind=attached.kind,
        attachment_ref=attached.ref,
        observation_offset=no_offset,
        observation_start=nothing,
        observation_end=nothing,
        label_offset=no_offset,
        label_time=nothing,
        label_task=np.zeros(0, np.int16),
        label_value=np.zeros(0, np.float32),
    )


def _changes(
    patient: Int64[np.ndarray, " item"], key: Int64[np.ndarray, " item"]
) -> Bool[np.ndarray, " item"]:
    """Say where another moment begins."""
    is_new = np.ones(len(key), bool)
    is_new[1:] = (patient[1:] != patient[:-1]) | (key[1:] != key[:-1])
    return is_new


def _runs(
    patient: Int64[np.ndarray, " item"], key: Int64[np.ndarray, " item"]
) -> tuple[Int64[np.ndarray, " moment"], Int64[np.ndarray, " moment"], Int64[np.ndarray, " moment"]]:
    """Give the patient, time and number of items of each moment of sorted items."""
    begin = np.flatnonzero(_changes(patient, key))
    return patient[begin], key[begin], np.diff(np.append(begin, len(key)))


def _order(events: _Events) -> Int64[np.ndarray, " event"]:
    """Give the rows by patient, moment, time, code, value; what is the same in all of them as it came."""
    names = ("patient", "key", "time", "code", "value")
    columns = pl.DataFrame({name: getattr(events, name) for name in names})
    order: np.ndarray = (
        columns.with_row_index("row")
        .select(pl.arg_sort_by(*names, "row"))
        .to_series()
        .cast(pl.Int64)
        .to_numpy()
    )
    return order
