"""In: sentences of notes. Out: what they speak of: present, denied, past, possible, someone else's.

After NegEx and ConText: words before or after a concept turn its meaning, up to a word that ends their reach.
The rules are data (`facts.toml`). No grammar is read: a sentence that needs one can mislead them.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import product
from typing import Any, Final, NamedTuple

from residency.model.encoders.sentences import Sentence

TABLE: Final = "facts.toml"
TURNS: Final = ("negated", "historical", "other", "possible")
STATUSES: Final = ("present", *TURNS)
_MONTH: Final = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*")
_WORD: Final = re.compile(r"[a-z]{2}")
_END: Final = ""  # in a tree of letters: a phrase is whole here


class Fact(NamedTuple):
    """Something a sentence speaks of.

    Attributes:
        concept: its name in the table.
        start: first letter of it in the sentence.
        end: one past the last.
        turned: how its meaning is turned: of `TURNS`.
    """

    concept: str
    start: int
    end: int
    turned: frozenset[str]

    @property
    def status(self) -> str | None:
        """The one thing to remember; None of what somebody else does not have."""
        if "other" in self.turned:
            return None if "negated" in self.turned else "other"
        return next(
            (turn for turn in ("negated", "historical", "possible") if turn in self.turned), "present"
        )


class _Word(NamedTuple):
    """A trigger or terminator in a sentence: where it is, and what it does: (turn, after, before or end)."""

    start: int
    end: int
    does: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Rules:
    """The table, ready to be looked for."""

    concepts: Mapping[str, str]
    words: Mapping[str, frozenset[tuple[str, str]]]
    sections: Mapping[str, str]
    administrative: re.Pattern[str]

    def speaks_of_health(self, text: str) -> bool:
        """Whether a sentence says more than who, when and where."""
        said = text.lower()
        return bool(_WORD.search(_MONTH.sub("", said))) and not self.administrative.search(said)

    @cached_property
    def places(self) -> dict[tuple[str, str], int]:
        """Place of each concept and status in a multi-hot vector."""
        names = dict.fromkeys(self.concepts.values())
        return {pair: place for place, pair in enumerate(product(names, STATUSES))}

    @cached_property
    def headings(self) -> frozenset[str]:
        """Headings that are known."""
        return frozenset(self.sections)

    @cached_property
    def _concept(self) -> re.Pattern[str]:
        return _pattern(self.concepts, plural=True)

    @cached_property
    def _word(self) -> re.Pattern[str]:
        return _pattern(self.words, plural=False)

    def facts(self, sentence: Sentence) -> list[Fact]:
        """Give the facts of one sentence, in their order."""
        text = sentence.text.lower().replace("\u2019", "'")
        found = list(self._concept.finditer(text))
        if not found:
            return []
        words = [
            _Word(match.start(), match.end(), self.words[_key(match[0])])
            for match in self._word.finditer(text)
        ]
        turn = self.sections.get(sentence.heading, "present")
        given = frozenset() if turn == "present" else frozenset([turn])
        return [
            Fact(
                self.concepts[_singular(_key(match[0]), self.concepts)],
                match.start(),
                match.end(),
                given | {turn for turn in TURNS if _is_turned(turn, match, words)},
            )
            for match in found
        ]


def _is_turned(turn: str, concept: re.Match[str], words: list[_Word]) -> bool:
    """Whether a trigger before or after a concept reaches it."""
    before = [word for word in words if word.end <= concept.start()]
    after = [word for word in words if word.start >= concept.end()]
    return _reaches(turn, "after", reversed(before)) or _reaches(turn, "before", iter(after))


def _reaches(turn: str, side: str, words: Iterable[_Word]) -> bool:
    """Whether, going away from the concept, a trigger comes before a terminator."""
    for word in words:
        if (turn, side) in word.does:
            return True
        if (turn, "end") in word.does:
            return False
    return False


@cache
def rules() -> Rules:
    """Read the table."""
    table: dict[str, Any] = tomllib.loads(files(__package__).joinpath(TABLE).read_text("utf-8"))
    does: dict[str, set[tuple[str, str]]] = {phrase: set() for phrase in table["pseudo"]["phrases"]}
    for phrase, what in _does(table):
        does.setdefault(phrase, set()).add(what)
    return Rules(
        concepts={phrase: name for name, phrases in table["concepts"].items() for phrase in phrases},
        words={phrase: frozenset(what) for phrase, what in does.items()},
        sections={said: turn for turn, headings in table["sections"].items() for said in headings},
        administrative=_administrative(**table["administrative"]),
    )


def _administrative(begins: list[str], ends: list[str], holds: list[str]) -> re.Pattern[str]:
    first, last = ("|".join(map(re.escape, phrases)) for phrases in (begins, ends))
    return re.compile(rf"^\W*(?:{first})|(?:{last})\W*$|{'|'.join(holds)}")


def _does(table: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for turn in TURNS:
        for side in ("after", "before"):
            yield from ((phrase, (turn, side)) for phrase in table[turn][side])
        yield from ((phrase, (turn, "end")) for phrase in table["terminators"]["of_all"])
        yield from ((phrase, (turn, "end")) for phrase in table["terminators"].get(turn, ()))


def _pattern(phrases: Iterable[str], *, plural: bool) -> re.Pattern[str]:
    """Match any phrase as whole words, the longest that fits; by letters, so that many cost as few do."""
    roots: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for phrase in phrases:
        node = roots[phrase[0].isalnum()]
        for letter in phrase:
            node = node.setdefault(letter, {})
        ending = r"(?!\w)" if phrase[-1].isalnum() or phrase[-1] == "#" else ""
        node[_END] = f"(?:s|es)?{ending}" if plural else ending
    words, signs = (_any_of(root) for root in roots.values())
    return re.compile(rf"(?<![\w-])(?:{words})|(?:{signs})" if signs else rf"(?<![\w-])(?:{words})")


def _any_of(node: dict[str, Any]) -> str:
    """Give the pattern of a tree of letters."""
    branches = [f"{_letter(key)}{_any_of(below)}" for key, below in node.items() if key != _END]
    if _END in node:
        branches.append(node[_END])
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})" if branches else ""


def _letter(letter: str) -> str:
    return {" ": r"\s+", "#": r"\d"}.get(letter) or re.escape(letter)


def _key(said: str) -> str:
    return re.sub(r"\b(in (?:19|20))\d\d\b", r"\1##", " ".join(said.split()))


def _singular(said: str, concepts: Mapping[str, str]) -> str:
    return next(form for form in (said, said[:-1], said[:-2]) if form in concepts)
