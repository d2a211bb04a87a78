"""Files are made by pydicom and read back by it; the odd ones are its own test files."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from residency.contract.errors import InputError
from residency.contract.identifiers import pseudonym_of, subject_id_of
from residency.contract.lineage import open_made
from residency.deid import ImagesRules, export_dicom, read_key
from residency.deid.dicom import UNFIT, Refused, hide_file
from residency.deid.people import NO_EVENTS, people_of

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SECRETS = (
    *("Ravenscroft", "MRN-4711", "ACC-99", "Larkspur", "Dr. Quill", "St. Elsewhere", "Nested Name"),
    *("PRIVATE CREATOR", "19500304", "20100203", "1.2.3.4.5", "Smudge", "OVERLAYSECRET", "preamble"),
)
ODD = sorted({Path(str(get_testdata_file("CT_small.dcm", download=False))).parent}.pop().rglob("*"))


def instance(**more: object) -> FileDataset:
    """Make a radiograph with identities wherever a file can hold them."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.3"
    meta.SourceApplicationEntityTitle = "Larkspur"
    found = FileDataset(None, Dataset(), file_meta=meta, preamble=b"preamble Ravenscroft".ljust(128, b"\x00"))
    nested, deeper = Dataset(), Dataset()
    deeper.PatientName, deeper.StudyDate = "Nested Name", "20100203"
    nested.ReferencedSOPInstanceUID, nested.RequestAttributesSequence = "1.2.3.4.5.9", Sequence([deeper])
    values = {
        **{"SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": "1.2.3.4.5.3", "Modality": "DX"},
        **{"StudyInstanceUID": "1.2.3.4.5.1", "SeriesInstanceUID": "1.2.3.4.5.2", "SeriesNumber": 3},
        **{"FrameOfReferenceUID": "1.2.3.4.5.7", "PatientID": "MRN-4711", "PatientAge": "095Y"},
        **{"PatientName": "Ravenscroft^Philippa", "PatientBirthDate": "19500304", "PatientSex": "F"},
        **{"PatientAddress": "12 Larkspur Lane", "StudyDate": "20100203", "StudyTime": "101112"},
        **{"ContentDate": "20100203", "AccessionNumber": "ACC-99", "ReferringPhysicianName": "Dr. Quill"},
        **{"InstitutionName": "St. Elsewhere", "StudyDescription": "Ravenscroft chest", "KVP": "120"},
        **{"SeriesDescription": "for Dr. Quill", "BodyPartExamined": "CHEST", "ViewPosition": "PA"},
        **{"ImageType": ["ORIGINAL", "PRIMARY", "RAVENSCROFT"], "PatientComments": "cat is Smudge"},
        **{"InstanceNumber": 4711471147, "RequestAttributesSequence": Sequence([nested])},
        **{"SharedFunctionalGroupsSequence": Sequence([nested]), "Rows": 32, "Columns": 32},
        **{"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16},
        **{"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "PixelSpacing": [0.5, 0.5]},
        "PixelData": (np.arange(1024, dtype="<u2") % 4096 | 0x8000).tobytes(),
    }
    for name, value in (values | more).items():
        setattr(found, name, value)
    block = found.private_block(0x0011, "PRIVATE CREATOR", create=True)
    block.add_new(0x01, "LO", "Ravenscroft private")
    found.add_new((0x6000, 0x0010), "US", 32)
    found.add_new((0x6000, 0x3000), "OW", b"OVERLAYSECRET".ljust(128, b"\x00"))
    found.add_new((0x6000, 0x4000), "LT", "OVERLAYSECRET")
    return found


def body_of(dataset: FileDataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def hide(policy):
    """Hide one file; give it as pydicom reads it, and its bytes."""

    def run(dataset: FileDataset, rules=policy):
        found = hide_file(
            body_of(dataset), rules, read_key(rules), lambda number: subject_id_of(number, "north")
        )
        return pydicom.dcmread(BytesIO(found.body)), found.body

    return run


def test_no_identity_is_in_any_byte_of_the_file(hide) -> None:
    before = body_of(instance())
    out, body = hide(instance())
    assert all(secret.encode() in before for secret in SECRETS if secret != "Ravenscroft private")
    assert [secret for secret in SECRETS if secret.encode().lower() in body.lower()] == []
    assert not any(element.tag.is_private for element in out.iterall())
    assert not any(element.tag.group & 0xFF00 == 0x6000 for element in out.iterall())


def test_the_file_says_what_was_done_to_it_and_only_that(hide, policy) -> None:
    def codes(found: Dataset) -> list[str]:
        return [item.CodeValue for item in found.DeidentificationMethodCodeSequence]

    out, _ = hide(instance(BurnedInAnnotation="NO"))
    assert (out.PatientIdentityRemoved, out.BurnedInAnnotation) == ("YES", "NO")
    assert out.LongitudinalTemporalInformationModified == "MODIFIED"
    assert codes(out) == ["113100", "113101", "113107"]
    unsearched, _ = hide(instance(), replace(policy, images=ImagesRules(burned_in="off")))
    assert codes(unsearched) == ["113100", "113107"]
    assert "BurnedInAnnotation" not in unsearched


def test_identifiers_are_those_of_the_tables(hide, policy) -> None:
    key = read_key(policy)
    out, _ = hide(instance())
    patient = subject_id_of("MRN-4711", "north")
    assert out.PatientID == str(out.PatientName) == str(pseudonym_of(key, patient))
    (shift,) = people_of(np.array([patient]), NO_EVENTS, policy, key)["shift"]
    moved = datetime(2010, 2, 3) + timedelta(microseconds=shift)  # noqa: DTZ001
    assert out.StudyDate == out.ContentDate == f"{moved:%Y%m%d}"
    assert out.StudyTime == "101112"


def test_uids_are_mapped_alike_in_every_file_and_by_the_key_alone(hide, policy) -> None:
    one, _ = hide(instance())
    other, _ = hide(instance(SOPInstanceUID="1.2.3.4.5.4"))
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
    assert one.SOPInstanceUID.startswith("2.25.")
    policy.key_file.write_text("7c" * 32)
    again, _ = hide(instance())
    assert again.StudyInstanceUID != one.StudyInstanceUID


def test_only_listed_words_small_numbers_and_capped_ages_stay(hide) -> None:
    out, _ = hide(instance())
    assert list(out.ImageType) == ["ORIGINAL", "PRIMARY"]
    assert out.PatientAge == "090Y"
    assert out.PatientBirthDate == ""
    assert out.InstanceNumber is None
    assert (out.SeriesNumber, out.KVP, out.ViewPosition, out.BodyPartExamined) == (3, 120, "PA", "CHEST")
    assert "BodyPartExamined" not in hide(instance(BodyPartExamined="RAVENSCROFT"))[0]


def test_the_pixels_stay_but_for_what_hid_above_their_stored_bits(hide) -> None:
    out, _ = hide(instance())
    np.testing.assert_array_equal(out.pixel_array.ravel(), np.arange(1024) % 4096)
    assert list(out.PixelSpacing) == [0.5, 0.5]


@pytest.mark.parametrize("ink", [(255, 255, 0), (255, 0, 0), (255, 255, 255)])
def test_a_colour_image_keeps_its_colours_and_loses_its_writing(hide, ink: tuple[int, int, int]) -> None:
    picture = Image.new("RGB", (160, 120), (30, 40, 90))
    plain = np.asarray(picture)
    ImageDraw.Draw(picture).text((10, 10), "RAVENSCROFT 4711", fill=ink, font=ImageFont.load_default(16))
    shown = np.asarray(picture)
    colours = {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    kind = {"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "Rows": 120, "Columns": 160}
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    out, _ = hide(instance(**kind, **colours, **bits, PixelData=shown.tobytes()))
    assert (out.SamplesPerPixel, out.PhotometricInterpretation, out.BurnedInAnnotation) == (3, "RGB", "NO")
    assert not np.array_equal(shown, plain)
    np.testing.assert_array_equal(out.pixel_array, plain)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"Modality": "SR"}, "modality not allowed"),
        ({"Modality": "XC"}, "modality not allowed"),
        ({"Modality": "CT", "BodyPartExamined": "HEAD"}, "a face could be built"),
        ({"Modality": "MR", "BodyPartExamined": ""}, "volume of an unknown body site"),
        ({"BurnedInAnnotation": "YES"}, "says that writing is burned in, and none was found"),
        ({"PatientID": ""}, "no patient's number"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colours of a kind that is not written"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 4}, "colours of a kind that is not written"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "cannot be read"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "not an image of the standard"),
        ({"StudyInstanceUID": "Ravenscroft"}, "its identifiers are none"),
        ({"Rows": 60000, "Columns": 60000}, "larger than 256 MiB"),
        ({"PixelData": b"\x00\x00"}, "cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_what_may_not_pass_is_refused_with_a_reason(hide, more, reason) -> None:
    with pytest.raises(Refused) as caught:
        hide(instance(**more))
    assert caught.value.reason == reason


@pytest.mark.filterwarnings("ignore")
def test_every_odd_file_of_pydicom_passes_or_is_refused_with_a_reason(policy, caplog) -> None:
    policy = replace(policy, images=ImagesRules(unknown_sites="keep", faces="keep"))
    key, found = read_key(policy), Counter[str]()
    for path in (path for path in ODD if path.is_file() and path.stat().st_size < 2_000_000):
        try:
            hidden = hide_file(path.read_bytes(), policy, key, lambda number: subject_id_of(number, "north"))
        except Refused as refused:
            found[refused.reason] += 1
            continue
        assert not caplog.records
        found["passed"] += 1
        was, now = (pydicom.dcmread(BytesIO(one), force=True) for one in (path.read_bytes(), hidden.body))
        kept = {
            str(element.value)
            for element in now.iterall()
            if element.VR in ("LO", "SH", "PN", "LT", "ST", "UT")
        }
        assert not any(str(was.get(name)) in kept for name in ("PatientName", "PatientID") if was.get(name))
        if hidden.n_covered == 0:
            np.testing.assert_array_equal(was.pixel_array.ravel(), now.pixel_array.ravel())
        caplog.clear()
    assert found["passed"] >= 30, found
    assert sum(found.values()) >= 150, found


def test_a_folder_becomes_a_folder_under_new_names_and_what_stays_behind_is_counted(policy, tmp_path) -> None:
    files = tmp_path / "Ravenscroft"
    files.mkdir()
    for n in range(30):
        (files / f"MRN-4711-{n}.dcm").write_bytes(body_of(instance(SOPInstanceUID=f"1.2.3.4.5.3.{n}")))
    (files / "notes.txt").write_text("Ravenscroft")
    manifest = export_dicom(files, tmp_path / "out", policy, site="north", now=NOW)
    assert manifest.rows.kept == 30
    assert manifest.rows.dropped == {"not a DICOM file": 1}
    assert open_made(tmp_path / "out", "export-dicom", verify=True) == manifest
    names = " ".join(path.as_posix() for path in (tmp_path / "out").rglob("*"))
    assert not any(secret in names for secret in SECRETS)
    assert export_dicom(files, tmp_path / "out", policy, site="north", now=NOW) == manifest


def test_more_broken_files_than_the_policy_lets_stop_the_run(policy, tmp_path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "whole.dcm").write_bytes(body_of(instance()))
    (files / "cut.dcm").write_bytes(body_of(instance())[:-600])
    with pytest.raises(InputError, match="max_unfit_share") as caught:
        export_dicom(files, tmp_path / "out", policy, site="north", now=NOW)
    assert "Ravenscroft" not in str(caught.value)
    lax = replace(policy, max_unfit_share=0.5)
    assert export_dicom(files, tmp_path / "lax", lax, site="north", now=NOW).rows.dropped == {UNFIT[0]: 1}


def test_a_number_of_the_records_leads_to_their_patient(policy, tmp_path) -> None:
    records = tmp_path / "records"
    (records / "metadata").mkdir(parents=True)
    pl.DataFrame({"subject_id": [77], "kind": ["number"], "value": ["MRN-4711"]}).write_parquet(
        records / "metadata" / "identifiers.parquet"
    )
    (tmp_path / "one.dcm").write_bytes(body_of(instance()))
    export_dicom(tmp_path / "one.dcm", tmp_path / "out", policy, site="north", now=NOW, records=records)
    (path,) = (tmp_path / "out").rglob("*.dcm")
    assert pydicom.dcmread(path).PatientID == str(pseudonym_of(read_key(policy), 77))
