"""In: a text. Out: its words with their places, and spans: what in it names somebody."""

import re
from datetime import date
from functools import cached_property
from typing import Final, Literal, NamedTuple

from residency.deid.lexicon import fold

Kind = Literal[
    "NAME",
    "DATE",
    "AGE",
    "PHONE",
    "EMAIL",
    "URL",
    "IP",
    "ID",
    "ZIP",
    "ADDRESS",
    "CITY",
    "ORGANISATION",
    "HOLIDAY",
]
How = Literal["known", "rule", "classifier"]

_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_PLAIN: Final = re.compile(r"[a-z]+|[0-9]+")  # the same of folded ASCII, faster


class DatePart(NamedTuple):
    """A part of a date: where in its span, and what: y, yy, m, mon (a name), d, ord (the ending), season."""

    start: int
    end: int
    what: str


class Span(NamedTuple):
    """A stretch of text that names somebody, or says something of them that few share.

    Attributes:
        start, end: characters.
        kind: what it is.
        how: who found it: the patient's known identifiers, a rule, or a classifier.
        day: of a date, the day it means.
        parts: of a date, its parts.
    """

    start: int
    end: int
    kind: Kind
    how: How = "rule"
    day: date | None = None
    parts: tuple[DatePart, ...] = ()


class Note:
    """A text cut into words; words are folded, places are those of the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.folded = fold(text)
        words = _PLAIN if text.isascii() else _WORD
        hits = list(words.finditer(self.folded))
        self.words = [one.group() for one in hits]
        self.starts = [one.start() for one in hits]
        self.ends = [one.end() for one in hits]
        self.n_words = len(hits)

    def __len__(self) -> int:
        return self.n_words

    @cached_property
    def numbers(self) -> list[int]:
        """Which words are digits."""
        return [at for at, word in enumerate(self.words) if word.isdigit()]

    def gap(self, at: int) -> str:
        """Give what stands between a word and the next; a line's end where there is none."""
        if not 0 <= at < self.n_words - 1:
            return "\n"
        return self.text[self.ends[at] : self.starts[at + 1]]

    def capital(self, at: int) -> bool:
        """Tell whether a word begins with a capital."""
        return 0 <= at < self.n_words and self.text[self.starts[at]].isupper()

    def spelled(self, at: int) -> str:
        """Give a word as it is spelled."""
        return self.text[self.starts[at] : self.ends[at]]

    def shouted(self, at: int) -> bool:
        """Tell whether a word stands in a line of capitals, where a capital says nothing."""
        if not self._loud:
            return False
        start = self.starts[at]
        return any(begin <= start < end for begin, end in self._loud)

    @cached_property
    def _loud(self) -> list[tuple[int, int]]:
        if not _LOUD.search(self.text):
            return []
        lines, place = [], 0
        for line in self.text.split("\n"):
            n_large = len(_LARGE.findall(line)) if _LOUD.search(line) else 0
            if n_large > 3 and n_large > 4 * len(_SMALL.findall(line)):
                lines.append((place, place + len(line) + 1))
            place += len(line) + 1
        return lines

    def opens(self, at: int) -> bool:
        """Tell whether a word is the first of a sentence or a line."""
        before = self.text[: self.starts[at]].rstrip(" \t\"'(*-•")
        return not before or before[-1] in ".!?:;\n"


_LOUD: Final = re.compile(r"[A-Z]{4}")
_LARGE: Final = re.compile(r"[A-Z]")
_SMALL: Final = re.compile(r"[a-z]")


def merged(text: str, spans: list[Span]) -> list[Span]:
    """Give spans that do not overlap: the known before the found, the longer before the shorter.

    A known mention within a longer find of a kind that is replaced whole, such as a name within an e-mail
    address, makes way for it.
    """
    known = [one for one in spans if one.how == "known"]
    taken = bytearray(len(text))
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (_rank(one, known), one.start - one.end, one.start)):
        if taken.find(1, span.start, span.end) < 0:
            kept.append(span)
        else:
            kept += _free(text, span, taken)
        taken[span.start : span.end] = b"\1" * (span.end - span.start)
    return sorted(kept, key=lambda one: one.start)


_RANK: Final = {"known": 1, "rule": 2, "classifier": 3}
_NUMBERS: Final = frozenset({"EMAIL", "URL", "PHONE", "ID"})
_WHOLE: Final = _NUMBERS | {"NAME"}


def _rank(span: Span, known: list[Span]) -> int:
    if span.how == "rule" and span.kind in _WHOLE:
        for one in known:
            within = span.start <= one.start and one.end <= span.end
            if within and (span.kind == one.kind or span.kind in _NUMBERS):
                return 0
    return _RANK[span.how]


def _free(text: str, span: Span, taken: bytearray) -> list[Span]:
    """Give what of a span nobody has taken; of a date that is cut, the form is lost."""
    pieces = re.finditer(rb"\0+", taken[span.start : span.end])
    edges = [(span.start + one.start(), span.start + one.end()) for one in pieces]
    return [
        Span(low, high, span.kind, span.how)
        for low, high in edges
        if any(one.isalnum() for one in text[low:high])
    ]
