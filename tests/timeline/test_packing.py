from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from residency.contract.errors import SchemaError
from residency.contract.packed import STATIC, UNKNOWN
from residency.contract.schema import EVENTS
from residency.timeline import pack, packing_of

LAB = "LOINC/2160-0"


def test_a_moment_is_one_distinct_time_of_availability(events, us, vocabulary) -> None:
    packed = pack(
        events([(7, 1, LAB, 1.0, "mg/dL", 0), (7, 0, LAB, 2.0, "mg/dL", 1), (7, 3, LAB, 3.0, "mg/dL", 0)]),
        vocabulary,
    )
    assert packed.moment_time.tolist() == [STATIC, us(1), us(3)]
    assert packed.event_offset.tolist() == [0, 0, 2, 3]
    assert packed.event_time.tolist() == [us(0), us(1), us(3)]  # within a moment, by when it happened
    assert packed.event_value.tolist() == [2.0, 1.0, 3.0]


def test_birth_and_static_facts_come_first(events, us, vocabulary) -> None:
    packed = pack(
        events(
            [
                (1, 4, "ICD10CM/E11", None, None, 0),
                (1, None, "DEMOGRAPHIC/SEX", None, None, 0),
                (1, -9000, "MEDS_BIRTH", None, None, 0),
            ]
        ),
        vocabulary,
    )
    assert packed.moment_time.tolist() == [us(-9000), us(4)]
    assert packed.event_time.tolist() == [STATIC, us(-9000), us(4)]


def test_every_patient_has_a_first_moment_even_without_static_facts(events, vocabulary) -> None:
    rows = [
        (1, None, "DEMOGRAPHIC/SEX", None, None, 0),
        (2, 1, LAB, None, None, 0),
        (3, 1, LAB, None, None, 0),
    ]
    packed = pack(events(rows), vocabulary)
    assert packed.moment_offset.tolist() == [0, 1, 3, 5]
    assert packed.moment_time[packed.moment_offset[:-1]].tolist() == [STATIC] * 3
    assert np.diff(packed.event_offset).tolist() == [1, 0, 1, 0, 1]


def test_a_rare_code_is_read_as_its_nearest_known_ancestor_without_its_value(events, vocabulary) -> None:
    rows = [
        (1, 1, "ICD10CM/E11.22", 5.0, None, 0),
        (1, 2, "LOCAL/sugar", 5.0, None, 0),
        (1, 3, "LOCAL/x", 5.0, None, 0),
    ]
    packing = packing_of(events(rows), vocabulary)
    e11 = vocabulary.index_of("ICD10CM/E11")
    assert packing.packed.event_code.tolist() == [e11, e11, UNKNOWN]
    assert np.isnan(packing.packed.event_value).all()
    assert packing.counts["code read as its ancestor"] == 2
    assert packing.counts["code unknown"] == 1


def test_a_value_in_another_unit_is_ignored_and_counted(events, vocabulary) -> None:
    packing = packing_of(
        events([(1, 1, LAB, 88.0, "umol/L", 0), (1, 2, LAB, 1.0, "mg/dL", 0), (1, 3, LAB, 1.0, None, 0)]),
        vocabulary,
    )
    assert np.isnan(packing.packed.event_value).tolist() == [True, False, True]
    assert packing.counts["value in another unit"] == 2


def test_a_value_that_is_no_number_is_absent(events, vocabulary) -> None:
    packed = pack(
        events([(1, 1, LAB, float("inf"), "mg/dL", 0), (1, 2, LAB, float("nan"), "mg/dL", 0)]), vocabulary
    )
    assert np.isnan(packed.event_value).all()


def test_what_was_known_before_birth_is_known_at_birth(events, us, vocabulary) -> None:
    rows = [(1, 0, "MEDS_BIRTH", None, None, 0), (1, -30, LAB, 1.0, "mg/dL", 0), (1, 1, LAB, 2.0, "mg/dL", 0)]
    packed = pack(events(rows), vocabulary)
    assert packed.moment_time.tolist() == [us(0), us(1)]
    assert packed.event_time.tolist() == [us(-30), us(0), us(1)]


def test_an_event_long_before_birth_is_dropped_and_counted(events, vocabulary) -> None:
    rows = [(1, 0, "MEDS_BIRTH", None, None, 0), (1, -400, LAB, 1.0, "mg/dL", 0)]
    packing = packing_of(events(rows), vocabulary)
    assert packing.packed.n_events == 1
    assert packing.counts["before birth"] == 1


def test_an_event_is_never_available_before_it_happened(events, us, vocabulary) -> None:
    packed = pack(events([(1, 5, LAB, 1.0, "mg/dL", -3)]), vocabulary)
    assert packed.moment_time[-1] == us(5)


def test_a_request_may_lack_units_and_availability(events, us, vocabulary) -> None:
    packed = pack(events([(1, 5, "ICD10CM/E11", None, None, 0)]).drop("unit", "available"), vocabulary)
    assert packed.moment_time[-1] == us(5)


def test_an_arrow_table_packs_as_a_polars_frame_does(events, vocabulary) -> None:
    frame = events([(1, 5, LAB, 1.0, "mg/dL", 0), (2, None, "DEMOGRAPHIC/SEX", None, None, 0)])
    arrow = frame.to_arrow().cast(EVENTS)
    assert pack(arrow, vocabulary).moment_time.tolist() == pack(frame, vocabulary).moment_time.tolist()


def test_a_table_without_a_needed_column_is_refused(events, vocabulary) -> None:
    with pytest.raises(SchemaError, match="code"):
        pack(events([]).drop("code"), vocabulary)
    with pytest.raises(SchemaError, match="type"):
        pack(events([(1, 1, LAB, None, None, 0)]).with_columns(time=pl.lit("soon")), vocabulary)


def test_no_events_pack_to_no_patients(events, vocabulary) -> None:
    packed = pack(events([]), vocabulary)
    assert (packed.n_patients, packed.n_moments, packed.n_events) == (0, 0, 0)


def test_references_are_rows_of_the_table(events, vocabulary) -> None:
    table = events([(2, 9, LAB, 3.0, "mg/dL", 0), (1, 2, LAB, 1.0, "mg/dL", 0), (2, 1, LAB, 2.0, "mg/dL", 0)])
    packed = pack(table, vocabulary)
    assert table["numeric_value"].gather(packed.event_ref).to_list() == packed.event_value.tolist()


def test_observation_intervals_that_touch_become_one(events, us, vocabulary, observation_table) -> None:
    rows = observation_table([(1, 0, 10), (1, 5, 7), (1, 10, 12), (1, 20, 30), (2, 1, 2), (9, 0, 1)])
    packed = pack(
        events([(1, 5, LAB, 1.0, "mg/dL", 0), (2, 5, LAB, 1.0, "mg/dL", 0)]), vocabulary, observation=rows
    )
    assert packed.observation_offset.tolist() == [0, 2, 3]
    assert packed.observation_start.tolist() == [us(0), us(20), us(1)]
    assert packed.observation_end.tolist() == [us(12), us(30), us(2)]


def test_labels_rise_by_time_and_know_their_task(events, us, vocabulary, label_table) -> None:
    labels = {
        "death": label_table([(2, 3, True), (2, 1, False)]),
        "sepsis": label_table([(1, 5, True), (2, 2, True), (9, 1, True)]),
    }
    table = events([(1, 5, LAB, 1.0, "mg/dL", 0), (2, 5, LAB, 1.0, "mg/dL", 0)])
    packed = pack(table, vocabulary, labels=labels)
    assert packed.label_offset.tolist() == [0, 1, 4]
    assert packed.label_time.tolist() == [us(5), us(1), us(2), us(3)]
    assert packed.label_task.tolist() == [1, 0, 1, 0]
    assert packed.label_value.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_a_label_without_a_number_is_refused(events, vocabulary, label_table) -> None:
    bare = label_table([(1, 1, True)]).with_columns(boolean_value=pl.lit(None, pl.Boolean))
    with pytest.raises(SchemaError, match="1 labels"):
        pack(events([(1, 5, LAB, 1.0, "mg/dL", 0)]), vocabulary, labels={"a": bare})


def test_a_shift_by_whole_weeks_moves_times_and_nothing_else(events, vocabulary) -> None:
    table = events(
        [
            (1, 2, LAB, 1.0, "mg/dL", 3),
            (1, 2, "ICD10CM/E11.9", None, None, 0),
            (1, -9, "MEDS_BIRTH", None, None, 0),
        ]
    )
    shift = timedelta(weeks=7)
    before = pack(table, vocabulary)
    after = pack(table.with_columns(pl.col("time") + shift, pl.col("available") + shift), vocabulary)
    assert (after.moment_time - before.moment_time == shift / timedelta(microseconds=1)).all()
    assert after.event_code.tolist() == before.event_code.tolist()
    assert after.event_ref.tolist() == before.event_ref.tolist()
