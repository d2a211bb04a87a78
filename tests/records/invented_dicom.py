"""Invented DICOM, written by pydicom."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

AXIAL = [1.0, 0, 0, 0, 1, 0]


def instance(number: int = 1, pixels: np.ndarray | None = None, **more: Any) -> FileDataset:
    """Give one axial CT slice of patient p1; a value of None takes an attribute away."""
    voxels = np.arange(12, dtype=np.uint16).reshape(3, 4) + 10 * number if pixels is None else pixels
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": f"1.2.3.4.{number}", "Modality": "CT",
        "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "InstanceNumber": 99 - number,
        "PatientID": "p1", "PatientName": "Canary^Wilhelmina", "PatientBirthDate": "19500601",
        "StudyDate": "20200201", "AcquisitionDate": "20200201", "AcquisitionTime": "081500.5",
        "BodyPartExamined": "CHEST", "ImagePositionPatient": [-10.0, -20.0, 2.5 * number],
        "ImageOrientationPatient": AXIAL, "PixelSpacing": [0.7, 0.8], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "Rows": voxels.shape[-2], "Columns": voxels.shape[-1],
        "BitsAllocated": 8 * voxels.dtype.itemsize, "BitsStored": 12 if voxels.dtype.itemsize > 1 else 8,
        "HighBit": 11 if voxels.dtype.itemsize > 1 else 7,
        "PixelRepresentation": int(voxels.dtype.kind == "i"), "RescaleSlope": 1, "RescaleIntercept": -1024,
        "WindowCenter": 40, "WindowWidth": 400,
    }  # fmt: skip
    if voxels.ndim == 3:
        values["NumberOfFrames"] = len(voxels)
    for name, value in (values | more).items():
        if value is not None:
            setattr(found, name, value)
    if "PixelData" not in more:
        found.PixelData = voxels.tobytes()
    return found


def radiograph(number: int = 1, pixels: np.ndarray | None = None, **more: Any) -> FileDataset:
    """Give a chest radiograph: no position, spacing at the detector."""
    voxels = np.arange(12, dtype=np.uint16).reshape(3, 4) if pixels is None else pixels
    values: dict[str, Any] = {
        "Modality": "DX", "ImagePositionPatient": None, "ImageOrientationPatient": None,
        "PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.2], "RescaleIntercept": 0,
        "SeriesInstanceUID": "1.2.3.9",
    }  # fmt: skip
    return instance(number, voxels, **(values | more))


def items(*found: dict[str, Any]) -> list[Dataset]:
    """Give a sequence."""
    made = []
    for values in found:
        one = Dataset()
        for name, value in values.items():
            setattr(one, name, value)
        made.append(one)
    return made


def save(found: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path, enforce_file_format=True)
    return path
