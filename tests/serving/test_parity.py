"""One patient, four doors, one answer: panel, FHIR, MEDS rows, and the de-identified view.

The patients have notes, star alleles and images, and the model reads them.
"""

import copy
from base64 import b64encode
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
SURROGATES = 2e-3  # another name or date in a note is another sentence, if of the same kind


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
    return [
        {"subject_id": int(subject), **{new: event[old] for old, new in names.items()}} for event in events
    ]


def _rows(world: Any, folder: str, subject: str) -> list[dict[str, Any]]:
    """Give a patient's rows of a table as a request has them; images with their pixels."""
    files = sorted(Path(world.records, folder).glob("*.parquet"))
    rows = pl.read_parquet(files).filter(pl.col("subject_id") == int(subject)).to_dicts()
    for row in rows:
        del row["subject_id"]
        row |= {name: row[name] and row[name].isoformat() for name in ("time", "available")}
        if "pixels" in row:
            (stored,) = pl.read_parquet(
                Path(world.records, "images", "pixels", f"{row.pop('pixels')}.parquet")
            ).to_dicts()
            row |= {"shape": stored["shape"], "dtype": stored["dtype"]}
            row["data"] = b64encode(stored["data"]).decode()
            row["spacing_mm"] = [None if np.isnan(one) else one for one in row["spacing_mm"]]
    return rows


def _reference(resource: dict[str, Any]) -> str:
    return str(resource["entry"][0]["resource"]["id"])


@pytest.mark.parametrize("number", [0, 4, 9, 14, 33])
def test_panel_fhir_and_meds_rows_give_the_same_probabilities(
    keyed: TestClient, world: Any, number: int
) -> None:
    bundle = world.bundles[number]
    patients = keyed.get("/residency/v1/patients").json()["patients"]
    subject = next(one["subject_id"] for one in patients if one["reference"] == _reference(bundle))
    by_panel = _answered(keyed, {"subject_id": subject})
    assert by_panel
    images = _rows(world, "images", subject)
    by_fhir = _answered(keyed, {"fhir": bundle, "images": images})
    assert by_fhir == pytest.approx(by_panel, abs=TOLERANCE)
    rows = {name: _rows(world, name, subject) for name in ("notes", "images", "variants")}
    by_meds = _answered(keyed, {"meds": _meds_rows(keyed, subject), **rows})
    assert by_meds == pytest.approx(by_panel, abs=TOLERANCE)


def test_each_kind_of_record_moves_the_answer_and_can_be_left_out(client: TestClient, world: Any) -> None:
    bundle = world.bundles[0]
    patients = client.get("/residency/v1/patients").json()["patients"]
    subject = next(one["subject_id"] for one in patients if one["reference"] == _reference(bundle))
    kinds = ("notes", "images", "variants")
    whole = _answered(client, {"subject_id": subject})
    apart = [
        _answered(client, {"subject_id": subject, "modalities": ["codes", *(k for k in kinds if k != left)]})
        for left in kinds
    ]
    assert all(one != whole for one in apart)
    coded = copy.deepcopy(bundle)
    coded["entry"] = [
        one for one in bundle["entry"] if one["resource"]["resourceType"] != "DocumentReference"
    ]
    bare = _answered(client, {"subject_id": subject, "modalities": ["codes", "variants"]})
    assert _answered(client, {"fhir": coded}) == pytest.approx(bare, abs=TOLERANCE)


def test_the_bedside_gives_what_the_examined_view_gives(keyed: TestClient, world: Any) -> None:
    opened = release.open_bundle(world.bundle, "loopback")
    items = opened.allow_list.allowed
    questions = questions_of(PatientContext(), items)
    questions = questions[:1]
    assert isinstance(questions[0], Forecast)
    shared = timeline.Timelines.open(world.folder / "timelines")
    examined = _examined(opened, shared, questions, _shifts(world))
    patients = keyed.get("/residency/v1/patients").json()["patients"]
    n_compared = 0
    for one in patients[::6]:
        risks = _answered(keyed, {"subject_id": one["subject_id"]})
        expected = examined[int(one["subject_id"])]
        assert risks == pytest.approx(expected, abs=TOLERANCE)
        n_compared += len(risks)
    assert n_compared >= 15
    assert allowed_of(items)


def test_another_key_changes_only_the_surrogates_in_notes(
    client: TestClient, keyed: TestClient, world: Any
) -> None:
    patients = client.get("/residency/v1/patients").json()["patients"]
    for one in patients[::24]:
        asked = {"subject_id": one["subject_id"]}
        bare = {**asked, "modalities": ["codes", "images", "variants"]}
        assert _answered(client, bare) == pytest.approx(_answered(keyed, bare), abs=TOLERANCE)
        assert _answered(client, asked) == pytest.approx(_answered(keyed, asked), abs=SURROGATES)


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
        attachments = shared.attachments(shard)
        answers = reasoning.ask(opened.model, shared.shards[shard], questions, index, attachments=attachments)
        found[subject] = {risk.outcome: risk.probability for risk in answers[0].risks}
    return found
