"""A stalled feed is noticed: on the panel, where time is true, no figure is given while nothing comes."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from residency.serving.panel import Panel


@pytest.fixture(scope="module")
def panel(world: Any) -> Panel:
    return Panel.open(world.records)


def newest(panel: Panel) -> datetime:
    return max(one.latest for one in panel.patients if one.latest)


def test_feeds_flow_while_patients_come_and_stand_still_years_later(panel: Panel) -> None:
    assert panel.stalled(datetime(2022, 6, 1)) == ()  # noqa: DTZ001 - wall clock
    late = panel.stalled(newest(panel) + timedelta(days=4000))
    assert late
    assert panel.stalled(newest(panel) + timedelta(days=4000)) is late


def test_what_is_asked_once_of_a_patient_is_no_feed(panel: Panel) -> None:
    assert not {"MEDS_BIRTH", "DEMOGRAPHIC", "ALLERGY"} & set(panel._feeds)


def test_a_patient_of_a_stalled_panel_gets_no_figure_and_the_feed_is_named(world: Any, client: Any) -> None:
    panel = Panel.open(world.records)
    at = newest(panel) + timedelta(days=700)  # not stale for the patient yet
    feeds = panel.stalled(at)
    subject = max(panel.patients, key=lambda one: (one.latest or datetime.min, one.subject_id)).subject_id  # noqa: DTZ901
    body = {"subject_id": subject, "as_of": at.isoformat()}
    response = client.post("/residency/v1/ask", headers={"api-key": "res_ward"}, json=body)
    assert response.status_code == 200, response.text
    answer = response.json()["answer"]
    if feeds:
        assert not answer["risks"]
        assert {one["reason"] for one in answer["abstentions"]} == {"stale_feed"}
        assert any(name in one["text"] for one in answer["statements"] for name in feeds)
    else:
        pytest.fail("seven hundred days of silence are no stall to any feed")
