import numpy as np
import pytest

from residency.validation.alerts import DAY, Watch, alert, lead_time, sensitivity


def watch() -> Watch:
    """Four patients, two days of two index times; patients 0 and 1 have the outcome at the end of day 2."""
    patient = np.repeat(np.arange(4), 4)
    time = np.tile(np.array([0, DAY // 2, DAY, 3 * DAY // 2]), 4)
    label = (patient < 2) & (time >= DAY // 2)
    score = np.array([9, 1, 8, 8, 0, 0, 0, 3, 7, 0, 0, 0, 1, 1, 1, 2], dtype=np.float64)
    return Watch(patient, time, np.full(16, 2 * DAY), label, score)


def test_the_threshold_keeps_to_the_burden() -> None:
    found = alert(watch(), per_100_days=40.0)  # 8 patient-days, so three alerts
    assert found.threshold == 7
    assert found.per_100_days == pytest.approx(37.5)


def test_an_alert_counts_only_within_the_horizon_of_the_outcome() -> None:
    found = alert(watch(), per_100_days=40.0)
    assert found.had_event.tolist() == [True, True, False, False]
    assert found.found.tolist() == [True, False, False, False]
    assert found.lead_days[0] == 1.0  # the alert at time 0 was too early to be counted


def test_tied_scores_never_break_the_burden() -> None:
    flat = Watch(np.arange(10), np.zeros(10, int), np.zeros(10, int), np.zeros(10, bool), np.ones(10))
    assert alert(flat, per_100_days=50.0).per_100_days == 0


def test_sensitivity_and_lead_time_follow_the_draw() -> None:
    found = alert(watch(), per_100_days=100.0)
    counts = np.array([[1, 2, 0], [1, 0, 0], [1, 1, 2], [1, 1, 2]], dtype=np.uint8)
    assert sensitivity(found, counts)[:2].tolist() == [1.0, 1.0]
    assert np.isnan(sensitivity(found, counts)[2])
    assert lead_time(found, counts)[1] == 1.5
    assert np.isnan(lead_time(found, counts)[2])
