"""In: one person's course. Out: when they were seen, and how: visits, emergencies, days of stays.

The sicker are seen more often, before their diagnosis too. Times are days from entry.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.course import Course
from residency.simulation.medicine import NORTH, SOUTH, Site, hospital
from residency.simulation.people import People
from residency.simulation.spec import QUARTER_DAYS

OFFICE, EMERGENCY, STAY = 0, 1, 2
MINUTE: Final = 1 / 1440
_YEAR: Final = 365.25
_FIRST: Final = 0.3
_LONGEST_STAY: Final = 14


@dataclass(frozen=True)
class Person:
    """One patient: who they are, and their hidden course in days from entry."""

    number: int
    site: Site
    entry_day: int
    age: float
    male: bool
    smoker: bool
    former: bool
    bmi: float
    height: float
    hypertension: bool
    lab: Float64[np.ndarray, " lab"]
    onset: Float64[np.ndarray, " disease"]
    diagnosis: Float64[np.ndarray, " disease"]
    death: float
    until: float

    def hidden(self, day: Float64[np.ndarray, " moment"]) -> Bool[np.ndarray, "moment disease"]:
        """Say which diseases have begun and are not found."""
        hidden: np.ndarray = (self.onset <= day[:, None]) & (day[:, None] < self.diagnosis)
        return hidden

    def known(self, day: Float64[np.ndarray, " moment"]) -> Bool[np.ndarray, "moment disease"]:
        """Say which diseases are found."""
        known: np.ndarray = day[:, None] >= self.diagnosis
        return known


@dataclass(frozen=True)
class Contacts:
    """Moments at which something is measured or written; a stay has one each day.

    Attributes:
        day: of each contact.
        visit: that it belongs to.
        kind: of each visit.
        start: of each visit.
        end: of each visit.
    """

    day: Float64[np.ndarray, " contact"]
    visit: Int64[np.ndarray, " contact"]
    kind: Int64[np.ndarray, " visit"]
    start: Float64[np.ndarray, " visit"]
    end: Float64[np.ndarray, " visit"]

    @property
    def contact_kind(self) -> Int64[np.ndarray, " contact"]:
        """Kind of each contact's visit."""
        kind: np.ndarray = self.kind[self.visit]
        return kind


def person(people: People, course: Course, row: int) -> Person:
    """Give one row of a block; days of the diagnoses are set on the hospital's clock."""
    diagnosis = course.diagnosis[row]
    return Person(
        number=int(people.number[row]), site=NORTH if people.north[row] else SOUTH,
        entry_day=int(people.entry_day[row]), age=float(people.age[row]), male=bool(people.male[row]),
        smoker=bool(people.smoker[row]), former=bool(people.former[row]), bmi=float(people.bmi[row]),
        height=float(people.height[row]), hypertension=bool(people.hypertension[row]), lab=people.lab[row],
        onset=course.onset[row], diagnosis=office_hours(diagnosis), death=float(course.death[row]),
        until=float(course.until[row]),
    )  # fmt: skip


def office_hours(day: Float64[np.ndarray, "*axes"]) -> Float64[np.ndarray, "*axes"]:
    """Move a time to between 8 and 18 o'clock of its day, keeping the order; infinite times stay.

    Example:
        >>> office_hours(np.array([3.0, 3.5, np.inf]))
        array([3.33333333, 3.54166667,        inf])
    """
    whole = np.floor(day, out=np.zeros_like(day), where=np.isfinite(day))
    rest = np.where(np.isfinite(day), day - whole, 0.0)
    return np.where(np.isfinite(day), whole + (8 + 10 * rest) / 24, day)


def contacts(person: Person, rng: np.random.Generator) -> Contacts:
    """Draw when a person is seen: rates are constant within a quarter."""
    quarter = np.arange(0.0, person.until, QUARTER_DAYS)
    middle = quarter + QUARTER_DAYS / 2
    hidden, known = person.hidden(middle), person.known(middle)
    tables = hospital().disease
    more = hidden @ [one.visits.preclinical for one in tables] + known @ [
        one.visits.diagnosed for one in tables
    ]
    stays = (known + 0.3 * hidden) @ [one.stays for one in tables]
    age = person.age + middle / _YEAR
    usual = person.site.visits * (0.4 + age / 100)
    office = office_hours(_draw(quarter, usual + more, rng))
    emergency = _draw(quarter, 0.12 + 0.1 * hidden.sum(axis=1) + 0.08 * known.sum(axis=1), rng)
    stay = _draw(quarter, 0.03 + 0.0006 * np.maximum(age - 50, 0) + stays, rng)
    length = np.minimum(1 + rng.geometric(0.28, len(stay)), _LONGEST_STAY) - 0.4
    fixed = person.diagnosis[(person.diagnosis > _FIRST) & (person.diagnosis <= np.floor(person.until) + 1)]
    office = np.concatenate([[_FIRST + 0.2], office[(office > 0.6) & (office < person.until)], fixed])
    start = np.concatenate([office, emergency, stay])
    kind = np.repeat([OFFICE, EMERGENCY, STAY], [len(office), len(emergency), len(stay)])
    last = np.concatenate(
        [office, emergency + 4 / 24, np.minimum(stay + length, np.maximum(person.until, stay + 0.2))]
    )
    order = np.argsort(start, kind="stable")
    return _days(start[order], last[order], kind[order])


def _draw(
    quarter: Float64[np.ndarray, " quarter"],
    per_year: Float64[np.ndarray, " quarter"],
    rng: np.random.Generator,
) -> Float64[np.ndarray, " moment"]:
    n = rng.poisson(per_year * (QUARTER_DAYS / _YEAR))
    day = np.repeat(quarter, n) + rng.random(int(n.sum())) * QUARTER_DAYS
    last = quarter[-1] + QUARTER_DAYS if len(quarter) else 0.0
    return np.sort(day[(day > 1.0) & (day < last)])


def _days(
    start: Float64[np.ndarray, " visit"],
    last: Float64[np.ndarray, " visit"],
    kind: Int64[np.ndarray, " visit"],
) -> Contacts:
    n = np.where(kind == STAY, np.floor(last - start).astype(np.int64) + 1, 1)
    visit = np.repeat(np.arange(len(start)), n)
    nth = np.arange(len(visit)) - np.repeat(np.cumsum(n) - n, n)
    day = start[visit] + nth + np.where(kind[visit] == STAY, 60 * MINUTE, 0.0)
    return Contacts(
        day=day,
        visit=visit,
        kind=kind,
        start=start - np.where(kind == OFFICE, 20 * MINUTE, 30 * MINUTE),
        end=last + np.where(kind == OFFICE, 25 * MINUTE, 2 / 24),
    )
