"""In: documents of one kind. Out: the newest of them without each of four parts, to say where in it.

Of a note, a part is consecutive sentences; the same sentences in the other notes of its kind go with them,
so that what is repeated does not hide itself. Of an image or a series, a part is a quarter of every slice,
filled with the median brightness of all.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from jaxtyping import Int64

from residency.contract.packed import Packed
from residency.contract.questions import Citation
from residency.timeline import Attachments, Image, Note
from residency.timeline.attachments import IMAGE, NOTE

PARTS: Final = 4
Region = tuple[float, float, float, float]
_QUARTERS: Final[tuple[Region, ...]] = (
    (0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0),
)  # fmt: skip
_END: Final = re.compile(r"(?<=[.!?;])\s+|\s*\n\s*")
_REPEATED: Final = 12  # characters: what is shorter is not looked for in other notes


@dataclass(frozen=True)
class Part:
    """A timeline in which a part of a document is not there.

    Attributes:
        packed: the timeline.
        where: characters of a note, from and to, or a region of an image.
    """

    packed: Packed
    where: tuple[int, int] | Region

    def citation(self, whole: Citation) -> Citation:
        """Point at the part of what `whole` points at."""
        if len(self.where) == 2:
            return msgspec.structs.replace(whole, start=self.where[0], end=self.where[1])
        return msgspec.structs.replace(whole, region=self.where)


def parts_of(
    cut: Packed, attachments: Attachments, documents: Int64[np.ndarray, " document"]
) -> tuple[Attachments, list[Part]]:
    """Take away each part of the newest of some documents.

    Args:
        cut: one patient's timeline.
        attachments: what it points at.
        documents: of one kind, notes or images, as indices in the timeline's attachments.

    Returns:
        Attachments that hold the altered documents too, and a timeline a part; none of a short note, or of a
        genome.
    """
    kind = int(cut.attachment_kind[documents[0]])
    refs = cut.attachment_ref[documents].astype(np.int64)
    contents = attachments.contents(kind, refs)
    places: list[tuple[int, int] | Region]
    altered: list[list[Note | Image]]
    if kind == NOTE:
        notes = [one for one in contents if isinstance(one, Note)]
        spans = spans_of(notes[-1].text)
        places, altered = list(spans), [list(_without_sentences(notes, span)) for span in spans]
    elif kind == IMAGE:
        newest = contents[-1]
        assert isinstance(newest, Image)  # noqa: S101 - of this kind
        places, altered = list(_QUARTERS), [[_covered(newest, region)] for region in _QUARTERS]
    else:
        return attachments, []
    parts = []
    for place, changed in zip(places, altered, strict=True):
        mine = documents[-len(changed) :]
        attachments, new = attachments.beside(kind, refs[-len(changed) :], changed)
        moved = cut.attachment_ref.copy()
        moved[mine] = new
        parts.append(Part(cut.with_arrays(attachment_ref=moved), place))
    return attachments, parts


def spans_of(text: str) -> list[tuple[int, int]]:
    """Cut a note into at most four parts of about equal length, between sentences.

    Example:
        >>> spans_of("Well. Smokes. No cough. Sleeps well.")
        [(0, 5), (6, 13), (14, 23), (24, 36)]
    """
    ends = np.array([match.end() for match in _END.finditer(text)], np.int64)
    wanted = np.arange(1, PARTS) * len(text) / PARTS
    cuts = {int(ends[np.abs(ends - at).argmin()]) for at in wanted} if len(ends) else set[int]()
    edges = [0, *sorted(cuts - {0, len(text)}), len(text)]
    found = []
    for low, high in pairwise(edges):
        said = text[low:high]
        if said.strip():
            start = low + len(said) - len(said.lstrip())
            found.append((start, start + len(said.strip())))
    return found if len(found) > 1 else []


def _without_sentences(notes: Sequence[Note], span: tuple[int, int]) -> Iterator[Note]:
    """Give the notes without the sentences that stand at a place of the last of them."""
    *others, last = notes
    said = [one for one in _END.split(last.text[slice(*span)]) if len(one) >= _REPEATED]
    for note in others:
        text = note.text
        for sentence in said:
            text = text.replace(sentence, " ")
        yield Note(note.kind, text)
    yield Note(last.kind, f"{last.text[: span[0]]} {last.text[span[1] :]}")


def _covered(image: Image, region: Region) -> Image:
    pixels = np.array(image.pixels)
    left, top, right, bottom = region
    rows, columns = pixels.shape[1:]
    place = np.s_[:, round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)]
    pixels[place] = np.median(image.pixels).astype(pixels.dtype)
    return Image(image.modality, image.body_site, pixels, image.spacing_mm, image.window)
