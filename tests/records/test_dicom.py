import importlib.util
import random
import tarfile
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from residency.contract.digests import digest_of_voxels
from residency.contract.identifiers import subject_id_of, visit_id_of
from residency.contract.schema import IDENTIFIERS, IMAGES, PIXELS, check
from residency.records import Feed, ingest

SPEC = importlib.util.spec_from_file_location("invented_dicom", Path(__file__).with_name("invented_dicom.py"))
assert SPEC is not None
assert SPEC.loader is not None
invented_dicom: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(invented_dicom)
instance, radiograph = invented_dicom.instance, invented_dicom.radiograph
items, save = invented_dicom.items, invented_dicom.save

at = datetime.fromisoformat
DATA = Path(__file__).parents[3] / "shared" / "data"
CANARY = "Canary"


def images(out: Path) -> pl.DataFrame:
    files = sorted((out / "images").glob("*.parquet"))
    return pl.read_parquet(files) if files else pl.DataFrame(schema={"pixels": pl.String})


def voxels(out: Path, digest: str) -> np.ndarray:
    row = pq.read_table(out / f"images/pixels/{digest}.parquet").to_pylist()[0]
    return np.frombuffer(row["data"], np.dtype(row["dtype"]).newbyteorder("<")).reshape(row["shape"])


def only(out: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Give the one image there is, and its array."""
    [row] = images(out).to_dicts()
    return row, voxels(out, row["pixels"])


@pytest.fixture
def read(take: Any, tmp_path: Path) -> Callable[..., Any]:
    """Ingest data sets as files of a folder; give folder and manifest."""

    def run(*found: Any, mapping: str = "", out: str = "out") -> tuple[Path, Any]:
        for number, one in enumerate(found):
            save(one, tmp_path / f"in-{out}" / f"{number:03}")
        return tmp_path / out, take("dicom", tmp_path / f"in-{out}", mapping=mapping, out=out)

    return run


# geometry


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), n=st.integers(1, 6))
def test_the_order_of_slices_and_files_changes_nothing(
    take: Any, tmp_path_factory: Any, seed: int, n: int
) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    slices = [instance(number) for number in range(n)]
    results = []
    for turn in ("usual", "other"):
        for number, one in enumerate(slices):
            save(one, folder / turn / f"{number}.dcm")
        ingest(folder / f"out-{turn}", [Feed("dicom", [folder / turn])], now=at("2026-01-01T00:00+00:00"))
        results.append(only(folder / f"out-{turn}"))
        random.Random(seed).shuffle(slices)
    (one, array), (other, same) = results
    assert one | {"spacing_mm": 0} == other | {"spacing_mm": 0}
    np.testing.assert_array_equal(one["spacing_mm"], other["spacing_mm"])
    np.testing.assert_array_equal(array, same)


def test_slices_rise_along_their_normal_whatever_their_numbers(read: Any) -> None:
    out, manifest = read(*(instance(number) for number in (3, 1, 2)))
    row, array = only(out)
    np.testing.assert_array_equal(array[:, 0, 0], np.array([10, 20, 30]) - 1024)
    assert row["spacing_mm"] == pytest.approx([2.5, 0.7, 0.8])
    assert row["orientation"] == [1, 0, 0, 0, 1, 0]
    assert (row["window_center"], row["window_width"]) == (40, 400)
    assert (row["modality"], row["body_site"], row["source"]) == ("CT", "CHEST", "ImagingStudy/1.2.3.4")
    assert row["subject_id"] == subject_id_of("p1", "main")
    assert row["time"] == row["available"] == at("2020-02-01T08:15:00.5")
    assert (manifest.rows.read, manifest.rows.kept) == (3, 3)
    for path in (out / "images").glob("*.parquet"):
        check(pq.read_table(path), IMAGES)
    for path in (out / "images/pixels").iterdir():
        table = check(pq.read_table(path), PIXELS)
        assert table.column("pixels").to_pylist() == [path.stem] == [digest_of_voxels(array)]


def test_a_tilted_stack_has_its_distance_along_the_normal(read: Any) -> None:
    tilted = [1.0, 0, 0, 0, 0.8, 0.6]
    normal = np.array([0, -0.6, 0.8])
    out, _ = read(
        *(
            instance(n, ImageOrientationPatient=tilted, ImagePositionPatient=list(3.0 * n * normal))
            for n in (2, 1, 3)
        )
    )
    row, array = only(out)
    assert row["spacing_mm"][0] == pytest.approx(3.0)
    assert array[:, 0, 0].tolist() == [10 - 1024, 20 - 1024, 30 - 1024]


def test_frames_of_one_instance_are_ordered_by_their_positions(read: Any) -> None:
    array = np.arange(36, dtype=np.uint16).reshape(3, 3, 4)
    one = instance(1, array, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    one.SharedFunctionalGroupsSequence = items(
        {
            "PlaneOrientationSequence": items({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}),
            "PixelMeasuresSequence": items({"PixelSpacing": [0.5, 0.6]}),
        }
    )
    one.PerFrameFunctionalGroupsSequence = items(
        *(
            {
                "PlanePositionSequence": items({"ImagePositionPatient": [0, 0, z]}),
                "PixelValueTransformationSequence": items({"RescaleSlope": 2, "RescaleIntercept": z}),
                "FrameVOILUTSequence": items({"WindowCenter": 50, "WindowWidth": 100}),
            }
            for z in (8, 4, 6)
        )
    )
    row, found = only(read(one)[0])
    assert row["spacing_mm"] == pytest.approx([2.0, 0.5, 0.6])
    assert row["window_center"] == 50
    np.testing.assert_array_equal(
        found,
        np.stack([2 * array[1].astype(int) + 4, 2 * array[2].astype(int) + 6, 2 * array[0].astype(int) + 8]),
    )


def test_radiographs_of_one_series_are_images_by_themselves_and_the_detectors_spacing_is_noted(
    read: Any,
) -> None:
    out, manifest = read(radiograph(1), radiograph(2, ImagerPixelSpacing=None))
    found = images(out).sort("source")
    assert found["source"].to_list() == ["ImagingStudy/1.2.3.4.1", "ImagingStudy/1.2.3.4.2"]
    assert found["spacing_mm"].to_list()[0][1:] == pytest.approx([0.2, 0.2])
    assert np.isnan(found["spacing_mm"].to_list()[1]).all()
    assert found["orientation"].to_list() == [[], []]
    assert manifest.result["images_with_spacing_at_detector"] == 1
    assert len(list((out / "images/pixels").iterdir())) == 1  # the same array is stored once


# values


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm",
     "MR_small_jp2klossless.dcm", "693_J2KI.dcm", "examples_overlay.dcm",
     "J2K_pixelrep_mismatch.dcm", "MR_small_expb.dcm"],
)  # fmt: skip
def test_pixels_spacing_orientation_and_window_are_what_pydicom_says(
    take: Any, tmp_path: Path, name: str
) -> None:
    path = Path(str(get_testdata_file(name, download=False)))
    usual = pydicom.dcmread(path)
    if "StudyDate" not in usual or not usual.StudyDate:
        usual.StudyDate = "20200101"
        path = save(usual, tmp_path / "dated")
    take("dicom", path)
    row, found = only(tmp_path / "out")
    np.testing.assert_array_equal(found[0], apply_modality_lut(usual.pixel_array, usual))
    assert row["spacing_mm"][1:] == pytest.approx(list(usual.PixelSpacing))
    assert row["orientation"] == pytest.approx(list(usual.ImageOrientationPatient))
    window = usual.get("WindowCenter")
    assert row["window_center"] == (None if window is None else pytest.approx(float(np.ravel(window)[0])))


@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "examples_rgb_color.dcm", "SC_rgb_gdcm_KY.dcm"])
def test_colour_becomes_brightness_as_pillow_has_it(take: Any, tmp_path: Path, name: str) -> None:
    path = Path(str(get_testdata_file(name, download=False)))
    take("dicom", path)
    row, found = only(tmp_path / "out")
    grey = np.asarray(Image.fromarray(pydicom.dcmread(path).pixel_array).convert("L"))
    assert found.dtype == np.uint8
    assert np.abs(found[0].astype(int) - grey).max() <= 1
    assert row["window_center"] is None


def shown(array: np.ndarray, center: float, width: float) -> np.ndarray:
    """What a screen shows (DICOM PS3.3, C.11.2.1.2.1), 0 to 1."""
    return np.clip((array - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def test_monochrome1_is_turned_over_with_its_window(read: Any) -> None:
    array = np.arange(0, 4096, 39, dtype=np.uint16)[:104].reshape(8, 13)
    row, found = only(
        read(
            radiograph(1, array, PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=500)
        )[0]
    )
    np.testing.assert_array_equal(found[0], 4095 - array)
    np.testing.assert_allclose(
        shown(found[0], row["window_center"], row["window_width"]), 1 - shown(array, 1000, 500), atol=1e-9
    )


def test_a_modalitys_table_is_looked_up(read: Any) -> None:
    table = items({"LUTDescriptor": [4, 2, 16], "LUTData": [5, 50, 500, 5000], "ModalityLUTType": "US"})
    for one in table:
        one["LUTDescriptor"].VR = one["LUTData"].VR = "US"
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    scale = {"RescaleSlope": None, "RescaleIntercept": None}
    _, found = only(read(radiograph(1, array, ModalityLUTSequence=table, **scale))[0])
    assert found[0].ravel().tolist() == [5, 5, 5, 50, 500, 5000]


def test_one_scale_of_many_slices_is_heeded_for_each(read: Any) -> None:
    scales = {1: 0.5, 2: 2.5}
    array = np.full((3, 4), 1001, np.uint16)
    out, _ = read(
        *(instance(n, array, RescaleSlope=k, RescaleIntercept=0, Modality="PT") for n, k in scales.items())
    )
    assert only(out)[1][:, 0, 0].tolist() == [500, 2502]  # halves go to the even number


def test_bits_above_the_stored_ones_are_no_values(read: Any) -> None:
    array = np.array([[0x8001, 0x0FFF], [1, 2]], np.uint16)
    assert only(read(radiograph(1, array))[0])[1].ravel().tolist() == [1, 4095, 1, 2]


# quarantine

STAND = {"ImagePositionPatient": [0, 0, 5], "ImageOrientationPatient": [1.0, 0, 0, 0, 0, 1]}
CASES: dict[str, tuple[Any, ...]] = {
    "image: no patient": (radiograph(1, PatientID=""),),
    "image: no pixels": (radiograph(1, PixelData=None),),
    "image: a plan, dose, segmentation or document, no picture": (radiograph(1, Modality="SEG"),),
    "image: no number of series or instance": (radiograph(1, SeriesInstanceUID=None),),
    "image: no time": (radiograph(1, StudyDate=None, AcquisitionDate=None),),
    "image: pixels that cannot be decoded": (radiograph(1, PixelData=b"\0\0"),),
    "image: larger than 256 MiB": (radiograph(1, Rows=30_000, Columns=30_000),),
    "image: an orientation that is none": (instance(1, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),),
    "image: values beyond 16 bits": (
        radiograph(1, np.array([[0, 2**31]], np.uint32), BitsStored=32, HighBit=31),
    ),
    "image: values too fine for whole numbers": (radiograph(1, RescaleSlope=0.01),),
    "image: colours of an unknown kind": (
        radiograph(1, np.zeros((2, 2, 3), np.int8), SamplesPerPixel=3, PhotometricInterpretation="RGB",
                   Rows=2, Columns=2, NumberOfFrames=None, PlanarConfiguration=0),
    ),
    "series: slices of different size": (instance(1), instance(2, np.zeros((4, 4), np.uint16))),
    "series: slices of different orientation": (instance(1), instance(2, **STAND)),
    "series: slices of different pixel spacing": (instance(1), instance(2, PixelSpacing=[1, 1])),
    "series: some slices have no position": (instance(1), instance(2, ImagePositionPatient=None)),
    "series: two slices at one place": (instance(1), instance(2, ImagePositionPatient=[-10, -20, 2.5])),
    "series: slices are missing or unevenly spaced": (instance(1), instance(2), instance(4)),
}  # fmt: skip


@pytest.mark.parametrize("reason", CASES)
def test_an_odd_image_is_left_out_with_its_reason_and_the_run_goes_on(
    read: Any, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = CASES[reason]
    good = radiograph(50, SeriesInstanceUID="1.9", PatientID="p2")
    out, manifest = read(*odd, good)
    assert manifest.rows.dropped == {reason: len(odd)}
    assert images(out)["source"].to_list() == ["ImagingStudy/1.2.3.4.50"]
    assert (manifest.rows.read, manifest.rows.kept) == (len(odd) + 1, 1)
    assert capfd.readouterr().err == ""


def test_broken_files_are_counted_and_nothing_of_them_is_shown(
    take: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    body = save(instance(1), folder / f"{CANARY}.dcm").read_bytes()
    (folder / "cut").write_bytes(body[:-7])
    (folder / "garbage").write_bytes(body[:140] + random.Random(1).randbytes(500))
    (folder / "notes.txt").write_text("no DICOM")
    (folder / "empty").write_bytes(b"")
    (folder / "cut.gz").write_bytes(b"\x1f\x8b\x08\x00")
    manifest = take("dicom", folder)
    assert manifest.rows.kept == 1
    assert manifest.rows.dropped["image: not a DICOM file"] == 2
    assert manifest.rows.dropped["image: pixels that cannot be decoded"] == 1
    assert manifest.rows.read == 6
    assert capfd.readouterr().err == ""
    assert CANARY not in (tmp_path / "out/made-from.json").read_text()


def test_a_file_that_unpacks_to_more_than_memory_is_not_unpacked(take: Any, tmp_path: Path) -> None:
    save(radiograph(1), tmp_path / "in/good")
    one = radiograph(2)
    one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    body = save(one, tmp_path / "bomb").read_bytes()
    head = 144 + int.from_bytes(body[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    (tmp_path / "in/bomb").write_bytes(body[:head] + packed)
    (tmp_path / "in/deflated").write_bytes(body)
    manifest = take("dicom", tmp_path / "in")
    assert manifest.rows.dropped == {"image: larger than 256 MiB": 1}
    assert manifest.rows.kept == 2


def test_what_no_decoder_here_reads_is_counted(read: Any) -> None:
    one = radiograph(1)
    one.file_meta.TransferSyntaxUID = JPEGLSLossless
    one["PixelData"].VR = "OB"
    one.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7" + bytes(20)])
    _, manifest = read(one, radiograph(2))
    assert manifest.rows.dropped == {"image: pixels that cannot be decoded": 1}


def test_the_same_instance_twice_is_one(read: Any) -> None:
    out, manifest = read(instance(1), instance(2), instance(1))
    assert only(out)[1].shape == (2, 3, 4)
    assert manifest.rows.dropped == {"image: the same instance twice": 1}


# whose image it is


@pytest.fixture
def hospital(invented: Any, tmp_path: Path, now: Any) -> Callable[..., Any]:
    """Ingest FHIR of two patients, and DICOM beside."""

    def run(*found: Any, studies: tuple[tuple[str, str], ...] = (("1.2.3", "p1"),), mapping: str = "") -> Any:
        resources = [*invented.ward(3, 1)]
        for uid, patient in studies:
            resources.append(
                {
                    "resourceType": "ImagingStudy", "id": f"s-{patient}", "status": "available",
                    "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
                    "modality": [{"code": "CT"}], "subject": {"reference": f"Patient/{patient}"},
                    "encounter": {"reference": "Encounter/e1"}, "started": "2020-01-10T09:00:00",
                }
            )  # fmt: skip
        invented.ndjson(tmp_path / "fhir/north/x.ndjson", resources)
        for number, one in enumerate(found):
            save(one, tmp_path / f"dicom/north/{number}")
        (tmp_path / "m.toml").write_text('site_from = "folder"\n')
        (tmp_path / "d.toml").write_text(mapping)
        feeds = [
            Feed("fhir", [tmp_path / "fhir"], tmp_path / "m.toml"),
            Feed("dicom", [tmp_path / "dicom"], tmp_path / "d.toml"),
        ]
        return tmp_path / "out", ingest(tmp_path / "out", feeds, now=now)

    return run


def test_an_image_is_of_the_patient_and_the_visit_that_its_study_names(hospital: Any) -> None:
    out, manifest = hospital(instance(1), instance(2))
    row, _ = only(out)
    assert row["subject_id"] == subject_id_of("p1", "north")
    assert row["visit_id"] == visit_id_of("e1", "north")
    assert manifest.rows.dropped == {}


def test_an_image_without_a_time_has_that_of_its_study(hospital: Any) -> None:
    out, _ = hospital(instance(1, StudyDate=None, AcquisitionDate=None))
    row, _ = only(out)
    assert row["time"] == row["available"] == at("2020-01-10T09:00")


def test_an_image_of_another_patient_than_its_study_is_left_out(hospital: Any) -> None:
    out, manifest = hospital(instance(1, PatientID="p2"), radiograph(5, StudyInstanceUID="7.7"))
    assert manifest.rows.dropped == {"image: of another patient than its study": 1}
    assert images(out)["source"].to_list() == ["ImagingStudy/1.2.3.4.5"]


def test_an_image_of_a_patient_whom_nobody_knows_is_left_out(hospital: Any) -> None:
    out, manifest = hospital(instance(1, PatientID="stranger"))
    assert manifest.rows.dropped == {"image: of a patient whom no other record knows": 1}
    assert len(images(out)) == 0
    stranger = subject_id_of("stranger", "north")
    for name in ("subjects", "identifiers"):
        assert stranger not in set(pl.read_parquet(out / f"metadata/{name}.parquet")["subject_id"])


def test_the_patients_id_may_be_a_part_of_another_attribute(hospital: Any) -> None:
    out, manifest = hospital(
        instance(1, PatientID="?", AccessionNumber="N-p1-77"),
        mapping='patient = "AccessionNumber"\npattern = "N-(p[0-9]+)-"',
    )
    assert manifest.rows.dropped == {}
    assert only(out)[0]["subject_id"] == subject_id_of("p1", "north")


def test_what_a_header_says_of_the_patient_goes_to_identifiers_only(read: Any) -> None:
    out, _ = read(instance(1))
    table = check(pq.read_table(out / "metadata/identifiers.parquet"), IDENTIFIERS)
    assert {(row["kind"], row["value"]) for row in table.to_pylist()} == {
        ("name", "Canary"), ("name", "Wilhelmina"), ("name", "Wilhelmina Canary"), ("number", "p1"),
        ("date_of_birth", "1950-06-01"),
    }  # fmt: skip
    others = [path for path in out.rglob("*") if path.is_file() and path.name != "identifiers.parquet"]
    assert not any(CANARY.encode() in path.read_bytes() for path in others)


def test_an_archive_and_small_chunks_give_the_same_bytes(
    read: Any, take: Any, invented: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [instance(n, PatientID=f"p{n % 3}", SeriesInstanceUID=f"1.5.{n % 3}") for n in range(1, 10)]
    out, usual = read(*found)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in-out", "x")
    packed = take("dicom", tmp_path / "x.tar.gz", out="packed")
    monkeypatch.setattr("residency.records.documents.CHUNK_FILES", 2)
    monkeypatch.setattr("residency.records.spool.RUN_BYTES", 300)
    small = take("dicom", tmp_path / "in-out", out="small")
    assert invented.digests(packed) == invented.digests(usual)
    assert invented.digests(small) == invented.digests(usual)
    assert len(images(out)) == 3


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data beside the project")
def test_images_with_names_in_their_pixels_come_in(take: Any, tmp_path: Path) -> None:
    manifest = take("dicom", DATA / "burned_in_dicom.tar.xz")
    assert manifest.rows.dropped == {"image: no pixels": 1}
    assert len(images(tmp_path / "out")) == 3
