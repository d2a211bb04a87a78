"""A share of the panel is never shown a figure, so that there is a comparison that nothing influenced."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from residency import release
from residency.serving import create_app
from residency.validation.silent import arm_of

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SHARE, SEED = 0.4, 3
KEY = {"api-key": "res_ward"}


@pytest.fixture(scope="module")
def ward(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = release.open_bundle(world.bundle, "loopback")
    policy = replace(opened.standing.policy, holdout_share=SHARE, holdout_seed=SEED)
    held = replace(opened, standing=replace(opened.standing, policy=policy))
    url = f"sqlite:///{tmp_path_factory.mktemp('held') / 'audit.db'}"
    app = create_app(held, world.grants, url, world.records, clock=lambda: NOW)
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
        yield client


def _asked(ward: Any, subject: str, **more: Any) -> Any:
    return ward.post("/residency/v1/ask", headers=KEY, json={"subject_id": subject, **more})


def _dealt(ward: Any) -> tuple[list[str], np.ndarray]:
    listed = ward.get("/residency/v1/patients", headers=KEY).json()["patients"]
    subjects = [one["subject_id"] for one in listed]
    return subjects, arm_of(np.array([int(one) for one in subjects]), SHARE, SEED)


def test_whoever_the_silent_trial_deals_to_the_other_arm_gets_no_figure_and_everybody_else_does(
    ward: Any,
) -> None:
    subjects, arms = _dealt(ward)
    assert set(arms) == {"held_back", "shown"}
    for subject, arm in list(zip(subjects, arms, strict=True))[:12]:
        answer = _asked(ward, subject, as_of="2022-06-01T00:00:00").json()["answer"]
        reasons = {one["reason"] for one in answer["abstentions"]}
        assert ("held_back" in reasons) == (arm == "held_back")
        assert not (answer["risks"] and arm == "held_back")
    assert any(arm == "shown" for arm in arms[:12])


def test_of_whom_figures_are_withheld_records_are_told_and_no_future_is_simulated(ward: Any) -> None:
    subjects, arms = _dealt(ward)
    mine = next(one for one, arm in zip(subjects, arms, strict=True) if arm == "held_back")
    draft = {"kind": "draft", "document": "visit_summary"}
    told = _asked(ward, mine, as_of="2022-06-01T00:00:00", question=draft)
    assert told.status_code == 200, told.text
    assert told.json()["answer"]["statements"]
    rollout = {"kind": "rollout", "horizon_days": 30.0}
    withheld = _asked(ward, mine, as_of="2022-06-01T00:00:00", question=rollout).json()["answer"]
    assert [one["reason"] for one in withheld["abstentions"]] == ["held_back"]
    assert not any(one["tag"] == "future" for one in withheld["statements"])
