"""In: people and rates. Out: when each disease began and was found, what struck them, and when they died."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.hazards import State, arm_taken, death_rates, onset_rates, strike_rates
from residency.simulation.intensities import Intensities, effects, intensities
from residency.simulation.medicine import hospital
from residency.simulation.people import People
from residency.simulation.spec import BEFORE_YEARS, YEAR_DAYS, HospitalSpec

_LEAD_SPREAD = 0.5
_AFTER_YEARS = 6
"""Years that are lived on after the records: what a treatment would have done is known for five years."""


@dataclass(frozen=True)
class Course:
    """The hidden truth, in days from entry; infinite where it did not come to pass.

    Attributes:
        onset: of each disease; negative where it began before entry.
        diagnosis: of each disease; of an acute one, when it is recognised.
        potential: when each happening would come under each arm of the treatment that changes it; the same
            twice where none does. Diseases, death and clocks are the same in both.
        asked: day on which each treatment was decided on.
        taken: arm, 1 for the drug; -1 where it was not decided on.
        fatal: when a strike that kills was recognised.
        death: of the patient.
        until: the last day that is seen: death, moving away, or the end of the records.
    """

    onset: Float64[np.ndarray, "patient disease"]
    diagnosis: Float64[np.ndarray, "patient disease"]
    potential: Float64[np.ndarray, "patient happening 2"]
    asked: Float64[np.ndarray, "patient treatment"]
    taken: Int64[np.ndarray, "patient treatment"]
    fatal: Float64[np.ndarray, " patient"]
    death: Float64[np.ndarray, " patient"]
    until: Float64[np.ndarray, " patient"]

    def state(self, day: Float64[np.ndarray, " moment"]) -> State:
        """Say what each patient has at each of some moments."""
        chronic = len(hospital().chronic)
        decided = self.asked[:, None] <= day[:, None]
        return State(
            has=self.onset[:, None, :chronic] <= day[:, None],
            known=self.diagnosis[:, None] <= day[:, None],
            taken=np.where(decided, self.taken[:, None], -1),
        )

    @property
    def event(self) -> Float64[np.ndarray, "patient happening"]:
        """When each happening came, under the arm that was taken."""
        return _factual(self.potential, self.taken)


@dataclass
class _Clocks:
    """What is left on each clock, and the day at which it rang.

    The order: onsets, diagnoses, happenings without and with the drug, fatal strikes, death.
    """

    left: Float64[np.ndarray, "patient clock"]
    rang: Float64[np.ndarray, "patient clock"]
    asked: Float64[np.ndarray, "patient treatment"]
    taken: Int64[np.ndarray, "patient treatment"]

    @property
    def has(self) -> Bool[np.ndarray, "patient chronic"]:
        """Say which chronic diseases have begun."""
        has: np.ndarray = np.isfinite(self.rang[:, : _sizes()[0]])
        return has

    @property
    def found(self) -> Bool[np.ndarray, "patient chronic"]:
        """Say which chronic diseases are diagnosed."""
        k = _sizes()[0]
        found: np.ndarray = np.isfinite(self.rang[:, k : 2 * k])
        return found

    @property
    def potential(self) -> Float64[np.ndarray, "patient happening 2"]:
        """Give the days of the happenings in each arm."""
        k, h = _sizes()
        return np.stack([self.rang[:, 2 * k : 2 * k + h], self.rang[:, 2 * k + h : 2 * k + 2 * h]], axis=2)

    @property
    def known(self) -> Bool[np.ndarray, "patient disease"]:
        """Say which diseases are on record."""
        acute = len(hospital().disease) - _sizes()[0]
        struck = np.isfinite(_factual(self.potential, self.taken)[:, :acute])
        return np.concatenate([self.found, struck], axis=1)


def _sizes() -> tuple[int, int]:
    return len(effects().death), len(effects().of)


def _factual(
    potential: Float64[np.ndarray, "patient happening 2"], taken: Int64[np.ndarray, "patient treatment"]
) -> Float64[np.ndarray, "patient happening"]:
    return np.where(arm_taken(taken), potential[..., 1], potential[..., 0])


def course(people: People, spec: HospitalSpec) -> Course:
    """Follow people from years before entry to years after the end of the records.

    Each change has one clock, a unit exponential that runs at the change's rate; within a year the rates are
    constant between changes, so the times are exact. A happening has one exponential for both arms.
    """
    rates = intensities(people, -BEFORE_YEARS, spec.days // YEAR_DAYS + _AFTER_YEARS, spec.variant)
    k, h = _sizes()
    left = np.concatenate([people.clocks[:, : 2 * k + h], people.clocks[:, 2 * k :]], axis=1)
    asked = np.full(people.lot.shape, np.inf)
    clocks = _Clocks(left, np.full_like(left, np.inf), asked, np.full(asked.shape, -1))
    for year in range(rates.onset.shape[1]):
        start = float((year + rates.first_year) * YEAR_DAYS)
        _live_a_year(clocks, _year(people, rates, year), start)
    return _told(clocks, people, spec)


def _told(clocks: _Clocks, people: People, spec: HospitalSpec) -> Course:
    k, h = _sizes()
    names = [one.lead_hours for one in hospital().disease[k:]]
    strikes = clocks.rang[:, 2 * k + 2 * h : -1]
    event = np.minimum(_factual(clocks.potential, clocks.taken)[:, : len(names)], strikes)
    lead = np.array(names) / 24 * np.exp(_LEAD_SPREAD * people.lead[:, k:])
    onset = np.concatenate([clocks.rang[:, :k], event - lead], axis=1)
    diagnosis = np.concatenate([clocks.rang[:, k : 2 * k], event], axis=1)
    death = clocks.rang[:, -1]
    until = np.minimum(death, people.stay_days)
    if spec.variant == "informative_missingness":
        until = np.minimum(until, _leaves(onset[:, :k], people))
    fatal = strikes.min(axis=1)
    return Course(onset, diagnosis, clocks.potential, clocks.asked, clocks.taken, fatal, death, until)


def _leaves(onset: Float64[np.ndarray, "patient chronic"], people: People) -> Float64[np.ndarray, " patient"]:
    """Say when the hidden ill go elsewhere: some do, months after the first onset since entry."""
    first = np.where(onset > 0, onset, np.inf).min(axis=1)
    return np.where(people.growth > 0.3, first + 1000 * people.delay, np.inf)


@dataclass(frozen=True)
class _Year:
    """What holds for people throughout a year."""

    onset: Float64[np.ndarray, "patient chronic"]
    happening: Float64[np.ndarray, "patient happening"]
    death: Float64[np.ndarray, " patient"]
    kills: Bool[np.ndarray, " patient"]
    arm: Float64[np.ndarray, "patient happening 2"]
    propensity: Float64[np.ndarray, "patient treatment"]
    log_pace: Float64[np.ndarray, "patient disease"]
    lot: Float64[np.ndarray, "patient treatment"]
    delay: Float64[np.ndarray, " patient"]


_Part = TypeVar("_Part", _Clocks, _Year)


def _of(whole: _Part, rows: Int64[np.ndarray, " row"]) -> _Part:
    """Take some patients."""
    return type(whole)(**{one.name: getattr(whole, one.name)[rows] for one in fields(whole)})


def _year(people: People, rates: Intensities, year: int) -> _Year:
    lived = np.full(len(people), year + rates.first_year >= 0)
    return _Year(
        onset=rates.onset[:, year], happening=rates.happening[:, year], death=rates.death[:, year],
        kills=lived, arm=rates.arm, propensity=rates.propensity[:, year], log_pace=np.log(people.pace),
        lot=people.lot, delay=people.delay,
    )  # fmt: skip


def _live_a_year(clocks: _Clocks, holds: _Year, start: float) -> None:
    """Let the clocks run for a year; who had one ring goes on from there."""
    rows, day, end = np.arange(len(clocks.left)), np.full(len(clocks.left), start), start + YEAR_DAYS
    while len(rows):
        mine, year = _of(clocks, rows), _of(holds, rows)
        speed = _speeds(mine, year)
        wait = np.divide(mine.left, speed, out=np.full_like(mine.left, np.inf), where=speed > 0)
        which = wait.argmin(axis=1)
        soonest = wait[np.arange(len(rows)), which]
        rings = np.flatnonzero(soonest <= end - day)
        mine.left -= speed * np.minimum(soonest, end - day)[:, None]
        mine.left[rings, which[rings]] = 0.0
        day = (day + soonest)[rings]
        mine.rang[rings, which[rings]] = day
        clocks.left[rows] = mine.left
        rows = rows[rings]
        rang, year = _of(mine, rings), _of(year, rings)
        _decide(rang, year, day)
        _kill(rang, year)
        for one in ("rang", "asked", "taken"):
            getattr(clocks, one)[rows] = getattr(rang, one)


def _decide(clocks: _Clocks, year: _Year, day: Float64[np.ndarray, " patient"]) -> None:
    """Decide on a treatment at the moment at which its disease gets on record."""
    now = clocks.known[:, _asks()] & ~np.isfinite(clocks.asked)
    clocks.asked[now] = np.broadcast_to(day[:, None], now.shape)[now]
    clocks.taken[now] = (year.lot < year.propensity)[now]


def _asks() -> list[int]:
    names = [one.name for one in hospital().disease]
    return [names.index(one.of) for one in hospital().treatment]


def _kill(clocks: _Clocks, year: _Year) -> None:
    """Let death follow a fatal strike; nothing else happens in between."""
    k, h = _sizes()
    struck = clocks.rang[:, 2 * k + 2 * h : -1].min(axis=1)
    clocks.rang[:, -1] = np.minimum(clocks.rang[:, -1], struck + year.delay)


def _speeds(clocks: _Clocks, year: _Year) -> Float64[np.ndarray, "patient clock"]:
    ratio, state = effects(), State(clocks.has, clocks.known, clocks.taken)
    alive = ~np.isfinite(clocks.rang[:, -1:])
    onset = onset_rates(year.onset, state)
    diagnosis = ratio.diagnosis * (state.has & ~clocks.found)
    strikes = strike_rates(year.happening, state, year.log_pace, year.arm)
    survived = strikes * (1 - ratio.fatal)[:, None] * ~np.isfinite(clocks.potential)
    acute = state.known.shape[1] - state.has.shape[1]
    fatal = (strikes[..., 0] * ratio.fatal * year.kills[:, None])[:, :acute]
    death = death_rates(year.death, state)[:, None]
    parts = [onset, diagnosis, survived[..., 0], survived[..., 1], fatal, death]
    speed: np.ndarray = np.concatenate(parts, axis=1) * alive
    return speed
