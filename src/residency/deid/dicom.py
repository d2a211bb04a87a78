"""In: the bytes of a DICOM file, a policy, a key. Out: those of one without identities, or why there is none.

The file says what was done to it (PS3.15, Annex E): the Basic Profile, dates moved with the days between them
kept, and, where the pixels were searched for writing, Clean Pixel Data.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from residency import __version__
from residency.contract.identifiers import pseudonym_of
from residency.contract.quiet import quiet
from residency.deid.handling import ImagesRules
from residency.deid.headers import Hiding, hidden, listed
from residency.deid.images import refused
from residency.deid.people import NO_EVENTS, people_of
from residency.deid.pixels import Stored, hide_pixels
from residency.deid.policy import Policy

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SHOWN: Final = {1: ("MONOCHROME",), 3: ("RGB", "YBR")}  # a palette's tables are not looked through
LARGEST: Final = 256 << 20  # bytes of a file, or of its pixels
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_BARE: Final = (b"\x08\x00", b"\x02\x00")  # how a data set without a preamble begins
_BASIC, _PIXELS, _DATES = "113100", "113101", "113107"
_OPTIONS: Final = {
    _BASIC: "Basic Application Confidentiality Profile",
    _PIXELS: "Clean Pixel Data Option",
    _DATES: "Retain Longitudinal Temporal Information Modified Dates Option",
}


UNFIT: Final = (
    "cannot be read",
    "its identifiers are none",
    "no patient's number",
    "says that writing is burned in, and none was found",
)
"""Reasons that are a fault of the file; the others are what a policy leaves out."""


class Refused(Exception):  # noqa: N818 - no error of ours: the run goes on
    """Why a file stays behind: a fixed phrase."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Hidden:
    """A file without identities.

    Attributes:
        body: its bytes.
        study: pseudonym of its study's UID.
        n_covered: places with writing that were covered.
    """

    body: bytes
    study: str
    n_covered: int


def hide_file(body: bytes, policy: Policy, key: bytes, patient_of: Callable[[str], int]) -> Hidden:
    """Make a DICOM file without identities.

    Args:
        body: a file.
        policy: what may stay.
        key: the secret.
        patient_of: gives the ingest id of a `PatientID`.

    Raises:
        Refused: the file is broken, or may not pass; says why in a fixed phrase.
    """
    with _read(body) as dataset:
        modality = str(dataset.get("Modality", "")).strip()
        _refuse(dataset, modality, policy.images)
        patient = patient_of(_patient(dataset))
        (shift,) = people_of(np.array([patient], np.int64), NO_EVENTS, policy, key)["shift"].to_list()
        hiding = Hiding(key, timedelta(microseconds=shift), policy.max_age)
        out = hidden(dataset, modality, hiding)
        voxels, n_covered = _pixels(dataset, policy.images)
        _identify(out, dataset, pseudonym_of(key, patient), modality)
        _state(out, searched=policy.images.burned_in != "off")
        _put_pixels(out, voxels)
        return Hidden(_written(out), str(out.StudyInstanceUID), n_covered)


@contextmanager
def _read(body: bytes) -> Iterator["Dataset"]:
    """Read a file, quietly: pydicom's warnings repeat values. Whatever its damage leads to is one reason."""
    import pydicom

    if len(body) > LARGEST:
        raise Refused("larger than 256 MiB")
    if body[128:132] != b"DICM" and body[:2] not in _BARE:
        raise Refused("not a DICOM file")
    if _DEFLATED.encode() in body[128:4096]:  # may be far larger than it looks
        raise Refused("deflated")
    try:
        with quiet("pydicom"):
            yield pydicom.dcmread(BytesIO(body), force=True)
    except Refused:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises what the file's damage happens to lead to
        raise Refused("cannot be read") from None


def _refuse(dataset: "Dataset", modality: str, rules: ImagesRules) -> None:
    """Refuse what may not pass, by the rules that hold for the images table."""
    site = str(dataset.get("BodyPartExamined", "") or "")
    row = pl.DataFrame({"modality": [modality], "body_site": [site]})
    (reason,) = row.select(refused(rules))[:, 0].to_list()
    if reason is not None or modality not in listed().modalities:
        raise Refused(reason or "modality not allowed")
    if "PixelData" not in dataset:
        raise Refused("no pixels")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    if not str(dataset.get("PhotometricInterpretation")).startswith(_SHOWN.get(samples, ("?",))):
        raise Refused("colours of a kind that is not written")
    size = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1) * 2
    if not 0 < size * samples <= LARGEST:
        raise Refused("larger than 256 MiB")


def _patient(dataset: "Dataset") -> str:
    found = str(dataset.get("PatientID", "") or "").strip(" \x00")
    if not found:
        raise Refused("no patient's number")
    return found


def _pixels(dataset: "Dataset", rules: ImagesRules) -> tuple[np.ndarray, int]:
    """Give the pixels by frame, row and column, with writing covered and nothing above their stored bits.

    Colours come by red, green and blue behind that.
    """
    raw = dataset.pixel_array
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if raw.dtype not in (np.uint8, np.uint16, np.int16) or not 0 < stored <= allocated:
        raise Refused("pixels of a kind that is not written")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    voxels = raw.reshape(-1, int(dataset.Rows), int(dataset.Columns), *([samples] if samples > 1 else []))
    spare = raw.dtype.itemsize * 8 - stored
    voxels = np.right_shift(np.left_shift(voxels, spare), spare) if spare else voxels
    stored_, n_covered = hide_pixels(Stored("", voxels), rules)
    if rules.burned_in != "off" and not n_covered and str(dataset.get("BurnedInAnnotation")) == "YES":
        raise Refused("says that writing is burned in, and none was found")
    return stored_.voxels, n_covered


def _identify(out: "Dataset", dataset: "Dataset", pseudonym: int, modality: str) -> None:
    """Give the attributes that a reader needs and that name nobody."""
    from pydicom.uid import UID

    kind = UID(str(dataset.SOPClassUID))
    if "Image Storage" not in kind.name or kind.is_private:
        raise Refused("not an image of the standard")
    missing = [
        name for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID") if name not in out
    ]
    if missing:
        raise Refused("its identifiers are none")
    out.SOPClassUID, out.Modality = kind, modality
    out.PatientID = out.PatientName = str(pseudonym)
    for name in ("PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        setattr(out, name, "")  # must be there, may be empty
    for name in ("StudyDate", "StudyTime", "SeriesNumber", "InstanceNumber", "PatientSex"):
        if name not in out:
            setattr(out, name, None)


def _state(out: "Dataset", *, searched: bool) -> None:
    """Say in the file what was done to it."""
    from pydicom.dataset import Dataset

    done = (_BASIC, _PIXELS, _DATES) if searched else (_BASIC, _DATES)
    items = []
    for code in done:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", _OPTIONS[code]
        items.append(item)
    out.PatientIdentityRemoved = "YES"
    out.DeidentificationMethod = f"Residency {__version__}: allow-list by modality"
    out.DeidentificationMethodCodeSequence = items
    out.LongitudinalTemporalInformationModified = "MODIFIED"
    if searched:
        out.BurnedInAnnotation = "NO"


def _put_pixels(out: "Dataset", voxels: np.ndarray) -> None:
    out.SamplesPerPixel, (n_frames, out.Rows, out.Columns) = 1, voxels.shape[:3]
    if voxels.ndim > 3:
        out.SamplesPerPixel, out.PlanarConfiguration, out.PhotometricInterpretation = (
            voxels.shape[3],
            0,
            "RGB",
        )
    if n_frames > 1:
        out.NumberOfFrames = n_frames
    elif "NumberOfFrames" in out:
        del out.NumberOfFrames
    bits = voxels.dtype.itemsize * 8
    out.BitsAllocated, out.PixelRepresentation = bits, int(voxels.dtype.kind == "i")
    body = np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).tobytes()
    out.add_new("PixelData", "OW" if bits > 8 else "OB", body + b"\x00" * (len(body) % 2))


def _written(out: "Dataset") -> bytes:
    """Write explicit little-endian, with a file header of our own and an empty preamble."""
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = _uid(_EXPLICIT), out.SOPClassUID
    meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID
    buffer = BytesIO()
    file = FileDataset(buffer, out, file_meta=meta, preamble=b"\x00" * 128)
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(text: str) -> Any:
    from pydicom.uid import UID

    return UID(text)
