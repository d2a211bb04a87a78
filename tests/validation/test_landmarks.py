from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.contract.errors import SpecError
from residency.contract.packed import DAY
from residency.timeline import take
from residency.validation.landmarks import drawn, hashed, landmarks

VISITS = [
    (patient, float(10 * visit), "VISIT/AMB", None) for patient in range(1, 8) for visit in range(1, 10)
]


def days_of(ward: Any, found: Any) -> list[tuple[int, float]]:
    zero = ward.microseconds(0.0)
    return [
        (int(who), (int(at) - zero) / DAY)
        for who, at in zip(found.index.patient, found.index.as_of, strict=True)
    ]


def test_every_moment_of_a_patient_is_an_index_time(ward: Any) -> None:
    packed = ward.packed(
        [(1, None, "DEMOGRAPHIC/SEX=male", None), (1, 1.0, "VISIT/AMB", None), (1, 4.0, "LOINC/2160-0", 1.0)]
    )
    found = landmarks(packed, ward.codes, (), ward.task(), 0)
    assert days_of(ward, found) == [(0, 1.0), (0, 4.0)]


def test_regular_times_keep_their_step_and_stay_within_observation(ward: Any) -> None:
    packed = ward.packed(VISITS, seen=[(patient, 0.0, 100.0) for patient in range(1, 8)])
    asked = ward.task(landmark={"kind": "regular", "every_days": 20.0, "per_patient": 99})
    found = landmarks(packed, ward.codes, (), asked, 0)
    for patient in range(7):
        days = [at for who, at in days_of(ward, found) if who == patient]
        assert np.diff(days) == pytest.approx([20.0] * (len(days) - 1))
        assert min(days) >= 0
        assert max(days) <= 100
        assert len(days) >= 4


def test_history_before_the_index_time_is_asked_for(ward: Any) -> None:
    packed = ward.packed(VISITS, seen=[(patient, 0.0, 100.0) for patient in range(1, 8)])
    asked = ward.task(population={"min_history_days": 60.0})
    assert min(at for _, at in days_of(ward, landmarks(packed, ward.codes, (), asked, 0))) == 60


def test_age_is_asked_for_where_births_are_known(ward: Any) -> None:
    rows = [(1, -40 * 365.25, "MEDS_BIRTH", None), (2, -10 * 365.25, "MEDS_BIRTH", None)]
    packed = ward.packed(
        [*rows, (1, 1.0, "VISIT/AMB", None), (2, 1.0, "VISIT/AMB", None), (3, 1.0, "VISIT/AMB", None)]
    )
    found = landmarks(packed, ward.codes, (), ward.task(population={"min_age_years": 18.0}), 0)
    assert days_of(ward, found) == [(0, 1.0)]


def draw(ward: Any, packed: Any, seed: int, per_patient: int, at_risk: Any = None) -> tuple[Any, Any]:
    asked = ward.task(landmark={"kind": "visits", "per_patient": per_patient})
    found = landmarks(packed, ward.codes, (), asked, seed)
    some = np.ones(len(found.index), bool) if at_risk is None else at_risk
    kept, weight = drawn(packed, found, some, asked, seed)
    return found.index.take(kept), weight[kept]


def test_a_few_visits_are_drawn_and_stand_for_all(ward: Any) -> None:
    index, weight = draw(ward, ward.packed([*VISITS, (9, 5.0, "VISIT/AMB", None)]), 0, 3)
    assert np.bincount(index.patient).tolist() == [3] * 7 + [1]
    assert np.bincount(index.patient, weight) == pytest.approx([9.0] * 7 + [1.0])


def test_only_index_times_at_risk_are_drawn(ward: Any) -> None:
    at_risk = np.arange(len(VISITS)) % 9 < 2
    index, weight = draw(ward, ward.packed(VISITS), 0, 3, at_risk)
    assert np.bincount(index.patient).tolist() == [2] * 7
    assert weight.tolist() == [1.0] * 14


def test_a_perfect_forecast_is_calibrated_though_the_ill_are_at_risk_for_a_shorter_time(ward: Any) -> None:
    """Illness at a known rate: the weighted share that falls ill in a year is what the rate says."""
    rng, n_patients, n_visits, every, rate = np.random.default_rng(4), 600, 30, 100.0, 0.25
    falls_ill = rng.exponential(365.25 / rate, n_patients)
    rows = [(who, every * visit, "VISIT/AMB", None) for who in range(n_patients) for visit in range(n_visits)]
    packed = ward.packed(rows)
    days = np.tile(every * np.arange(n_visits), n_patients)
    ill = np.repeat(falls_ill, n_visits)
    index, weight = draw(ward, packed, 0, 3, days < ill)
    at = (index.as_of - ward.microseconds(0.0)) / DAY
    soon = falls_ill[index.patient] <= at + 365.25
    assert np.average(soon, weights=weight) == pytest.approx(1 - np.exp(-rate), rel=0.08)
    evenly = 1 / np.bincount(index.patient, minlength=n_patients)[index.patient]
    assert np.average(soon, weights=evenly) > 1.3 * (1 - np.exp(-rate))


@given(seed=st.integers(0, 1_000), patient=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_the_draw_of_a_patient_does_not_hang_on_the_others(ward: Any, seed: int, patient: int) -> None:
    packed = ward.packed(VISITS)
    together, _ = draw(ward, packed, seed, 2)
    alone, _ = draw(ward, take(packed, np.array([patient])), seed, 2)
    assert alone.as_of.tolist() == together.as_of[together.patient == patient].tolist()


def test_another_seed_draws_other_times(ward: Any) -> None:
    packed = ward.packed(VISITS)
    assert len({tuple(draw(ward, packed, seed, 1)[0].as_of) for seed in range(5)}) > 1


def test_hashes_are_even() -> None:
    mixed = hashed(np.arange(20_000), np.zeros(20_000, np.int64), 3)
    counts = np.bincount((mixed >> np.uint64(60)).astype(int), minlength=16)
    assert counts.min() > 1_100
    assert counts.max() < 1_400


def test_a_label_that_the_data_lack_is_named_as_missing(ward: Any) -> None:
    asked = ward.task(landmark={"kind": "labels"}, outcome={"label": "sepsis"})
    with pytest.raises(SpecError, match="no such label"):
        landmarks(ward.packed(VISITS), ward.codes, ("ill",), asked, 0)
