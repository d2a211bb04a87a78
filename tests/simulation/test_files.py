"""In: a simulated hospital's folder. Out: others' readers understand it, and the truth says what is in it."""

import base64
import gzip
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from residency.simulation import HospitalSpec, simulate
from residency.simulation.genome import genomes, places
from residency.simulation.radiographs import BITS

pydicom = pytest.importorskip("pydicom", reason="the extra imaging is not installed")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
SITES = ("north", "south")
SPEC = HospitalSpec(n_patients=60, seed=3, faulty_per_1000=120, lapses=0.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("files") / "hospital"
    simulate(out, SPEC, now=NOW)
    return out


def resources(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((folder / "fhir").glob(f"*/{kind}.*.ndjson.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            one = msgspec.json.decode(line)
            found[f"{kind}/{one['id']}"] = one
    return found


def truth(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "truth" / f"{name}.parquet")


def files(folder: Path) -> dict[str, Any]:
    """Read every whole DICOM file, by path."""
    cut = set(truth(folder, "images").filter(pl.col("fault") == "truncated")["file"])
    paths = [path.relative_to(folder).as_posix() for path in sorted((folder / "dicom").rglob("*.dcm"))]
    return {path: pydicom.dcmread(folder / path) for path in paths if path not in cut}


def texts(folder: Path) -> dict[str, str]:
    return {
        source: base64.b64decode(one["content"][0]["attachment"]["data"]).decode()
        for source, one in resources(folder, "DocumentReference").items()
    }


def test_the_same_seed_gives_the_same_bytes_of_every_file(tmp_path: Path) -> None:
    few = HospitalSpec(n_patients=8, seed=3)
    for name in ("one", "two"):
        simulate(tmp_path / name, few, now=NOW)
    paths = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file()]
    assert {path.suffix for path in paths} >= {".dcm", ".gz", ".parquet"}
    for path in paths:
        if path.name != "made-from.json":
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_images_and_notes_do_not_depend_on_how_many_patients_there_are(folder: Path, tmp_path: Path) -> None:
    few = HospitalSpec(n_patients=9, seed=3, faulty_per_1000=120, lapses=0.7)
    simulate(tmp_path / "few", few, now=NOW)
    images = [path.relative_to(tmp_path / "few") for path in (tmp_path / "few" / "dicom").rglob("*.dcm")]
    assert len(images) > 10
    assert all((folder / path).read_bytes() == (tmp_path / "few" / path).read_bytes() for path in images)
    assert texts(tmp_path / "few").items() <= texts(folder).items()


def test_images_notes_and_genomes_can_be_left_out(tmp_path: Path) -> None:
    spec = HospitalSpec(n_patients=5, seed=3, images=False, notes=False, genomes=False)
    simulate(tmp_path / "bare", spec, now=NOW)
    assert {path.name for path in (tmp_path / "bare").iterdir()} == {"fhir", "truth", "made-from.json"}
    assert not resources(tmp_path / "bare", "ImagingStudy")
    assert not resources(tmp_path / "bare", "DocumentReference")
    assert len(truth(tmp_path / "bare", "notes")) == 0


def test_a_file_is_what_pydicom_would_have_written(folder: Path) -> None:
    for path, image in files(folder).items():
        again = BytesIO()
        pydicom.dcmwrite(again, image, enforce_file_format=True)
        if image.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1":
            assert again.getvalue() == (folder / path).read_bytes(), path


def test_every_image_belongs_to_a_study_of_its_patient_but_for_planted_faults(folder: Path) -> None:
    studies = {
        one["identifier"][0]["value"].removeprefix("urn:oid:"): one
        for one in resources(folder, "ImagingStudy").values()
    }
    told = truth(folder, "images")
    fault = dict(zip(told["study_uid"], told["fault"], strict=True))
    wrong = set()
    for image in files(folder).values():
        study = studies[image.StudyInstanceUID]
        assert image.SeriesInstanceUID == study["series"][0]["uid"]
        assert image.SOPInstanceUID in {one["uid"] for one in study["series"][0]["instance"]}
        if f"Patient/{image.PatientID}" != study["subject"]["reference"]:
            wrong.add(image.StudyInstanceUID)
    assert wrong == {uid for uid, kind in fault.items() if kind == "other_patient"}
    assert wrong
    patients = {one.removeprefix("Patient/") for one in resources(folder, "Patient")}
    assert {image.PatientID for image in files(folder).values()} <= patients


def test_a_study_has_as_many_files_as_it_says(folder: Path) -> None:
    n: dict[str, int] = {}
    for image in files(folder).values():
        n[image.StudyInstanceUID] = n.get(image.StudyInstanceUID, 0) + 1
    for row in truth(folder, "images").iter_rows(named=True):
        assert n.get(row["study_uid"], 0) == row["files"] - (row["fault"] == "truncated")


def test_cut_files_cannot_be_read_whole(folder: Path) -> None:
    cut = truth(folder, "images").filter(pl.col("fault") == "truncated")["file"].to_list()
    assert cut
    for path in cut:
        with pytest.raises(Exception, match=r".+"):
            _ = pydicom.dcmread(folder / path).pixel_array


def test_names_in_images_are_the_patients(folder: Path) -> None:
    patients = resources(folder, "Patient")
    studies = resources(folder, "ImagingStudy")
    of = {one["identifier"][0]["value"].removeprefix("urn:oid:"): one for one in studies.values()}
    for image in files(folder).values():
        name = patients[of[image.StudyInstanceUID]["subject"]["reference"]]["name"][0]
        assert str(image.PatientName) == f"{name['family']}^{name['given'][0]}"


def test_words_are_burned_in_where_the_truth_says_and_nowhere_else(folder: Path) -> None:
    found = files(folder)
    rows = truth(folder, "images").filter((pl.col("modality") != "CT") & (pl.col("fault") != "truncated"))
    burned = 0
    for row in rows.iter_rows(named=True):
        image = found[row["file"]]
        pixels = image.pixel_array.astype(int)
        if image.PhotometricInterpretation == "MONOCHROME1":
            pixels = 2**BITS - 1 - pixels
        letters = pixels == 2**BITS - 1
        if row["burned_in"]:
            burned += 1
            box = letters[row["top"] : row["bottom"], row["left"] : row["right"]]
            assert 0.1 < box.mean() < 0.6
            letters[row["top"] : row["bottom"], row["left"] : row["right"]] = False
        assert letters.sum() < 5
        assert (image.get("BurnedInAnnotation") == "YES") == row["declared"]
    assert burned >= 3


def test_slices_of_a_series_make_a_volume_whatever_the_order_of_their_files(folder: Path) -> None:
    series: dict[str, list[Any]] = {}
    for image in files(folder).values():
        if image.Modality == "CT":
            series.setdefault(image.SeriesInstanceUID, []).append(image)
    intercepts, shuffled = set(), 0
    for images in series.values():
        order = [float(image.ImagePositionPatient[2]) for image in images]
        shuffled += order != sorted(order)
        images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
        gaps = np.diff([float(image.ImagePositionPatient[2]) for image in images])
        if len(images) >= 12:
            assert (
                np.allclose(gaps, gaps[0], atol=1e-3) or gaps.max() > 1.5 * gaps.min()
            )  # one file may be cut
        intercepts.add(float(images[0].RescaleIntercept))
        units = np.stack(
            [image.pixel_array * image.RescaleSlope + image.RescaleIntercept for image in images]
        )
        assert -1024 <= units.min() <= -990
        assert ((units > -950) & (units < -700)).mean() > 0.03
    assert shuffled >= 3
    assert intercepts == {-1024.0, -8192.0}


def test_cyvcf2_reads_the_genomes_that_were_drawn(folder: Path) -> None:
    cyvcf2 = pytest.importorskip("cyvcf2", reason="the extra genomics is not installed")
    drawn = genomes(SPEC.seed, np.arange(SPEC.n_patients)).count
    column = {place.variant.rs: i for i, place in enumerate(places())}
    sequenced = set(truth(folder, "genomes").filter("sequenced")["source_id"])
    seen = set()
    for site in SITES:
        path = folder / "vcf" / site / "000.vcf.gz"
        assert path.read_bytes()[12:14] == b"BC"
        reader = cyvcf2.VCF(str(path))
        number = [int(name.rpartition("-")[2]) for name in reader.samples]
        seen |= set(reader.samples)
        variants = list(reader)
        assert {one.ID for one in variants} == set(column)
        for one in variants:
            called = one.gt_types != 2  # cyvcf2: 0 none, 1 one, 2 unknown, 3 two
            copies = np.where(one.gt_types == 3, 2, one.gt_types)
            assert (copies[called] == drawn[number, column[one.ID]][called]).all()
            assert called.mean() > 0.8
    assert seen == sequenced
    assert 5 < len(seen) < SPEC.n_patients - 5


def test_a_genome_is_reported_as_it_was_called(folder: Path) -> None:
    observations = resources(folder, "Observation")
    told = truth(folder, "genomes").filter("sequenced")
    codes = {"84413-4", "69548-6"}
    found = {
        (
            one["subject"]["reference"].removeprefix("Patient/"),
            one["component"][0]["valueCodeableConcept"]["text"],
        ): one["component"][1]["valueCodeableConcept"]["text"]
        for one in observations.values() if one["code"]["coding"][0]["code"] in codes
    }  # fmt: skip
    assert found == {(row["source_id"], row["gene"]): row["phenotype"] for row in told.iter_rows(named=True)}
    for one in resources(folder, "DiagnosticReport").values():
        assert all(part["reference"] in observations for part in one.get("result", []))


def test_every_identifier_stands_where_the_truth_says(folder: Path) -> None:
    written, patients = texts(folder), resources(folder, "Patient")
    rows = truth(folder, "notes").filter(pl.col("what") == "identifier")
    kinds = set()
    for row in rows.iter_rows(named=True):
        said = written[row["source"]][row["start"] : row["end"]]
        who = patients[f"Patient/{row['source_id']}"]
        kinds.add(row["kind"])
        assert said.strip() == said != ""
        if row["kind"] == "name":
            name = who["name"][0]
            assert {part.lower() for part in said.replace(",", "").split()} & {
                part.lower() for part in f"{name['given'][0]} {name['family']}".split()
            }
        elif row["kind"] == "email":
            assert said == who["telecom"][1]["value"]
        elif row["kind"] in ("date", "date_of_birth", "number", "telephone"):
            assert any(letter.isdigit() for letter in said)
    assert kinds >= {
        "name",
        "staff",
        "relative",
        "number",
        "date",
        "date_of_birth",
        "telephone",
        "email",
        "address",
        "organisation",
    }


def test_no_identifier_stands_outside_the_marked_places(folder: Path) -> None:
    rows = truth(folder, "notes").filter(pl.col("what") == "identifier")
    patients = resources(folder, "Patient")
    for (source, of), part in rows.group_by("source", "source_id"):
        text = texts_of(folder)[str(source)]
        for start, end in sorted(zip(part["start"], part["end"], strict=True), reverse=True):
            text = text[:start] + "\n" + text[end:]
        who = patients[f"Patient/{of}"]
        for value in (
            who["identifier"][0]["value"], *(one["value"] for one in who["telecom"]),
            who["address"][0]["line"][0],
            f"{who['name'][0]['given'][0]} {who['name'][0]['family']}",
        ):  # fmt: skip
            assert value not in text


_TEXTS: dict[Path, dict[str, str]] = {}


def texts_of(folder: Path) -> dict[str, str]:
    if folder not in _TEXTS:
        _TEXTS[folder] = texts(folder)
    return _TEXTS[folder]


def test_patients_have_a_handful_of_notes_of_several_kinds(folder: Path) -> None:
    written = resources(folder, "DocumentReference").values()
    assert {one["type"]["coding"][0]["code"] for one in written} == {
        "11506-3",
        "18842-5",
        "34117-2",
        "18748-4",
    }
    assert 3 <= len(written) / SPEC.n_patients <= 8
    visits = resources(folder, "Encounter")
    assert all(one["context"]["encounter"][0]["reference"] in visits for one in written)


def test_facts_stand_where_the_truth_says(folder: Path) -> None:
    rows = truth(folder, "notes").filter(pl.col("what") == "fact")
    written = texts_of(folder)
    denials = ("no", "den", "free", "clear", "without", "stable", "normal", "comfortable", "within",
               "good", "sharp", "none", "trouble", "afebrile")  # fmt: skip
    for row in rows.iter_rows(named=True):
        said = written[row["source"]][row["start"] : row["end"]].lower()
        assert said
        if row["negated"]:
            assert any(word in said for word in denials), said
    assert rows["negated"].sum() > 50
    assert rows["historical"].sum() > 30
    assert (rows["experiencer"] == "family").sum() > 5


def test_what_slipped_is_in_the_records(folder: Path) -> None:
    told = truth(folder, "lapses")
    assert set(told["kind"]) >= {"unacted_result", "pending_test", "lost_to_follow_up"}
    kinds = ("Observation", "DiagnosticReport", "MedicationRequest", "Encounter", "ImagingStudy")
    known = {source: one for kind in kinds for source, one in resources(folder, kind).items()}
    starts: dict[str, list[datetime]] = {}
    for one in resources(folder, "Encounter").values():
        starts.setdefault(one["subject"]["reference"], []).append(_moment(one["period"]["start"]))
    for row in told.iter_rows(named=True):
        one = known[row["source"]]
        assert one["subject"]["reference"] == f"Patient/{row['source_id']}"
        if row["kind"] == "pending_test":
            assert one["status"] == "registered"
            assert "result" not in one
        if row["kind"] == "lost_to_follow_up":
            end = _moment(one["period"]["end"])
            later = [start for start in starts[one["subject"]["reference"]] if start > end]
            assert not later or min(later) > end + timedelta(days=260)
        wanted = {"unacted_result": ({"3016-3"}, 260), "drug_without_monitoring": ({"2160-0", "2823-3"}, 179)}
        if row["kind"] in wanted:
            codes, days = wanted[row["kind"]]
            again = [
                _moment(result["effectiveDateTime"])
                for source, result in known.items()
                if source.startswith("Observation/") and source != row["source"]
                and result["subject"] == one["subject"] and result["code"]["coding"][0]["code"] in codes
            ]  # fmt: skip
            since = row["time"] + timedelta(days=1)
            assert not [time for time in again if since < time < row["time"] + timedelta(days=days)]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def test_everybody_has_cover_consent_and_a_language(folder: Path) -> None:
    patients = resources(folder, "Patient")
    for kind, field in (("Coverage", "beneficiary"), ("Consent", "patient")):
        assert {one[field]["reference"] for one in resources(folder, kind).values()} == set(patients)
    assert len({one["communication"][0]["language"]["coding"][0]["code"] for one in patients.values()}) > 2
    assert resources(folder, "AllergyIntolerance")
    assert resources(folder, "FamilyMemberHistory")
