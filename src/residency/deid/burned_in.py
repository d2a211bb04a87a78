"""In: the voxels of an image. Out: the same with the writing in them covered.

Writing that a machine burns into an image is brighter or darker than all around it, has one grey, and stands
in lines of letters of one height. That is looked for; a text recogniser can look besides (extra `scrubbing`).
"""

from functools import cache
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Shaped

from residency.contract.errors import PluginError
from residency.deid.glyphs import Box, lines

_LETTERS: Final = 3  # of a line whose ink is the brightest or the darkest there is
_LETTERS_GREY: Final = 5  # of a line whose ink is grey
_CONTRAST: Final = 0.22  # of ink with what is around it, as a share of the range of grey
_ONE_GREY: Final = 0.08  # of the range of grey: how far the greys of one ink lie apart
_INK: Final = 0.33  # of a line's pixels, that have one grey
_OFTEN: Final = 0.2  # of a volume's slices: then every slice is covered there
_SURE: Final = 0.4  # of a recogniser, to count
_LONGEST: Final = 8  # bits to which a wide range of grey is brought for the recogniser


def cover(
    voxels: Shaped[np.ndarray, "slice row column *channel"], *, use_ocr: bool = False
) -> tuple[Shaped[np.ndarray, "slice row column *channel"], int]:
    """Cover writing.

    Args:
        voxels: by slice, row and column; of colour by channel, too: what one channel shows goes from all.
        use_ocr: let a text recogniser look besides.

    Returns:
        The voxels (the same object where nothing was found), and how many places were covered.
    """
    found = [_found(one, use_ocr=use_ocr) for one in voxels]
    if not any(found):
        return voxels, 0
    if sum(bool(one) for one in found) >= max(2, _OFTEN * len(voxels)):
        everywhere = sorted({box for one in found for box in one}, key=lambda box: (box.top, box.left))
        found = [everywhere for _ in found]
    covered = voxels.copy()
    for one, boxes in zip(covered, found, strict=True):
        for box in boxes:
            _fill(one, box)
    return covered, sum(len(boxes) for boxes in found)


def _found(image: Shaped[np.ndarray, "row column *channel"], *, use_ocr: bool) -> list[Box]:
    """Find writing in one slice, in whichever channel it stands."""
    channels = [image] if image.ndim == 2 else list(np.moveaxis(image, -1, 0))
    boxes = [box for one in channels for box in (*find(one), *(_recognised(one) if use_ocr else []))]
    return boxes if image.ndim == 2 else _merged(boxes)


def find(image: Shaped[np.ndarray, "row column"]) -> list[Box]:
    """Find lines of writing in one slice."""
    grey = image.astype(np.float32)
    low, high = float(grey.min()), float(grey.max())
    if high <= low:
        return []
    bounds = np.percentile(
        grey[:: max(1, grey.shape[0] // 256), :: max(1, grey.shape[1] // 256)], [0.5, 99.5]
    )
    span = max(float(bounds[1] - bounds[0]), (high - low) / 1000)
    found = [
        box for mask in _extremes(image) for box in lines(mask, _LETTERS) if _is_sharp(grey, mask, box, span)
    ]
    clipped = np.clip(grey, bounds[0] - 0.5 * span, bounds[1] + 0.5 * span)
    for radius in (6, 20):
        away = clipped - _blurred(clipped, radius)
        for mask in (away > _CONTRAST * span, away < -_CONTRAST * span):
            found += [
                box for box in lines(mask, _LETTERS_GREY, joined=False) if _is_ink(grey, mask, box, span)
            ]
    return [_padded(box, image.shape) for box in _merged(found)]


def _is_ink(
    grey: Shaped[np.ndarray, "row column"], mask: Bool[np.ndarray, "row column"], box: Box, span: float
) -> bool:
    """Tell ink, which has one grey, from ribs and edges, which have many."""
    part = np.s_[box.top : box.bottom, box.left : box.right]
    values = np.sort(grey[part][mask[part]])
    within = np.searchsorted(values, values + _ONE_GREY * span, side="right") - np.arange(len(values))
    return bool(within.max() >= _INK * len(values))


def _is_sharp(
    grey: Shaped[np.ndarray, "row column"], mask: Bool[np.ndarray, "row column"], box: Box, span: float
) -> bool:
    """Tell writing from air and metal: what is between the letters is another grey altogether."""
    part = np.s_[box.top : box.bottom, box.left : box.right]
    ink = float(grey[part][mask[part]][0])
    ground = grey[part][~mask[part]]
    return bool(len(ground) and np.median(np.abs(ground - ink)) >= _CONTRAST * span)


def _extremes(image: Shaped[np.ndarray, "row column"]) -> list[Bool[np.ndarray, "row column"]]:
    """Give where the image is at its brightest and at its darkest, to the very value."""
    masks = (image == image.max(), image == image.min())
    return [mask for mask in masks if mask.mean() < 0.9]


def _blurred(grey: Shaped[np.ndarray, "row column"], radius: int) -> Shaped[np.ndarray, "row column"]:
    """Give the mean of a square around each pixel."""
    padded = np.pad(grey, radius + 1, mode="edge").astype(np.float64)
    total = padded.cumsum(0).cumsum(1)
    size = 2 * radius + 1
    square = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    mean: np.ndarray = (square[: grey.shape[0], : grey.shape[1]] / size**2).astype(np.float32)
    return mean


def _merged(boxes: list[Box]) -> list[Box]:
    """Give boxes that do not overlap."""
    left = sorted(set(boxes), key=lambda box: (box.top, box.left))
    merged: list[Box] = []
    while left:
        box = left.pop()
        touching = [other for other in left if _touch(box, other)]
        if not touching:
            merged.append(box)
            continue
        left = [other for other in left if other not in touching]
        every = [box, *touching]
        left.append(
            Box(
                min(one.top for one in every),
                max(one.bottom for one in every),
                min(one.left for one in every),
                max(one.right for one in every),
            )
        )
    return sorted(merged, key=lambda box: (box.top, box.left))


def _touch(one: Box, other: Box) -> bool:
    return (
        one.top < other.bottom
        and other.top < one.bottom
        and one.left < other.right
        and other.left < one.right
    )


def _padded(box: Box, shape: tuple[int, ...]) -> Box:
    """Widen a box by what serifs, dots and letters at its ends may need."""
    more, wide = max(2, round(0.3 * box.height)), max(3, round(1.0 * box.height))
    return Box(
        max(0, box.top - more),
        min(shape[0], box.bottom + more),
        max(0, box.left - wide),
        min(shape[1], box.right + wide),
    )


def _fill(image: Shaped[np.ndarray, "row column *channel"], box: Box) -> None:
    """Put the usual value of the box's rim in its place, so that no letter's shape is left."""
    rim = np.concatenate(
        [
            image[box.top, box.left : box.right],
            image[box.bottom - 1, box.left : box.right],
            image[box.top : box.bottom, box.left],
            image[box.top : box.bottom, box.right - 1],
        ]
    )
    image[box.top : box.bottom, box.left : box.right] = np.median(rim, axis=0).astype(image.dtype)


def _recognised(image: Shaped[np.ndarray, "row column"]) -> list[Box]:
    """Find writing by a text recogniser."""
    low, high = np.percentile(image, [0.1, 99.9])
    grey = np.clip((image.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1)
    shown = (grey * (2**_LONGEST - 1)).astype(np.uint8)
    result = _reader()(np.repeat(shown[..., None], 3, axis=2))
    if result.boxes is None:
        return []
    boxes = []
    for corners, score in zip(result.boxes, result.scores, strict=True):
        if score >= _SURE:
            (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
            box = Box(max(0, int(top)), int(np.ceil(bottom)), max(0, int(left)), int(np.ceil(right)))
            boxes.append(_padded(box, image.shape))
    return boxes


@cache
def _reader() -> Any:
    try:
        from rapidocr import RapidOCR
    except ModuleNotFoundError as missing:
        raise PluginError(
            f"reading text in images needs {missing.name}", mend="pip install 'residency[scrubbing]'"
        ) from missing
    return RapidOCR(params={"Global.log_level": "critical"})
