"""In: images and series of any size. Out: a few slices each, 64 by 64, 0 to 1, at one scale.

The window says what is black and what is white; without one, the darkest and brightest hundredth do. Where
the spacing is known, the picture is cut or padded to a square of one size in mm, so an organ has its size;
elsewhere the whole picture is that square.
"""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Num, UInt8
from torch.nn import functional

from residency.timeline import Image

SIZE: Final = 64  # rows and columns of a slice
SLICES: Final = 8  # most of a series, evenly spread
EXTENT_MM: Final = 400.0  # what a slice shows, where the spacing is known
_EDGE: Final = 1.0  # percent that may be clipped where there is no window


def slices_of(image: Image) -> Float32[np.ndarray, "slice 64 64"]:
    """Give the slices of one image."""
    chosen = np.unique(np.linspace(0, len(image.pixels) - 1, SLICES).round().astype(int))
    pixels = image.pixels[chosen].astype(np.float32)
    low, high = _window(image, pixels)
    shown = torch.from_numpy(np.clip((pixels - low) / max(high - low, 1e-6), 0.0, 1.0))
    return _resampled(shown, image.spacing_mm[1:]).numpy()


def shown(image: Image, most: int) -> list[UInt8[np.ndarray, "row column"]]:
    """Give up to so many slices as they are seen: through the window, every dot of them; one: the middle."""
    n = len(image.pixels)
    chosen = np.unique(np.linspace(0, n - 1, most).round().astype(int)) if most > 1 else [n // 2]
    pixels = image.pixels[chosen].astype(np.float32)
    low, high = _window(image, pixels)
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0.0, 1.0) * 255.0
    return list(grey.round().astype(np.uint8))


def _window(image: Image, pixels: Num[np.ndarray, "slice row column"]) -> tuple[float, float]:
    centre, width = image.window
    if np.isfinite(centre) and np.isfinite(width) and width > 0:
        return centre - width / 2, centre + width / 2
    low, high = np.percentile(pixels, [_EDGE, 100.0 - _EDGE])
    return float(low), float(high)


def _resampled(
    shown: Float32[torch.Tensor, "slice row column"], spacing_mm: tuple[float, ...]
) -> Float32[torch.Tensor, "slice 64 64"]:
    """Bring slices to one size in mm, cut or padded around the middle, then to one number of dots."""
    if all(np.isfinite(mm) and mm > 0 for mm in spacing_mm):
        wanted = [max(1, round(EXTENT_MM / mm)) for mm in spacing_mm]
    else:
        wanted = [max(shown.shape[1:])] * 2
    row_pad, column_pad = (want - have for want, have in zip(wanted, shown.shape[1:], strict=True))
    half = (column_pad // 2, column_pad - column_pad // 2, row_pad // 2, row_pad - row_pad // 2)
    square = functional.pad(shown[:, None], half)
    return functional.interpolate(square, (SIZE, SIZE), mode="area")[:, 0]
