"""In: people and rates. Out: when each disease began and was found, and when they died, to the instant."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from residency.simulation.intensities import Effects, Intensities, effects, intensities
from residency.simulation.people import People
from residency.simulation.spec import BEFORE_YEARS, YEAR_DAYS, HospitalSpec


@dataclass(frozen=True)
class Course:
    """The hidden truth, in days from entry; infinite where it did not come to pass.

    Attributes:
        onset: of each disease; negative where it began before entry.
        diagnosis: of each disease.
        death: of the patient.
        until: the last day that is seen: death, moving away, or the end of the records.
    """

    onset: Float64[np.ndarray, "patient disease"]
    diagnosis: Float64[np.ndarray, "patient disease"]
    death: Float64[np.ndarray, " patient"]
    until: Float64[np.ndarray, " patient"]


@dataclass
class _Clocks:
    """What is left on each clock, and the day at which it rang: onsets, then diagnoses, then death."""

    left: Float64[np.ndarray, "patient clock"]
    rang: Float64[np.ndarray, "patient clock"]

    def has(self, n: int) -> Bool[np.ndarray, "patient disease"]:
        """Say which of the first `n` clocks have rung."""
        has: np.ndarray = np.isfinite(self.rang[:, :n])
        return has


def course(people: People, spec: HospitalSpec) -> Course:
    """Follow people from years before entry to the end of the records.

    Each change has one clock, a unit exponential that runs at the change's rate; within a year the rates are
    constant between changes, so the times are exact.
    """
    rates = intensities(people, -BEFORE_YEARS, spec.days // YEAR_DAYS)
    ratio = effects()
    n = len(ratio.death)
    clocks = _Clocks(people.clocks.copy(), np.full_like(people.clocks, np.inf))
    for year in range(rates.onset.shape[1]):
        _live_a_year(clocks, rates, ratio, year)
    death = clocks.rang[:, -1]
    return Course(clocks.rang[:, :n], clocks.rang[:, n:-1], death, np.minimum(death, people.stay_days))


def _live_a_year(clocks: _Clocks, rates: Intensities, ratio: Effects, year: int) -> None:
    start = float((year + rates.first_year) * YEAR_DAYS)
    day = np.full(len(clocks.left), start)
    end = start + YEAR_DAYS
    while (day < end).any():
        speed = _speeds(clocks, rates, ratio, year)
        wait = np.divide(clocks.left, speed, out=np.full_like(clocks.left, np.inf), where=speed > 0)
        which = wait.argmin(axis=1)
        rows = np.arange(len(day))
        soonest = wait[rows, which]
        pause = np.minimum(soonest, end - day)
        clocks.left -= speed * pause[:, None]
        rings = (soonest <= end - day) & (day < end)
        clocks.rang[rows[rings], which[rings]] = (day + pause)[rings]
        clocks.left[rows[rings], which[rings]] = 0.0
        day = np.where(rings, day + pause, end)


def _speeds(
    clocks: _Clocks, rates: Intensities, ratio: Effects, year: int
) -> Float64[np.ndarray, "patient clock"]:
    n = len(ratio.death)
    has = clocks.has(n)
    found = np.isfinite(clocks.rang[:, n:-1])
    alive = ~np.isfinite(clocks.rang[:, -1:])
    onset = rates.onset[:, year] * _product(has, ratio.onset) * ~has
    diagnosis = ratio.diagnosis * (has & ~found)
    death = rates.death[:, year, None] * _product(has, ratio.death[:, None])
    speed: np.ndarray = np.concatenate([onset, diagnosis, death], axis=1) * alive
    return speed


def _product(
    has: Bool[np.ndarray, "patient disease"], ratio: Float64[np.ndarray, "disease to"]
) -> Float64[np.ndarray, "patient to"]:
    """Multiply the factors of the diseases that each patient has."""
    total = np.zeros((len(has), ratio.shape[1]))
    for one in range(has.shape[1]):
        total += has[:, one, None] * ratio[one]
    result: np.ndarray = np.exp(total)
    return result
