"""In: a pixel store, and which of its arrays may pass. Out: the same arrays with burned-in text covered."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from residency.contract.digests import body_of, digest_of_voxels
from residency.contract.errors import InputError
from residency.contract.schema import PIXELS
from residency.deid.burned_in import cover
from residency.deid.handling import ImagesRules

_TYPES: Final = {"uint8": "<u1", "int16": "<i2", "uint16": "<u2"}
FILE_BYTES: Final = 128_000_000  # of pixels in one file of the result
_GROUP_BYTES: Final = 16_000_000


@dataclass(frozen=True)
class Stored:
    """One array of a pixel store: its digest, and its voxels by slice, row and column."""

    digest: str
    voxels: np.ndarray


def read_arrays(path: Path, wanted: frozenset[str]) -> Iterator[Stored]:
    """Read the wanted arrays of one file, one at a time.

    Raises:
        InputError: the file cannot be read, or an array is not what it says.
    """
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1):
            if batch.column("pixels")[0].as_py() in wanted:
                yield _array(batch.to_pylist()[0])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        raise InputError("a pixel store cannot be read", where=str(path)) from None


def _array(row: dict[str, object]) -> Stored:
    shape, kind, data = row["shape"], str(row["dtype"]), row["data"]
    voxels = np.frombuffer(data, _TYPES[kind]).reshape(shape)  # type: ignore[call-overload]
    return Stored(str(row["pixels"]), voxels)


def hide_pixels(stored: Stored, rules: ImagesRules) -> tuple[Stored, int]:
    """Cover what is written in the pixels.

    A data set and a request go through this very function.

    Returns:
        The array, under a digest of its own where it changed, and how many places were covered.
    """
    if rules.burned_in == "off":
        return stored, 0
    voxels, n_covered = cover(stored.voxels, use_ocr=rules.burned_in == "ocr")
    return (Stored(digest_of_voxels(voxels), voxels) if n_covered else stored), n_covered


def as_row(stored: Stored) -> pa.Table:
    """Give an array as one row of a pixel store."""
    voxels = stored.voxels
    kind = np.dtype(voxels.dtype).name
    row = {
        "pixels": stored.digest,
        "shape": list(voxels.shape),
        "dtype": kind,
        "data": body_of(voxels),
    }
    return pa.Table.from_pylist([row], schema=PIXELS)


def write_store(rows: Iterator[pa.Table], path: Path) -> int:
    """Write arrays to one file, in the order that they come in."""
    n, held = 0, list[pa.Table]()
    with pq.ParquetWriter(path, PIXELS, compression="zstd") as writer:
        for row in rows:
            held.append(row)
            n += 1
            if sum(one.nbytes for one in held) >= _GROUP_BYTES:
                writer.write_table(pa.concat_tables(held))
                held = []
        if held:
            writer.write_table(pa.concat_tables(held))
    return n
