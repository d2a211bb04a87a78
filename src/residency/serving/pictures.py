"""In: an image's row and pixels, a window. Out: what the page must know of it, and a slice as PNG."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Num

from residency.contract.errors import InputError, NotFoundError, PluginError


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an image or a series.

    Attributes:
        title: what it is, in words.
        modality: DICOM's.
        slices: how many.
        rows: pixels from top to bottom.
        columns: pixels from left to right.
        aspect: width over height as it lies in the body; by pixels where the spacing is not known.
        slice_mm: from one slice to the next, where known.
        center: of the window that the source states, else of the pixels.
        width: of that window.
        hounsfield: whether the pixels are CT's.
    """

    title: str
    modality: str
    slices: int
    rows: int
    columns: int
    aspect: float
    slice_mm: float | None
    center: float
    width: float
    hounsfield: bool


class Window(msgspec.Struct, frozen=True):
    """Which grey values are told apart, in the units of the pixels."""

    center: float
    width: float


def picture_of(row: Mapping[str, Any], title: str, voxels: Num[np.ndarray, "slice row column"]) -> Picture:
    """Say what is known of an image."""
    slice_mm, row_mm, column_mm = (*(row["spacing_mm"] or ()), *[None] * 3)[:3]
    n_slices, n_rows, n_columns = voxels.shape
    stretch = column_mm / row_mm if _is_length(row_mm) and _is_length(column_mm) else 1.0
    window = window_of(row, voxels)
    return Picture(
        title=title,
        modality=row["modality"] or "",
        slices=n_slices,
        rows=n_rows,
        columns=n_columns,
        aspect=stretch * n_columns / n_rows,
        slice_mm=slice_mm if _is_length(slice_mm) else None,
        center=window.center,
        width=window.width,
        hounsfield=row["modality"] == "CT",
    )


def _is_length(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value)) and value > 0


def window_of(row: Mapping[str, Any], voxels: Num[np.ndarray, "slice row column"]) -> Window:
    """Give the window that the source states; without one, what all but the farthest pixels lie within."""
    center, width = row["window_center"], row["window_width"]
    if center is not None and width is not None and np.isfinite(center) and width > 0:
        return Window(float(center), float(width))
    low, high = (float(value) for value in np.percentile(voxels, [0.5, 99.5]))
    return Window((low + high) / 2, max(high - low, 1.0))


def png_of(voxels: Num[np.ndarray, "slice row column"], number: int, window: Window) -> bytes:
    """Draw one slice.

    Raises:
        NotFoundError: there is no such slice.
        InputError: the window is none.
    """
    if not 0 <= number < len(voxels):
        raise NotFoundError("there is no such slice")
    if not (np.isfinite(window.center) and np.isfinite(window.width) and window.width > 0):
        raise InputError("a window has a centre, and a width above 0", where="center, width")
    try:
        from PIL import Image
    except ModuleNotFoundError as missing:
        raise PluginError(
            "drawing an image needs pillow", mend="pip install 'residency[imaging]'"
        ) from missing
    share = (voxels[number].astype(np.float32) - (window.center - window.width / 2)) / window.width
    grey = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    drawn = BytesIO()
    Image.fromarray(grey, mode=None).save(drawn, "PNG")
    return drawn.getvalue()
