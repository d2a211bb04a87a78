"""In: a sentence that rests on records, and another wording of it. Out: what that adds, drops or turns.

Strict on purpose: a wording passes only where it says the same by the words it is made of. Numbers, drugs and
words that turn a meaning (negation, side, whose, when, which way, how sure, why) must be the same in the same
order; of the other words none may be new and none may go, those of a closed list of fillers apart. Dates may
stand anywhere, in their order. Many a good wording is cut so; no wrong one of the
kinds that are tested passes.
"""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final, Literal

from residency.reasoning.concepts import concepts, table

Fault = Literal["numbers", "dates", "drugs or turning words", "added words", "lost words", "markup"]
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_NAMES: Final = "|".join(_MONTHS)
_DAY_FIRST: Final = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? ({_NAMES}),? (\d{{4}})\b", re.IGNORECASE)
_MONTH_FIRST: Final = re.compile(rf"\b({_NAMES}) (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})\b", re.IGNORECASE)
_TOKEN: Final = re.compile(r"\d{4}-\d\d-\d\d|\d+(?:[.,]\d+)*|[^\W\d_](?:[\w'-]*\w)?|[%/]")
_MARKUP: Final = re.compile(r"[<>{}`*#|\\]|\[[^\]]*\]\(|https?://")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_STEM: Final = re.compile(r"(?:'s|s|es|ed|ing)$")


@dataclass(frozen=True)
class Words:
    """What a sentence is made of.

    Attributes:
        dates: in their order.
        order: numbers with their units, drugs and turning words, in their order.
        numbers: numbers alone, in their order.
        rest: stems of all other words but fillers.
    """

    dates: tuple[str, ...]
    order: tuple[str, ...]
    numbers: tuple[str, ...]
    rest: frozenset[str]


@cache
def _lists() -> tuple[frozenset[str], frozenset[str]]:
    """Give fillers, and words whose order counts."""
    rows = table("phrasing.toml")
    drugs = {part for word in concepts().by_word for part in word.split()}
    return frozenset(rows["free"]), frozenset(rows["turning"]) | drugs


def words_of(text: str) -> Words:
    """Take a sentence apart.

    Example:
        >>> words_of("Creatinine 1.4 mg/dL on 20 February 2020.").dates
        ('2020-02-20',)
    """
    free, ordered = _lists()
    tokens = [one.lower() for one in _TOKEN.findall(_iso(text))]
    dates = tuple(one for one in tokens if _DATE.fullmatch(one))
    others = [one for one in tokens if not _DATE.fullmatch(one)]
    order: list[str] = []
    rest: set[str] = set()
    for place, token in enumerate(others):
        if token[0].isdigit():
            following = others[place + 1] if place + 1 < len(others) else ""
            order.append(f"{token} {following}" if following not in free | ordered else token)
        elif token in ordered:
            order.append(token)
        elif token not in free:
            rest.add(_STEM.sub("", token) or token)
    numbers = tuple(one for one in others if one[0].isdigit())
    return Words(dates, tuple(order), numbers, frozenset(rest))


def _iso(text: str) -> str:
    """Spell dates in words as numbers."""
    spelled = _DAY_FIRST.sub(lambda m: _day(m[3], m[2], m[1]), text)
    return _MONTH_FIRST.sub(lambda m: _day(m[3], m[1], m[2]), spelled)


def _day(year: str, month: str, day: str) -> str:
    try:
        return date(int(year), _MONTHS.index(month.lower()) + 1, int(day)).isoformat()
    except ValueError:
        return f"{year}-00-00"


def fault(said: str, of: str) -> Fault | None:
    """Say why a wording does not pass; None where it does.

    Args:
        said: the other wording.
        of: the sentence that rests on records.

    Example:
        >>> fault("The creatinine was 1.4 mg/dL.", of="Creatinine: 1.4 mg/dL.")
        >>> fault("The creatinine was 14 mg/dL.", of="Creatinine: 1.4 mg/dL.")
        'numbers'
    """
    mine, theirs = words_of(said), words_of(of)
    checks: tuple[tuple[Fault, bool], ...] = (
        ("markup", bool(set(_MARKUP.findall(said)) - set(_MARKUP.findall(of)))),
        ("numbers", Counter(mine.numbers) != Counter(theirs.numbers)),
        ("dates", mine.dates != theirs.dates),
        ("drugs or turning words", mine.order != theirs.order),
        ("added words", bool(mine.rest - theirs.rest)),
        ("lost words", bool(theirs.rest - mine.rest)),
    )
    return next((name for name, wrong in checks if wrong), None)
