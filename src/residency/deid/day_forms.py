"""In: a note, and the day it was written. Out: the dates in it, with the places of their parts.

A date is written anew by `rewrite`: another day, the same form.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Final

from residency.deid.lexicon import lexicon
from residency.deid.spans import DatePart, Note, Span

_NAMES: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTHS: Final = {name: i + 1 for i, name in enumerate(_NAMES)} | {
    **{name[:3]: i + 1 for i, name in enumerate(_NAMES)},
    "sept": 9,
}
_DIGITS: Final = re.compile(r"\d+")
_NUMERIC: Final = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{2,4}(?!\d|[-/.]\d)")
_COMPACT: Final = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d|\.\d)")
_SHORT: Final = re.compile(r"\d{1,2}/(?:\d{4}|\d{1,2})(?![\w/%]|[.,-]\d)")
_AFTER: Final = re.compile(
    r"\.?[\s,\-]{0,2}(?:of )?(?:the )?(\d{1,2})(?:\s?(st|nd|rd|th))?(?![\d/:]|\s?[ap]\.?m\b)"
    r"(?:(?:,\s?|\s|-|/|, of | of )((?:19|20)\d\d|'\d\d)(?!\d))?"
)
_AFTER_YEAR: Final = re.compile(r"\.?(?:,?\s|-|/| of |, )((?:19|20)\d\d|'\d\d)(?!\d)")
_BEFORE: Final = re.compile(r"(?<![\w./])(\d{1,2})(st|nd|rd|th)?(?: of)?[\s\-/.]{0,2}$")
_BEFORE_YEAR: Final = re.compile(r"(?<!\d)((?:19|20)\d\d)[\s\-/]$")
_SEASON_YEAR: Final = re.compile(r"(?: of|,)? ((?:19|20)\d\d)(?!\d)")
_THE_NTH: Final = re.compile(
    r"\bon the (\d{1,2})(st|nd|rd|th)\b(?! (?:floor|day|percentile|week|rib|digit|toe))"
)
_UNITS: Final = re.compile(
    r"\s?(?:mg|mcg|g|ml|tab|tabs|tablets?|units?|caps?|puffs?|drops?|%|x|of|times|more|years?)\b"
)
_LATEST: Final = 2035
_MIDDLE: Final = 15


@dataclass(frozen=True)
class Clock:
    """What a date without a year is read by: the day the note was written, if that is known."""

    written: date | None = None

    def year_of(self, month: int, day: int) -> int:
        """Give the year that puts a day nearest before the note, or a little after it."""
        near = self.written or date(2020, 7, 1)
        years = (near.year - 1, near.year, near.year + 1)
        days = [found for year in years if (found := _day(year, month, day)) is not None]
        return min(days, key=lambda one: abs((one - near).days + 60), default=near).year


def find_dates(note: Note, clock: Clock, *, alone: bool = False) -> list[Span]:
    """Find dates in a note.

    Args:
        note: the text, cut into words.
        clock: the day the note was written.
        alone: also years that stand alone.
    """
    found = [*_numeric(note, clock), *_compact(note), *_short(note, clock)]
    named = _named_days()
    for at, word in enumerate(note.words):
        if word in named:
            what = named[word]
            found += _named(note, at, clock) if what == "month" else _PARTS[what](note, at)
    found += _ordinal(note, clock)
    if alone:
        found += [
            Span(note.starts[at], note.ends[at], "DATE")
            for at, word in enumerate(note.words)
            if len(word) == 4 and word.isdigit() and word[:2] in ("19", "20")
        ]
    return found


@cache
def _named_days() -> dict[str, str]:
    """Say of words that name days what they are."""
    known = lexicon().lists
    groups = {"holiday": known["holidays"], "season": known["seasons"]}
    return {
        **{word: what for what, words in groups.items() for word in words},
        **dict.fromkeys({*_MONTHS, *known["months"]}, "month"),
    }


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _full_year(text: str) -> int:
    number = int(text.strip("'"))
    if len(text.strip("'")) > 2:
        return number
    return number + (2000 if number <= _LATEST % 100 else 1900)


def _numeric(note: Note, clock: Clock) -> Iterator[Span]:
    """Find 3/14/2021, 2021-03-14, 14.03.21."""
    for hit in _NUMERIC.finditer(note.text):
        if not _inside(note.text, hit.start()):
            places = [(*one.span(), one.group()) for one in _DIGITS.finditer(hit.group())]
            order = _order([text for *_, text in places], hit.group(1))
            if order is not None:
                yield _span(hit.start(), places, order, clock)


def _inside(text: str, start: int, more: str = "") -> bool:
    """Tell whether a number goes on to the left of here."""
    before = text[start - 1 : start]
    return before.isalnum() or (before != "" and before in "._-/" + more)


def _order(parts: list[str], mark: str) -> tuple[str, str, str] | None:
    """Tell which part is the year, the month, the day."""
    if len(parts[0]) == 4:
        return _fits(parts, ("y", "m", "d"))
    if len(parts[2]) == 3 or len(parts[0]) == 3:
        return None
    year = "y" if len(parts[2]) == 4 else "yy"
    first = ("d", "m", year) if mark == "." else ("m", "d", year)
    second = ("m", "d", year) if mark == "." else ("d", "m", year)
    return _fits(parts, first) or _fits(parts, second)


def _fits(parts: list[str], order: tuple[str, str, str]) -> tuple[str, str, str] | None:
    value = dict(zip((name[0] for name in order), parts, strict=True))
    year = _full_year(value["y"])
    return order if 1880 <= year <= _LATEST and _day(year, int(value["m"]), int(value["d"])) else None


def _span(start: int, places: list[tuple[int, int, str]], order: tuple[str, ...], clock: Clock) -> Span:
    value = {name[0]: text for name, (*_, text) in zip(order, places, strict=True)}
    month = int(value["m"])
    day = int(value.get("d", _MIDDLE))
    year = _full_year(value["y"]) if "y" in value else clock.year_of(month, day)
    parts = tuple(DatePart(low, high, name) for name, (low, high, _) in zip(order, places, strict=True))
    return Span(start, start + places[-1][1], "DATE", day=_day(year, month, day), parts=parts)


def _compact(note: Note) -> Iterator[Span]:
    """Find 20210314."""
    for at in note.numbers:
        hit = _COMPACT.match(note.text, note.starts[at]) if len(note.words[at]) == 8 else None
        if hit is None:
            continue
        day = _day(int(hit.group()[:4]), int(hit.group()[4:6]), int(hit.group()[6:8]))
        if day is not None and day.year <= _LATEST and not _inside(note.text, hit.start()):
            parts = (DatePart(0, 4, "y"), DatePart(4, 6, "m"), DatePart(6, 8, "d"))
            yield Span(hit.start(), hit.start() + 8, "DATE", day=day, parts=parts)


def _short(note: Note, clock: Clock) -> Iterator[Span]:
    """Find 3/2021, and 3/14 where the words before it speak of a day."""
    for hit in _SHORT.finditer(note.text) if "/" in note.text else ():
        if _inside(note.text, hit.start(), ","):
            continue
        first, second = hit.group().split("/")
        places = [(0, len(first), first), (len(first) + 1, len(hit.group()), second)]
        if len(second) == 4:
            if 1 <= int(first) <= 12 and 1900 <= int(second) <= _LATEST:
                yield _span(hit.start(), places, ("m", "y"), clock)
        elif _speaks_of_a_day(note, hit) and 1 <= int(first) <= 12 and _day(2020, int(first), int(second)):
            yield _span(hit.start(), places, ("m", "d"), clock)


def _speaks_of_a_day(note: Note, hit: re.Match[str]) -> bool:
    before = note.folded[max(0, hit.start() - 16) : hit.start()]
    after = note.text[hit.end() : hit.end() + 4]
    lead = re.search(r"([a-z]+)[\s:.=(]*$", before)
    if lead and lead.group(1) in lexicon().lists["slash_leads"] and not re.match(r"\s?(?:pain|str)", after):
        return True
    line_start = not before.rstrip(" (*-•").strip() or before.rstrip(" (*-•").endswith("\n")
    return (line_start and after[:1] == ":") or bool(re.match(r"\s?[-–]\s?\d{1,2}/\d", after))


def _named(note: Note, at: int, clock: Clock) -> Iterator[Span]:
    """Find March 5, 2021; 5 March 2021; Mar 2021; in March."""
    month = _MONTHS.get(note.words[at]) or _NAMES.index(note.words[at]) + 1
    start, end = note.starts[at], note.ends[at]
    is_capital = note.capital(at)
    if not is_capital and note.words[at] in ("may", "mar", "march", "dec", "jun", "sep"):
        return
    name = (0, end - start, "mon")
    after = _AFTER.match(note.folded, end)
    before = _BEFORE.search(note.folded[max(0, start - 10) : start])
    year_after = _AFTER_YEAR.match(note.folded, end)
    if before and 1 <= int(before.group(1)) <= 31 and not (after and after.group(2)):
        yield from _day_first(note, at, month, before, year_after)
    elif after and _day(2020, month, int(after.group(1))) and not _is_dose(note, after):
        yield from _month_first(note, at, month, after, clock)
    elif year_after:
        year = year_after.group(1)
        low = year_after.start(1) - start
        parts = (DatePart(*name), DatePart(low, low + len(year), "y" if len(year) == 4 else "yy"))
        yield Span(start, year_after.end(), "DATE", day=_day(_full_year(year), month, _MIDDLE), parts=parts)
    elif is_capital and at and note.words[at - 1] in lexicon().lists["date_leads"]:
        day = _day(clock.year_of(month, _MIDDLE), month, _MIDDLE)
        yield Span(start, end, "DATE", day=day, parts=(DatePart(*name),))


def _is_dose(note: Note, after: re.Match[str]) -> bool:
    return after.group(3) is None and bool(_UNITS.match(note.folded, after.end()))


def _month_first(note: Note, at: int, month: int, after: re.Match[str], clock: Clock) -> Iterator[Span]:
    start = note.starts[at]
    day = int(after.group(1))
    year = _full_year(after.group(3)) if after.group(3) else clock.year_of(month, day)
    parts = [
        DatePart(0, note.ends[at] - start, "mon"),
        DatePart(after.start(1) - start, after.end(1) - start, "d"),
    ]
    if after.group(2):
        parts.append(DatePart(after.start(2) - start, after.end(2) - start, "ord"))
    if after.group(3):
        what = "y" if len(after.group(3)) == 4 else "yy"
        parts.append(DatePart(after.start(3) - start, after.end(3) - start, what))
    yield Span(start, after.end(), "DATE", day=_day(year, month, day), parts=tuple(parts))


def _day_first(
    note: Note, at: int, month: int, before: re.Match[str], year_after: re.Match[str] | None
) -> Iterator[Span]:
    base = max(0, note.starts[at] - 10)
    start = base + before.start(1)
    day = int(before.group(1))
    parts = [DatePart(0, before.end(1) - before.start(1), "d")]
    if before.group(2):
        parts.append(DatePart(before.start(2) - before.start(1), before.end(2) - before.start(1), "ord"))
    parts.append(DatePart(note.starts[at] - start, note.ends[at] - start, "mon"))
    end, year = note.ends[at], 2020
    if year_after:
        year, end = _full_year(year_after.group(1)), year_after.end()
        what = "y" if len(year_after.group(1)) == 4 else "yy"
        parts.append(DatePart(year_after.start(1) - start, year_after.end(1) - start, what))
    else:
        year = Clock().year_of(month, day)
    if found := _day(year, month, day):
        yield Span(start, end, "DATE", day=found, parts=tuple(parts))


def _season(note: Note, at: int) -> Iterator[Span]:
    after = _SEASON_YEAR.match(note.folded, note.ends[at])
    if after:
        start = note.starts[at]
        middle = {"spring": 4, "summer": 7, "autumn": 10, "fall": 10, "winter": 1}[note.words[at]]
        parts = (
            DatePart(0, note.ends[at] - start, "season"),
            DatePart(after.start(1) - start, after.end(1) - start, "y"),
        )
        yield Span(start, after.end(), "DATE", day=_day(int(after.group(1)), middle, _MIDDLE), parts=parts)


def _holiday(note: Note, at: int) -> Iterator[Span]:
    end = note.ends[at]
    follows = note.words[at + 1] if at + 1 < len(note) else ""
    if note.words[at] == "christmas" and follows in ("disease", "factor"):
        return
    if follows in ("day", "eve", "weekend", "dinner"):
        end = note.ends[at + 1]
    yield Span(note.starts[at], end, "HOLIDAY")


_PARTS: Final[dict[str, Callable[[Note, int], Iterator[Span]]]] = {"season": _season, "holiday": _holiday}


def _ordinal(note: Note, clock: Clock) -> Iterator[Span]:
    """Find "on the 14th", a day of the month the note was written in."""
    if "on the " not in note.folded or clock.written is None:
        return
    for hit in _THE_NTH.finditer(note.folded):
        day = _day(clock.written.year, clock.written.month, int(hit.group(1)))
        if day is not None:
            size = hit.end(1) - hit.start(1)
            parts = (DatePart(0, size, "d"), DatePart(size, size + 2, "ord"))
            yield Span(hit.start(1), hit.end(2), "DATE", day=day, parts=parts)


def rewrite(text: str, span: Span, days: int) -> str:
    """Write a date so many days later, in the form it has."""
    if span.day is None:
        return "[date]"
    try:
        moved = span.day + timedelta(days=days)
    except OverflowError:
        return "[date]"
    shown = text[span.start : span.end]
    numbers = [shown[part.start : part.end] for part in span.parts if part.what in "md"]
    padded = any(one.startswith("0") for one in numbers) or (bool(numbers) and span.parts[0].what == "y")
    for part in sorted(span.parts, key=lambda one: -one.start):
        new = _WRITE[part.what](shown[part.start : part.end], moved)
        new = f"0{new}" if padded and len(new) == 1 else new
        shown = shown[: part.start] + new + shown[part.end :]
    return shown


def _write_month_name(old: str, day: date) -> str:
    name = _NAMES[day.month - 1]
    shown = name if old.lower() in _NAMES and (len(old) > 3 or old.lower() == "may") else name[:3]
    return shown.upper() if old.isupper() else shown.capitalize() if old[:1].isupper() else shown


def _write_season(old: str, day: date) -> str:
    shown = ("winter", "spring", "summer", "fall")[day.month % 12 // 3]
    return shown.upper() if old.isupper() else shown.capitalize() if old[:1].isupper() else shown


def _ending(day: date) -> str:
    return "th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")


_WRITE: Final[dict[str, Callable[[str, date], str]]] = {
    "y": lambda _, day: str(day.year),
    "yy": lambda old, day: ("'" if old.startswith("'") else "") + f"{day.year % 100:02d}",
    "m": lambda _, day: str(day.month),
    "d": lambda _, day: str(day.day),
    "mon": _write_month_name,
    "ord": lambda _, day: _ending(day),
    "season": _write_season,
}
