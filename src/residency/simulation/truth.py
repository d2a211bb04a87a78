"""In: people and their courses. Out: tables of the truth: patients, states, and exact risks."""

from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from residency.simulation.contacts import office_hours
from residency.simulation.course import Course
from residency.simulation.medicine import NORTH, SOUTH, hospital
from residency.simulation.people import DAY_US, People
from residency.simulation.risk import at_risk, risk
from residency.simulation.spec import HORIZONS_DAYS, QUARTER_DAYS, HospitalSpec

_TIME: Final = pa.timestamp("us")
_SITE: Final = pa.dictionary(pa.int8(), pa.string())
PATIENTS: Final = pa.schema([("source_id", pa.string()), ("site", pa.string())])
STATES: Final = pa.schema(
    [
        ("source_id", pa.string()),
        ("site", pa.string()),
        ("disease", pa.string()),
        ("state", pa.string()),
        ("time", _TIME),
    ]
)
RISK: Final = pa.schema(
    [
        ("source_id", pa.string()),
        ("site", pa.string()),
        ("outcome", pa.string()),
        ("time", _TIME),
        ("horizon_days", pa.int32()),
        ("probability", pa.float64()),
    ]
)


def names(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Give source ids and sites."""
    site = np.where(people.north, NORTH.name, SOUTH.name)
    return np.array([f"{s}-{i:07d}" for s, i in zip(site, people.number, strict=True)]), site


def patients_table(people: People) -> pa.Table:
    """Name the patients."""
    source, site = names(people)
    return pa.table([pa.array(source), pa.array(site)], schema=PATIENTS)


def states_table(people: People, course: Course) -> pa.Table:
    """Give when a patient was susceptible (from entry), preclinical and diagnosed, and when they died.

    A diagnosis has the time at which it is recorded: the day is exact, the hour an office's.
    """
    source, site = names(people)
    rows: list[pa.Table] = []
    rows_of = [("death", "dead", course.death)]
    for one, disease in enumerate(hospital().disease):
        found = course.diagnosis[:, one]
        found = found if disease.kind == "acute" else office_hours(found)
        rows_of += [
            (disease.name, "susceptible", np.where(course.onset[:, one] > 0, 0.0, np.inf)),
            (disease.name, "preclinical", course.onset[:, one]),
            (disease.name, "diagnosed", found),
        ]
    for disease_name, state, day in rows_of:
        at = np.flatnonzero(np.floor(day) <= course.until)
        time = _times(people.entry_day[at], day[at])
        n = len(at)
        columns = [source[at], site[at], [disease_name] * n, [state] * n]
        rows.append(pa.table([*(pa.array(c, pa.string()) for c in columns), time], schema=STATES))
    return pa.concat_tables(rows)


def risk_table(people: People, course: Course, spec: HospitalSpec) -> pa.Table:
    """Give the exact risks of every patient, disease, quarter and horizon at which it is a question."""
    source, site = names(people)
    rows: list[pa.Table] = []
    for target, disease in enumerate(hospital().disease):
        chance = risk(people, course, spec, target)
        patient, quarter = np.nonzero(at_risk(course, target, spec.n_quarters))
        time = _times(people.entry_day[patient], quarter.astype(np.float64) * QUARTER_DAYS)
        for h, horizon in enumerate(HORIZONS_DAYS):
            n = len(patient)
            columns = [
                pa.array(source[patient]),
                pa.array(site[patient]),
                pa.array([disease.name] * n, pa.string()),
                time,
                pa.array(np.full(n, horizon, np.int32)),
                pa.array(np.clip(chance[patient, quarter, h], 0.0, 1.0)),
            ]
            rows.append(pa.table(columns, schema=RISK))
    return pa.concat_tables(rows)


def _times(entry: Int64[np.ndarray, " row"], day: Float64[np.ndarray, " row"]) -> pa.Array:
    """Turn days from entry into wall-clock times, to the second as the records have them."""
    seconds = np.round((day + entry) * 86_400)
    return pa.array((seconds * (DAY_US // 86_400)).astype(np.int64), _TIME)
