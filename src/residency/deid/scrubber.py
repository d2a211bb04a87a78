"""In: a note and who its patient is. Out: the same note without identities.

Three passes, each over what the one before left: the patient's known identifiers, rules, a classifier where
the policy asks for one. What is found is replaced, never blanked.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from residency.deid.day_forms import Clock, find_dates
from residency.deid.known import Known, find_known
from residency.deid.lexicon import fold, lexicon
from residency.deid.naming import Names
from residency.deid.patterns import find_patterns
from residency.deid.spans import Note, Span, merged
from residency.deid.surrogates import Surrogates
from residency.deid.whereabouts import Whereabouts

Classifier = Callable[[str], Sequence[Span]]


@dataclass(frozen=True)
class Search:
    """What is looked for besides what is known of a patient.

    Attributes:
        max_age: the highest age that may show.
        years: whether a year alone may stay.
        organisations: names of the institution's own houses.
        classifier: looks last.
    """

    max_age: int = 89
    years: bool = True
    organisations: tuple[str, ...] = ()
    classifier: Classifier | None = None


@dataclass(frozen=True)
class Scrubbed:
    """A note without identities.

    Attributes:
        text: the note.
        found: how many spans of each kind were replaced.
        rest: what of the old text stands in the new one, with a line's end in place of each span.
    """

    text: str
    found: Counter[str]
    rest: str


def find_spans(
    text: str, known: Known, clock: Clock | None = None, search: Search | None = None
) -> list[Span]:
    """Find what names somebody.

    Args:
        text: the note.
        known: who the patient is; nothing where that is not known.
        clock: when it was written.
        search: what is looked for besides.

    Returns:
        Spans in order, none over another.
    """
    search = search or Search()
    note = Note(text)
    spans = [*find_known(note, known), *find_dates(note, clock or Clock(), alone=not search.years)]
    spans += find_patterns(note, search.max_age)
    spans += Names(note).spans()
    spans += Whereabouts(note).spans()
    for name in search.organisations:
        places = re.finditer(rf"\b{re.escape(fold(name))}\b", note.folded)
        spans += [Span(*one.span(), "ORGANISATION", "known") for one in places]
    found = merged(text, spans)
    if search.classifier is None:
        return found
    doubtful = _doubtful(note, found)
    asked = _asked(text, doubtful, search.classifier)
    unsure = [span for span in asked if any(span.start <= at < span.end for at in doubtful)]
    return merged(text, [*found, *unsure])


def _asked(text: str, doubtful: Sequence[int], classifier: Classifier) -> list[Span]:
    """Ask a classifier, which is slow, about the lines alone in which doubtful words stand."""
    lines = sorted({(text.rfind("\n", 0, at) + 1, text.find("\n", at) % (len(text) + 1)) for at in doubtful})
    if not lines:
        return []
    found: list[Span] = []
    spans, place = classifier("\n".join(text[start:end] for start, end in lines)), 0
    for start, end in lines:
        size = end - start
        within = [one for one in spans if place <= one.start and one.end <= place + size]
        found += [
            one._replace(start=one.start + start - place, end=one.end + start - place) for one in within
        ]
        place += size + 1
    return found


def _doubtful(note: Note, found: Sequence[Span]) -> list[int]:
    """Give where words with a capital begin that no list knows and nobody took."""
    taken = bytearray(len(note.text))
    for span in found:
        taken[span.start : span.end] = b"\1" * (span.end - span.start)
    known = lexicon()
    return [
        note.starts[at]
        for at, word in enumerate(note.words)
        if note.text[note.starts[at]].isupper()
        and not taken[note.starts[at]]
        and len(word) > 1
        and word not in known.words
        and word not in known.lists["not_names"]
        and not note.spelled(at).isupper()
    ]


def replace(text: str, spans: Sequence[Span], surrogates: Surrogates) -> Scrubbed:
    """Put surrogates in the place of spans."""
    shown: list[str] = []
    rest: list[str] = []
    place = 0
    for span in spans:
        kept = text[place : span.start]
        shown += [kept, surrogates.of(text, span)]
        rest.append(kept)
        place = span.end
    shown.append(text[place:])
    rest.append(text[place:])
    return Scrubbed("".join(shown), Counter(span.kind for span in spans), "\n".join(rest))
