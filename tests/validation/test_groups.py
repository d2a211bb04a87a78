from pathlib import Path
from typing import Any

import numpy as np

from residency.reasoning import Index
from residency.timeline import Timelines
from residency.validation.cohort import cohort_of
from residency.validation.groups import records_in, thirds
from residency.validation.tasks import Task


def test_records_are_counted_in_the_window_and_no_further(ward: Any) -> None:
    rows = [(1, None, "DEMOGRAPHIC/SEX=male", None)]
    rows += [(1, float(at), "VISIT/AMB", None) for at in (0, 10, 10.5, 30)]
    packed = ward.packed(rows)
    index = Index(np.zeros(4, np.int64), np.array([ward.microseconds(at) for at in (-1, 10.5, 29, 30)]))
    assert records_in(packed, index, 19.6).tolist() == [0, 3, 2, 2]


def test_thirds_are_those_of_the_patients_who_teach() -> None:
    records = np.array([0, 1, 2, 3, 4, 5, 100, 100])
    named = thirds(records, records < 50)
    assert named is not None
    assert named.tolist() == ["least", "least", "middle", "middle", "most", "most", "most", "most"]
    assert thirds(np.ones(5, np.int64), np.ones(5, bool)) is None


def test_a_task_about_the_next_record_tells_first_ones_from_later_ones(clinic: Path, ward: Any) -> None:
    timelines = Timelines.open(clinic / "timelines")
    both = cohort_of(timelines, ward.task(horizon_days=90.0), 0)
    first = cohort_of(timelines, ward.task(horizon_days=90.0, occurrence="incident"), 0)
    assert "occurrence" not in first.apart
    firsts = set(zip(first.subject.tolist(), first.as_of.tolist(), strict=True))
    for named, inside in (("first", True), ("again", False)):
        rows = both.take(both.apart["occurrence"] == named)
        assert len(rows)
        assert all((one in firsts) == inside for one in zip(rows.subject, rows.as_of, strict=True))


def test_what_only_the_report_shows_changes_no_index_time(clinic: Path, ward: Any) -> None:
    timelines = Timelines.open(clinic / "timelines")
    codes = {"sex": {"female": "DEMOGRAPHIC/SEX=female", "male": "DEMOGRAPHIC/SEX=male"}}
    bare: Task = ward.task(apart={"measured_days": 0.0, "attachments": False})
    told: Task = ward.task(apart={"by_code": codes})
    one, other = (cohort_of(timelines, task, 0) for task in (bare, told))
    np.testing.assert_array_equal(one.as_of, other.as_of)
    np.testing.assert_array_equal(one.weight, other.weight)
    assert set(one.apart) == {"occurrence"}
    assert set(other.apart) == {"measured", "occurrence", "sex"}  # nobody has notes: no group
