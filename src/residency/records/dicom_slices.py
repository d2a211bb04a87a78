"""In: the data set of an instance. Out: its columns of a slice: pixels, geometry, window, body site."""

import re
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from residency.records.dicom_files import Quarantine
from residency.records.dicom_people import words
from residency.records.dicom_values import Values, values_of
from residency.records.documents import LARGEST
from residency.records.pixels import little_endian
from residency.records.series import NAN, is_orientation

_DERIVED: Final = frozenset({"SEG", "RTDOSE", "RTSTRUCT", "PR", "KO", "SR", "REG", "RWV", "DOC", "PLAN"})
_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9 _]{0,15}", re.ASCII)


def slice_of(dataset: Dataset) -> dict[str, Any]:
    """Give the columns of `draft.SLICES` that an image itself tells.

    Raises:
        Quarantine: it cannot be shown.
    """
    cosines = frame_numbers(dataset, 0, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    if cosines and not is_orientation(np.array(cosines)):
        raise Quarantine("image: an orientation that is none")
    values = values_of(dataset)
    positions = _positions(dataset, len(values.frames), cosines)
    spacing, at_detector = _spacing(dataset)
    return {
        "series": words(dataset, "SeriesInstanceUID") or "",
        "instance": words(dataset, "SOPInstanceUID") or "",
        "modality": _code(dataset, "Modality"),
        "body_site": _code(dataset, "BodyPartExamined"),
        "positions": positions,
        "orientation": cosines or [],
        "spacing_mm": spacing,
        "at_detector": at_detector,
        "window": _window(dataset, values),
        "low": values.low,
        "high": values.high,
        **little_endian(values.frames),
    }


def refuse_no_image(dataset: Dataset) -> None:
    """Refuse what holds no picture, or one that would not fit in memory."""
    if words(dataset, "Modality") in _DERIVED:
        raise Quarantine("image: a plan, dose, segmentation or document, no picture")
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise Quarantine("image: no pixels")
    if not (words(dataset, "SeriesInstanceUID") and words(dataset, "SOPInstanceUID")):
        raise Quarantine("image: no number of series or instance")
    size = int(dataset.get("NumberOfFrames") or 1) * int(dataset.SamplesPerPixel)
    if size * int(dataset.Rows) * int(dataset.Columns) * max(int(dataset.BitsAllocated) // 8, 1) > LARGEST:
        raise Quarantine("image: larger than 256 MiB")


def _code(dataset: Dataset, keyword: str) -> str | None:
    """Give a coded text; one that breaks the rules may be free text, and is none."""
    text = (words(dataset, keyword) or "").upper()
    return text if _CODE.fullmatch(text) else None


def frame_item(dataset: Dataset, frame: int, group: str) -> Dataset:
    """Give what holds for a frame: of its own functional group, else the shared one, else the data set."""
    for name, at in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(name)
        if groups and at < len(groups):
            inner = groups[at].get(group)
            if inner:
                item: Dataset = inner[0]
                return item
    return dataset


def frame_numbers(dataset: Dataset, frame: int, group: str, keyword: str, n: int) -> list[float] | None:
    """Give the `n` numbers of an attribute that holds for a frame; None where there are not that many."""
    value = frame_item(dataset, frame, group).get(keyword)
    numbers = [float(one) for one in value] if value is not None and hasattr(value, "__len__") else []
    return numbers if len(numbers) == n and np.isfinite(numbers).all() else None


def _positions(dataset: Dataset, n_frames: int, cosines: list[float] | None) -> list[float]:
    """Give each frame's position; nothing where one is missing or the orientation is."""
    if cosines is None:
        return []
    if n_frames > 1 and "PerFrameFunctionalGroupsSequence" not in dataset:
        return []
    found: list[float] = []
    for frame in range(n_frames):
        own = frame_numbers(dataset, frame, "PlanePositionSequence", "ImagePositionPatient", 3)
        turned = frame_numbers(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
        if own is None:
            return []
        if turned is None or np.abs(np.subtract(turned, cosines)).max() > 1e-3:
            raise Quarantine("series: slices of different orientation")
        found += own
    return found


def _spacing(dataset: Dataset) -> tuple[list[float], bool]:
    """Give the distances of slices, rows and columns, and whether they are measured at the detector."""
    between = frame_item(dataset, 0, "PixelMeasuresSequence").get("SpacingBetweenSlices")
    slice_mm = abs(float(between)) if between else NAN
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = frame_numbers(dataset, 0, "PixelMeasuresSequence", keyword, 2)
        if found and min(found) > 0:
            return [slice_mm, *found], keyword == "ImagerPixelSpacing"
    return [slice_mm, NAN, NAN], False


def _window(dataset: Dataset, values: Values) -> list[float]:
    """Give centre and width of the first window, turned over where the pixels were."""
    item = frame_item(dataset, 0, "FrameVOILUTSequence")
    center, width = words(item, "WindowCenter"), words(item, "WindowWidth")
    if values.is_colour or center is None or width is None or not float(width) > 0:
        return []
    if not values.is_turned:
        return [float(center), float(width)]
    exact = words(item, "VOILUTFunction") in ("LINEAR_EXACT", "SIGMOID")
    return [values.low + values.high - float(center) + (0.0 if exact else 1.0), float(width)]
