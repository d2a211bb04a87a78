"""In: the lists beside this module. Out: what the rules for notes know of words, looked up by folded word.

`names.csv`: US census of 1990 and names from elsewhere; kinds `m`, `f` (given), `s` (family), `c` (common),
`w` (also a word). `words.csv`: SCOWL's small list. `lexicon.toml`: what we wrote. The first two are made by
`scripts/name_lists.py`.
"""

import csv
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

from residency.contract import specs

Words = frozenset[str]
Phrases = Mapping[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class Lexicon:
    """Words by what they are.

    Attributes:
        male, female, family: names; `common` the frequent ones, `doubtful` those that are words too.
        words: what is spelled with a small letter.
        lists: the other lists, by their names in `lexicon.toml`.
        cities: phrases, by their first word.
        places: institutions whose names end in no telling word, likewise.
    """

    male: Words
    female: Words
    family: Words
    common: Words
    doubtful: Words
    words: Words
    lists: Mapping[str, Words]
    cities: Phrases
    places: Phrases

    @cached_property
    def given(self) -> Words:
        """Given names."""
        return self.male | self.female


def fold(text: str) -> str:
    """Give text in small letters without accents, character for character.

    Example:
        >>> fold("José ÅBERG")
        'jose aberg'
    """
    return text.lower() if text.isascii() else text.translate(_FOLDED)


class _Folded(dict[int, str]):
    """What each character folds to, worked out when it is first seen."""

    def __missing__(self, code: int) -> str:
        base = unicodedata.normalize("NFKD", chr(code))[0].lower()
        self[code] = base if len(base) == 1 else chr(code)
        return self[code]


_FOLDED = _Folded()


@cache
def lexicon() -> Lexicon:
    """Read the lists, once."""
    body = specs.load_toml(_beside("lexicon.toml"))
    names = [(row["name"], row["kinds"]) for row in _rows("names.csv")]
    return Lexicon(
        male=_with("m", names),
        female=_with("f", names),
        family=_with("s", names),
        common=_with("c", names),
        doubtful=_with("w", names),
        words=frozenset(row["word"] for row in _rows("words.csv")),
        lists={name: frozenset(str(text).replace("|", " ").split()) for name, text in body.items()},
        cities=phrases(str(body["cities"]).split("|")),
        places=phrases(str(body["known_places"]).split("|")),
    )


@cache
def surrogate_names(kind: str) -> tuple[str, ...]:
    """Give names to put in the place of others: common, and nothing but names; `kind` is m, f or s."""
    fine = {name for name in _names_of(kind) if len(name) > 3 and name.isascii() and name.isalpha()}
    return tuple(sorted(fine - lexicon().lists["eponyms"]))


def _names_of(kind: str) -> Words:
    known = lexicon()
    pool = {"m": known.male - known.female, "f": known.female - known.male, "s": known.family - known.given}
    return (pool[kind] & known.common) - known.doubtful - known.words


def phrases(found: Iterable[str]) -> Phrases:
    """Index phrases by their first word, the longest first."""
    index: dict[str, list[tuple[str, ...]]] = {}
    for one in found:
        words = tuple(one.split())
        index.setdefault(words[0], []).append(words)
    return {first: tuple(sorted(rest, key=len, reverse=True)) for first, rest in index.items()}


def inverted(groups: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Turn groups of words into the groups of each word."""
    found: dict[str, tuple[str, ...]] = {}
    for group, words in groups.items():
        for word in words:
            found[word] = (*found.get(word, ()), group)
    return found


def _with(kind: str, names: list[tuple[str, str]]) -> Words:
    return frozenset(name for name, kinds in names if kind in kinds)


def _rows(name: str) -> list[dict[str, str]]:
    with _beside(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _beside(name: str) -> Path:
    return Path(str(files("residency.deid").joinpath(name)))
