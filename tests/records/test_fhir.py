from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from residency.contract.identifiers import subject_id_of, visit_id_of

at = datetime.fromisoformat


@pytest.fixture
def read(invented: Any, take: Any, tmp_path: Path) -> Any:
    """Ingest resources from one NDJSON file and give events and manifest."""

    def run(*resources: dict[str, Any], mapping: str = "") -> tuple[pl.DataFrame, Any]:
        path = invented.ndjson(tmp_path / "in/all.ndjson", resources)
        manifest = take("fhir", path, mapping=mapping)
        return invented.events(tmp_path / "out"), manifest

    return run


def test_a_result_is_placed_when_taken_and_available_when_issued(read: Any, invented: Any) -> None:
    events, _ = read(invented.patient(1), invented.creatinine(3, 1, value=1.5))
    row = events.filter(pl.col("code") == "LOINC/2160-0").to_dicts()[0]
    assert row["time"] == at("2020-01-04T08:00")
    assert row["available"] == at("2020-01-04T10:30")
    assert (row["numeric_value"], row["unit"], row["source"]) == (1.5, "mg/dL", "Observation/o3")
    assert row["subject_id"] == subject_id_of("p1", "main")
    assert row["visit_id"] == visit_id_of("e1", "main")


def test_no_event_is_available_before_its_time(read: Any, invented: Any) -> None:
    early = invented.creatinine(1, 1, issued="2019-01-01T00:00:00")
    events, _ = read(*invented.ward(3), invented.patient(9), early)
    assert events.filter(pl.col("available") < pl.col("time")).is_empty()


def test_a_patient_gives_birth_death_and_static_facts(read: Any, invented: Any) -> None:
    race = {
        "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
        "extension": [{"url": "ombCategory", "valueCoding": {"code": "2106-3", "display": "White"}}],
    }
    events, manifest = read(
        invented.patient(
            1,
            deceasedDateTime="2021-03-04",
            extension=[race],
            address=[{"postalCode": "02139", "line": ["x"]}],
        )
    )
    found = {row["code"]: row for row in events.to_dicts()}
    assert found["MEDS_BIRTH"]["time"] == found["MEDS_BIRTH"]["available"] == at("1950-06-01")
    assert found["MEDS_DEATH"]["time"] == at("2021-03-04")
    assert found["MEDS_DEATH"]["available"] == at("2021-03-04T23:59:59.999999")
    assert found["DEMOGRAPHIC/ZIP"]["text_value"] == "02139"
    assert found["DEMOGRAPHIC/SEX=female"]["time"] is None
    assert "DEMOGRAPHIC/RACE=2106-3" in found
    assert (manifest.rows.read, manifest.rows.kept) == (1, 1)


def test_a_visit_begins_and_ends_and_its_end_is_not_known_before(read: Any, invented: Any) -> None:
    events, _ = read(*invented.ward(1, 0))
    found = {row["code"]: row for row in events.to_dicts()}
    assert found["VISIT/IMP"]["available"] == at("2020-01-01T07:00")
    assert found["VISIT_END/IMP"]["time"] == found["VISIT_END/IMP"]["available"] == at("2020-01-30T12:00")
    assert found["VISIT/IMP"]["visit_id"] == found["VISIT_END/IMP"]["visit_id"]


def test_a_diagnosis_is_placed_at_onset_and_available_when_recorded(read: Any, invented: Any) -> None:
    events, _ = read(*invented.ward(1, 0))
    row = events.filter(pl.col("code") == "ICD10CM/E11.22").to_dicts()[0]
    assert (row["time"], row["available"]) == (at("2020-01-02"), at("2020-01-05T09:00"))


def test_blood_pressure_becomes_two_events_of_one_record(read: Any, invented: Any) -> None:
    def part(code: str, value: float) -> dict[str, Any]:
        return {
            "code": invented.concept("http://loinc.org", code),
            "valueQuantity": {"value": value, "code": "mm[Hg]"},
        }

    pressure = invented.creatinine(1, 1, code=invented.concept("http://loinc.org", "85354-9"))
    del pressure["valueQuantity"]
    pressure["component"] = [part("8480-6", 120), part("8462-4", 80)]
    events, manifest = read(invented.patient(1), pressure)
    found = {
        row["code"]: row["numeric_value"] for row in events.to_dicts() if row["source"] == "Observation/o1"
    }
    assert found == {"LOINC/8480-6": 120, "LOINC/8462-4": 80}
    assert (manifest.rows.read, manifest.rows.kept) == (2, 2)


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        ({"valueString": "clear"}, None, "clear"),
        ({"valueInteger": 3}, 3.0, None),
        ({"valueBoolean": True}, 1.0, None),
        (
            {"valueCodeableConcept": {"coding": [{"code": "1", "display": "Never smoker"}]}},
            None,
            "Never smoker",
        ),
        ({"valueCodeableConcept": {"text": "trace"}}, None, "trace"),
    ],
)
def test_other_kinds_of_values_are_kept(
    read: Any, invented: Any, value: dict[str, Any], number: float | None, text: str | None
) -> None:
    result = invented.creatinine(1, 1)
    del result["valueQuantity"]
    events, _ = read(invented.patient(1), {**result, **value})
    row = events.filter(pl.col("code") == "LOINC/2160-0").to_dicts()[0]
    assert (row["numeric_value"], row["text_value"], row["unit"]) == (number, text, None)


def test_of_several_codings_the_preferred_is_the_code_and_the_others_are_above_it(
    read: Any, invented: Any, tmp_path: Path
) -> None:
    both = {
        "coding": [
            {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9"},
            {"system": "http://snomed.info/sct", "code": "44054006", "display": "Type 2 diabetes"},
        ]
    }
    condition = {"resourceType": "Condition", "id": "c", "code": both, "recordedDate": "2020-01-01T00:00:00"}
    resources = (invented.patient(1), {**condition, "subject": {"reference": "Patient/p1"}})
    read(*resources)
    assert invented.codes(tmp_path / "out")["SNOMED/44054006"]["parent_codes"] == ["ICD10CM/E11.9"]
    assert invented.codes(tmp_path / "out")["ICD10CM/E11.9"]["parent_codes"] == ["ICD10CM/E11"]


def test_the_mapping_may_prefer_another_system(read: Any, invented: Any) -> None:
    both = {
        "coding": [
            {"system": "http://snomed.info/sct", "code": "44054006"},
            {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9"},
        ]
    }
    condition = {"resourceType": "Condition", "id": "c", "code": both, "recordedDate": "2020-01-01T00:00:00"}
    events, _ = read(
        invented.patient(1),
        {**condition, "subject": {"reference": "Patient/p1"}},
        mapping='prefer = ["ICD10CM"]',
    )
    assert "ICD10CM/E11.9" in events["code"].to_list()


def test_a_concept_map_puts_local_codes_under_standard_ones(read: Any, invented: Any, tmp_path: Path) -> None:
    local = invented.creatinine(1, 1, code=invented.concept("urn:north:lab", "CREA"))
    mapped = {
        "resourceType": "ConceptMap",
        "id": "m",
        "group": [
            {
                "source": "urn:north:lab",
                "target": "http://loinc.org",
                "element": [
                    {"code": "CREA", "target": [{"code": "2160-0", "equivalence": "equivalent"}]},
                    {"code": "X", "target": [{"code": "1-8", "equivalence": "narrower"}]},
                ],
            }
        ],
    }
    read(invented.patient(1), local, mapped)
    found = invented.codes(tmp_path / "out")
    assert found["LOCAL/lab:CREA"]["parent_codes"] == ["LOINC/2160-0"]
    assert "LOINC/2160-0" in found
    assert "LOINC/1-8" not in found


@pytest.mark.parametrize(
    "reference",
    ["Patient/p1", "https://hospital.example/fhir/Patient/p1", "Patient/p1/_history/3", "urn:uuid:p1"],
)
def test_every_form_of_reference_finds_the_patient(read: Any, invented: Any, reference: str) -> None:
    events, _ = read(invented.patient(1), invented.creatinine(1, 1, subject={"reference": reference}))
    assert events["subject_id"].n_unique() == 1


def test_a_bundle_may_call_its_entries_by_other_names_than_their_ids(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    body = {
        "resourceType": "Bundle",
        "entry": [
            {"fullUrl": "urn:uuid:aaaa", "resource": invented.patient(1)},
            {"resource": invented.creatinine(1, 1, subject={"reference": "urn:uuid:aaaa"})},
        ],
    }
    path = tmp_path / "b.json"
    path.write_bytes(msgspec.json.encode(body))
    take("fhir", path)
    assert invented.events(tmp_path / "out")["subject_id"].unique().to_list() == [subject_id_of("p1", "main")]


def test_ndjson_and_bundles_of_the_same_records_give_the_same_bytes(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    resources = invented.ward(4)
    lines = take("fhir", invented.ndjson(tmp_path / "lines/x.ndjson.gz", resources), out="one")
    whole = take("fhir", invented.bundle(tmp_path / "whole/x.json", resources), out="other")
    pretty = tmp_path / "pretty.json"
    pretty.write_bytes(msgspec.json.format((tmp_path / "whole/x.json").read_bytes(), indent=2))
    indented = take("fhir", pretty, out="third")
    assert invented.digests(lines) == invented.digests(whole) == invented.digests(indented)


def test_what_did_not_happen_is_left_out_and_counted(read: Any, invented: Any) -> None:
    refuted = {
        "resourceType": "Condition",
        "id": "c",
        "code": invented.concept("http://snomed.info/sct", "1"),
        "subject": {"reference": "Patient/p1"},
        "recordedDate": "2020-01-01",
        "verificationStatus": invented.concept("x", "refuted"),
    }
    order = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "status": "active",
        "intent": "proposal",
        "medicationCodeableConcept": invented.concept("http://www.nlm.nih.gov/research/umls/rxnorm", "1"),
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2020-01-01T00:00:00",
    }
    events, manifest = read(
        invented.patient(1),
        refuted,
        order,
        invented.creatinine(1, 1, status="entered-in-error"),
        {"resourceType": "Claim", "id": "x"},
        {"resourceType": "NoSuchThing", "id": "y"},
    )
    assert set(events["code"]) == {"MEDS_BIRTH", "DEMOGRAPHIC/SEX=female"}
    assert manifest.rows.dropped == {
        "Condition: refuted or entered in error": 1,
        "MedicationRequest: not an order": 1,
        "Observation: its status says it did not happen": 1,
        "resource type not read: Claim": 1,
        "resource type not read: unknown": 1,
    }
    assert manifest.rows.read == manifest.rows.kept + sum(manifest.rows.dropped.values()) == 6


def test_incomplete_resources_are_counted_by_what_they_lack(read: Any, invented: Any) -> None:
    bare = invented.creatinine(1, 1)
    lacking = {
        "patient": ["subject"],
        "code": ["code"],
        "time": ["effectiveDateTime", "issued"],
        "value": ["valueQuantity"],
    }
    without = {
        name: {key: value for key, value in bare.items() if key not in keys} for name, keys in lacking.items()
    }
    _, manifest = read(invented.patient(1), *without.values())
    assert manifest.rows.dropped == {f"Observation: no {name}": 1 for name in without}


def test_drugs_are_found_through_references_even_in_another_file(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    drug = invented.concept("http://www.nlm.nih.gov/research/umls/rxnorm", "860975", "Metformin")
    order = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2020-01-01T00:00:00",
    }
    contained = {
        "contained": [{"resourceType": "Medication", "id": "d", "code": drug}],
        "medicationReference": {"reference": "#d"},
    }
    resources = [
        invented.patient(1),
        {**order, "id": "m1", "medicationReference": {"reference": "Medication/d9"}},
        {**order, "id": "m2", **contained},
        {**order, "id": "m3", "medicationReference": {"reference": "Medication/unknown"}},
    ]
    invented.ndjson(tmp_path / "in/a.ndjson", resources)
    invented.ndjson(tmp_path / "in/b.ndjson", [{"resourceType": "Medication", "id": "d9", "code": drug}])
    manifest = take("fhir", tmp_path / "in")
    found = invented.events(tmp_path / "out").filter(pl.col("code") == "RXNORM/860975")
    assert sorted(found["source"]) == ["MedicationRequest/m1", "MedicationRequest/m2"]
    assert manifest.rows.dropped == {"refers to a drug that no file describes": 1}
    assert manifest.rows.read == manifest.rows.kept + 1


def test_a_drug_given_has_its_dose_as_value(read: Any, invented: Any) -> None:
    given = {
        "resourceType": "MedicationAdministration",
        "id": "g",
        "status": "completed",
        "medicationCodeableConcept": invented.concept("http://www.nlm.nih.gov/research/umls/rxnorm", "1"),
        "subject": {"reference": "Patient/p1"},
        "context": {"reference": "Encounter/e1"},
        "effectivePeriod": {"start": "2020-01-01T08:00:00", "end": "2020-01-01T09:00:00"},
        "dosage": {"dose": {"value": 5, "unit": "mg", "code": "mg"}},
    }
    events, _ = read(invented.patient(1), given)
    row = events.filter(pl.col("code") == "RXNORM/1").to_dicts()[0]
    assert (row["numeric_value"], row["unit"]) == (5, "mg")
    assert (row["time"], row["available"]) == (at("2020-01-01T08:00"), at("2020-01-01T09:00"))


def test_the_first_folder_names_the_site(invented: Any, take: Any, tmp_path: Path) -> None:
    for site in ("north", "south"):
        invented.ndjson(tmp_path / "in" / site / "Patient.000.ndjson.gz", [invented.patient(1)])
        invented.ndjson(tmp_path / "in" / site / "Observation.000.ndjson.gz", [invented.creatinine(1, 1)])
    mapping = 'site_from = "folder"\nsites = { south = "S" }'
    one = take("fhir", tmp_path / "in", mapping=mapping, out="one")
    other = take("fhir", tmp_path / "in/north", tmp_path / "in/south", mapping=mapping, out="other")
    assert invented.digests(one) == invented.digests(other)
    subjects = pl.read_parquet(tmp_path / "one/metadata/subjects.parquet")
    assert set(subjects["site"]) == {"north", "S"}
    assert invented.events(tmp_path / "one")["subject_id"].n_unique() == 2


def test_a_patient_is_watched_from_first_contact_until_a_silence_is_too_long(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    days = ["2010-01-01", "2010-06-01", "2016-01-01"]
    results = [
        invented.creatinine(i, 1, effectiveDateTime=f"{day}T00:00:00", issued=f"{day}T00:00:00")
        for i, day in enumerate(days)
    ]
    take("fhir", invented.ndjson(tmp_path / "x.ndjson", [invented.patient(1), *results]),
         mapping="[observation]\nrule = 'contact'\ngap_days = 365")  # fmt: skip
    seen = pl.read_parquet(sorted((tmp_path / "out/observation").glob("*.parquet"))).sort("start")
    assert seen["start"].to_list() == [at("2010-01-01"), at("2016-01-01")]
    assert seen["end"].to_list() == [at("2011-06-01"), at("2016-01-01")]


def test_death_ends_being_watched(invented: Any, take: Any, tmp_path: Path) -> None:
    late = invented.creatinine(2, 2, effectiveDateTime="2022-01-01T00:00:00", issued="2022-01-01T00:00:00")
    dead = invented.patient(1, deceasedDateTime="2020-02-01T00:00:00")
    take(
        "fhir",
        invented.ndjson(tmp_path / "x.ndjson", [dead, invented.patient(2), invented.creatinine(1, 1), late]),
    )
    seen = pl.read_parquet(sorted((tmp_path / "out/observation").glob("*.parquet")))
    ends = dict(zip(seen["subject_id"], seen["end"], strict=True))
    assert ends[subject_id_of("p1", "main")] == at("2020-02-01")


@pytest.mark.parametrize("name", ["Observation.ndjson", "Observation.000.ndjson.gz"])
def test_an_export_of_a_type_that_nobody_has_holds_none(
    invented: Any, take: Any, tmp_path: Path, name: str
) -> None:
    invented.ndjson(tmp_path / "in/Patient.ndjson", [invented.patient(1)])
    invented.ndjson(tmp_path / "in" / name, [])
    assert take("fhir", tmp_path / "in").rows.kept == 1
