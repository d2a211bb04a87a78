"""In: people and their courses. Out: each question of treatment with both of its answers."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.chains import Chain, aftermath, speeds, state_at
from residency.simulation.course import Course
from residency.simulation.intensities import Intensities, intensities
from residency.simulation.medicine import hospital
from residency.simulation.people import People
from residency.simulation.risk import exponential
from residency.simulation.spec import YEAR_DAYS, HospitalSpec

HORIZONS_DAYS: Final = (365, 1825)
_YEARS: Final = HORIZONS_DAYS[-1] // YEAR_DAYS + 2


@dataclass(frozen=True)
class Question:
    """One treatment, one outcome, and those of whom it was asked while they were seen.

    Attributes:
        treatment: its number.
        happening: the outcome's number.
        patient: rows of those asked.
        day: on which they were asked.
        taken: that they got the drug.
        event: day of the outcome under each arm, the drug second; infinite if it does not come before death.
        risk: chance of the outcome within each horizon under each arm, given all that is true on that day.
        propensity: chance of the drug, given all that is true.
    """

    treatment: int
    happening: int
    patient: Int64[np.ndarray, " asked"]
    day: Float64[np.ndarray, " asked"]
    taken: Bool[np.ndarray, " asked"]
    event: Float64[np.ndarray, "asked 2"]
    risk: Float64[np.ndarray, "asked 2 horizon"]
    propensity: Float64[np.ndarray, " asked"]


def questions(people: People, course: Course, spec: HospitalSpec) -> list[Question]:
    """Give all questions of treatment; only those who have not had the outcome yet are asked."""
    rates = intensities(people, 0, spec.days // YEAR_DAYS + _YEARS, spec.variant)
    happenings = [one.name for one in hospital().happening]
    return [
        _question(people, course, rates, (t, happenings.index(outcome)))
        for t, drug in enumerate(hospital().treatment)
        for outcome in drug.effect
    ]


def _question(people: People, course: Course, rates: Intensities, of: tuple[int, int]) -> Question:
    treatment, happening = of
    asked = course.asked[:, treatment]
    seen = (asked >= 0) & (asked <= course.until) & (asked < course.fatal)
    patient = np.flatnonzero(seen & (course.potential[:, happening, 0] > asked))
    day = asked[patient]
    risk = [_risk(people, course, rates, (happening, arm), (patient, day)) for arm in (0, 1)]
    return Question(
        treatment, happening, patient, day, course.taken[patient, treatment] == 1,
        course.potential[patient, happening], np.stack(risk, axis=1),
        rates.propensity[patient, (day // YEAR_DAYS).astype(np.int64), treatment],
    )  # fmt: skip


_Asked = tuple[Int64[np.ndarray, " asked"], Float64[np.ndarray, " asked"]]


def _risk(
    people: People, course: Course, rates: Intensities, of: tuple[int, int], asked: _Asked
) -> Float64[np.ndarray, "asked horizon"]:
    """Give the chance of a happening under an arm, from the day asked on."""
    patient, day = asked
    layout = aftermath(*of)
    speed = speeds(layout, people, rates)[patient]
    at = np.zeros((len(people), 1))
    at[patient, 0] = day
    state = state_at(layout, course, at)[patient, 0]
    return np.stack([_moved(layout, speed, (state, day), horizon) for horizon in HORIZONS_DAYS], axis=1)


def _moved(
    layout: Chain,
    speed: Float64[np.ndarray, "patient year part"],
    begin: tuple[Int64[np.ndarray, " patient"], Float64[np.ndarray, " patient"]],
    horizon: int,
) -> Float64[np.ndarray, " patient"]:
    """Move each patient on from a day of their own, year by year, to the horizon."""
    state, day = begin
    n, states = len(day), layout.n_states
    chance = np.zeros((n, 1, states))
    chance[np.arange(n), 0, state] = 1.0
    end, rows = day + horizon, np.arange(n)
    flat = layout.matrix.reshape(len(layout.parts), -1)
    for _ in range(_YEARS):
        year = (day // YEAR_DAYS).astype(np.int64)
        upto = np.minimum((year + 1.0) * YEAR_DAYS, end)
        generator = (speed[rows, year] @ flat).reshape(n, states, states)
        quarter = exponential(generator * ((upto - day) / 4)[:, None, None])
        for _ in range(4):
            chance = chance @ quarter
        day = upto
    final: np.ndarray = chance[:, 0, -1]
    return final
