"""In: the text of a note. Out: its sentences, each with the heading it stands under."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_HEADING: Final = re.compile(r"^\s*[#*]*\s*([A-Za-z][A-Za-z /&()'-]{0,40}?)\s*\**\s*(?::|$)")
_BULLET: Final = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")
_STOP: Final = re.compile(r"(?<=[.!?;])\s+(?=[\[\"'(]?[A-Z0-9])")
_SHORT: Final = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|prof|st|vs|approx|e\.g|i\.e|no|fig|pt|q\.d|b\.i\.d)|\b[A-Z])\.$", re.I
)
_SPACES: Final = re.compile(r"\s+")
LONGEST: Final = 600  # letters: what is longer is cut, at a space


class Sentence(NamedTuple):
    """A sentence, and the heading over it in lower case; empty where there is none."""

    text: str
    heading: str


def sentences_of(text: str, headings: frozenset[str]) -> list[Sentence]:
    """Split a note at lines, bullets, semicolons, full stops; lines begun in lower case go on with the last.

    Args:
        text: of the note.
        headings: in lower case; a line that begins with one and a colon, or is one, opens its section.
    """
    found: list[Sentence] = []
    heading = ""
    for line in _joined(text):
        heading, rest = _headed(line, heading, headings)
        found += [Sentence(part, heading) for part in _split(rest)]
    return found


def _joined(text: str) -> Iterator[str]:
    """Give lines, those that were only wrapped put together again."""
    held = ""
    for line in text.splitlines():
        stripped = line.strip()
        goes_on = bool(held) and stripped[:1].islower() and not held.rstrip().endswith((".", ":", "!", "?"))
        if goes_on and not _BULLET.match(line):
            held = f"{held} {stripped}"
            continue
        if held:
            yield held
        held = stripped
    if held:
        yield held


def _headed(line: str, heading: str, headings: frozenset[str]) -> tuple[str, str]:
    """Give the heading that holds for a line, and the line without it."""
    match = _HEADING.match(line)
    if match is None:
        return heading, line
    said = _SPACES.sub(" ", match[1].lower()).strip()
    if said in headings:
        return said, line[match.end() :]
    return heading, line


def _split(line: str) -> Iterator[str]:
    held = ""
    for part in _STOP.split(_BULLET.sub("", line)):
        held = f"{held} {part}" if held else part
        if not _SHORT.search(held):
            yield from _cut(held)
            held = ""
    yield from _cut(held)


def _cut(text: str) -> Iterator[str]:
    text = _SPACES.sub(" ", text).strip()
    while len(text) > LONGEST:
        at = text.rfind(" ", 0, LONGEST)
        at = at if at > 0 else LONGEST
        yield text[:at]
        text = text[at:].strip()
    if any(letter.isalnum() for letter in text):
        yield text
