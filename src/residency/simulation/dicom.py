"""In: pixels and who and what they show. Out: the bytes of a DICOM file, the same each time.

Everything of one series that does not change from image to image is encoded once.
"""

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
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
    try:
        from pydicom.dataset import FileMetaDataset
        from pydicom.uid import UID
    except ModuleNotFoundError:
        raise InputError(
            "images are written with pydicom, which is not installed",
            mend="pip install 'residency[imaging]', or set images = false",
        ) from None
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CLASSES[series.modality])
    meta.TransferSyntaxUID = UID(DEFLATED if series.deflated else EXPLICIT)
    meta.ImplementationClassUID = UID(_WRITER)
    meta.ImplementationVersionName = "RESIDENCY"
    common = _common(series)
    return [_file(common, meta, series, picture) for picture in pictures]


def _common(series: Series) -> "Dataset":
    """Lay out what does not change within the series."""
    from pydicom.dataset import Dataset

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


def _file(common: "Dataset", meta: Any, series: Series, picture: Picture) -> bytes:
    """Write one image. Only what differs from image to image is set anew."""
    import pydicom

    image = common
    image.SOPInstanceUID = picture.uid
    image.InstanceNumber = picture.number
    image.Rows, image.Columns = picture.pixels.shape
    if picture.burned_in is not None:
        image.BurnedInAnnotation = picture.burned_in
    if series.modality == "CT":
        side = -(picture.pixels.shape[0] - 1) / 2 * series.spacing_mm
        image.ImagePositionPatient = [side, side, round(picture.z_mm, 4)]
        image.SliceLocation = round(picture.z_mm, 4)
    little = "<u2" if picture.pixels.dtype.kind == "u" else "<i2"
    image.add_new("PixelData", "OW", np.ascontiguousarray(picture.pixels, little).tobytes())
    meta.MediaStorageSOPInstanceUID = picture.uid
    image.file_meta = meta
    into = BytesIO()
    pydicom.dcmwrite(into, image, enforce_file_format=True)
    return into.getvalue()
