"""In: people and their courses. Out: the truth as tables: states, events, hazards, risks, treatments."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from residency.simulation.contacts import office_hours
from residency.simulation.course import Course
from residency.simulation.hazards import rates_at
from residency.simulation.intensities import effects, intensities
from residency.simulation.medicine import NORTH, SOUTH, hospital
from residency.simulation.people import DAY_US, People
from residency.simulation.potential import Question, questions
from residency.simulation.risk import at_risk, risk
from residency.simulation.spec import HORIZONS_DAYS, QUARTER_DAYS, YEAR_DAYS, HospitalSpec

ARMS: Final = ("alternative", "drug")
_TIME: Final = pa.timestamp("us")
_WHO: Final = [("source_id", pa.string()), ("site", pa.string())]
PATIENTS: Final = pa.schema(_WHO)
STATES: Final = pa.schema([*_WHO, ("disease", pa.string()), ("state", pa.string()), ("time", _TIME)])
EVENTS: Final = pa.schema([*_WHO, ("event", pa.string()), ("time", _TIME)])
HAZARD: Final = pa.schema(
    [
        *_WHO,
        ("disease", pa.string()),
        ("time", _TIME),
        ("onset_per_day", pa.float64()),
        ("diagnosis_per_day", pa.float64()),
    ]
)
RISK: Final = pa.schema(
    [
        *_WHO,
        ("outcome", pa.string()),
        ("time", _TIME),
        ("horizon_days", pa.int32()),
        ("probability", pa.float64()),
    ]
)
TREATMENTS: Final = pa.schema(
    [
        *_WHO,
        ("treatment", pa.string()),
        ("outcome", pa.string()),
        ("arm", pa.string()),
        ("taken", pa.bool_()),
        ("time_zero", _TIME),
        ("event_time", _TIME),
        ("risk_1y", pa.float64()),
        ("risk_5y", pa.float64()),
        ("propensity", pa.float64()),
    ]
)


def truth_tables(people: People, course: Course, spec: HospitalSpec) -> dict[str, pa.Table]:
    """Give all tables of the truth by name."""
    return {
        "patients": patients_table(people),
        "states": states_table(people, course),
        "events": events_table(people, course),
        "hazard": hazard_table(people, course, spec),
        "risk": risk_table(people, course, spec),
        "treatments": treatments_table(people, course, spec),
    }


def names(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Give source ids and sites."""
    site = np.where(people.north, NORTH.name, SOUTH.name)
    return np.array([f"{s}-{i:07d}" for s, i in zip(site, people.number, strict=True)]), site


def patients_table(people: People) -> pa.Table:
    """Name the patients."""
    return pa.table(_who(people, np.arange(len(people))), schema=PATIENTS)


def states_table(people: People, course: Course) -> pa.Table:
    """Give when a patient was susceptible (from entry), preclinical and diagnosed, and when they died.

    The diagnosis of a chronic disease has the time at which it is recorded: the day is exact, the hour an
    office's.
    """
    rows: list[pa.Table] = []
    rows_of = [("death", "dead", course.death)]
    for one, disease in enumerate(hospital().disease):
        found = course.diagnosis[:, one]
        acute = disease.kind == "acute"
        rows_of += [
            (disease.name, "susceptible", np.where(course.onset[:, one] > 0, 0.0, np.inf)),
            (disease.name, "preclinical", course.onset[:, one]),
            (disease.name, "diagnosed", _seen(course, found) if acute else office_hours(found)),
        ]
    for disease_name, state, day in rows_of:
        at = np.flatnonzero(np.floor(day) <= course.until)
        columns = [*_who(people, at), _same(disease_name, at), _same(state, at)]
        rows.append(pa.table([*columns, _times(people.entry_day[at], day[at])], schema=STATES))
    return pa.concat_tables(rows)


def _seen(course: Course, day: Float64[np.ndarray, " patient"]) -> Float64[np.ndarray, " patient"]:
    return np.where(day <= course.until, day, np.inf)


def events_table(people: People, course: Course) -> pa.Table:
    """Give when acute diseases and complications struck, with strikes that kill, while a patient was seen."""
    rows: list[pa.Table] = []
    days = [(one.name, course.event[:, h]) for h, one in enumerate(hospital().happening)]
    fatal = next(one.name for one in hospital().disease if one.fatal)
    for name, day in [*days, (f"fatal {fatal}", course.fatal)]:
        at = np.flatnonzero(day <= course.until)
        rows.append(
            pa.table(
                [*_who(people, at), _same(name, at), _times(people.entry_day[at], day[at])], schema=EVENTS
            )
        )
    return pa.concat_tables(rows)


def hazard_table(people: People, course: Course, spec: HospitalSpec) -> pa.Table:
    """Give the hazards that hold at each quarter, of every disease and complication that may still come.

    Of a chronic disease, of its onset and its diagnosis: one of them is 0. Of what strikes, the same twice.
    """
    k = spec.n_quarters
    day = np.arange(k) * float(QUARTER_DAYS)
    state = course.state(day)
    year = (day // YEAR_DAYS).astype(np.int64)
    rates = intensities(people, 0, int(year[-1]), spec.variant)
    onset, strikes = rates_at(people, rates, state, year)
    rows: list[pa.Table] = []
    for one, disease in enumerate(hospital().chronic):
        found = effects().diagnosis[one] * state.has[..., one]
        rows.append(_hazards(people, disease.name, at_risk(course, one, k), (onset[..., one], found)))
    alive = (day <= course.until[:, None]) & (day < course.fatal[:, None])
    acute = len(hospital().disease) - len(hospital().chronic)
    for h, happening in enumerate(hospital().happening):
        waits = day < np.minimum(course.event[:, h], course.fatal if h < acute else np.inf)[:, None]
        waits &= alive & (strikes[..., h] > 0)
        rows.append(_hazards(people, happening.name, waits, (strikes[..., h], strikes[..., h])))
    return pa.concat_tables(rows)


def _hazards(
    people: People,
    name: str,
    wanted: Bool[np.ndarray, "patient quarter"],
    rates: tuple[Float64[np.ndarray, "patient quarter"], Float64[np.ndarray, "patient quarter"]],
) -> pa.Table:
    patient, quarter = np.nonzero(wanted)
    time = _times(people.entry_day[patient], quarter * float(QUARTER_DAYS))
    values = [pa.array(rate[patient, quarter]) for rate in rates]
    return pa.table([*_who(people, patient), _same(name, patient), time, *values], schema=HAZARD)


def risk_table(people: People, course: Course, spec: HospitalSpec) -> pa.Table:
    """Give the exact risks of every patient, disease, quarter and horizon at which it is a question."""
    rows: list[pa.Table] = []
    for target, disease in enumerate(hospital().disease):
        chance = risk(people, course, spec, target)
        patient, quarter = np.nonzero(at_risk(course, target, spec.n_quarters))
        time = _times(people.entry_day[patient], quarter * float(QUARTER_DAYS))
        who, name = _who(people, patient), _same(disease.name, patient)
        for h, horizon in enumerate(HORIZONS_DAYS):
            days = pa.array(np.full(len(patient), horizon, np.int32))
            value = pa.array(np.clip(chance[patient, quarter, h], 0.0, 1.0))
            rows.append(pa.table([*who, name, time, days, value], schema=RISK))
    return pa.concat_tables(rows)


def treatments_table(people: People, course: Course, spec: HospitalSpec) -> pa.Table:
    """Give each question of treatment once an arm; `event_time` is null where it never comes."""
    rows: list[pa.Table] = []
    for question in questions(people, course, spec):
        rows += [_arm(people, question, arm) for arm in (0, 1)]
    return pa.concat_tables(rows)


def _arm(people: People, question: Question, arm: int) -> pa.Table:
    at = question.patient
    comes = np.isfinite(question.event[:, arm])
    day = np.where(comes, question.event[:, arm], 0.0)
    time = _times(people.entry_day[at], day, known=comes)
    columns = [
        *_who(people, at),
        _same(hospital().treatment[question.treatment].name, at),
        _same(hospital().happening[question.happening].name, at),
        _same(ARMS[arm], at),
        pa.array(question.taken == bool(arm)),
        _times(people.entry_day[at], question.day),
        time,
        *(pa.array(question.risk[:, arm, h]) for h in range(question.risk.shape[2])),
        pa.array(question.propensity if arm else 1 - question.propensity),
    ]
    return pa.table(columns, schema=TREATMENTS)


def _who(people: People, at: Int64[np.ndarray, " row"]) -> list[pa.Array]:
    source, site = names(people)
    return [pa.array(source).take(pa.array(at)), pa.array(site).take(pa.array(at))]


def _same(text: str, at: Sequence[int] | np.ndarray) -> pa.Array:
    return pa.repeat(text, len(at))


def _times(
    entry: Int64[np.ndarray, " row"],
    day: Float64[np.ndarray, " row"],
    *,
    known: Bool[np.ndarray, " row"] | None = None,
) -> pa.Array:
    """Turn days from entry into wall-clock times, to the second as the records have them."""
    seconds = np.round((day + entry) * 86_400)
    mask = None if known is None else ~known
    return pa.array((seconds * (DAY_US // 86_400)).astype(np.int64), _TIME, mask=mask)
