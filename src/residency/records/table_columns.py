"""In: columns of a table as they stand. Out: numbers, times and templates, and which cells cannot be."""

from typing import Final

import polars as pl

from residency.contract.errors import SpecError
from residency.records import clock
from residency.records.clock import Clock
from residency.records.table_mapping import SECONDS, Moment, braced

_DAY: Final = 86_400_000_000
_HOUR: Final = 3_600_000_000


def numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Give a column as numbers, NaN as nothing, and the cells that are none."""
    found = column.cast(pl.Float64, strict=False) if column.dtype != pl.Float64 else column
    wrong = found.is_null() & column.is_not_null()
    if wrong.any():
        wrong &= column.cast(pl.String).str.strip_chars() != ""
    return found.fill_nan(None), wrong | found.is_infinite().fill_null(value=False)


def filled(frame: pl.DataFrame, template: str) -> pl.Series:
    """Fill a template's braces row by row; nothing where a column it names is empty.

    Example:
        >>> filled(pl.DataFrame({"a": ["x", None]}), "LAB/{a}").to_list()
        ['LAB/x', None]
    """
    if not braced(template):
        return pl.repeat(template, frame.height, dtype=pl.String, eager=True)
    parts = template
    for number, name in enumerate(dict.fromkeys(braced(template))):
        parts = parts.replace("{" + name + "}", f"\x00{number}\x00")
    names = list(dict.fromkeys(braced(template)))
    pieces = [
        pl.col(names[int(piece)]).cast(pl.String) if index % 2 else pl.lit(piece)
        for index, piece in enumerate(parts.split("\x00"))
    ]
    return frame.select(pl.concat_str(pieces).alias("filled"))["filled"]


def moments(frame: pl.DataFrame, moment: Moment, hours: Clock) -> tuple[pl.Series, pl.Series]:
    """Give the first and the last microsecond that each row's time means; `clock.BAD` for what is no time."""
    if moment.column:
        first, last = _stated(frame[moment.column], moment, hours)
    else:
        first = last = _reckoned(frame, moment, hours)
    if moment.delay_hours:
        delay = int(moment.delay_hours * _HOUR)
        first, last = (_shifted(one, delay) for one in (first, last))
    return first, last


def _shifted(values: pl.Series, by: int) -> pl.Series:
    return pl.select(pl.when(values == clock.BAD).then(values).otherwise(values + by)).to_series()


def _stated(column: pl.Series, moment: Moment, hours: Clock) -> tuple[pl.Series, pl.Series]:
    if column.dtype.is_temporal():
        return _typed(column, hours)
    if column.dtype != pl.String:
        raise SpecError(
            f"column {moment.column} is {column.dtype}, neither a time nor text", mend="use offset and anchor"
        )
    if not moment.format:
        return _looked_up(column, hours.first), _looked_up(column, hours.last)
    found = (
        column.str.to_datetime(moment.format, strict=False, time_unit="us")
        if _has_hours(moment.format)
        else (column.str.to_date(moment.format, strict=False))
    )
    first, last = _typed(found, hours)
    wrong = column.is_not_null() & found.is_null()
    return first.set(wrong, clock.BAD), last.set(wrong, clock.BAD)


def _has_hours(form: str) -> bool:
    return any(mark in form for mark in ("%H", "%I", "%T", "%s", "%R", "%c"))


def _typed(column: pl.Series, hours: Clock) -> tuple[pl.Series, pl.Series]:
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone(hours.zone_name) if hours.zone_name else column
        column = column.dt.replace_time_zone(None)
    first = column.cast(pl.Datetime("us")).cast(pl.Int64)
    return first, first + (_DAY - 1) if column.dtype == pl.Date else first


def _looked_up(column: pl.Series, read: clock.Cache[str]) -> pl.Series:
    texts = column.unique().drop_nulls()
    values = pl.Series([read[text.strip().replace(" ", "T")] for text in texts], dtype=pl.Int64)
    return column.replace_strict(texts, values, default=None, return_dtype=pl.Int64).rename("")


def _reckoned(frame: pl.DataFrame, moment: Moment, hours: Clock) -> pl.Series:
    anchor = (
        _looked_up(frame[moment.anchor_column].cast(pl.String), hours.first)
        if moment.anchor_column
        else pl.repeat(hours.first[moment.anchor], frame.height, dtype=pl.Int64, eager=True)
    )
    total, bad = anchor, (anchor == clock.BAD).fill_null(value=False)
    for name, sign in ((moment.offset, 1.0), (moment.minus, -1.0)):
        if name:
            shift, wrong = _spans(frame[name], sign * SECONDS[moment.unit] * 1e6)
            total, bad = total + shift, bad | wrong
    return total.set(bad, clock.BAD)


def _spans(column: pl.Series, unit: float) -> tuple[pl.Series, pl.Series]:
    """Give a column of durations in microseconds, and the cells that are none."""
    found, wrong = numbers(column)
    span = (found * unit).round(0)
    wrong |= (span.abs() > 2**60).fill_null(value=False)
    return span.set(wrong, 0.0).cast(pl.Int64), wrong
