"""Our own paths: who may ask, what comes back, and how a refusal reads."""

import copy
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient

from residency.contract.questions import Answer
from residency.serving.doors import LARGEST_BODY

AS_OF = "2022-06-01T00:00:00"


@pytest.fixture
def subject(client: TestClient) -> str:
    return str(client.get("/residency/v1/patients").json()["patients"][0]["subject_id"])


def test_health_needs_no_key(client: TestClient) -> None:
    assert client.get("/healthz", headers={"api-key": ""}).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/residency/v1/release"),
        ("GET", "/residency/v1/patients"),
        ("GET", "/residency/v1/patients/1/events"),
        ("POST", "/residency/v1/ask"),
        ("POST", "/residency/v1/trajectory"),
    ],
)
@pytest.mark.parametrize("key", ["", "res_unknown", "res_past"])
def test_nothing_opens_without_a_valid_key(client: TestClient, method: str, path: str, key: str) -> None:
    answer = client.request(method, path, headers={"api-key": key}, json={} if method == "POST" else None)
    assert answer.status_code == 401
    assert set(answer.json()) == {"what", "where", "mend"}


def test_a_bearer_token_opens_what_a_key_opens(client: TestClient) -> None:
    headers = {"api-key": "", "authorization": "Bearer res_ward"}
    assert client.get("/residency/v1/release", headers=headers).status_code == 200


def test_the_release_says_what_it_is(client: TestClient) -> None:
    about = client.get("/residency/v1/release").json()
    assert about["state"] == "internal"
    assert about["demo"] is True
    assert about["banner"].startswith("DEMO")
    assert [item["examined"]["task"] for item in about["allow_list"]["allowed"]] == [
        "diabetes_1y",
        "death_1y",
        "hypertension_2y",
    ]
    assert about["allow_list"]["refused"][0]["task"] == "hypertension_1y"
    assert "Not a cleared medical device" in about["card"]["notice"]


def test_the_panel_shows_two_identifiers_of_everyone(client: TestClient) -> None:
    patients = client.get("/residency/v1/patients").json()["patients"]
    assert len(patients) == 90
    assert all(one["reference"].startswith("MRN-") and one["born"] for one in patients)


def test_a_patients_events_come_in_order_with_units_and_references(client: TestClient, subject: str) -> None:
    events = client.get(f"/residency/v1/patients/{subject}/events").json()["events"]
    times = [event["time"] for event in events if event["time"]]
    assert times == sorted(times)
    glucose = [event for event in events if event["code"] == "LOINC/2345-7"]
    assert {event["unit"] for event in glucose} == {"mg/dL"}
    assert all(event["source"].startswith("Observation/MRN-") for event in glucose)


def test_a_grant_without_the_panel_does_not_see_it(client: TestClient, subject: str) -> None:
    clinic = {"api-key": "res_clinic"}
    assert client.get("/residency/v1/patients", headers=clinic).status_code == 403
    assert client.get(f"/residency/v1/patients/{subject}/events", headers=clinic).status_code == 403
    assert client.post("/residency/v1/ask", headers=clinic, json={"subject_id": subject}).status_code == 403


def test_without_a_question_everything_allowed_is_answered(client: TestClient, subject: str) -> None:
    body = client.post("/residency/v1/ask", json={"subject_id": subject, "as_of": AS_OF}).json()
    answer = msgspec.convert(body["answer"], Answer)
    assert answer.subject == subject
    assert answer.as_of == datetime.fromisoformat(AS_OF)
    assert {risk.outcome for risk in answer.risks} | {one.outcome for one in answer.abstentions} == {
        "type_2_diabetes",
        "death",
        "hypertension",
    }
    assert all(
        risk.interval and risk.interval.low <= risk.probability <= risk.interval.high for risk in answer.risks
    )
    assert not answer.research


def test_dates_come_back_as_the_callers_own(client: TestClient, subject: str) -> None:
    body = client.post("/residency/v1/ask", json={"subject_id": subject, "as_of": AS_OF}).json()
    events = client.get(f"/residency/v1/patients/{subject}/events").json()["events"]
    known = [event["available"] for event in events if event["available"] and event["available"] <= AS_OF]
    assert body["answer"]["freshness"]["latest"] == max(known)


def test_what_was_not_examined_gets_no_number(client: TestClient, subject: str) -> None:
    for codes, days in ((["ICD10CM/I10"], 365.25), (["ICD10CM/E11"], 30.0)):
        question = {
            "kind": "forecast",
            "outcomes": [{"name": "x", "codes": codes}],
            "horizons_days": [days],
            "occurrence": "incident",
        }
        asked = {"subject_id": subject, "as_of": AS_OF, "question": question}
        answer = client.post("/residency/v1/ask", json=asked).json()["answer"]
        assert answer["risks"] == []
        assert [one["reason"] for one in answer["abstentions"]] == ["not_examined"]


def test_what_was_not_used_is_said_and_not_repeated(client: TestClient, world: Any) -> None:
    bundle = copy.deepcopy(world.bundles[5])
    first = bundle["entry"][1]["resource"]
    bundle["entry"] += [
        {"resource": {**first, "id": "x1", "code": {"coding": [{"system": "urn:x", "code": "CANARY"}]}}},
        {"resource": {**first, "id": "x2", "effectiveDateTime": "CANARY", "issued": None}},
        {"resource": {"resourceType": "Immunization", "id": "x3", "status": "completed"}},
    ]
    body = client.post("/residency/v1/ask", json={"fhir": bundle, "as_of": AS_OF}).json()
    (said,) = [one["text"] for one in body["answer"]["statements"] if one["tag"] == "not_used"]
    assert "a date that is none (1)" in said
    assert "code unknown" in said
    assert "CANARY" not in str(body)
    assert said in body["sentences"]


def test_a_task_that_was_not_granted_is_refused(client: TestClient, world: Any) -> None:
    question = {
        "kind": "forecast",
        "outcomes": [{"name": "d", "codes": ["ICD10CM/E11"]}],
        "horizons_days": [365.25],
        "occurrence": "incident",
    }
    asked = {"fhir": world.bundles[0], "as_of": AS_OF, "question": question}
    assert client.post("/residency/v1/ask", headers={"api-key": "res_clinic"}, json=asked).status_code == 403
    asked.pop("question")
    answer = client.post("/residency/v1/ask", headers={"api-key": "res_clinic"}, json=asked).json()["answer"]
    assert {risk["outcome"] for risk in answer["risks"]} <= {"death"}


def test_a_quota_ends(client: TestClient, world: Any) -> None:
    asked = {"fhir": world.bundles[1], "as_of": AS_OF}
    spent = {"api-key": "res_spent"}
    assert client.post("/residency/v1/ask", headers=spent, json=asked).status_code == 200
    assert client.post("/residency/v1/ask", headers=spent, json=asked).status_code == 429


def test_a_trajectory_equals_asking_at_each_time(client: TestClient, subject: str) -> None:
    first = datetime.fromisoformat(AS_OF)
    times = [(first + timedelta(days=days)).isoformat() for days in (0, 90, 200)]
    together = client.post("/residency/v1/trajectory", json={"subject_id": subject, "times": times}).json()[
        "answers"
    ]
    for time, answer in zip(times, together, strict=True):
        alone = client.post("/residency/v1/ask", json={"subject_id": subject, "as_of": time}).json()["answer"]
        assert [risk["outcome"] for risk in answer["risks"]] == [risk["outcome"] for risk in alone["risks"]]
        for one, other in zip(answer["risks"], alone["risks"], strict=True):
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"subject_id": "1", "meds": []}, 422),
        ({"subject_id": "CANARY"}, 422),
        ({"subject_id": "12345"}, 404),
        ({"subject_id": "1", "as_of": "CANARY"}, 422),
        ({"subject_id": "1", "CANARY": 1}, 422),
        ({"subject_id": "1", "question": {"kind": "CANARY"}}, 422),
        ({"meds": [{"subject_id": 1, "code": "X/1", "time": "CANARY"}]}, 422),
        ({"meds": [{"subject_id": 1, "code": "X/1"}, {"subject_id": 2, "code": "X/1"}]}, 422),
        ({"fhir": {"resourceType": "Bundle", "entry": []}}, 422),
        (
            {
                "fhir": {
                    "resourceType": "Bundle",
                    "entry": [{"resource": {"resourceType": "Patient", "birthDate": "CANARY"}}],
                }
            },
            422,
        ),
        ({"fhir": {"CANARY": 1}}, 422),
        ({"fhir": "CANARY"}, 422),
    ],
)
def test_a_bad_request_is_refused_without_repeating_it(
    client: TestClient, body: dict[str, Any], status: int
) -> None:
    answer = client.post("/residency/v1/ask", json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"what", "where", "mend"}
    assert "CANARY" not in answer.text


def test_a_body_that_is_no_json_or_too_large_is_refused(client: TestClient) -> None:
    assert client.post("/residency/v1/ask", content=b"{CANARY").status_code == 422
    too_large = client.post("/residency/v1/ask", content=b" " * (LARGEST_BODY + 1))
    assert too_large.status_code == 413


def test_an_unknown_path_reads_like_every_refusal(client: TestClient) -> None:
    assert client.get("/residency/v1/CANARY").json() == {"what": "no such path", "where": "", "mend": ""}
    assert client.get("/residency/v1/ask").status_code == 405


def test_what_nobody_foresaw_leaves_without_text(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    @client.app.get("/broken")  # type: ignore[attr-defined]
    def broken() -> None:
        raise RuntimeError("CANARY")

    answer = client.get("/broken")
    assert answer.status_code == 500
    assert answer.json()["what"] == "the service failed"
    assert "CANARY" not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text


def test_a_demo_answers_this_machine_only(world: Any, audit: Path) -> None:
    app = world.app(audit)
    for host, name in (("192.168.1.7", "127.0.0.1"), ("127.0.0.1", "attacker.example")):
        with TestClient(app, base_url=f"http://{name}", client=(host, 50000)) as stranger:
            assert stranger.get("/healthz").status_code == 403


def test_the_page_of_paths_is_not_published(client: TestClient) -> None:
    assert {client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")} == {404}


def test_json_is_the_same_each_time(client: TestClient, subject: str) -> None:
    asked = {"subject_id": subject, "as_of": AS_OF}
    first, second = (client.post("/residency/v1/ask", json=asked).content for _ in range(2))
    assert json.loads(first) == json.loads(second)
