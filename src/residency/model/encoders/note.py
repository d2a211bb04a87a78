"""In: notes. Out: a few vectors each: what its sentences mean, and what they say is present, denied, past.

Digits are read as 0, dates as one date, doctors without their names: what a number is, codes say better, and
sentences that differ in nothing else are one. Who signed, and where the patient lives, is not read.

A note is cut into up to four parts of consecutive sentences. A part's vector is the mean of its sentences'
vectors, beside one number for each concept and status that they speak of (`facts.toml`).
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Float16

from residency.contract.digests import digest_of
from residency.model.encoders.cache import Pieces
from residency.model.encoders.facts import TABLE, rules
from residency.model.encoders.minilm import DIGEST, WIDTH, MiniLm
from residency.model.encoders.sentences import Sentence, sentences_of
from residency.timeline import Note

VERSION: Final = 2
PARTS: Final = 4
PART_LEAST: Final = 4  # sentences: a short note is one part
_DIGIT: Final = re.compile(r"\d")
_MONTH: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_DATE: Final = re.compile(rf"\b(?:0+ {_MONTH} 0+|{_MONTH} 0+, 0+|0+([./-])0+\1 ?0+)\b")
_NAME: Final = re.compile(r"\b(Dr|Mr|Mrs|Ms|Prof)\.? [A-Z][\w'-]*(?: [A-Z][\w'-]*)*")
_REMEMBERED: Final = 100_000  # sentences


class NoteEncoder:
    """Encodes notes; a sentence that was met before, in whatever note, is not worked out again.

    Attributes:
        n_sentences: how many went through the sentence encoder so far.
    """

    def __init__(self) -> None:
        table = files(__package__).joinpath(TABLE).read_text("utf-8")
        self.digest = digest_of([VERSION, PARTS, PART_LEAST, DIGEST, table])
        self.width = WIDTH + len(rules().places)
        self.n_sentences = 0
        self._said: dict[Sentence, list[int]] = {}
        self._known: OrderedDict[str, Float16[np.ndarray, " width"]] = OrderedDict()

    @cached_property
    def _meaning(self) -> MiniLm:
        return MiniLm()

    def load(self, path: Path | None, device: str) -> None:
        """Be ready: the weights come with their package, and are read when first needed."""

    def encode(
        self, batch: list[Any]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give up to four vectors a note."""
        return self.encode_by_pieces(batch, Pieces())

    def encode_by_pieces(
        self, batch: list[Any], pieces: Pieces
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Do the same, with the sentences that are known."""
        notes: list[Note] = batch
        split = [sentences_of(note.text, rules().headings) for note in notes]
        meaning = self._meanings([sentence.text for sentence in chain.from_iterable(split)], pieces)
        vectors = np.zeros((len(notes), PARTS, self.width), np.float32)
        counts = np.zeros((len(notes), PARTS), bool)
        for row, sentences in enumerate(split):
            for place, part in enumerate(_parts(sentences)):
                vectors[row, place] = self._vector(part, meaning)
                counts[row, place] = True
        return vectors, counts

    def _vector(self, part: Sequence[Sentence], meaning: dict[str, np.ndarray]) -> np.ndarray:
        vector = np.zeros(self.width, np.float32)
        told = [meaning[sentence.text] for sentence in part if sentence.text in meaning]
        if told:
            vector[:WIDTH] = np.mean(told, axis=0, dtype=np.float32)
        for sentence in part:
            vector[self._facts(sentence)] = 1.0
        return vector

    def _facts(self, sentence: Sentence) -> list[int]:
        """Give the places of what a sentence says in a vector."""
        if sentence not in self._said:
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            facts = [(fact.concept, fact.status) for fact in rules().facts(sentence) if fact.status]
            self._said[sentence] = [WIDTH + rules().places[pair] for pair in facts]
        return self._said[sentence]

    def _meanings(self, texts: list[str], pieces: Pieces) -> dict[str, np.ndarray]:
        """Give the vector of each sentence that speaks of health, working out those that are new."""
        wanted = [text for text in dict.fromkeys(texts) if rules().speaks_of_health(text)]
        new = [text for text in dict.fromkeys(map(_plain, wanted)) if text not in self._known]
        if new:
            self._known |= pieces.get(new)
            new = [text for text in new if text not in self._known]
        if new:
            self.n_sentences += len(new)
            worked_out = dict(zip(new, self._meaning.encode(new).astype(np.float16), strict=True))
            pieces.put(worked_out)
            self._known |= worked_out
        found = {text: self._known[_plain(text)] for text in wanted}
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def _plain(text: str) -> str:
    return _NAME.sub(r"\1.", _DATE.sub("0000-00-00", _DIGIT.sub("0", text)))


def _parts(sentences: list[Sentence]) -> list[list[Sentence]]:
    """Cut into up to four parts of about equal length, each of at least four sentences."""
    n_parts = max(1, min(PARTS, len(sentences) // PART_LEAST)) if sentences else 0
    edges = np.linspace(0, len(sentences), n_parts + 1).round().astype(int) if n_parts else np.zeros(1, int)
    return [sentences[low:high] for low, high in pairwise(edges)]
