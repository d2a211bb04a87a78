"""In: who a patient is (names, addresses, numbers, birth date). Out: every mention of that in a note.

The patient's own record is the best scrubber there is: it knows rare names that no list has. Spelling may
differ in case, accents, order, and by one letter in long names.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from typing import Final

from residency.deid.lexicon import fold, lexicon
from residency.deid.places import STATES
from residency.deid.spans import Kind, Note, Span

_LONG: Final = 6  # letters from which on a name is known with one letter wrong
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_SHORT_NUMBER: Final = 5
_STREET: Final = {
    "st": "street",
    "ave": "avenue",
    "rd": "road",
    "ln": "lane",
    "dr": "drive",
    "blvd": "boulevard",
}
_STREETS: Final = _STREET | {
    "ct": "court",
    "pl": "place",
    "cir": "circle",
    "pkwy": "parkway",
    "hwy": "highway",
}
_NUMBER: Final = re.compile(r"\d(?:[\w\-./() ]{0,28}\d)?[A-Za-z]?")
_PREFIX: Final = re.compile(r"[A-Za-z]{1,8}[-#]?$")
_DOTTED: Final = re.compile(r"[A-Z]\.\s?(?:[A-Z]\.\s?){1,3}")
_INITIALS: Final = re.compile(r"[PpIi](?:atient|t\.?|nitials:?)\s([A-Z]{2,4})\b")
_BESIDE: Final = (" ", "'", "\u2019", "-")


@dataclass(frozen=True)
class Known:
    """What is known of one patient.

    Attributes:
        names: folded words of each name, in order.
        addresses: folded words of each part of an address.
        numbers: record numbers, telephones and the like: letters and digits alone, small.
        texts: e-mail addresses and the like, folded.
        born: the birth date.
    """

    names: tuple[tuple[str, ...], ...] = ()
    addresses: tuple[tuple[str, ...], ...] = ()
    numbers: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    born: date | None = None

    @cached_property
    def name_words(self) -> frozenset[str]:
        """Every word of the names that can stand for the patient."""
        words = {word for name in self.names for word in name if len(word) > 1}
        return frozenset(words - _beside_names()) or frozenset(words)

    @cached_property
    def phrases(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Address parts by their first word, the longest first."""
        index: dict[str, list[tuple[str, ...]]] = {}
        for part in self.addresses:
            index.setdefault(part[0], []).append(part)
        return {first: tuple(sorted(found, key=len, reverse=True)) for first, found in index.items()}

    @cached_property
    def halves(self) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """Long names by their first and by their last letters: one wrong letter leaves one of these."""
        heads, tails = dict[str, set[str]](), dict[str, set[str]]()
        for word in self.name_words:
            if len(word) >= _LONG:
                heads.setdefault(word[:3], set()).add(word)
                tails.setdefault(word[-3:], set()).add(word)
        first, last = (
            {part: tuple(sorted(words)) for part, words in index.items()} for index in (heads, tails)
        )
        return first, last

    @cached_property
    def initials(self) -> frozenset[str]:
        """First letters of each name of two words or more."""
        return frozenset("".join(word[0] for word in name) for name in self.names if 2 <= len(name) <= 4)


@cache
def _beside_names() -> frozenset[str]:
    """Give the words that stand in names and are none."""
    lists = lexicon().lists
    return lists["particles"] | lists["titles"] | lists["suffixes"]


def known_of(identifiers: Iterable[tuple[str, str]]) -> Known:
    """Make ready what is known of a patient.

    Args:
        identifiers: kind and value of each (`contract.schema.IDENTIFIERS`).
    """
    names, addresses, texts = set[tuple[str, ...]](), set[tuple[str, ...]](), set[str]()
    numbers, born = set[str](), None
    for kind, value in identifiers:
        if kind == "name":
            names.add(tuple(_WORD.findall(fold(value))))
        elif kind == "address":
            addresses.update(_address_parts(value))
            numbers.update(re.findall(r"(?<!\d)\d{5}(?!\d)", value))
        elif kind == "date_of_birth":
            born = _date(value) or born
        elif kind == "email":
            texts.add(fold(value.strip()))
        else:
            numbers |= {bare(value), bare(value).lstrip("abcdefghijklmnopqrstuvwxyz")}
    return Known(
        names=tuple(sorted(name for name in names if name)),
        addresses=tuple(sorted(addresses)),
        numbers=frozenset(one for one in numbers if len(one) >= _SHORT_NUMBER) | _without_country(numbers),
        texts=tuple(sorted(text for text in texts if len(text) > 3)),
        born=born,
    )


def bare(value: str) -> str:
    """Give a number's letters and digits alone, small."""
    return "".join(one for one in fold(value) if one.isalnum())


def _without_country(numbers: set[str]) -> frozenset[str]:
    """Telephones are written with and without the country, and with the area left out."""
    digits = {one for one in numbers if one.isdigit()}
    return frozenset({one[1:] for one in digits if len(one) == 11 and one[0] == "1"})


def _date(value: str) -> date | None:
    try:
        return date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None


def _address_parts(value: str) -> Iterator[tuple[str, ...]]:
    """Give street, street without its number, and town; with long and short words for streets."""
    for part in re.split(r"[,;\n|]", value):
        words = _WORD.findall(fold(part))
        words = words[:-1] if words and words[-1].isdigit() and len(words[-1]) in (4, 5) else words
        words = [
            word
            for place, word in enumerate(words)
            if not (len(word) == 2 and place == len(words) - 1 and place and word.upper() in STATES)
        ]
        if not words or (len(words) == 1 and len(words[0]) < 4):
            continue
        for form in _forms(words):
            yield form
            if form[0].isdigit() and len(form) > 2:
                yield form[1:]


def _forms(words: list[str]) -> set[tuple[str, ...]]:
    short = {long: brief for brief, long in _STREETS.items()}
    last = words[-1]
    return {(*words[:-1], one) for one in (last, _STREETS.get(last, last), short.get(last, last))}


def find_known(note: Note, known: Known) -> list[Span]:
    """Find every mention of what is known of a patient."""
    found = [*_names(note, known), *_places(note, known), *_numbers(note, known)]
    for text in known.texts:
        at = note.folded.find(text)
        while at >= 0:
            found.append(Span(at, at + len(text), "EMAIL", "known"))
            at = note.folded.find(text, at + len(text))
    return found


def _names(note: Note, known: Known) -> Iterator[Span]:
    mine, (heads, tails) = known.name_words, known.halves
    if not mine:
        return
    words = note.words
    hits = {at for at, word in enumerate(words) if word in mine}
    likely = {at for at in hits if _is_name(note, at, hits)}
    near = {
        at
        for at, word in enumerate(words)
        if (word[:3] in heads or word[-3:] in tails)
        and at not in hits
        and len(word) >= _LONG - 1
        and any(one_apart(word, name) for name in (*heads.get(word[:3], ()), *tails.get(word[-3:], ())))
    }
    likely |= {
        at for at in near if words[at] not in lexicon().words or (note.capital(at) and at - 1 in likely)
    }
    particles = lexicon().lists["particles"]
    for at in sorted(likely):
        first = at
        while first > 0 and words[first - 1] in particles and note.gap(first - 1) in _BESIDE:
            first -= 1
        yield Span(note.starts[first], note.ends[at], "NAME", "known")
        yield from _initials_beside(note, at)
    yield from _initials(note, known)


def _is_name(note: Note, at: int, hits: set[int]) -> bool:
    """Tell a name from the word or the disease that is spelled like it."""
    word, lists = note.words[at], lexicon().lists
    if _touching(note, at, hits) or _titled(note, at):
        return True
    if word in lists["eponyms"] and _thing_follows(note, at):
        return False
    if len(word) <= 3:
        return note.capital(at) and not note.spelled(at).isupper() and not _opens_as_word(note, at)
    if word in lexicon().words or word in lists["generic"]:
        return note.capital(at) and not note.shouted(at) and not _opens_as_word(note, at)
    return True


def _opens_as_word(note: Note, at: int) -> bool:
    """Tell a word that has its capital from opening a sentence; `Grace is well` speaks of a person."""
    if not note.opens(at) or note.words[at] not in lexicon().words:
        return False
    follows = note.words[at + 1] if at + 1 < len(note) else ""
    if note.capital(at + 1) or follows in lexicon().lists["particles"]:
        return False
    return follows not in lexicon().lists["person_does"] and note.gap(at)[:1] not in (
        "'",
        "\u2019",
        ",",
        "\n",
    )


def _touching(note: Note, at: int, hits: set[int]) -> bool:
    """Tell whether another of the patient's names stands beside; of two plain words, both need capitals."""
    for other in (at - 1, at + 1):
        gap = note.gap(min(at, other))
        if other in hits and len(gap) <= 2 and "\n" not in gap and note.words[other] != note.words[at]:
            words = note.words[at] in lexicon().words and note.words[other] in lexicon().words
            if not words or (note.capital(at) and note.capital(other)):
                return True
    return False


def _titled(note: Note, at: int) -> bool:
    return (
        at > 0
        and note.words[at - 1] in lexicon().lists["titles"]
        and len(note.gap(at - 1)) <= 2
        and note.capital(at)
    )


def _thing_follows(note: Note, at: int) -> bool:
    """Tell whether a disease, sign or instrument follows: Parkinson's disease, Baker cyst."""
    follows = at + 1
    if follows < len(note) and note.words[follows] == "s" and note.gap(at) in ("'", "\u2019"):
        follows += 1
    gap = note.gap(follows - 1).lstrip("'\u2019")
    return (
        follows < len(note)
        and gap in (" ", "-", "  ", " -")
        and note.words[follows] in lexicon().lists["eponym_nouns"]
    )


def one_apart(one: str, other: str) -> bool:
    """Tell whether two words differ by one letter: another, one more, one less, or two swapped.

    Example:
        >>> [one_apart("jonson", "johnson"), one_apart("jonhson", "johnson"), one_apart("jensen", "johnson")]
        [True, True, False]
    """
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    head = 0
    while head < min(len(one), len(other)) and one[head] == other[head]:
        head += 1
    rest, others = one[head:], other[head:]
    swapped = len(rest) > 1 and rest[:2] == others[:2][::-1] and rest[2:] == others[2:]
    return rest[1:] == others[1:] or rest[1:] == others or rest == others[1:] or swapped


def _initials_beside(note: Note, at: int) -> Iterator[Span]:
    """Take the initials that stand beside a name: J. Smith, Mary K. Jones."""
    for other in (at - 1, at + 1):
        if 0 <= other < len(note) and len(note.words[other]) == 1 and note.capital(other):
            gap = note.gap(min(at, other))
            after = note.text[note.ends[other] : note.ends[other] + 1]
            if gap in (" ", ". ", ".", ", ") and (other < at or after in (".", " ", ",", "", ")", "\n")):
                if other > at and gap == ". ":
                    continue
                yield Span(note.starts[other], note.ends[other], "NAME", "known")


def _initials(note: Note, known: Known) -> Iterator[Span]:
    """Find J.S. and, after the word patient, JS."""
    if not known.initials:
        return
    found = [hit.span() for hit in _DOTTED.finditer(note.text)]
    found += [hit.span(1) for hit in _INITIALS.finditer(note.text)]
    for start, end in found:
        letters = "".join(one for one in note.text[start:end] if one.isupper()).lower()
        if letters in known.initials and not note.text[start - 1 : start].isalnum():
            yield Span(start, start + len(note.text[start:end].rstrip()), "NAME", "known")


def _places(note: Note, known: Known) -> Iterator[Span]:
    phrases = known.phrases
    for at, word in enumerate(note.words):
        for phrase in phrases.get(word, ()):
            end = at + len(phrase)
            if tuple(note.words[at:end]) != phrase or any(len(note.gap(i)) > 2 for i in range(at, end - 1)):
                continue
            if len(phrase) == 1 and (not note.capital(at) or (word in lexicon().words and note.opens(at))):
                continue
            kind: Kind = "CITY" if len(phrase) == 1 else "ADDRESS"
            yield Span(note.starts[at], note.ends[end - 1], kind, "known")
            break


def _numbers(note: Note, known: Known) -> Iterator[Span]:
    plain = "".join(note.words)
    mine = frozenset(one for one in known.numbers if one in plain)
    if not mine:
        return
    sizes = sorted({len(one) for one in mine}, reverse=True)
    for hit in _NUMBER.finditer(note.text):
        if len(hit.group()) < sizes[-1] - 8:
            continue
        before = _PREFIX.search(note.text, max(0, hit.start() - 9), hit.start())
        start = before.start() if before else hit.start()
        yield from _numbers_within(note.text[start : hit.end()], start, mine, sizes)


def _numbers_within(text: str, base: int, numbers: frozenset[str], sizes: list[int]) -> Iterator[Span]:
    """Find known numbers within a stretch of letters, digits and what joins them."""
    if len(text) < sizes[-1]:
        return
    places = [at for at, one in enumerate(text) if one.isalnum()]
    plain = "".join([text[at] for at in places]).lower()
    if len(plain) < sizes[-1] or not any(one in plain for one in numbers):
        return
    at = 0
    while at < len(plain):
        size = next((n for n in sizes if at + n <= len(plain) and plain[at : at + n] in numbers), 0)
        if size:
            yield Span(base + places[at], base + places[at + size - 1] + 1, "ID", "known")
        at += size or 1
