"""In: sentences with fields, and what stands for them. Out: a text, its identifiers and its facts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Literal

import numpy as np

from residency.contract import specs
from residency.contract.specs import spec

Kind = Literal[
    "name", "staff", "relative", "number", "date", "date_of_birth", "telephone", "email", "address",
    "organisation", "age_over_89",
]  # fmt: skip


@dataclass(frozen=True)
class Span:
    """An identifier in a text: its first character and the one after its last."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True)
class Fact:
    """What a stretch of a text says: of whom, whether denied, whether of the past."""

    start: int
    end: int
    concept: str
    negated: bool = False
    historical: bool = False
    experiencer: Literal["patient", "family"] = "patient"


@dataclass(frozen=True)
class Word:
    """What stands for a field; `kind` is None where it identifies nobody."""

    text: str
    kind: Kind | None = None


@dataclass(frozen=True)
class Claim:
    """A fact before it has a place."""

    concept: str
    negated: bool = False
    historical: bool = False
    experiencer: Literal["patient", "family"] = "patient"


@dataclass
class Writing:
    """A text in the making."""

    words: dict[str, Word]
    parts: list[str] = field(default_factory=list)
    length: int = 0
    spans: list[Span] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def say(self, sentence: str, claim: Claim | None = None) -> None:
        """Add a sentence, its fields filled in."""
        start = self.length
        for literal, name in _parsed(sentence):
            self._add(literal)
            if name:
                word = self.words[name]
                if word.kind is not None:
                    self.spans.append(Span(self.length, self.length + len(word.text), word.kind))
                self._add(word.text)
        if claim is not None:
            told = claim.concept, claim.negated, claim.historical, claim.experiencer
            self.facts.append(Fact(start, self.length, *told))

    def paste(self, text: str) -> None:
        """Add a text as it is: its braces are no fields."""
        self._add(text)

    def _add(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.parts)


@cache
def _parsed(sentence: str) -> tuple[tuple[str, str], ...]:
    return tuple((literal, name or "") for literal, name, _, _ in Formatter().parse(sentence))


class Choices:
    """Chance, drawn in bulk, since a note asks for it dozens of times."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._drawn: list[float] = []

    def draw(self) -> float:
        """Give a number in [0, 1)."""
        if not self._drawn:
            self._drawn = self._rng.random(256).tolist()
        return self._drawn.pop()

    def one(self, of: Sequence[str]) -> str:
        """Choose one."""
        return of[int(self.draw() * len(of))]


@spec
class Complaint:
    """A complaint, the hidden diseases that bring it, and how it is said, denied, or told of the past."""

    concept: str
    of: dict[str, float]
    present: tuple[str, ...]
    absent: tuple[str, ...]
    past: tuple[str, ...]


@spec
class FamilyPhrase:
    """What relatives had."""

    concept: str
    says: tuple[str, ...]


@spec
class Words:
    """Sentences that stand in any note."""

    relations: tuple[str, ...]
    family_none: tuple[str, ...]
    contacts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    social: tuple[str, ...]
    exam: tuple[str, ...]
    exam_wet: tuple[str, ...]
    reassured: tuple[str, ...]
    well: tuple[str, ...]
    known: tuple[str, ...]
    back: tuple[str, ...]
    copied: tuple[str, ...]
    course: tuple[str, ...]
    admitted_for: tuple[str, ...]
    decompensated: tuple[str, ...]
    pending: tuple[str, ...]
    pending_tests: tuple[str, ...]
    lost: tuple[str, ...]
    no_results: tuple[str, ...]


@spec
class Imaging:
    """Sentences of radiology reports; those by degree are none, some, much."""

    indication: tuple[str, ...]
    compared: tuple[str, ...]
    uncompared: tuple[str, ...]
    heart: tuple[tuple[str, ...], ...]
    congestion: tuple[tuple[str, ...], ...]
    effusion: tuple[tuple[str, ...], ...]
    nodule: tuple[str, ...]
    mass: tuple[str, ...]
    no_nodule: tuple[str, ...]
    advice: tuple[str, ...]
    work_up: tuple[str, ...]


@spec
class Phrases:
    """All sentences."""

    complaint: tuple[Complaint, ...]
    family: tuple[FamilyPhrase, ...]
    words: Words
    header: dict[str, tuple[str, ...]]
    footer: dict[str, tuple[str, ...]]
    imaging: Imaging


@cache
def phrases() -> Phrases:
    """Read the tables once.

    Raises:
        SpecError: a table is wrong.
    """
    return specs.load(Phrases, Path(str(files("residency.simulation").joinpath("notes.toml"))))
