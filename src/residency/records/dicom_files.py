"""In: the bytes of a file. Out: its DICOM data set, read quietly; or the reason why it is put in quarantine.

pydicom warns of odd values and repeats them, so its warnings and its log are silenced while a file is read.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

import pydicom
from pydicom.dataset import FileDataset

from residency.contract.quiet import quiet
from residency.records.documents import LARGEST

_MAGIC: Final = slice(128, 132)
_BARE: Final = (b"\x08\x00", b"\x02\x00")
"""How a data set without a preamble begins: group 0008 or 0002, little-endian."""
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_META_LENGTH: Final = slice(140, 144)


class Quarantine(Exception):  # noqa: N818 - no error of ours: the run goes on
    """Why a file is left out: a fixed phrase."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def opened(body: bytes) -> Iterator[FileDataset]:
    """Read a file, and stay quiet as long as its data set is looked at.

    Raises:
        Quarantine: it is no DICOM, or an error came up in it, whichever: a broken file may hold anything.
    """
    if body[_MAGIC] != b"DICM" and body[:2] not in _BARE:
        raise Quarantine("image: not a DICOM file")
    _refuse_bomb(body)
    try:
        with quiet("pydicom"):
            yield pydicom.dcmread(BytesIO(body), force=True)
    except Quarantine:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises what the file's damage happens to lead to
        raise Quarantine("image: cannot be read") from None


def _refuse_bomb(body: bytes) -> None:
    """Refuse a deflated data set that would not fit in memory."""
    start = 144 + int.from_bytes(body[_META_LENGTH], "little")
    if body[_MAGIC] != b"DICM" or _DEFLATED not in body[128 : min(start, 4096)]:
        return
    try:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body[start:], LARGEST + 1)
    except zlib.error:
        raise Quarantine("image: cannot be read") from None
    if len(unpacked) > LARGEST:
        raise Quarantine("image: larger than 256 MiB")
