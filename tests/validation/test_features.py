from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residency.reasoning import Index
from residency.timeline import Timelines, until
from residency.validation.features import SPARSE_DAYS, Layout, features, layout_of, windows_for

LAYOUT = Layout(codes=(3, 4, 2), kinds=("dense", "plain", "plain"), windows_days=(10.0, 30.0, 90.0))


def rows_of(seed: int, n: int = 60) -> list:
    rng = np.random.default_rng(seed)
    codes = ["LOINC/2160-0", "ICD10CM/N18.3", "VISIT/AMB"]
    return [
        (int(rng.integers(1, 4)), float(rng.integers(1, 100)), codes[rng.integers(3)], float(rng.normal()))
        for _ in range(n)
    ]


def test_the_features_of_a_course_worked_by_hand(ward: Any) -> None:
    rows = [(1, -3652.5, "MEDS_BIRTH", None)]
    rows += [(1, day, "LOINC/2160-0", value) for day, value in ((5.0, 4.0), (30.0, 1.0), (38.0, 3.0))]
    rows += [(1, 20.0, "ICD10CM/N18.3", None)]
    packed = ward.packed(rows)
    index = Index(np.zeros(1, np.int64), np.array([ward.microseconds(40.0)]))
    made = features(packed, ward.codes, LAYOUT, index)[0]
    age, moments, dense, plain = made[0], made[1], made[2:12], made[12:17]
    assert age == pytest.approx((3652.5 + 40) / 365.25, rel=1e-5)
    assert moments == 4
    # ten days hold day 38 alone, thirty days hold day 30 too
    assert dense.tolist() == pytest.approx([3, 2, 3, 2, 3, 3, 3, 2, 1, 3])
    assert plain.tolist() == pytest.approx([1, 20, 0, 1, 1])  # counted for the parent


@given(seed=st.integers(0, 1_000), at=st.integers(2, 99))
@settings(max_examples=25, deadline=None)
def test_what_comes_after_the_index_time_changes_no_feature(ward: Any, seed: int, at: int) -> None:
    packed = ward.packed(rows_of(seed))
    as_of = ward.microseconds(float(at))
    index = Index(np.arange(packed.n_patients), np.full(packed.n_patients, as_of))
    cut = features(until(packed, as_of), ward.codes, LAYOUT, index)
    np.testing.assert_allclose(features(packed, ward.codes, LAYOUT, index), cut, rtol=1e-5)


@given(seed=st.integers(0, 1_000))
@settings(max_examples=15, deadline=None)
def test_windows_agree_with_a_plain_loop(ward: Any, seed: int) -> None:
    rows = [row for row in rows_of(seed) if row[2] == "LOINC/2160-0"]
    packed = ward.packed(rows)
    day = np.array([35.0, 60.0, 99.5])
    for number, patient in enumerate(sorted({row[0] for row in rows})):
        index = Index(np.full(3, number), np.array([ward.microseconds(at) for at in day]))
        made = features(packed, ward.codes, LAYOUT, index)
        for row, at in enumerate(day):
            inside = [value for who, when, _, value in rows if who == patient and at - 10 < when <= at]
            expected = [np.mean(inside), min(inside), max(inside)] if inside else [np.nan] * 3
            np.testing.assert_allclose(made[row, 6:9], expected, rtol=1e-4, atol=1e-5)


def test_the_layout_leaves_out_a_code_that_says_what_its_parent_says(ward: Any) -> None:
    twin = ward.codes.n_patients.copy(), ward.codes.n_events.copy()
    twin[0][5], twin[1][5] = twin[0][4], twin[1][4]
    held = replace(ward.codes, n_patients=twin[0], n_events=twin[1])
    assert 5 in layout_of(ward.codes, (1.0, 2.0, 3.0), 99).codes
    assert 5 not in layout_of(held, (1.0, 2.0, 3.0), 99).codes


def test_monthly_data_get_windows_of_months(clinic: Path) -> None:
    assert windows_for(Timelines.open(clinic / "timelines")) == SPARSE_DAYS
