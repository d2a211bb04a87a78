"""In: a code and its description. Out: what the rules call it: laboratory, procedure, condition or drug.

The spellings are data (`tables/concepts.toml`). A code that the table lacks
has no concept, and no rule sees it.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeVar

from residency.contract.specs import read

Table = TypeVar("Table")
TABLES: Final = "tables"
DRUG_SYSTEMS: Final = ("RXNORM/", "NDC/", "ATC/", "LOCAL/")
ALLERGY: Final = "ALLERGY/"
_KINDS: Final = ("laboratory", "procedure", "condition", "drug")
_BY_SPELLING: Final = ("ICD10CM/", "ICD10/", "ICD9CM/", "ATC/")


def table(name: str) -> dict[str, Any]:
    """Read one of the room's tables."""
    text = files(__package__).joinpath(TABLES, name).read_text("utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True)
class Concepts:
    """The table, ready to be looked up.

    Attributes:
        by_code: concept of each code that is spelled out.
        by_stem: concept of each code that takes those below it too.
        by_word: concept of each word of a drug's description.
        says: each concept's name for a reader.
        n_codes: how many codes each is spelled by; the fewer, the narrower.
        kinds: of each concept.
        classes: members of each class of drugs.
    """

    by_code: dict[str, tuple[str, ...]]
    by_stem: dict[str, tuple[str, ...]]
    by_word: dict[str, str]
    says: dict[str, str]
    n_codes: dict[str, int]
    kinds: dict[str, str]
    classes: dict[str, tuple[str, ...]]

    def members(self, name: str) -> tuple[str, ...]:
        """Give the concepts of a class; a concept is its own class.

        Raises:
            KeyError: the table has neither.
        """
        if name in self.classes:
            return self.classes[name]
        return (name,) if name in self.kinds else (_missing(name),)


def _missing(name: str) -> str:
    raise KeyError(name)


@cache
def concepts() -> Concepts:
    """Read the table."""
    rows = table("concepts.toml")
    classes = {name: tuple(them) for name, them in rows["class"].items()}
    found = Concepts(by_code={}, by_stem={}, by_word={}, says={}, n_codes={}, kinds={}, classes=classes)
    for kind in _KINDS:
        for name, row in rows[kind].items():
            found.kinds[name], found.says[name] = kind, row.get("says", name.replace("_", " "))
            found.n_codes[name] = len(row.get("codes", ()))
            for code in row.get("codes", ()):
                into = found.by_stem if code.startswith(_BY_SPELLING) else found.by_code
                into[code] = (*into.get(code, ()), name)
            found.by_word.update(dict.fromkeys(row.get("words", ()), name))
    found.says.update({name: name.replace("_", " ") for name in found.classes})
    return found


def rule_table(kind: type[Table], name: str, spoken_of: Callable[[Table], Iterable[str]]) -> Table:
    """Read a table whose rules speak of concepts.

    Args:
        kind: what it is.
        name: of the file.
        spoken_of: gives all concepts that it speaks of.

    Raises:
        SpecError: names every wrong key at once.
        KeyError: it speaks of something that the table of concepts lacks.
    """
    found = read(kind, table(name), where=name)
    for one in spoken_of(found):
        concepts().members(one)
    return found


@cache
def concepts_of(code: str, description: str) -> frozenset[str]:
    """Give the concepts of a code; of an allergy the drugs that it is to, as `allergy:NAME`.

    Example:
        >>> sorted(concepts_of("ICD10CM/N18.4", ""))
        ['chronic_kidney_disease', 'severe_kidney_disease']
        >>> sorted(concepts_of("ALLERGY/RXNORM:2670", "allergy: Codeine"))
        ['allergy:codeine']
    """
    if code.startswith(ALLERGY):
        inner = code.removeprefix(ALLERGY).replace(":", "/", 1)
        return frozenset(f"allergy:{name}" for name in _words(inner, description))
    found = concepts()
    stems = (name for stem in _stems(code) for name in found.by_stem.get(stem, ()))
    return frozenset((*found.by_code.get(code, ()), *stems, *_words(code, description)))


def _stems(code: str) -> Iterator[str]:
    """Give a code and what it is below, by its spelling."""
    if code.startswith(_BY_SPELLING):
        first = code.index("/") + 2
        yield from (
            code[:end].removesuffix(".") for end in range(first, len(code) + 1) if code[end - 1] != "."
        )


def _words(code: str, description: str) -> Iterator[str]:
    if code.startswith(DRUG_SYSTEMS):
        said = description.lower()
        by_word = concepts().by_word
        yield from (name for word, name in by_word.items() if re.search(rf"\b{word}\b", said))
