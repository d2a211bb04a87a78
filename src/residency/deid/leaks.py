"""In: what of a note stands as it was, and who the patients are. Out: whether it still holds an identifier.

It looks for the same facts as the scrubber, by other code: bare words and bare digits, whatever stands around
them. Names that are words or eponyms too are left to the scrubber, which reads what stands around them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from residency.deid.known import Known
from residency.deid.lexicon import fold, lexicon

_WORDS: Final = re.compile(r"[^\W\d_]+")
_DIGITS: Final = re.compile(r"\d(?:[\d\-./() ]*\d)?")
_LONG_NAME: Final = 4
_LONG_NUMBER: Final = 6


@dataclass(frozen=True)
class Everyone:
    """What is known of all patients of a shard: bare numbers, e-mail addresses, full names as pairs."""

    numbers: frozenset[str]
    texts: frozenset[str]
    names: frozenset[tuple[str, str]]


def everyone(who: Mapping[int, Known]) -> Everyone:
    """Gather what is known of all patients."""
    numbers = {
        one for known in who.values() for one in known.numbers if one.isdigit() and len(one) >= _LONG_NUMBER
    }
    texts = {text for known in who.values() for text in known.texts}
    names = {(name[0], name[-1]) for known in who.values() for name in known.names if len(name) > 1}
    return Everyone(frozenset(numbers), frozenset(texts), frozenset(names))


def own_left(rest: str, known: Known) -> bool:
    """Tell whether a note still holds something of its own patient."""
    folded = fold(rest)
    words = _WORDS.findall(folded)
    names = {word for word in known.name_words if len(word) >= _LONG_NAME and not _is_word(word)}
    return bool(names.intersection(words)) or _numbers_left(folded, known.numbers, known.texts)


def _is_word(word: str) -> bool:
    known = lexicon()
    return word in known.words or word in known.lists["generic"] or word in known.lists["eponyms"]


def others_left(rest: str, all_: Everyone) -> bool:
    """Tell whether a note still holds a number, an address or a full name of any patient of the shard."""
    folded = fold(rest)
    lines = [_WORDS.findall(line) for line in folded.split("\n")]
    pairs = {pair for words in lines for pair in pairwise(words)}
    return not pairs.isdisjoint(all_.names) or _numbers_left(folded, all_.numbers, all_.texts)


def _numbers_left(folded: str, numbers: frozenset[str], texts: Iterable[str]) -> bool:
    runs = ("".join(one for one in hit if one.isdigit()) for hit in _DIGITS.findall(folded))
    found = {run for run in runs if len(run) >= _LONG_NUMBER}
    has_text = "@" in folded and any(text in folded for text in texts)
    return has_text or not found.isdisjoint(numbers)
