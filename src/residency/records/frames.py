"""In: the bytes of frames, one after another. Out: one packed file a chunk, and any of them read back.

Frames are what a chunk holds most of. They lie beside the rows that describe them, so that rows of many
patients fit in memory and frames need not.
"""

from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

FILE: Final = "frames.bin"
_CODEC: Final = "lz4"


class Place(NamedTuple):
    """Where a frame lies: the first byte, how many there are, and how many they unpack to."""

    start: int
    packed: int
    n_bytes: int


class FrameWriter:
    """Writes frames to a chunk's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._codec = pa.Codec(_CODEC)
        self._at = 0

    def add(self, data: pa.LargeBinaryScalar) -> Place:
        """Write one frame."""
        body = data.as_buffer()
        packed = self._codec.compress(body)
        with self._path.open("ab") as handle:
            handle.write(packed)
        place = Place(self._at, packed.size, body.size)
        self._at += packed.size
        return place


def read_frame(folder: Path, place: Place) -> bytes:
    """Read one frame back."""
    with (folder / FILE).open("rb") as handle:
        handle.seek(place.start)
        packed = handle.read(place.packed)
    body: bytes = pa.Codec(_CODEC).decompress(packed, place.n_bytes, asbytes=True)
    return body
