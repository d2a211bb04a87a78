"""Questions that are answered from the chart, over HTTP: in the caller's own references and dates."""

import json
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient

from residency.contract.questions import Answer

AS_OF = "2023-06-01T00:00:00"
DIABETES = {"name": "type_2_diabetes", "codes": ["ICD10CM/E11"]}
CHANGES = {"kind": "changes", "since": "2021-01-01T00:00:00", "outcomes": [DIABETES], "horizon_days": 365.25}
TREATMENT = {"kind": "treatment", "options": ["RXNORM/6809"], "outcome": DIABETES, "horizon_days": 365.25}


def asked(client: TestClient, bundle: Any, question: dict[str, Any], key: str = "res_ward") -> Any:
    body = {"fhir": bundle, "as_of": AS_OF, "question": question}
    return client.post("/residency/v1/ask", headers={"api-key": key}, json=body)


def test_changes_speak_of_the_callers_own_records_and_dates(client: TestClient, world: Any) -> None:
    bundle = world.bundles[3]  # glucose rises to a diagnosis
    response = asked(client, bundle, {**CHANGES, "since": "2018-01-02T00:00:00"})
    assert response.status_code == 200, response.text
    answer = msgspec.convert(response.json()["answer"], Answer)
    assert answer.kind == "changes"
    assert answer.as_of.isoformat() == AS_OF
    sent = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in bundle["entry"]}
    cited = {one.source for statement in answer.statements for one in statement.citations}
    assert cited
    assert cited <= sent
    onset = {
        one["resource"]["onsetDateTime"][:10]
        for one in bundle["entry"]
        if one["resource"]["resourceType"] == "Condition"
    }
    new = [one.text for one in answer.statements if one.text.startswith("Newly recorded:")]
    assert new
    assert all(any(day in text for day in onset) for text in new)


def test_the_figures_are_those_of_the_forecast(client: TestClient, world: Any) -> None:
    forecast = {"kind": "forecast", "outcomes": [DIABETES], "horizons_days": [365.25], "occurrence": "any"}
    for bundle in world.bundles[:2]:
        plain = asked(client, bundle, forecast).json()["answer"]
        changes = asked(client, bundle, CHANGES).json()["answer"]
        treatment = asked(client, bundle, TREATMENT).json()["answer"]
        assert changes["risks"] == plain["risks"]
        assert treatment["risks"][:1] == plain["risks"][:1]


def test_a_draft_cites_the_callers_own_records(client: TestClient, world: Any) -> None:
    bundle = world.bundles[3]
    response = asked(client, bundle, {"kind": "draft", "document": "visit_summary"})
    assert response.status_code == 200, response.text
    answer = msgspec.convert(response.json()["answer"], Answer)
    sent = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in bundle["entry"]}
    assert {one.source for statement in answer.statements for one in statement.citations} <= sent
    assert any(one.text.startswith("Allerg") for one in answer.statements)


def test_evidence_cites_the_callers_own_records(client: TestClient, world: Any) -> None:
    forecast = {
        "kind": "forecast",
        "outcomes": [DIABETES],
        "horizons_days": [365.25],
        "occurrence": "incident",
        "evidence": True,
    }
    n_moved = 0
    for bundle in world.bundles[1:3]:
        response = asked(client, bundle, forecast)
        assert response.status_code == 200, response.text
        answer = msgspec.convert(response.json()["answer"], Answer)
        sent = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in bundle["entry"]}
        assert {one.citation.source for one in answer.moved} <= sent
        assert answer.risks
        n_moved += len(answer.moved)
    assert n_moved


def test_a_differential_and_a_next_test_are_answered_of_the_callers_own_records(
    client: TestClient, world: Any
) -> None:
    bundle = world.bundles[3]
    sent = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in bundle["entry"]}
    differential = {"kind": "differential", "candidates": [DIABETES], "imminent_days": 365.25}
    next_test = {"kind": "next_test", "outcome": DIABETES, "horizon_days": 365.25, "act_above": 0.2}
    for question in (differential, next_test):
        response = asked(client, bundle, question)
        assert response.status_code == 200, response.text
        answer = msgspec.convert(response.json()["answer"], Answer)
        assert answer.statements or answer.abstentions
        cited = {one.source for statement in answer.statements for one in statement.citations}
        assert cited | {one.citation.source for one in answer.moved} <= sent


@pytest.mark.parametrize("question", [{"kind": "like_this", "horizon_days": 365.25}])
def test_what_needs_the_train_patients_is_refused(client: TestClient, world: Any, question: Any) -> None:
    response = asked(client, world.bundles[0], question)
    assert response.status_code == 422
    assert "train patients" in response.json()["what"]


def test_a_risk_that_was_not_granted_comes_by_no_other_question(client: TestClient, world: Any) -> None:
    incident = {**DIABETES, "codes": ["MEDS_DEATH"]}
    for question in (CHANGES, TREATMENT):
        response = asked(client, world.bundles[0], question, key="res_clinic")
        text = json.dumps(response.json())
        assert response.status_code == 403 or '"probability"' not in text
    assert (
        asked(client, world.bundles[0], {**CHANGES, "outcomes": [incident]}, "res_clinic").status_code == 200
    )


def test_the_audit_names_the_kind(client: TestClient, world: Any, audit: Any) -> None:
    asked(client, world.bundles[0], CHANGES)
    assert b"changes" in audit.read_bytes()
