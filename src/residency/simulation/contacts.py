"""In: one person's course. Out: when they were seen, and how: visits, emergencies, days of stays.

The sicker are seen more often, before their diagnosis too. Times are days from entry.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from residency.simulation.course import Course
from residency.simulation.medicine import NORTH, SOUTH, Site, hospital
from residency.simulation.people import People
from residency.simulation.spec import QUARTER_DAYS, Variant

OFFICE, EMERGENCY, STAY = 0, 1, 2
MINUTE: Final = 1 / 1440
_YEAR: Final = 365.25
_FIRST: Final = 0.3
_LONGEST_STAY: Final = 14
_UNINSURED_VISITS: Final = 0.7
_CLINIC_DAYS: Final = (4.0, 8.0, 14.0, 28.0, *(60.0 * i for i in range(1, 200)))
_WATCHED: Final = 0.12
_LED_IN: Final = 0.4


@dataclass(frozen=True)
class Person:
    """One patient: who they are, and their hidden course in days from entry.

    Attributes that are not `People`'s or `Course`'s:
        event: day of each complication.
        seen: what the doctor saw of each disease's pace at its diagnosis.
        treated: day from which each treatment's drug is taken.
        alternative: day from which its alternative is taken.
        variant: of the hospital.
    """

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
    african: bool
    count: Int8[np.ndarray, " variant"]
    insured: bool
    pace: Float64[np.ndarray, " disease"]
    seen: Float64[np.ndarray, " disease"]
    growth: float
    onset: Float64[np.ndarray, " disease"]
    diagnosis: Float64[np.ndarray, " disease"]
    event: Float64[np.ndarray, " complication"]
    treated: Float64[np.ndarray, " treatment"]
    alternative: Float64[np.ndarray, " treatment"]
    fatal: float
    death: float
    until: float
    variant: Variant

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
        watched: hours of each visit, from its start, in which vital signs are taken every hour.
    """

    day: Float64[np.ndarray, " contact"]
    visit: Int64[np.ndarray, " contact"]
    kind: Int64[np.ndarray, " visit"]
    start: Float64[np.ndarray, " visit"]
    end: Float64[np.ndarray, " visit"]
    watched: Float64[np.ndarray, " visit"]

    @property
    def contact_kind(self) -> Int64[np.ndarray, " contact"]:
        """Kind of each contact's visit."""
        kind: np.ndarray = self.kind[self.visit]
        return kind


def person(people: People, course: Course, row: int, variant: Variant = "plain") -> Person:
    """Give one row of a block; days of chronic diseases' diagnoses are set on the hospital's clock."""
    chronic = len(hospital().chronic)
    diagnosis = course.diagnosis[row].copy()
    diagnosis[:chronic] = office_hours(diagnosis[:chronic])
    names = [one.name for one in hospital().disease]
    asked = diagnosis[[names.index(one.of) for one in hospital().treatment]]
    taken = course.taken[row]
    return Person(
        number=int(people.number[row]), site=NORTH if people.north[row] else SOUTH,
        entry_day=int(people.entry_day[row]), age=float(people.age[row]), male=bool(people.male[row]),
        smoker=bool(people.smoker[row]), former=bool(people.former[row]), bmi=float(people.bmi[row]),
        height=float(people.height[row]), hypertension=bool(people.hypertension[row]), lab=people.lab[row],
        african=bool(people.african[row]), count=people.count[row], insured=bool(people.insured[row]),
        pace=people.pace[row], seen=people.seen[row], growth=float(people.growth[row]),
        onset=course.onset[row], diagnosis=diagnosis,
        event=course.event[row, len(names) - chronic :], treated=np.where(taken == 1, asked, np.inf),
        alternative=np.where(taken == 0, asked, np.inf), fatal=float(course.fatal[row]),
        death=float(course.death[row]), until=float(course.until[row]), variant=variant,
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
    usual = person.site.visits * (0.4 + age / 100) * (1.0 if person.insured else _UNINSURED_VISITS)
    office = office_hours(_draw(quarter, usual + more, rng))
    emergency = _draw(quarter, 0.12 + 0.1 * hidden.sum(axis=1) + 0.08 * known.sum(axis=1), rng)
    stay = _draw(quarter, 0.03 + 0.0006 * np.maximum(age - 50, 0) + stays, rng)
    length = np.minimum(1 + rng.geometric(0.28, len(stay)), _LONGEST_STAY) - 0.4
    watched = np.where(rng.random(len(stay)) < _WATCHED, rng.integers(24, 49, len(stay)), 0.0)
    strikes = _strikes(person, rng)
    office = np.concatenate(
        [[_FIRST + 0.2], office[(office > 0.6) & (office < person.until)], _fixed(person)]
    )
    plain = np.zeros(len(office) + len(emergency))
    start = np.concatenate([office, emergency, stay, strikes.start])
    kind = np.repeat([OFFICE, EMERGENCY, STAY], [len(office), len(emergency), len(stay) + len(strikes.start)])
    last = np.minimum(stay + length, np.maximum(person.until, stay + 0.2))
    last = np.concatenate([office, emergency + 4 / 24, last, strikes.last])
    moment = np.concatenate([plain + np.inf, np.full(len(stay), np.inf), strikes.moment])
    watched = np.concatenate([plain, watched, strikes.watched])
    order = np.argsort(start, kind="stable")
    return _days(_Visits(start[order], last[order], moment[order], watched[order]), kind[order])


@dataclass(frozen=True)
class _Visits:
    """Visits: from, to, the moment at which something is recognised (or infinite), and hours watched."""

    start: Float64[np.ndarray, " visit"]
    last: Float64[np.ndarray, " visit"]
    moment: Float64[np.ndarray, " visit"]
    watched: Float64[np.ndarray, " visit"]


def _fixed(person: Person) -> Float64[np.ndarray, " moment"]:
    """Give the visits at which a chronic disease is found, and those of the warfarin clinic."""
    found = person.diagnosis[: len(hospital().chronic)]
    names = [one.name for one in hospital().treatment]
    warfarin = person.treated[names.index("warfarin")]
    clinic = warfarin + np.array(_CLINIC_DAYS)
    clinic = clinic[(clinic > _FIRST) & (clinic < person.until)]
    return np.concatenate([found[(found > _FIRST) & (found <= np.floor(person.until) + 1)], clinic])


def _strikes(person: Person, rng: np.random.Generator) -> _Visits:
    """Draw the stays around what strikes: some hours before it is recognised, and days after.

    Four in ten of those with an acute disease are in hospital already, for something else.
    """
    first = len(hospital().chronic)
    acute = person.diagnosis[first:]
    struck = np.isfinite(acute)
    led = np.subtract(acute, person.onset[first:], out=np.zeros(len(acute)), where=struck)
    fatal = [one.fatal > 0 for one in hospital().disease[first:]].index(True)
    moment = np.concatenate([acute, [person.fatal], person.event])
    lead = np.concatenate([led, [led[fatal]], np.full(len(person.event), 0.1)])
    u = rng.random((3, len(moment)))
    inside = np.arange(len(moment)) <= len(acute)
    before = lead * (0.5 + 0.5 * u[0]) + np.where(inside & (u[1] < _LED_IN), lead + 2 * u[1], 0.0)
    seen = (moment > 1.0) & (moment <= person.until)
    _, unique = np.unique(moment, return_index=True)
    seen &= np.isin(np.arange(len(moment)), unique)
    moment, before, u, inside = moment[seen], before[seen], u[:, seen], inside[seen]
    start = np.maximum(moment - before, 0.6)
    last = np.minimum(moment + 2 + 6 * u[2], np.maximum(person.until, moment + MINUTE * 20))
    watched = np.where(inside, np.minimum(np.ceil((moment - start) * 24) + 24, 72.0), 0.0)
    return _Visits(start, last, moment, watched)


def _draw(
    quarter: Float64[np.ndarray, " quarter"],
    per_year: Float64[np.ndarray, " quarter"],
    rng: np.random.Generator,
) -> Float64[np.ndarray, " moment"]:
    n = rng.poisson(per_year * (QUARTER_DAYS / _YEAR))
    day = np.repeat(quarter, n) + rng.random(int(n.sum())) * QUARTER_DAYS
    last = quarter[-1] + QUARTER_DAYS if len(quarter) else 0.0
    return np.sort(day[(day > 1.0) & (day < last)])


def _days(visits: _Visits, kind: Int64[np.ndarray, " visit"]) -> Contacts:
    """Give each visit its contacts: one, a day of a stay one, and one when something is recognised."""
    start, last = visits.start, visits.last
    n = np.where(kind == STAY, np.floor(np.maximum(last - start - 1 / 24, 0)).astype(np.int64) + 1, 1)
    visit = np.repeat(np.arange(len(start)), n)
    nth = np.arange(len(visit)) - np.repeat(np.cumsum(n) - n, n)
    day = start[visit] + nth + np.where(kind[visit] == STAY, 60 * MINUTE, 0.0)
    marked = np.flatnonzero(np.isfinite(visits.moment))
    day, visit = np.append(day, visits.moment[marked]), np.append(visit, marked)
    order = np.argsort(day, kind="stable")
    seen_last = last.copy()
    np.maximum.at(seen_last, visit, day)
    return Contacts(
        day=day[order],
        visit=visit[order],
        kind=kind,
        start=start - np.where(kind == OFFICE, 20 * MINUTE, 30 * MINUTE),
        end=seen_last + np.where(kind == OFFICE, 25 * MINUTE, 2 / 24),
        watched=visits.watched,
    )
