"""In: dates and times as FHIR writes them. Out: naive local microseconds, of what they mean.

A date without a time means its whole day, `2019-05` its whole month, `2019` its whole year: the event is
placed at the first instant, and was available at the last. An offset is dropped and the wall clock kept,
unless the mapping names the site's zone; then the instant is turned into that zone's wall clock.
"""

import calendar
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

T = TypeVar("T", str, bytes)
NONE: Final = int(np.iinfo(np.int64).min)
"""No time is given. Arrow's null is kept apart from it."""
BAD: Final = NONE + 1
"""What is given is no time."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - times in tables are naive
_MICROSECOND: Final = timedelta(microseconds=1)
_PARTIAL: Final = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
_OFFSET: Final = r"(Z|[+-][0-9]{2}:[0-9]{2})$"
_NO_OFFSET: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.]([0-9]{3}|[0-9]{6}))?$"
_FULL: Final = _NO_OFFSET[:-1] + "(Z|[+-][0-9]{2}:[0-9]{2})?$"
Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
_CACHED: Final = 1_000_000


class Cache(dict[T | None, int], Generic[T]):
    """Reads each distinct text once; forgets all when it grows too large."""

    def __init__(self, read: Callable[[T], int], none: int) -> None:
        super().__init__({None: none})
        self._read: Callable[[T], int] = read
        self._none = none

    def __missing__(self, text: T) -> int:
        if len(self) > _CACHED:
            self.clear()
            self[None] = self._none
        value: int = self._read(text)
        self[text] = value
        return value


def microseconds(moment: datetime) -> int:
    """Give a naive time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


class Clock:
    """Reads times of one site.

    Attributes:
        zone_name: of the site, or empty.
        first: text to the first instant it means.
        last: text to the last instant it means.
        middle: text to the middle of what it means, for births: the year alone errs by half a year at most.
    """

    def __init__(self, time_zone: str = "") -> None:
        self.zone_name = time_zone
        self._zone = ZoneInfo(time_zone) if time_zone else None
        self.first = Cache(lambda text: self._both(text)[0], NONE)
        self.last = Cache(lambda text: self._both(text)[1], NONE)
        self.middle = Cache(self._middle, NONE)

    def firsts(self, texts: list[str | None]) -> Ints:
        """Give the first instant that each text means, a column at a time."""
        return self._column(texts, self.first)

    def lasts(self, texts: list[str | None]) -> Ints:
        """Give the last instant that each text means, a column at a time."""
        return self._column(texts, self.last)

    def _column(self, texts: list[str | None], read: Cache[str]) -> Ints:
        """Let Arrow read full times; the rest, and all where a zone is to be heeded, is read text by text."""
        column = pa.array(texts, pa.string())
        plain = pc.match_substring_regex(column, _FULL if self._zone is None else _NO_OFFSET)
        plain = pc.fill_null(plain, False).to_numpy(zero_copy_only=False)
        found = np.full(len(texts), NONE, np.int64)
        try:
            found[plain] = (
                _without_offset(column.filter(pa.array(plain)))
                .cast(pa.timestamp("us"))
                .cast(pa.int64())
                .to_numpy()
            )
        except pa.ArrowInvalid:  # one of them is no day of the calendar
            plain[:] = False
        for i in np.flatnonzero(~plain).tolist():
            found[i] = read[texts[i]]
        return found

    def _both(self, text: str) -> tuple[int, int]:
        """Read a text once for both ends."""
        first, last = self._span(text)
        self.first[text], self.last[text] = first, last
        return first, last

    def _span(self, text: str) -> tuple[int, int]:
        try:
            if text[10:11] == "T" and text[4] == text[7] == "-" and text[13:14] == ":":
                instant = self._instant(text)
                return instant, instant
            if _PARTIAL.fullmatch(text):
                return _whole(text)
        except (ValueError, OverflowError):
            return BAD, BAD
        return BAD, BAD

    def _instant(self, text: str) -> int:
        if self._zone is None:  # the wall clock stays, so the offset need not be read
            text = text[:-1] if text[-1] == "Z" else text[:-6] if text[-6] in "+-" else text
            return microseconds(datetime.fromisoformat(text))
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(self._zone).replace(tzinfo=None)
        return microseconds(moment)

    def _middle(self, text: str) -> int:
        first, last = self._span(text)
        if len(text) >= 10 or first == BAD:
            return first
        day = 86_400_000_000
        return (first + (last - first) // 2) // day * day


def _without_offset(column: pa.StringArray) -> pa.StringArray:
    """Cut offsets off; where no second has a fraction that is the first 19 letters."""
    if pc.all(pc.is_in(pc.binary_length(column), pa.array([19, 20, 25], pa.int32()))).as_py() is not False:
        return pc.utf8_slice_codeunits(column, 0, 19)
    return pc.replace_substring_regex(column, _OFFSET, "")


def _whole(text: str) -> tuple[int, int]:
    parts = [int(part) for part in text.split("-")]
    year, month, day = parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1
    start = datetime(year, month, day)  # noqa: DTZ001
    days = (
        1 if len(parts) == 3 else calendar.monthrange(year, month)[1] if len(parts) == 2 else _days_of(year)
    )
    first = microseconds(start)
    return first, first + days * 86_400_000_000 - 1


def _days_of(year: int) -> int:
    return 366 if calendar.isleap(year) else 365
