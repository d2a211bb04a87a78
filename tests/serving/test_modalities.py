"""Requests with notes, images and variants: what was used is said, can be limited, and is checked."""

import copy
from base64 import b64encode
from typing import Any

import pytest
from fastapi.testclient import TestClient

ASK = "/residency/v1/ask"
CHAT = "/openai/v1/chat/completions"
AS_OF = "2022-06-01T00:00:00"
IMAGE = {
    "modality": "DX", "body_site": "CHEST", "time": "2020-01-01T00:00:00", "shape": [1, 2, 3],
    "dtype": "uint16", "data": b64encode(bytes(12)).decode(),
}  # fmt: skip
VARIANT = {"gene": "CYP2C19", "name": "CYP2C19*1/*2", "time": "2020-01-01T00:00:00"}


def _used(client: TestClient, body: dict[str, Any]) -> list[str]:
    ours = client.post(ASK, json={"as_of": AS_OF, **body})
    assert ours.status_code == 200, ours.text
    chat = {"model": "residency", "messages": [], "patient_context": {"as_of": AS_OF, **body}}
    theirs = client.post(CHAT, json=chat).json()["residency"]["answer"]
    answer = ours.json()["answer"]
    assert theirs == answer
    return list(answer["modalities"])


def test_both_doors_say_what_was_used_and_use_no_more_than_was_asked(client: TestClient, world: Any) -> None:
    whole = {"fhir": world.bundles[0], "images": [IMAGE]}
    assert _used(client, whole) == ["codes", "notes", "images", "variants"]
    assert _used(client, {"fhir": world.bundles[1]}) == ["codes"]
    assert _used(client, {**whole, "modalities": ["codes", "notes"]}) == ["codes", "notes"]
    question = {
        "kind": "forecast", "outcomes": [{"name": "death", "codes": ["MEDS_DEATH"]}],
        "horizons_days": [365.25], "occurrence": "incident", "modalities": ["codes", "images"],
    }  # fmt: skip
    assert _used(client, {**whole, "question": question}) == ["codes", "images"]
    assert _used(client, {**whole, "question": question, "modalities": ["codes"]}) == ["codes", "images"]
    del question["modalities"]
    assert _used(client, {**whole, "question": question, "modalities": ["codes"]}) == ["codes"]


def test_rows_beside_meds_are_used_from_when_they_were_known(client: TestClient) -> None:
    meds = [
        {"subject_id": 7, "code": "MEDS_BIRTH", "time": "1950-01-01T00:00:00"},
        *(
            {
                "subject_id": 7,
                "code": "LOINC/2345-7",
                "time": f"20{year}-01-01T00:00:00",
                "numeric_value": 101.0,
            }
            for year in range(15, 22)
        ),
    ]
    note = {
        "text": "Denies chest pain.",
        "time": "2020-01-01T00:00:00",
        "available": "2022-07-01T00:00:00",
    }
    late = {"meds": meds, "notes": [note], "variants": [VARIANT]}
    assert _used(client, late) == ["codes", "variants"]
    assert _used(client, {**late, "as_of": "2022-07-02T00:00:00"}) == ["codes", "notes", "variants"]


def test_what_the_policy_keeps_back_is_said(client: TestClient, world: Any) -> None:
    head = {**IMAGE, "modality": "CT", "body_site": "HEAD"}
    body = {"fhir": world.bundles[1], "images": [head], "notes": [{"text": " "}], "as_of": AS_OF}
    answer = client.post(ASK, json=body).json()["answer"]
    (said,) = [one["text"] for one in answer["statements"] if one["tag"] == "not_used"]
    assert "images: a face could be built (1)" in said
    assert "note without text (1)" in said
    assert answer["modalities"] == ["codes"]


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"images": [{**IMAGE, "data": b64encode(b"CANARY").decode()}]}, "patient_context.images[0].data"),
        ({"images": [{**IMAGE, "shape": [0, 2, 3]}]}, "patient_context.images[0].shape[0]"),
        ({"images": [{**IMAGE, "dtype": "CANARY"}]}, "patient_context.images[0].dtype"),
        ({"images": [{**IMAGE, "shape": [1 << 16, 1 << 16, 1 << 16]}]}, "patient_context.images[0].data"),
        ({"notes": [{"text": 1}]}, "patient_context.notes[0].text"),
        ({"notes": [{"text": "x" * 1_000_001}]}, "patient_context.notes[0].text"),
        ({"notes": "CANARY"}, "patient_context.notes"),
        ({"variants": [{"position": "CANARY"}]}, "patient_context.variants[0].position"),
        ({"modalities": ["notes"]}, ""),
        ({"modalities": ["CANARY"]}, "$.modalities[0]"),
    ],
)
def test_a_row_that_is_none_is_refused_without_repeating_it(
    client: TestClient, world: Any, more: dict[str, Any], where: str
) -> None:
    answer = client.post(ASK, json={"fhir": world.bundles[1], "as_of": AS_OF, **more})
    assert answer.status_code == 422
    assert answer.json()["where"] == where
    assert "CANARY" not in answer.text


def test_a_patient_of_the_panel_takes_no_documents_from_a_request(client: TestClient) -> None:
    subject = client.get("/residency/v1/patients").json()["patients"][0]["subject_id"]
    body = {"subject_id": subject, "as_of": AS_OF, "notes": [{"text": "x"}]}
    assert client.post(ASK, json=body).status_code == 422


def test_another_patients_note_in_a_bundle_is_refused(client: TestClient, world: Any) -> None:
    bundle = copy.deepcopy(world.bundles[0])
    bundle["entry"][-1]["resource"]["subject"] = {"reference": "Patient/MRN-1002"}
    notes = [e for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
    notes[0]["resource"]["subject"] = {"reference": "Patient/MRN-1002"}
    answer = client.post(ASK, json={"fhir": bundle, "as_of": AS_OF})
    assert answer.status_code == 422
    assert "one patient" in answer.json()["what"]
