from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from residency.contract.identifiers import subject_id_of, visit_id_of
from residency.contract.schema import IDENTIFIERS, NOTES, VARIANTS, check

at = datetime.fromisoformat
LOINC = "http://loinc.org"


def encoded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def note(number: int, text: str | bytes = "Stable.", patient: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": f"d{number}",
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": "11506-3", "display": "Progress note"}]},
        "subject": {"reference": f"Patient/p{patient}"},
        "date": f"2020-02-{number % 28 + 1:02}T09:00:00",
        "content": [{"attachment": {"contentType": "text/plain", "data": encoded(text)}}],
        "context": {
            "encounter": [{"reference": "Encounter/e1"}],
            "period": {"start": f"2020-02-{number % 28 + 1:02}T08:00:00"},
        },
        **more,
    }


def report(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "36643-5", "display": "Chest X-ray"}]},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2020-02-01T08:00:00",
        "issued": "2020-02-01T12:00:00",
        **more,
    }


@pytest.fixture
def read(invented: Any, take: Any, tmp_path: Path) -> Any:
    """Ingest resources beside a patient, and give a table of the result, and the manifest."""

    def run(*resources: Any, table: str = "notes", mapping: str = "") -> tuple[pl.DataFrame, Any]:
        path = invented.ndjson(tmp_path / "in/all.ndjson", [invented.patient(1), *resources])
        manifest = take("fhir", path, mapping=mapping)
        files = sorted((tmp_path / "out" / table).glob("*.parquet"))
        return pl.read_parquet(files) if files else pl.DataFrame(), manifest

    return run


def test_a_note_is_placed_when_it_is_about_and_available_when_written(read: Any, tmp_path: Path) -> None:
    found, manifest = read(note(1, "Wéll.\n"))
    row = found.to_dicts()[0]
    assert (row["text"], row["kind"], row["source"]) == ("Wéll.\n", "LOINC/11506-3", "DocumentReference/d1")
    assert (row["time"], row["available"]) == (at("2020-02-02T08:00"), at("2020-02-02T09:00"))
    assert (row["subject_id"], row["site"]) == (subject_id_of("p1", "main"), "main")
    assert row["visit_id"] == visit_id_of("e1", "main")
    assert manifest.rows.read == manifest.rows.kept == 2
    for path in (tmp_path / "out/notes").iterdir():
        check(pq.read_table(path), NOTES)


def test_a_note_is_available_when_it_is_signed(read: Any) -> None:
    url = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-authentication-time"
    found, _ = read(note(1, extension=[{"url": url, "valueDateTime": "2020-02-05T10:00:00"}]))
    assert found["available"].to_list() == [at("2020-02-05T10:00")]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (note(1, " \n\t"), "note: empty"),
        (note(1, content=[]), "note: empty"),
        (note(1, "x" * 1_000_001), "note: longer than max_note_bytes"),
        (note(1, b"\xff\xfe\x00text"), "note: not plain text"),
        (note(1, content=[{"attachment": {"data": "!!!"}}]), "note: not plain text"),
        (note(1, content=[{"attachment": {"contentType": "application/pdf"}}]), "note: not plain text"),
        (note(1, content=[{"attachment": {"url": "Binary/1"}}]), "note: its text is not in the record"),
        (note(1, status="entered-in-error"), "DocumentReference: its status says it did not happen"),
        (note(1, docStatus="entered-in-error"), "DocumentReference: entered in error"),
        (note(1, subject=None), "DocumentReference: no patient"),
        (note(1, date=None, context={}), "DocumentReference: no time"),
    ],
    ids=lambda given: given.replace(" ", "_") if isinstance(given, str) else "",
)
def test_a_note_that_is_none_is_counted_and_the_others_stay(
    read: Any, wrong: dict[str, Any], reason: str
) -> None:
    found, manifest = read(wrong, note(2))
    assert found["source"].to_list() == ["DocumentReference/d2"]
    assert manifest.rows.dropped == {reason: 1}
    assert manifest.rows.read == 3


def test_the_longest_note_is_a_setting(read: Any) -> None:
    found, manifest = read(note(1, "x" * 11), note(2, "x" * 10), mapping="max_note_bytes = 10")
    assert len(found) == 1
    assert manifest.rows.dropped == {"note: longer than max_note_bytes": 1}


def test_a_note_in_latin_1_is_read_as_such(read: Any) -> None:
    attachment = {"contentType": "text/plain; charset=ISO-8859-1", "data": encoded("Wöhl".encode("latin-1"))}
    found, _ = read(note(1, content=[{"attachment": attachment}]))
    assert found["text"].to_list() == ["Wöhl"]


def test_a_report_is_an_event_when_issued_and_its_text_a_note(
    read: Any, invented: Any, tmp_path: Path
) -> None:
    form = {"contentType": "text/plain", "data": encoded("Heart large. Impression: failure.")}
    found, _ = read(report(presentedForm=[form], conclusion="Impression: failure."))
    assert found["text"].to_list() == ["Heart large. Impression: failure."]
    assert found["kind"].to_list() == ["LOINC/36643-5"]
    event = invented.events(tmp_path / "out").filter(pl.col("code") == "LOINC/36643-5").to_dicts()[0]
    assert (event["time"], event["available"]) == (at("2020-02-01T08:00"), at("2020-02-01T12:00"))
    assert event["source"] == found["source"][0] == "DiagnosticReport/r1"


def test_a_conclusion_that_says_more_is_a_note_of_its_own(read: Any) -> None:
    form = {"contentType": "text/plain", "data": encoded("Heart large.")}
    found, _ = read(report(presentedForm=[form], conclusion="Failure."))
    assert sorted(found["text"]) == ["Failure.", "Heart large."]


def test_a_report_whose_text_is_too_long_stays_an_event(read: Any, invented: Any, tmp_path: Path) -> None:
    _, manifest = read(report(conclusion="x" * 100), mapping="max_note_bytes = 10")
    assert "LOINC/36643-5" in set(invented.events(tmp_path / "out")["code"])
    assert manifest.rows.dropped == {"note: longer than max_note_bytes": 1}
    assert manifest.rows.read == manifest.rows.kept + 1


def test_a_study_is_an_event_of_its_modality(read: Any, invented: Any, tmp_path: Path) -> None:
    study = {
        "resourceType": "ImagingStudy",
        "id": "s1",
        "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        "subject": {"reference": "Patient/p1"},
        "started": "2020-02-01T08:00:00",
    }
    read(study)
    row = invented.events(tmp_path / "out").filter(pl.col("code") == "DICOM/CT").to_dicts()[0]
    assert (row["time"], row["source"]) == (at("2020-02-01T08:00"), "ImagingStudy/s1")


def test_what_is_about_a_drug_or_a_relative_is_not_the_drug_or_the_patients(
    read: Any, invented: Any, tmp_path: Path
) -> None:
    penicillin = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "7980"}]}
    cancer = {
        "coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C50.911", "display": "Cancer"}]
    }
    who = {"reference": "Patient/p1"}
    _, manifest = read(
        {"resourceType": "AllergyIntolerance", "id": "a", "code": penicillin, "patient": who,
         "recordedDate": "2020-01-01"},
        {"resourceType": "FamilyMemberHistory", "id": "f", "status": "completed", "patient": who,
         "date": "2020-01-02", "relationship": {"text": "mother"}, "condition": [{"code": cancer}]},
        {"resourceType": "FamilyMemberHistory", "id": "g", "status": "completed", "patient": who},
        {"resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": who,
         "type": {"coding": [{"code": "HMO"}]}, "period": {"start": "2019-01-01"}},
        {"resourceType": "Consent", "id": "n", "status": "active", "patient": who, "dateTime": "2020-01-03",
         "scope": {"coding": [{"code": "research"}]}, "provision": {"type": "deny"}},
    )  # fmt: skip
    events = {row["code"]: row for row in invented.events(tmp_path / "out").to_dicts()}
    assert {"ALLERGY/RXNORM:7980", "FAMILY/ICD10CM:C50.911", "COVERAGE/HMO", "CONSENT/research:deny"} < set(
        events
    )
    assert not {"RXNORM/7980", "ICD10CM/C50.911", "ICD10CM/C50.91"} & set(events)
    assert events["FAMILY/ICD10CM:C50.911"]["text_value"] == "mother"
    codes = invented.codes(tmp_path / "out")
    assert codes["FAMILY/ICD10CM:C50.911"]["parent_codes"] == []
    assert "ICD10CM/C50.911" not in codes
    assert manifest.rows.dropped == {"FamilyMemberHistory: no code": 1}


def test_star_alleles_are_variants_and_events(read: Any, invented: Any, tmp_path: Path) -> None:
    gene = {"code": {"coding": [{"system": LOINC, "code": "48018-6"}]},
            "valueCodeableConcept": {"coding": [{"system": "http://www.genenames.org", "code": "HGNC:2621",
                                                 "display": "CYP2C19"}]}}  # fmt: skip
    call = invented.creatinine(1, 1, code={"coding": [{"system": LOINC, "code": "84413-4"}]},
                               valueCodeableConcept={"text": "*1/*2"}, component=[gene])  # fmt: skip
    del call["valueQuantity"]
    found, _ = read(call, table="variants")
    row = found.to_dicts()[0]
    assert (row["gene"], row["name"], row["source"]) == ("CYP2C19", "CYP2C19*1/*2", "Observation/o1")
    assert (row["time"], row["available"]) == (at("2020-01-02T08:00"), at("2020-01-02T10:30"))
    events = invented.events(tmp_path / "out").filter(pl.col("source") == "Observation/o1")
    assert set(events["code"]) == {"LOINC/84413-4", "LOINC/48018-6"}
    for path in (tmp_path / "out/variants").iterdir():
        check(pq.read_table(path), VARIANTS)


def test_who_a_patient_is_goes_to_identifiers_and_nowhere_else(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    patient = invented.patient(
        7,
        name=[{"family": "Canary", "given": ["Wilhelmina", "Q"]}],
        telecom=[{"system": "phone", "value": "555-0100"}, {"system": "email", "value": "w@canary.example"}],
        identifier=[{"system": "urn:mrn", "value": "MRN-4711"}],
        address=[{"line": ["1 Cage Way"], "city": "Norwich", "postalCode": "02139"}],
        contact=[{"name": {"text": "Tweety Canary"}}],
        communication=[{"language": {"coding": [{"code": "es"}]}}, {"language": {"coding": [{"code": "en"}]},
                                                                    "preferred": True}],
    )  # fmt: skip
    take("fhir", invented.ndjson(tmp_path / "x.ndjson", [patient, invented.patient(8, name="odd")]))
    table = check(pq.read_table(tmp_path / "out/metadata/identifiers.parquet"), IDENTIFIERS)
    rows = {
        (row["kind"], row["value"])
        for row in table.to_pylist()
        if row["subject_id"] == subject_id_of("p7", "main")
    }
    assert rows == {
        ("name", "Wilhelmina Q Canary"), ("name", "Wilhelmina"), ("name", "Q"), ("name", "Canary"),
        ("name", "Tweety Canary"), ("telephone", "555-0100"), ("email", "w@canary.example"),
        ("number", "MRN-4711"), ("number", "p7"), ("address", "1 Cage Way"), ("address", "Norwich"),
        ("address", "02139"), ("date_of_birth", "1950-06-01"),
    }  # fmt: skip
    assert table.equals(table.sort_by([(name, "ascending") for name in table.column_names]))
    events = invented.events(tmp_path / "out")
    assert "DEMOGRAPHIC/LANGUAGE=en" in set(events["code"])
    assert not events["text_value"].drop_nulls().str.contains("(?i)canary").any()
    manifest = (tmp_path / "out/made-from.json").read_text()
    assert "Canary" not in manifest
    assert "Patient: a name, number or address that cannot be read" in manifest


def test_small_shards_hold_the_same_notes(
    invented: Any, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = [*(invented.patient(n) for n in range(9)), *(note(n, "abc" * n, n % 9) for n in range(1, 60))]
    path = invented.ndjson(tmp_path / "x.ndjson", resources)
    take("fhir", path, out="usual")
    monkeypatch.setattr("residency.records.attachments.NOTE_BYTES", 100)
    monkeypatch.setattr("residency.records.spool.RUN_BYTES", 300)
    monkeypatch.setattr("residency.records.fhir_files.ENOUGH", 7)
    take("fhir", path, out="small")
    usual, small = (sorted((tmp_path / name / "notes").iterdir()) for name in ("usual", "small"))
    assert len(usual) == 1
    assert len(small) > 4
    order = ["subject_id", "available", "time", "source"]
    whole = pl.read_parquet(usual)
    assert whole.equals(whole.sort(order))
    assert whole.equals(pl.read_parquet(small).sort(order))
    per_shard = [set(pl.read_parquet(one)["subject_id"]) for one in small]
    assert sum(map(len, per_shard)) == len(set().union(*per_shard))
