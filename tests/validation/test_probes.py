from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from residency.contract.packed import DAY
from residency.timeline import Timelines, moment_of_event
from residency.validation import load_tasks
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.probes import audit_availability, probe_codes


@pytest.fixture(scope="module")
def opened(clinic: Path, tasks: Path) -> tuple[Timelines, Cohort]:
    timelines = Timelines.open(clinic / "timelines")
    return timelines, cohort_of(timelines, load_tasks(tasks)[0], 0)


def planted(timelines: Timelines, cohort: Cohort, code: str) -> Timelines:
    """Turn the record just before each index time with the outcome into one code, and some of the others."""
    from dataclasses import replace

    shards, rng = [], np.random.default_rng(0)
    number_of = timelines.vocabulary.index_of(code)
    for number, packed in enumerate(timelines.shards):
        events = packed.event_code.copy()
        mine = np.flatnonzero(cohort.shard == number)
        for row in mine.tolist():
            moments = packed.moments_of(int(cohort.patient[row]))
            known = (
                int(np.searchsorted(packed.moment_time[moments], cohort.as_of[row], "right")) + moments.start
            )
            last = int(packed.event_offset[known]) - 1
            events[last] = number_of if cohort.label[row] or rng.random() < 0.02 else events[last]
        shards.append(packed.with_arrays(event_code=events))
    return replace(timelines, shards=tuple(shards))


def test_a_planted_leak_is_found_first(opened: tuple[Timelines, Cohort]) -> None:
    timelines, cohort = opened
    assert not any(one.solves for one in probe_codes(timelines, cohort, days=0.5))
    found = probe_codes(planted(timelines, cohort, "MEDS_DEATH"), cohort, days=0.5)
    assert found[0].code == "MEDS_DEATH"
    assert found[0].solves


def test_the_auroc_of_a_code_agrees_with_scikit_learn(opened: tuple[Timelines, Cohort]) -> None:
    timelines, cohort = opened
    days = 20.0
    for one in probe_codes(timelines, cohort, days=days, most=3):
        index = timelines.vocabulary.index_of(one.code)
        has = np.zeros(len(cohort), dtype=bool)
        for number, packed in enumerate(timelines.shards):
            moment = moment_of_event(packed)
            when = packed.moment_time[moment][packed.event_code == index]
            owner = np.searchsorted(packed.moment_offset, moment[packed.event_code == index], "right") - 1
            first = np.isin(moment[packed.event_code == index], packed.moment_offset[:-1])
            for row in np.flatnonzero(cohort.shard == number).tolist():
                ago = (cohort.as_of[row] - when[(owner == cohort.patient[row]) & ~first]) / DAY
                has[row] = bool(((ago >= 0) & (ago < days)).any())
        assert one.auroc == pytest.approx(roc_auc_score(cohort.label, has), abs=1e-9)
        assert one.rows == has.sum()


def test_records_that_are_known_before_they_happen_are_counted(
    opened: tuple[Timelines, Cohort], ward: Any
) -> None:
    from dataclasses import replace

    timelines, _ = opened
    assert audit_availability(timelines).before == 0
    odd = ward.packed([(1, 0.0, "VISIT/AMB", None), (1, 5.0, "VISIT/AMB", None), (1, 7.0, "VISIT/AMB", None)])
    odd = odd.with_arrays(event_time=odd.event_time + np.array([0, 2 * DAY, -DAY]))
    found = audit_availability(replace(timelines, shards=(odd,)))
    assert found.before == 1
    assert found.events >= 2
