"""In: pixels and who and what they show. Out: the bytes of a DICOM file, the same each time.

What does not change within a series is encoded once, by pydicom; the little that changes from image to image
is laid between by hand, which is some fifty times faster.
"""

import struct
import zlib
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Int16, UInt16

from residency.contract.errors import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

COMPUTED_RADIOGRAPHY: Final = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_X_RAY: Final = "1.2.840.10008.5.1.4.1.1.1.1"
COMPUTED_TOMOGRAPHY: Final = "1.2.840.10008.5.1.4.1.1.2"
CLASSES: Final = {"CR": COMPUTED_RADIOGRAPHY, "DX": DIGITAL_X_RAY, "CT": COMPUTED_TOMOGRAPHY}
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_CHANGING: Final = (0x00080018, 0x00200013, 0x00200032, 0x00201041, 0x00280301, 0x7FE00010)
"""Tags of what changes: instance, number, position, location, words in the pixels, pixels."""
_WRITER: Final = "2.25.88210946310741908734509851923467"


@dataclass(frozen=True)
class Series:
    """What all images of a series have in common.

    Attributes:
        patient_id: as the file says; another patient's where the file is faulty.
        patient_name: `Family^Given`.
        birth_date: `YYYYMMDD`.
        sex: M or F.
        study_uid, series_uid: of the study and the series.
        accession: number of the order.
        time: `YYYYMMDDHHMMSS`.
        modality: CR, DX or CT.
        institution: of the site.
        physician: who asked for it, `Family^Given`.
        station: of the device.
        description: of the series.
        inverted: MONOCHROME1: bright where little was in the way.
        spacing_mm: of the pixels.
        intercept: what has to be added to stored values to get Hounsfield units; CT only.
        step_mm: between slices; CT only.
        deflated: pressed, in the transfer syntax for it.
    """

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_uid: str
    series_uid: str
    accession: str
    time: str
    modality: str
    institution: str
    physician: str
    station: str
    description: str
    inverted: bool
    spacing_mm: float
    intercept: int = 0
    step_mm: float = 0.0
    deflated: bool = False


@dataclass(frozen=True)
class Picture:
    """One image of a series.

    Attributes:
        uid: of the image.
        number: in the series, from 1.
        pixels: as stored.
        z_mm: height of a slice; CT only.
        burned_in: says that words stand in the pixels: YES, NO, or nothing (None), as many devices do.
    """

    uid: str
    number: int
    pixels: UInt16[np.ndarray, "row column"] | Int16[np.ndarray, "row column"]
    z_mm: float = 0.0
    burned_in: str | None = None


def uid(*parts: object) -> str:
    """Make a unique identifier from what it identifies (DICOM PS3.5 B.2: a UUID's number under 2.25).

    Example:
        >>> uid("series", 1) == uid("series", 1) != uid("series", 2)
        True
    """
    return f"2.25.{int.from_bytes(sha256(repr(parts).encode()).digest()[:16], 'big')}"


def write_series(series: Series, pictures: list[Picture]) -> list[bytes]:
    """Write each image of a series as a file.

    Raises:
        InputError: the extra is not installed.
    """
    common = _common(series)
    common.Rows, common.Columns = pictures[0].pixels.shape
    parts = tuple(_encoded(common[first:last]) for first, last in pairwise((0, *_CHANGING)))
    return [_file(parts, series, picture) for picture in pictures]


def _encoded(part: "Dataset") -> bytes:
    """Encode what does not change, as explicit VR, little-endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    into = DicomBytesIO()
    into.is_little_endian, into.is_implicit_VR = True, False
    write_dataset(into, part, parent_encoding="utf8")
    return into.getvalue()


def _common(series: Series) -> "Dataset":
    """Lay out what does not change within the series."""
    try:
        from pydicom.dataset import Dataset
    except ModuleNotFoundError:
        raise InputError(
            "images are written with pydicom, which is not installed",
            mend="pip install 'residency[imaging]', or set images = false",
        ) from None
    day, clock = series.time[:8], series.time[8:]
    found: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192", "ImageType": ["ORIGINAL", "PRIMARY"],
        "SOPClassUID": CLASSES[series.modality],
        "StudyDate": day, "SeriesDate": day, "AcquisitionDate": day, "ContentDate": day,
        "StudyTime": clock, "SeriesTime": clock, "AcquisitionTime": clock, "ContentTime": clock,
        "AccessionNumber": series.accession, "Modality": series.modality, "Manufacturer": "Invented Imaging",
        "InstitutionName": series.institution, "ReferringPhysicianName": series.physician,
        "StationName": series.station, "StudyDescription": series.description,
        "SeriesDescription": series.description, "PatientName": series.patient_name,
        "PatientID": series.patient_id, "PatientBirthDate": series.birth_date, "PatientSex": series.sex,
        "BodyPartExamined": "CHEST", "StudyInstanceUID": series.study_uid,
        "SeriesInstanceUID": series.series_uid, "StudyID": series.accession, "SeriesNumber": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME1" if series.inverted else "MONOCHROME2",
        "BitsAllocated": 16,
    }  # fmt: skip
    found |= _tomography(series) if series.modality == "CT" else _radiography(series)
    common = Dataset()
    for name, value in found.items():
        setattr(common, name, value)
    return common


def _radiography(series: Series) -> dict[str, Any]:
    return {
        "ViewPosition": "PA", "ImagerPixelSpacing": [series.spacing_mm] * 2, "KVP": 125,
        "PixelSpacing": [series.spacing_mm] * 2, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        "WindowCenter": 2048, "WindowWidth": 4096, "PatientOrientation": ["L", "F"],
    }  # fmt: skip


def _tomography(series: Series) -> dict[str, Any]:
    return {
        "PixelSpacing": [series.spacing_mm] * 2, "SliceThickness": round(series.step_mm, 3), "KVP": 120,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": 1, "RescaleIntercept": series.intercept, "RescaleSlope": 1,
        "RescaleType": "HU", "WindowCenter": -600, "WindowWidth": 1500, "PatientPosition": "HFS",
        "FrameOfReferenceUID": uid("frame", series.series_uid), "ConvolutionKernel": "LUNG",
    }  # fmt: skip


def _file(parts: tuple[bytes, ...], series: Series, picture: Picture) -> bytes:
    """Write one image: what changes goes between what does not, in the order of the tags (PS3.5, 7.1.2)."""
    side = -(picture.pixels.shape[0] - 1) / 2 * series.spacing_mm
    place = f"{side:g}\\{side:g}\\{picture.z_mm:.4f}"
    tomography = series.modality == "CT"
    little = "<u2" if picture.pixels.dtype.kind == "u" else "<i2"
    changing = (
        _element(0x00080018, b"UI", picture.uid.encode()),
        _element(0x00200013, b"IS", f"{picture.number}".encode()),
        _element(0x00200032, b"DS", place.encode()) if tomography else b"",
        _element(0x00201041, b"DS", f"{picture.z_mm:.4f}".encode()) if tomography else b"",
        _element(0x00280301, b"CS", picture.burned_in.encode()) if picture.burned_in else b"",
        _element(0x7FE00010, b"OW", np.ascontiguousarray(picture.pixels, little).tobytes()),
    )
    body = b"".join(chain.from_iterable(zip(parts, changing, strict=True)))
    if series.deflated:
        pressed = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = pressed.compress(body) + pressed.flush()
        body += b"\0" * (len(body) % 2)
    return _meta(series, picture) + body


def _meta(series: Series, picture: Picture) -> bytes:
    """Write the file's head (PS3.10, 7.1)."""
    syntax = DEFLATED if series.deflated else EXPLICIT
    found = b"".join((
        _element(0x00020001, b"OB", b"\0\1"),
        _element(0x00020002, b"UI", CLASSES[series.modality].encode()),
        _element(0x00020003, b"UI", picture.uid.encode()),
        _element(0x00020010, b"UI", syntax.encode()),
        _element(0x00020012, b"UI", _WRITER.encode()),
        _element(0x00020013, b"SH", b"RESIDENCY"),
    ))  # fmt: skip
    return b"\0" * 128 + b"DICM" + _element(0x00020000, b"UL", struct.pack("<I", len(found))) + found


def _element(tag: int, kind: bytes, value: bytes) -> bytes:
    """Write one element with explicit VR, its value padded to an even length."""
    if len(value) % 2:
        value += b"\0" if kind in (b"UI", b"OB", b"OW") else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, kind)
    size = struct.pack("<HI", 0, len(value)) if kind in (b"OB", b"OW") else struct.pack("<H", len(value))
    return head + size + value
