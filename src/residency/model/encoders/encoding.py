"""In: attachments, and an encoder of one kind. Out: their vectors, by reference; equal content once only."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float16, Int64

from residency.contract.packed import ATTACHMENT_KINDS
from residency.contract.plugins import Encoder
from residency.contract.progress import Progress, silent
from residency.model.encoders.cache import Cache, Pieces
from residency.timeline import Attachments
from residency.timeline.pixels import PixelStore

_AT_ONCE: Final = 256


@dataclass(frozen=True)
class Vectors:
    """Vectors of one kind of attachment.

    Attributes:
        begin: first vector of each attachment, by reference.
        count: how many it has; 0 where it was not encoded.
        vector: all of them.
    """

    begin: Int64[np.ndarray, " row"]
    count: Int64[np.ndarray, " row"]
    vector: Float16[np.ndarray, "vector width"]


@runtime_checkable
class ByPieces(Encoder, Protocol):
    """An encoder of what has pieces in common, whose vectors are worth keeping too.

    Of a document that is known a part may be supposed away: its other pieces are then at hand.
    """

    def encode_by_pieces(
        self, batch: list[Any], pieces: Pieces
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Do as `encode` does, with the pieces that are known."""
        ...


Encoded = dict[str, Vectors]
"""Vectors of the attachments of one shard, or one request, by kind."""


def widths_of(encoded: tuple[Encoded, ...]) -> dict[str, int]:
    """Give the width of each kind's vectors."""
    return {kind: vectors.vector.shape[1] for kind, vectors in encoded[0].items()} if encoded else {}


def encode(
    attachments: Attachments,
    refs: Int64[np.ndarray, " attachment"],
    encoder: Encoder,
    cache: Cache,
    *,
    kind: int,
    progress: Progress = silent,
) -> Vectors:
    """Encode attachments of one kind, those of equal content once.

    Args:
        attachments: of a shard or a request.
        refs: rows of their table.
        encoder: of that kind, ready.
        cache: what is known already; what is new is added to it, in memory alone for passing attachments.
        kind: index in `ATTACHMENT_KINDS`.
        progress: told of each batch.
    """
    refs = np.unique(refs)
    digests = attachments.digests(kind, refs)
    known = cache.get(digests)
    lacking = {digest: int(ref) for digest, ref in zip(digests, refs, strict=True) if digest not in known}
    for done, batch in _batches(attachments, lacking, kind):
        progress(f"encode {ATTACHMENT_KINDS[kind]}", done, len(lacking))
        contents = attachments.contents(kind, [lacking[digest] for digest in batch])
        if isinstance(encoder, ByPieces):
            pieces = Pieces(cache.pieces, attachments.passing)
            vectors, counts = encoder.encode_by_pieces(list(contents), pieces)
        else:
            vectors, counts = encoder.encode(list(contents))
        new = {digest: vectors[row][counts[row]].astype(np.float16) for row, digest in enumerate(batch)}
        cache.put(new, passing=attachments.passing)
        known |= new
    return _laid_out(len(attachments.tables[kind]), refs, digests, known)


def _batches(attachments: Attachments, lacking: dict[str, int], kind: int) -> Iterator[tuple[int, list[str]]]:
    """Give digests a batch at a time: images in the order of the pixel store, the rest as they come."""
    order = list(lacking)
    store = attachments.pixels
    if ATTACHMENT_KINDS[kind] == "image" and isinstance(store, PixelStore):
        names = attachments.tables[kind]["pixels"]
        order.sort(key=lambda digest: store.place(names[lacking[digest]]))
    for start in range(0, len(order), _AT_ONCE):
        yield start, order[start : start + _AT_ONCE]


def _laid_out(
    n_rows: int, refs: Int64[np.ndarray, " attachment"], digests: list[str], known: dict[str, np.ndarray]
) -> Vectors:
    """Lay vectors end to end, each content once."""
    unique = list(dict.fromkeys(digests))
    counts = np.array([len(known[digest]) for digest in unique], np.int64)
    place = dict(zip(unique, range(len(unique)), strict=True))
    at = np.array([place[digest] for digest in digests], np.int64)
    begin, count = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
    if len(refs):
        begin[refs], count[refs] = (np.cumsum(counts) - counts)[at], counts[at]
    parts = [known[digest] for digest in unique]
    return Vectors(begin, count, np.concatenate(parts) if parts else np.zeros((0, 0), np.float16))
