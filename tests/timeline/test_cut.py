from dataclasses import fields

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.contract.packed import STATIC, Packed
from residency.timeline import concatenate, pack, take, until

LAB = "LOINC/2160-0"
ROW = st.tuples(
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(0, 12)),
    st.sampled_from([LAB, "ICD10CM/E11.9", "ICD10CM/E11", "LOCAL/x", "MEDS_DEATH"]),
    st.one_of(st.none(), st.sampled_from([0.5, 1.0, 3.0])),
    st.sampled_from(["mg/dL", None]),
    st.integers(0, 3),
)
BIRTH = st.tuples(
    st.integers(1, 4), st.integers(-9, 0), st.just("MEDS_BIRTH"), st.none(), st.none(), st.just(0)
)
ROWS = st.lists(st.one_of(ROW, ROW, ROW, BIRTH), max_size=25)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(one: Packed, two: Packed, but: tuple[str, ...] = ()) -> bool:
    names = [field.name for field in fields(Packed) if field.name not in but]
    return all(np.array_equal(getattr(one, n), getattr(two, n), equal_nan=n == "event_value") for n in names)


def known(table: pl.DataFrame, as_of: int) -> pl.DataFrame:
    """Cut the table itself, row by row: what a patient's file held at that time."""
    return table.filter(
        pl.col("available").cast(pl.Int64).fill_null(STATIC).le(as_of) | (pl.col("code") == "MEDS_BIRTH")
    )


@QUICK
@given(rows=ROWS, seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(events, vocabulary, rows, seed) -> None:
    table = events(rows)
    mixed = table.sample(fraction=1.0, shuffle=True, seed=seed)
    assert same(pack(table, vocabulary), pack(mixed, vocabulary), but=("event_ref",))


@QUICK
@given(rows=ROWS)
def test_moments_rise_strictly_within_a_patient(events, vocabulary, rows) -> None:
    packed = pack(events(rows), vocabulary)
    for patient in range(packed.n_patients):
        times = packed.moment_time[packed.moments_of(patient)]
        assert (np.diff(times.astype(object)) > 0).all()


@QUICK
@given(rows=ROWS)
def test_other_patients_change_nothing(events, vocabulary, rows) -> None:
    table = events(rows)
    packed = pack(table, vocabulary)
    for row, subject in enumerate(packed.subject):
        alone = pack(table.filter(pl.col("subject_id") == int(subject)), vocabulary)
        assert same(take(packed, np.array([row])), alone, but=("event_ref",))


@QUICK
@given(rows=ROWS, day=st.integers(0, 16))
def test_cut_then_pack_is_pack_then_cut(events, us, vocabulary, rows, day) -> None:
    table = events(rows)
    before = pack(known(table, us(day)), vocabulary)
    after = until(pack(table, vocabulary), us(day))
    present = np.flatnonzero(np.isin(after.subject, before.subject))
    assert same(take(after, present), before, but=("event_ref",))
    absent = take(after, np.flatnonzero(~np.isin(after.subject, before.subject)))
    assert absent.n_events == 0


@QUICK
@given(rows=ROWS, later=ROWS, day=st.integers(0, 6))
def test_an_event_after_the_cut_changes_nothing(events, us, vocabulary, rows, later, day) -> None:
    patients = {row[0] for row in rows}
    future = [
        (patient, 7 if when is None else 7 + when, *rest)
        for patient, when, *rest in later
        if patient in patients and rest[0] != "MEDS_BIRTH"
    ]
    without = until(pack(events(rows), vocabulary), us(day))
    assert same(until(pack(events(rows + future), vocabulary), us(day)), without, but=("event_ref",))


@QUICK
@given(rows=ROWS, day=st.integers(0, 16))
def test_cutting_twice_is_cutting_once(events, us, vocabulary, rows, day) -> None:
    once = until(pack(events(rows), vocabulary), us(day))
    assert same(until(once, us(day)), once)
    assert same(until(once, us(day + 5)), once)


def test_the_cut_is_on_availability_and_keeps_its_own_instant(events, us, vocabulary) -> None:
    packed = pack(events([(1, 1, LAB, 1.0, "mg/dL", 4), (1, 2, LAB, 2.0, "mg/dL", 0)]), vocabulary)
    assert until(packed, us(2)).event_value.tolist() == [2.0]
    assert until(packed, us(5)).n_events == 2
    assert until(packed, us(5) - 1).n_events == 1


def test_each_patient_may_have_a_cut_of_their_own(events, us, vocabulary) -> None:
    packed = pack(events([(p, day, LAB, 1.0, "mg/dL", 0) for p in (1, 2) for day in (1, 2, 3)]), vocabulary)
    cut = until(packed, np.array([us(1), us(2)]))
    assert np.diff(cut.moment_offset).tolist() == [2, 3]


def test_before_birth_nothing_is_known(events, us, vocabulary) -> None:
    rows = [
        (1, 3, "MEDS_BIRTH", None, None, 0),
        (1, 2, LAB, 1.0, "mg/dL", 0),
        (1, None, "DEMOGRAPHIC/SEX", None, None, 0),
        (2, 1, LAB, 1.0, "mg/dL", 0),
    ]
    cut = until(pack(events(rows), vocabulary), us(2))
    assert cut.moment_offset.tolist() == [0, 1, 3]
    assert cut.moment_time.tolist() == [STATIC, STATIC, us(1)]
    assert np.diff(cut.event_offset).tolist() == [0, 0, 1]


def test_labels_go_and_observation_ends_at_the_cut(
    events, us, vocabulary, label_table, observation_table
) -> None:
    packed = pack(
        events([(1, 1, LAB, 1.0, "mg/dL", 0)]),
        vocabulary,
        observation=observation_table([(1, 0, 10), (1, 20, 30)]),
        labels={"death": label_table([(1, 1, True)])},
    )
    cut = until(packed, us(5))
    assert len(cut.label_time) == 0
    assert cut.label_offset.tolist() == [0, 0]
    assert cut.observation_end.tolist() == [us(5)]
    assert packed.observation_end.tolist() == [us(10), us(30)]


@QUICK
@given(rows=ROWS, order=st.permutations([0, 1, 2, 3]))
def test_patients_taken_apart_and_laid_together_are_the_same(events, vocabulary, rows, order) -> None:
    packed = pack(events(rows), vocabulary)
    chosen = np.array([row for row in order if row < packed.n_patients], np.int64)
    if len(chosen):
        apart = concatenate([take(packed, np.array([row])) for row in chosen])
        assert same(apart, take(packed, chosen))


def test_a_patient_may_be_taken_twice(events, vocabulary, label_table) -> None:
    packed = pack(
        events([(1, 1, LAB, 1.0, "mg/dL", 0), (2, 1, LAB, 2.0, "mg/dL", 0)]),
        vocabulary,
        labels={"death": label_table([(2, 1, True)])},
    )
    twice = take(packed, np.array([1, 1]))
    assert twice.event_value.tolist() == [2.0, 2.0]
    assert twice.label_offset.tolist() == [0, 1, 2]
