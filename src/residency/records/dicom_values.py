"""In: the pixel data of an instance. Out: the values that the modality means, in one channel.

The modality's table or slope and intercept are applied (CT: Hounsfield units). Brighter is denser:
MONOCHROME1 is turned over within the range that its bits can hold. Colour becomes brightness.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Num
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from residency.records.dicom_files import Quarantine
from residency.records.pixels import kind_for, luminance

_GREY: Final = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True)
class Values:
    """Values of the frames of an instance.

    Attributes:
        frames: of the modality's units.
        low, high: the range that its bits and its scale allow.
        is_turned: MONOCHROME1 was turned over.
        is_colour: it was colour.
    """

    frames: Num[np.ndarray, "frame row column"]
    low: float
    high: float
    is_turned: bool = False
    is_colour: bool = False


def values_of(dataset: Dataset) -> Values:
    """Decode an instance.

    Raises:
        Quarantine: no decoder here reads it, or what it holds is damaged.
    """
    try:
        stored = np.asarray(pixel_array(dataset))
    except Exception:  # noqa: BLE001 - decoders raise what the damage happens to lead to
        raise Quarantine("image: pixels that cannot be decoded") from None
    kind = str(dataset.PhotometricInterpretation)
    if kind in _GREY and int(dataset.SamplesPerPixel) == 1:
        found = _scaled(dataset, _as_frames(stored, stored.ndim == 2))
        return _turned(found) if kind == "MONOCHROME1" else found
    return _bright(dataset, stored, kind)


def _as_frames(stored: np.ndarray, is_single: bool) -> np.ndarray:
    return stored[None] if is_single else stored


def _bright(dataset: Dataset, stored: np.ndarray, kind: str) -> Values:
    """Give the brightness of colours; YBR comes from the decoder as RGB."""
    if kind == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)[..., :3]
    if stored.shape[-1] != 3 or stored.dtype.kind != "u":
        raise Quarantine("image: colours of an unknown kind")
    grey = _as_frames(luminance(stored), stored.ndim == 3)
    return Values(grey, 0.0, float(np.iinfo(grey.dtype).max), is_colour=True)


def _scaled(dataset: Dataset, stored: np.ndarray) -> Values:
    """Apply the modality's table, or slope and intercept, of each frame."""
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(dataset.ModalityLUTSequence[0], stored)
    if stored.dtype.kind == "f":
        return Values(stored, float(stored.min()), float(stored.max()))
    stored, least, most = _within_bits(dataset, stored)
    scales = [_scale(dataset, frame) for frame in range(len(stored))]
    ends = [end * slope + intercept for slope, intercept in scales for end in (least, most)]
    if all(scale == (1.0, 0.0) for scale in scales):
        return Values(stored, least, most)
    slope, intercept = (np.array(column).reshape(-1, 1, 1) for column in zip(*scales, strict=True))
    exact = stored * slope + intercept
    is_whole = all(one.is_integer() for scale in scales for one in scale)
    kind = (kind_for(min(ends), max(ends)) or "int32") if is_whole else "float32"
    return Values(exact.astype(kind), min(ends), max(ends))


def _within_bits(dataset: Dataset, stored: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Give stored values and their range; bits above the stored ones hold overlays of long ago."""
    bits = int(dataset.BitsStored)
    if int(dataset.PixelRepresentation) == 1:
        return (
            stored,
            float(min(-(2 ** (bits - 1)), stored.min())),
            float(max(2 ** (bits - 1) - 1, stored.max())),
        )
    most = 2**bits - 1
    return (stored & most if stored.max() > most else stored), 0.0, float(most)


def _scale(dataset: Dataset, frame: int) -> tuple[float, float]:
    item = dataset
    for name, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        groups = dataset.get(name)
        if groups and at < len(groups) and groups[at].get("PixelValueTransformationSequence"):
            item = groups[at].PixelValueTransformationSequence[0]
    slope, intercept = (
        _number(item, name, usual) for name, usual in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    return slope, intercept


def _number(item: Dataset, keyword: str, usual: float) -> float:
    value = item.get(keyword)
    return float(usual if value is None or value == "" else value)


def _looked_up(table: Any, stored: np.ndarray) -> Values:
    """Apply a modality's table (PS3.3, C.11.1.1.1)."""
    n, first, bits = (int(one) for one in table.LUTDescriptor)
    data = table.LUTData
    entries = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data, np.uint16)
    if first > 32767 and stored.dtype.kind == "i":
        first -= 65536
    at = np.clip(stored.astype(np.int64) - first, 0, (n or 65536) - 1)
    return Values(entries[at], 0.0, float(2**bits - 1))


def _turned(values: Values) -> Values:
    """Turn values over within their range, so that brighter is denser."""
    over = values.low + values.high - values.frames.astype(np.float64)
    kind = kind_for(values.low, values.high) or "int32"
    frames = over.astype(kind if values.frames.dtype.kind != "f" else "float32")
    return replace(values, frames=frames, is_turned=True)
