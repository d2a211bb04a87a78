import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.validation.utility import best_threshold, normalised, stakes_of


def naive(labels: list[bool], alarms: list[bool]) -> float:
    """The rules of the challenge, hour by hour, from the text of its paper."""
    if not any(labels):
        return sum(-0.05 for on in alarms if on)
    onset = labels.index(True) + 6
    total = 0.0
    for hour, on in enumerate(alarms):
        to_onset = hour - onset
        if to_onset > 3:
            continue
        if on and to_onset < -6:
            total += max((to_onset + 12) / 6, -0.05)
        elif on:
            total += (3 - to_onset) / 9
        elif to_onset > -6:
            total += -2 * (to_onset + 6) / 9
    return total


def test_the_official_example_gives_the_official_value() -> None:
    stakes = stakes_of(np.zeros(6, int), np.array([0, 0, 0, 0, 1, 1], bool))
    assert stakes.totals(np.array([0, 0, 1, 1, 1, 1], bool))[0, 0] == pytest.approx(3.388888888888889)


PATIENT = st.tuples(st.integers(0, 40), st.integers(1, 40)).map(
    lambda pair: [hour >= pair[0] for hour in range(pair[1])]
)


@given(patients=st.lists(PATIENT, min_size=1, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_utility_agrees_with_the_rules_followed_hour_by_hour(patients: list[list[bool]], seed: int) -> None:
    patient = np.repeat(np.arange(len(patients)), [len(rows) for rows in patients])
    alarms = np.random.default_rng(seed).random(len(patient)) < 0.4
    totals = stakes_of(patient, np.concatenate(patients).astype(bool)).totals(alarms)
    for number, labels in enumerate(patients):
        mine = alarms[patient == number].tolist()
        assert totals[0, number] == pytest.approx(naive(labels, mine))
        assert totals[1, number] == pytest.approx(naive(labels, [False] * len(labels)))


def test_no_alarm_is_zero_and_perfect_alarms_are_one() -> None:
    patient = np.repeat([0, 1], 30)
    label = (np.arange(60) >= 15) & (patient == 0)
    stakes = stakes_of(patient, label)
    assert normalised(stakes.totals(np.zeros(60, bool)).sum(axis=1, keepdims=True))[0] == pytest.approx(0)
    assert normalised(stakes.totals(stakes.best).sum(axis=1, keepdims=True))[0] == pytest.approx(1)


def test_no_set_of_alarms_beats_the_perfect_one() -> None:
    patient = np.repeat([0, 1], 20)
    stakes = stakes_of(patient, (np.arange(40) >= 12) & (patient == 0))
    pointwise = np.where(stakes.alarm > stakes.silence, stakes.alarm, stakes.silence).sum()
    assert stakes.totals(stakes.best)[2].sum() == pytest.approx(pointwise)


@given(seed=st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_the_threshold_found_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(6), 20)
    label = (np.tile(np.arange(20), 6) >= rng.integers(3, 15)) & (patient < 3)
    score = rng.random(120).round(1)
    stakes = stakes_of(patient, label)

    def total(threshold: float) -> float:
        return float(stakes.totals(score >= threshold)[0].sum())

    tried = [total(threshold) for threshold in [*np.unique(score), np.inf]]
    assert total(best_threshold(stakes, score)) == pytest.approx(max(tried))
