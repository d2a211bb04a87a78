"""In: bytes, files, folders, or JSON-able values. Out: SHA-256 digests, in hexadecimal."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Num

from residency.contract.errors import InputError


def digest_of(value: object) -> str:
    """Give the digest of anything JSON-able, the same whatever the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic", enc_hook=str)).hexdigest()


def digest_file(path: Path) -> str:
    """Give the digest of a file's bytes.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError("cannot read a file", where=str(path), mend=type(error).__name__) from None


def digest_of_voxels(voxels: Num[np.ndarray, "slice row column *colour"]) -> str:
    """Give the digest that a pixel store knows an array by (docs/contract.md).

    SHA-256 over the shape (`3x512x512`) and the type's name, as ASCII, then the data: little-endian, C order.
    """
    head = f"{'x'.join(map(str, voxels.shape))}{voxels.dtype.name}".encode("ascii")
    return hashlib.sha256(head + body_of(voxels)).hexdigest()


def body_of(voxels: Num[np.ndarray, "slice row column *colour"]) -> bytes:
    """Give the bytes of an array as a pixel store holds them: little-endian, C order."""
    return np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).tobytes()


def digest_tree(path: Path) -> str:
    """Give the digest of a file, or of a folder's files by relative name."""
    if path.is_file():
        return digest_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_of([[file.relative_to(path).as_posix(), digest_file(file)] for file in files])
