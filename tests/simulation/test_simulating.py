import gzip
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from residency.contract.errors import SpecError
from residency.contract.lineage import open_made
from residency.contract.specs import read
from residency.simulation import HospitalSpec, simulate
from residency.simulation.medicine import hospital

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SITES = ("north", "south")
CODED = {"images": False, "notes": False, "genomes": False}  # the other files: test_files
TIMED = {
    "Condition": "recordedDate",
    "Observation": "effectiveDateTime",
    "MedicationRequest": "authoredOn",
    "MedicationAdministration": "effectiveDateTime",
    "Procedure": "performedDateTime",
}


def resources(folder: Path, site: str, kind: str) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(line)
        for path in sorted((folder / "fhir" / site).glob(f"{kind}.*.ndjson.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "hospital"
    simulate(out, HospitalSpec(n_patients=130, seed=3, **CODED), now=NOW)
    return out


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def lines(folder: Path) -> set[bytes]:
    paths = sorted((folder / "fhir").rglob("*.gz"))
    return {line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()}


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "again", HospitalSpec(n_patients=130, seed=3, **CODED), now=NOW)
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(paths) > 15
    for path in paths:
        if path.name != "made-from.json":
            assert (folder / path).read_bytes() == (tmp_path / "again" / path).read_bytes(), path
    assert open_made(folder).digest == open_made(tmp_path / "again").digest


def test_another_seed_gives_other_patients(folder: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "other", HospitalSpec(n_patients=20, seed=4, **CODED), now=NOW)
    shared = lines(folder) & lines(tmp_path / "other")
    assert all(b'"ConceptMap"' in line for line in shared)


def test_a_patient_does_not_depend_on_how_many_others_there_are(folder: Path, tmp_path: Path) -> None:
    few = simulate(tmp_path / "few", HospitalSpec(n_patients=7, seed=3, **CODED), now=NOW)
    assert few.rows.kept > 100
    assert lines(tmp_path / "few") <= lines(folder)
    truth = pl.read_parquet(folder / "truth" / "risk.parquet")
    less = pl.read_parquet(tmp_path / "few" / "truth" / "risk.parquet")
    mine = truth.filter(pl.col("source_id").is_in(less["source_id"].unique().to_list()))
    assert mine.sort(mine.columns).equals(less.sort(less.columns))


def test_every_reference_points_at_a_resource_of_the_site(folder: Path) -> None:
    for site in SITES:
        patients = {f"Patient/{one['id']}" for one in resources(folder, site, "Patient")}
        visits = {f"Encounter/{one['id']}": one for one in resources(folder, site, "Encounter")}
        assert {one["subject"]["reference"] for one in visits.values()} <= patients
        for kind in TIMED:
            found = resources(folder, site, kind)
            assert found
            for one in found:
                visit = one["context" if kind == "MedicationAdministration" else "encounter"]["reference"]
                assert visits[visit]["subject"] == one["subject"]
                assert one["subject"]["reference"] in patients


def test_what_is_written_lies_within_its_visit(folder: Path) -> None:
    for site in SITES:
        visits = {f"Encounter/{one['id']}": one["period"] for one in resources(folder, site, "Encounter")}
        for kind, field in TIMED.items():
            for one in resources(folder, site, kind):
                period = visits[(one.get("encounter") or one["context"])["reference"]]
                assert moment(period["start"]) <= moment(one[field]) <= moment(period["end"])


def test_results_are_out_after_they_were_measured(folder: Path) -> None:
    later = 0
    for site in SITES:
        for one in resources(folder, site, "Observation"):
            assert moment(one["issued"]) >= moment(one["effectiveDateTime"])
            later += one["issued"] > one["effectiveDateTime"]
    assert later > 1000


def test_ids_are_unique(folder: Path) -> None:
    for site in SITES:
        for kind in ("Patient", "Encounter", *TIMED):
            ids = [one["id"] for one in resources(folder, site, kind)]
            assert len(set(ids)) == len(ids)


def test_nothing_is_measured_after_death(folder: Path) -> None:
    died = {
        f"Patient/{one['id']}": moment(one["deceasedDateTime"])
        for site in SITES
        for one in resources(folder, site, "Patient")
        if "deceasedDateTime" in one
    }
    assert len(died) > 10
    for site in SITES:
        for one in resources(folder, site, "Observation"):
            if one["subject"]["reference"] in died:
                assert moment(one["effectiveDateTime"]) <= died[one["subject"]["reference"]]


def units(folder: Path, site: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in resources(folder, site, "Observation"):
        if "valueQuantity" in one:
            code = one["code"]["coding"][0]["code"]
            found.setdefault(code, set()).add(one["valueQuantity"]["code"])
    return found


@pytest.mark.parametrize(
    ("code", "north", "south"),
    [
        ("4548-4", "%", "mmol/mol"),
        ("2345-7", "mg/dL", "mmol/L"),
        ("2160-0", "mg/dL", "umol/L"),
        ("718-7", "g/dL", "g/L"),
        ("33762-6", "pg/mL", "ng/L"),
        ("29463-7", "kg", "kg"),
    ],
)
def test_north_writes_conventional_units_and_south_si(
    folder: Path, code: str, north: str, south: str
) -> None:
    assert units(folder, "north")[code] == {north}
    assert units(folder, "south")[code] == {south}


def test_diagnoses_are_icd_at_north_and_snomed_at_south(folder: Path) -> None:
    systems = {
        site: {c["system"] for one in resources(folder, site, "Condition") for c in one["code"]["coding"]}
        for site in SITES
    }
    assert systems == {
        "north": {"http://hl7.org/fhir/sid/icd-10-cm"},
        "south": {"http://snomed.info/sct"},
    }
    (concept_map,) = resources(folder, "south", "ConceptMap")
    mapped = {element["code"] for element in concept_map["group"][0]["element"]}
    used = {one["code"]["coding"][0]["code"] for one in resources(folder, "south", "Condition")}
    assert used <= mapped


def test_each_site_uses_more_than_a_hundred_codes(folder: Path) -> None:
    for site in SITES:
        codes = set()
        for kind in ("Condition", "Observation", "MedicationRequest", "Procedure"):
            for one in resources(folder, site, kind):
                (coding,) = (one.get("code") or one["medicationCodeableConcept"])["coding"]
                assert coding["display"]
                codes.add(coding["code"])
        assert len(codes) >= 100


def test_blood_pressure_is_one_observation_of_two_parts(folder: Path) -> None:
    pressures = [
        one
        for one in resources(folder, "north", "Observation")
        if one["code"]["coding"][0]["code"] == "85354-9"
    ]
    assert pressures
    for one in pressures:
        codes = [part["code"]["coding"][0]["code"] for part in one["component"]]
        high, low = (part["valueQuantity"]["value"] for part in one["component"])
        assert codes == ["8480-6", "8462-4"]
        assert 40 < high < 240
        assert 20 < low < 140


def test_a_diagnosis_is_recorded_at_the_time_that_the_truth_tells(folder: Path) -> None:
    states = pl.read_parquet(folder / "truth" / "states.parquet").filter(pl.col("state") == "diagnosed")
    outcomes = json.loads((folder / "truth" / "outcomes.json").read_text())
    code_of = {code.partition("/")[2]: name for name, codes in outcomes.items() for code in codes}
    first: dict[tuple[str, str], datetime] = {}
    for site in SITES:
        for one in resources(folder, site, "Condition"):
            name = code_of.get(one["code"]["coding"][0]["code"])
            if name:
                key = one["subject"]["reference"].partition("/")[2], name
                time = moment(one["recordedDate"]).replace(tzinfo=None)
                first[key] = min(first.get(key, time), time)
    truth = {(row["source_id"], row["disease"]): row["time"] for row in states.iter_rows(named=True)}
    assert set(truth) == set(first)
    exact = sum(truth[key] == first[key] for key in truth)
    assert exact >= 30
    assert all(truth[key] <= first[key] for key in truth)


def test_states_follow_one_another(folder: Path) -> None:
    order = {"susceptible": 0, "preclinical": 1, "diagnosed": 2}
    states = pl.read_parquet(folder / "truth" / "states.parquet").filter(pl.col("state") != "dead")
    for _, rows in states.group_by("source_id", "disease"):
        ranks = [order[state] for state in rows.sort("time")["state"]]
        assert all(a < b for a, b in pairwise(ranks))


def test_risks_are_probabilities_that_grow_with_the_horizon(folder: Path) -> None:
    risk = pl.read_parquet(folder / "truth" / "risk.parquet")
    wide = risk.pivot("horizon_days", index=["source_id", "outcome", "time"], values="probability")
    assert wide.null_count().sum_horizontal().item() == 0
    assert risk["probability"].min() >= 0
    assert risk["probability"].max() <= 1
    assert (wide["180"] <= wide["365"]).all()
    assert (wide["365"] <= wide["1825"]).all()


def test_a_finished_folder_is_left_as_it_is(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    simulate(folder, HospitalSpec(n_patients=130, seed=3, **CODED), now=NOW)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "wrong", [{"n_patients": 0}, {"seed": -1}, {"end": "2005-02-01"}, {"start": "yesterday"}, {"patients": 3}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        read(HospitalSpec, wrong)


def test_what_a_treatment_is_decided_by_is_written_down_just_before_its_diagnosis(folder: Path) -> None:
    codes = {one.finding.code for one in hospital().treatment}
    for site in SITES:
        written: dict[str, list[dict[str, Any]]] = {}
        for one in resources(folder, site, "Observation"):
            if one["code"]["coding"][0]["code"] in codes:
                written.setdefault(one["subject"]["reference"], []).append(one)
        assert written
        table = {one.code: one for one in (treatment.finding for treatment in hospital().treatment)}
        for subject, found in written.items():
            mine = [
                moment(one["recordedDate"])
                for one in resources(folder, site, "Condition")
                if one["subject"]["reference"] == subject
            ]
            for one in found:
                finding = table[one["code"]["coding"][0]["code"]]
                assert finding.low <= one["valueQuantity"]["value"] <= finding.high
                at = moment(one["effectiveDateTime"])
                assert any(timedelta(0) < later - at <= timedelta(minutes=11) for later in mine)
