"""In: rows with keys and what their columns mean. Out: events and labels, each with the number of its row."""

from typing import Final

import polars as pl

from residency.contract import codes
from residency.records.table_columns import filled
from residency.records.table_mapping import SECONDS, Birth, Event, Label, Measure
from residency.records.table_rows import ROW, Desk, key

EVENT: Final = pl.Schema(
    {
        ROW: pl.Int64,
        "subject_id": pl.Int64,
        "time": pl.Int64,
        "code": pl.String,
        "numeric_value": pl.Float64,
        "text_value": pl.String,
        "unit": pl.String,
        "available": pl.Int64,
        "visit_id": pl.Int64,
        "site": pl.String,
        "source": pl.String,
    }
)
LABEL: Final = pl.Schema(
    {
        ROW: pl.Int64,
        "subject_id": pl.Int64,
        "prediction_time": pl.Int64,
        "boolean_value": pl.Boolean,
        "integer_value": pl.Int64,
        "float_value": pl.Float32,
        "categorical_value": pl.String,
    }
)


def _events(frame: pl.DataFrame, **columns: pl.Series | pl.Expr) -> pl.DataFrame:
    """Put columns beside the rows' keys, as events; none is available before its time."""
    missing = {name: pl.lit(None, kind) for name, kind in EVENT.items() if name not in frame.columns}
    whole = frame.with_columns(**{**missing, **columns}).with_columns(
        available=pl.max_horizontal("available", "time")
    )
    return whole.select([pl.col(name).cast(kind) for name, kind in EVENT.items()])


def measure(desk: Desk, column: str, what: Measure) -> pl.DataFrame:
    """Give one event for each number in a column."""
    value = desk.number(column)
    at = value.is_not_null()
    return _events(
        desk.frame.select(_KEYS).filter(at),
        code=pl.lit(what.code),
        numeric_value=value.filter(at),
        unit=pl.lit(what.unit or None, pl.String),
    )


_KEYS: Final = [
    ROW,
    *(
        pl.col(key(name)).alias(name)
        for name in ("subject_id", "time", "available", "visit_id", "site", "source")
    ),
]


def event(desk: Desk, what: Event) -> pl.DataFrame:
    """Give one event for each row that says it."""
    frame = desk.frame.with_columns(
        [_recoded(desk.frame[name], values) for name, values in what.recode.items()]
    )
    code = filled(frame, what.code)
    columns: dict[str, pl.Series] = {"code": code, "unit": _unit(frame, what, code), **_times(desk, what)}
    if what.value:
        columns["numeric_value"] = desk.number(what.value)
    if what.text:
        columns["text_value"] = frame[what.text].cast(pl.String)
    says = code.is_not_null()
    if not what.static:
        says &= columns.get("time", frame[key("time")]).is_not_null()
    for name in what.needs:
        says &= frame[name].is_not_null()
    for name, wanted in what.only.items():
        says &= (_plain(frame[name]) == wanted).fill_null(value=False)
    return _events(frame.select(_KEYS), **columns).filter(says)


def described(desk: Desk, what: Event) -> pl.DataFrame:
    """Give what the rows say of the codes that they name: description and parents."""
    frame = desk.frame.with_columns(
        [_recoded(desk.frame[name], values) for name, values in what.recode.items()]
    )
    columns = {"code": filled(frame, what.code), "description": filled(frame, what.description)}
    columns |= {f"parent {i}": filled(frame, parent) for i, parent in enumerate(what.parents)}
    found = pl.DataFrame(columns).drop_nulls("code").unique()
    parents = pl.concat_list(
        [pl.col(name) for name in columns if name.startswith("parent ")] or [pl.lit(None, pl.String)]
    )
    return found.select(
        "code",
        description=pl.col("description").replace("", None),
        parent_codes=parents.list.drop_nulls(),
        unit=pl.lit(None, pl.String),
    )


def _times(desk: Desk, what: Event) -> dict[str, pl.Series]:
    """Give an event's own times, where it has them."""
    if what.static:
        return dict.fromkeys(
            ("time", "available"), pl.repeat(None, desk.frame.height, dtype=pl.Int64, eager=True)
        )
    columns: dict[str, pl.Series] = {}
    if what.time is not None:
        columns["time"], columns["available"] = desk.moment(what.time)
    if what.available is not None:
        known = desk.moment(what.available)[1]
        columns["available"] = known.fill_null(columns.get("available", desk.frame[key("available")]))
    return columns


def _plain(column: pl.Series) -> pl.Series:
    """Give a column as text, whole numbers without a decimal point."""
    if column.dtype.is_float():
        whole = (column == column.round(0)).fill_null(value=False)
        return pl.select(
            pl.when(whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        ).to_series()
    return column.cast(pl.String)


def _recoded(column: pl.Series, values: dict[str, str]) -> pl.Series:
    return _plain(column).replace_strict(values, default=None, return_dtype=pl.String).rename(column.name)


def _unit(frame: pl.DataFrame, what: Event, code: pl.Series) -> pl.Series:
    if what.unit_in_code:
        return code.str.extract(what.unit_in_code, 1)
    return (
        filled(frame, what.unit) if what.unit else pl.repeat(None, frame.height, dtype=pl.String, eager=True)
    )


def birth(desk: Desk, what: Birth) -> pl.DataFrame:
    """Give births from ages, on the day."""
    age, (at, _) = desk.number(what.age), desk.moment(what.at)
    desk.spoil((age < 0) | (age > 150 * SECONDS["a"] / SECONDS[what.unit]), what.age, "not an age")
    day = 86_400 * 1e6
    born = ((at - age * (SECONDS[what.unit] * 1e6)) // day * day).cast(pl.Int64, strict=False)
    ok = age.is_not_null() & at.is_not_null()
    frame = _events(
        desk.frame.select(_KEYS),
        code=pl.lit(codes.BIRTH),
        time=born,
        available=born,
        visit_id=pl.lit(None, pl.Int64),
    )
    return frame.filter(ok)


_YES: Final = frozenset({"1", "1.0", "true", "True", "TRUE", "yes", "Y"})
_NO: Final = frozenset({"0", "0.0", "false", "False", "FALSE", "no", "N"})


def label(desk: Desk, what: Label) -> pl.DataFrame:
    """Give one label for each row that has one, at the row's time."""
    column = desk.frame[what.column]
    if what.kind == "categorical":
        value = column.cast(pl.String)
    elif what.kind == "boolean":
        value = _boolean(desk, what.column, column)
    else:
        value = desk.number(what.column)
    keys = (ROW, pl.col(key("subject_id")).alias("subject_id"), pl.col(key("time")).alias("prediction_time"))
    frame = desk.frame.select(keys).with_columns(value.alias(f"{what.kind}_value"))
    missing = {name: pl.lit(None, kind) for name, kind in LABEL.items() if name not in frame.columns}
    whole = frame.with_columns(**missing).filter(value.is_not_null())
    return whole.select([pl.col(name).cast(kind) for name, kind in LABEL.items()])


def _boolean(desk: Desk, name: str, column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return column
    text = _plain(column)
    value = text.replace_strict(
        {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}, default=None, return_dtype=pl.Boolean
    )
    desk.spoil(text.is_not_null() & value.is_null(), name, "neither true nor false")
    return value
