from typing import Any

import numpy as np
import pytest

from residency.contract.errors import SpecError
from residency.validation.fates import NEVER, Fates, fates
from residency.validation.landmarks import landmarks

SEEN = [(1, 0.0, 365.0)]


def fate_of(
    ward: Any, rows: list, seen: list | None = None, happened: dict | None = None, **settings: Any
) -> Fates:
    packed = ward.packed(rows, seen=seen or SEEN, happened=happened)
    asked = ward.task(**settings)
    return fates(packed, ward.codes, landmarks(packed, ward.codes, (), asked, 0), asked)


def test_a_record_of_the_code_or_of_one_below_it_within_the_horizon_is_the_outcome(ward: Any) -> None:
    found = fate_of(
        ward, [(1, 1.0, "VISIT/AMB", None), (1, 50.0, "ICD10CM/N18.3", None), (1, 300.0, "VISIT/AMB", None)]
    )
    assert found.label.tolist() == [True, False, False]
    assert found.event_time[0] == ward.microseconds(50.0)
    assert found.event_time[1] == NEVER
    assert found.followed_days[0] == pytest.approx(49.0)


def test_a_record_on_the_horizon_counts_and_one_after_it_does_not(ward: Any) -> None:
    rows = [(1, 1.0, "VISIT/AMB", None), (1, 101.0, "ICD10CM/N18", None)]
    assert fate_of(ward, rows).label[0]
    assert not fate_of(ward, rows, horizon_days=99.9).label[0]


def test_the_end_of_observation_before_the_horizon_leaves_the_outcome_unknown(ward: Any) -> None:
    found = fate_of(
        ward, [(1, 1.0, "VISIT/AMB", None), (1, 200.0, "VISIT/AMB", None)], seen=[(1, 0.0, 250.0)]
    )
    assert found.known.tolist() == [True, False]
    assert found.followed_days.tolist() == pytest.approx([100.0, 50.0])


def test_death_without_the_outcome_is_a_known_no(ward: Any) -> None:
    rows = [(1, 1.0, "VISIT/AMB", None), (1, 30.0, "MEDS_DEATH", None), (1, 40.0, "ICD10CM/N18", None)]
    found = fate_of(ward, rows, seen=[(1, 0.0, 30.0)])
    assert not found.label[0]
    assert found.known[0]
    assert found.followed_days[0] == pytest.approx(29.0)


def test_nobody_is_at_risk_after_death(ward: Any) -> None:
    rows = [(1, 1.0, "VISIT/AMB", None), (1, 30.0, "MEDS_DEATH", None), (1, 40.0, "VISIT/AMB", None)]
    assert fate_of(ward, rows).at_risk.tolist() == [True, False, False]


def test_the_first_occurrence_is_asked_of_those_without_one(ward: Any) -> None:
    rows = [(1, day, "VISIT/AMB", None) for day in (1.0, 20.0, 60.0)] + [(1, 10.0, "ICD10CM/N18", None)]
    first = fate_of(ward, rows, occurrence="incident")
    again = fate_of(ward, rows, occurrence="recurrent")
    assert first.at_risk.tolist() == [True, False, False, False]
    assert again.at_risk.tolist() == [False, True, True, True]


def test_a_washout_forgets_what_lies_before_it(ward: Any) -> None:
    rows = [(1, day, "VISIT/AMB", None) for day in (20.0, 60.0)] + [(1, 10.0, "ICD10CM/N18", None)]
    found = fate_of(ward, rows, occurrence="incident", population={"washout_days": 30.0})
    assert found.at_risk.tolist() == [False, False, True]


def test_an_outcome_in_the_gap_is_left_out(ward: Any) -> None:
    rows = [(1, 1.0, "VISIT/AMB", None), (1, 20.0, "VISIT/AMB", None), (1, 25.0, "ICD10CM/N18", None)]
    found = fate_of(ward, rows, gap_days=10.0)
    assert found.at_risk[:2].tolist() == [True, False]
    assert found.label[0]


def test_what_had_happened_and_was_not_yet_known_is_no_forecast(ward: Any) -> None:
    rows = [(1, 10.0, "VISIT/AMB", None), (1, 20.0, "ICD10CM/N18", None)]
    assert fate_of(ward, rows).at_risk[0]
    assert not fate_of(ward, rows, happened={1: 9.0}).at_risk[0]


def test_outcomes_are_the_same_when_patients_join(ward: Any) -> None:
    rows = [(1, 1.0, "VISIT/AMB", None), (1, 50.0, "ICD10CM/N18.3", None)]
    more = [(2, 2.0, "ICD10CM/N18", None), (2, 3.0, "MEDS_DEATH", None), (0, 5.0, "ICD10CM/N18", None)]
    alone = fate_of(ward, rows)
    joined = fate_of(ward, [*rows, *more], seen=[*SEEN, (2, 0.0, 3.0), (0, 0.0, 9.0)])
    assert joined.label[1:3].tolist() == alone.label.tolist()
    assert np.array_equal(joined.followed_days[1:3], alone.followed_days)


def test_an_outcome_that_no_train_patient_has_is_refused(ward: Any) -> None:
    with pytest.raises(SpecError, match="no train patient"):
        fate_of(ward, [(1, 1.0, "VISIT/AMB", None)], outcome={"codes": ["ICD10CM/C34"]})
