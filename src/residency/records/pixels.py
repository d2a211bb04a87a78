"""In: arrays of values, as modalities give them. Out: arrays of the pixel store, their digests and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Num

from residency.contract import schema
from residency.contract.digests import body_of

KINDS: Final = ("uint8", "uint16", "int16")
"""Types of the pixel store, the narrowest first."""
WIDE: Final = "image: values beyond 16 bits"
FINE: Final = "image: values too fine for whole numbers"
LEAST_RANGE: Final = 100
"""What is rounded to whole numbers must span at least so many, or the rounding would show."""
_LUMA: Final = np.array([0.299, 0.587, 0.114])


def write_pixels(voxels: Num[np.ndarray, "slice row column"], digest: str, path: Path) -> int:
    """Write one array as a file of the pixel store."""
    data = pa.array([body_of(voxels)], pa.large_binary())
    columns = [[digest], [list(voxels.shape)], [voxels.dtype.name]]
    arrays = [pa.array(column, item.type) for column, item in zip(columns, schema.PIXELS, strict=False)]
    table = pa.Table.from_arrays([*arrays, data], schema=schema.PIXELS)
    pq.write_table(
        table, path, compression="zstd", compression_level=1, use_dictionary=False, write_statistics=False
    )
    return 1


def kind_for(low: float, high: float) -> str | None:
    """Give the narrowest type that holds a range; None where none does.

    Example:
        >>> kind_for(0.0, 4095.0), kind_for(-1024.0, 3071.0), kind_for(-1.0, 40_000.0)
        ('uint16', 'int16', None)
    """
    for kind in KINDS:
        info = np.iinfo(kind)
        if info.min <= low and high <= info.max:
            return kind
    return None


def stacked(frames: Sequence[np.ndarray], low: float, high: float) -> np.ndarray | str:
    """Put frames together in a type of the pixel store, or say why none holds them.

    Args:
        frames: [frame, row, column] each, of any number type.
        low: the least value there may be, as the modality declares it; what it may be chooses the type, so
            that one device's images are of one type whatever they show.
        high: the greatest.
    """
    whole = np.concatenate(frames) if len(frames) > 1 else np.asarray(frames[0])
    least, most = float(whole.min()), float(whole.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        return WIDE
    if whole.dtype.kind == "f":
        rounded = np.rint(whole)
        if most - least < LEAST_RANGE and not np.array_equal(rounded, whole):
            return FINE
        whole = rounded
    kind = kind_for(min(low, least), max(high, most)) or kind_for(np.rint(least), np.rint(most))
    return WIDE if kind is None else whole.astype(kind)


def luminance(colours: Num[np.ndarray, "*axes 3"]) -> Num[np.ndarray, "*axes"]:
    """Give the brightness of red, green and blue (ITU-R BT.601), in their own type."""
    grey: np.ndarray = np.rint(colours.astype(np.float64) @ _LUMA).astype(colours.dtype)
    return grey


def little_endian(voxels: np.ndarray) -> dict[str, Any]:
    """Give the columns `shape`, `dtype` and `data` of a slice."""
    kind = voxels.dtype.newbyteorder("<")
    return {
        "shape": list(voxels.shape),
        "dtype": kind.str,
        "data": np.ascontiguousarray(voxels, kind).tobytes(),
    }
