"""One patient, four doors, one answer: panel, FHIR, MEDS rows, and the de-identified view."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from residency import reasoning, release, timeline
from residency.contract.questions import Forecast
from residency.deid import load_policy, read_key
from residency.serving.questions import allowed_of, questions_of
from residency.serving.wire import PatientContext

AS_OF = datetime(2022, 6, 1)  # noqa: DTZ001 - wall clock
TOLERANCE = 1e-6


def _answered(client: TestClient, body: dict[str, Any]) -> dict[str, float]:
    answer = client.post("/residency/v1/ask", json={**body, "as_of": AS_OF.isoformat()})
    assert answer.status_code == 200, answer.text
    risks = answer.json()["answer"]["risks"]
    return {risk["outcome"]: risk["probability"] for risk in risks if risk["outcome"] != "hypertension"}


def _meds_rows(client: TestClient, subject: str) -> list[dict[str, Any]]:
    events = client.get(f"/residency/v1/patients/{subject}/events").json()["events"]
    names = {
        "time": "time",
        "available": "available",
        "code": "code",
        "unit": "unit",
        "value": "numeric_value",
    }
    return [{"subject_id": 7, **{new: event[old] for old, new in names.items()}} for event in events]


def _reference(resource: dict[str, Any]) -> str:
    return str(resource["entry"][0]["resource"]["id"])


@pytest.mark.parametrize("number", [0, 4, 9, 14, 33])
def test_panel_fhir_and_meds_rows_give_the_same_probabilities(
    client: TestClient, world: Any, number: int
) -> None:
    bundle = world.bundles[number]
    patients = client.get("/residency/v1/patients").json()["patients"]
    subject = next(one["subject_id"] for one in patients if one["reference"] == _reference(bundle))
    by_panel = _answered(client, {"subject_id": subject})
    assert by_panel
    assert _answered(client, {"fhir": bundle}) == pytest.approx(by_panel, abs=TOLERANCE)
    assert _answered(client, {"meds": _meds_rows(client, subject)}) == pytest.approx(by_panel, abs=TOLERANCE)


def test_the_bedside_gives_what_the_examined_view_gives(client: TestClient, world: Any) -> None:
    opened = release.open_bundle(world.bundle, "loopback")
    items = opened.allow_list.allowed
    questions = questions_of(PatientContext(), items)
    questions = questions[:1]
    assert isinstance(questions[0], Forecast)
    shared = timeline.Timelines.open(world.folder / "timelines")
    examined = _examined(opened, shared, questions, _shifts(world))
    patients = client.get("/residency/v1/patients").json()["patients"]
    n_compared = 0
    for one in patients[::6]:
        risks = _answered(client, {"subject_id": one["subject_id"]})
        expected = examined[int(one["subject_id"])]
        assert risks == pytest.approx(expected, abs=TOLERANCE)
        n_compared += len(risks)
    assert n_compared >= 15
    assert allowed_of(items)


def _shifts(world: Any) -> dict[int, tuple[int, timedelta]]:
    """Give each patient's pseudonym and shift, which only the key's holder can."""
    from residency.deid.people import people_of

    policy = load_policy(world.policy)
    events = pl.concat(
        [pl.read_parquet(path) for path in sorted(Path(world.records, "data").glob("*.parquet"))]
    )
    people = people_of(np.unique(events["subject_id"].to_numpy()), events, policy, read_key(policy))
    rows = people.select("subject_id", "pseudonym", "shift").iter_rows()
    return {subject: (pseudonym, timedelta(microseconds=shift)) for subject, pseudonym, shift in rows}


def _examined(
    opened: release.Release,
    shared: timeline.Timelines,
    questions: Any,
    shifts: dict[int, tuple[int, timedelta]],
) -> dict[int, dict[str, float]]:
    found = {}
    for subject, (pseudonym, shift) in shifts.items():
        shard, row = shared.locate(pseudonym)
        as_of = np.array([(AS_OF + shift - datetime(1970, 1, 1)) // timedelta(microseconds=1)])  # noqa: DTZ001
        index = reasoning.Index(np.array([row]), as_of)
        answers = reasoning.ask(opened.model, shared.shards[shard], questions, index)
        found[subject] = {risk.outcome: risk.probability for risk in answers[0].risks}
    return found
