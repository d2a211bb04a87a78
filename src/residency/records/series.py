"""In: where the frames of one series lie in space. Out: their order along the normal and their distance.

Slices are ordered by position and never by number: instance numbers restart, run backwards, or are the
viewer's. What does not make one even stack is refused with a reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int64

NAN: Final = float("nan")
SHAPES: Final = "series: slices of different size"
ORIENTATIONS: Final = "series: slices of different orientation"
SPACINGS: Final = "series: slices of different pixel spacing"
PLACELESS: Final = "series: some slices have no position"
TWICE: Final = "series: two slices at one place"
UNEVEN: Final = "series: slices are missing or unevenly spaced"
_DIRECTION: Final = 1e-3
_SAME_PLACE_MM: Final = 0.01
_UNEVEN_MM, _UNEVEN_SHARE = 0.1, 0.05


@dataclass(frozen=True)
class Stack:
    """An even stack.

    Attributes:
        order: of the frames, rising along the normal.
        slice_mm: distance of neighbours; NaN for a single slice.
    """

    order: Int64[np.ndarray, " frame"]
    slice_mm: float


def is_orientation(cosines: Float[np.ndarray, " 6"]) -> bool:
    """Tell whether six numbers are two directions at a right angle."""
    row, column = cosines[:3], cosines[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    return bool(np.all(np.abs(lengths - 1) < 0.01) and abs(row @ column) < 0.01)


def stack(positions: Float[np.ndarray, "frame 3"], cosines: Float[np.ndarray, " 6"]) -> Stack | str:
    """Order frames along the normal, or say why they are no stack.

    Args:
        positions: of each frame's first pixel, in mm (DICOM's patient coordinates).
        cosines: directions of rows and columns.

    Example:
        >>> axial = np.array([1.0, 0, 0, 0, 1, 0])
        >>> stack(np.array([[0.0, 0, 5], [0, 0, 0], [0, 0, 2.5]]), axial)
        Stack(order=array([1, 2, 0]), slice_mm=2.5)
    """
    along = positions @ np.cross(cosines[:3], cosines[3:])
    order = np.argsort(along, kind="stable").astype(np.int64)
    gaps = np.diff(along[order])
    if not len(gaps):
        return Stack(order, NAN)
    usual = float(np.median(gaps))
    if gaps.min() < _SAME_PLACE_MM:
        return TWICE
    if np.abs(gaps - usual).max() > max(_UNEVEN_MM, _UNEVEN_SHARE * usual):
        return UNEVEN
    return Stack(order, round(float(gaps.mean()), 6))


def differs(
    shapes: Sequence[tuple[int, int]],
    cosines: Float[np.ndarray, "instance 6"],
    spacings: Float[np.ndarray, "instance 2"],
) -> str | None:
    """Say in what the instances of a series differ that should not; None where they do not."""
    if len(set(shapes)) > 1:
        return SHAPES
    if np.abs(cosines - cosines[0]).max() > _DIRECTION:
        return ORIENTATIONS
    if not np.allclose(spacings, spacings[0], rtol=1e-3, equal_nan=True):
        return SPACINGS
    return None
