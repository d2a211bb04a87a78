"""In: a person and their contacts. Out: what was measured, when, when the result was out, and its value."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.contacts import MINUTE, STAY, Contacts, Person
from residency.simulation.medicine import Disease, Lab, hospital
from residency.simulation.pharmacogenes import STANDARD_MG, warfarin_need_mg
from residency.simulation.selection import ASKED_DAYS, measured_less, noticed

SYSTOLIC: Final = "8480-6"
DIASTOLIC: Final = "8462-4"
_YEAR: Final = 365.25
_TREATED_DAYS: Final = 180.0
_BEDSIDE: Final = ("vitals", "size")
_INR: Final = "6301-6"
_AIM: Final = 2.5
_SETTLES_DAYS: Final = 25.0
_MONITORED: Final = 0.75
_BUILDS_DAYS: Final = 3.0
_RECOVERS_DAYS: Final = 1.5
_HARD: Final = 0.6
_LEAST: Final = {SYSTOLIC: 45.0, DIASTOLIC: 22.0}
_WATCHED: Final = ("8867-4", "8480-6", "9279-1", "59408-5")
_SLOWER: Final = {"8310-5": 4, "2524-7": 8, "6690-2": 12, "2160-0": 12, "777-3": 24, "67151-1": 8}


@dataclass(frozen=True)
class Measured:
    """Results in conventional units, by contact.

    Attributes:
        contact: at which it was measured.
        lab: index of what was measured.
        value: in conventional units.
        day: when it was measured, or the sample taken.
        issued: day on which the result was out.
        diastolic: of the same reading, where `lab` is the systolic pressure.
    """

    contact: Int64[np.ndarray, " result"]
    lab: Int64[np.ndarray, " result"]
    value: Float64[np.ndarray, " result"]
    day: Float64[np.ndarray, " result"]
    issued: Float64[np.ndarray, " result"]
    diastolic: Float64[np.ndarray, " result"]


@dataclass(frozen=True)
class Sheet:
    """The laboratory's tables as arrays, by lab, panel and disease."""

    labs: tuple[Lab, ...]
    panel_of: Int64[np.ndarray, " lab"]
    mean: Float64[np.ndarray, " lab"]
    male: Float64[np.ndarray, " lab"]
    age: Float64[np.ndarray, " lab"]
    between: Float64[np.ndarray, " lab"]
    within: Float64[np.ndarray, " lab"]
    high: Float64[np.ndarray, " lab"]
    log: Bool[np.ndarray, " lab"]
    bedside: Bool[np.ndarray, " lab"]
    chance: dict[str, Float64[np.ndarray, " panel"]]
    asked: Float64[np.ndarray, "disease panel"]
    index: dict[str, int]


@cache
def sheet() -> Sheet:
    """Lay out the laboratory's tables once."""
    found = hospital()
    names = [one.name for one in found.panel]
    labs = found.lab

    def column(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in labs])

    return Sheet(
        labs=labs, panel_of=np.array([names.index(one.panel) for one in labs]), mean=column("mean"),
        male=column("male"), age=column("age"), between=column("between"), within=column("within"),
        high=column("high"), log=column("log"), bedside=np.array([one.panel in _BEDSIDE for one in labs]),
        chance={site: np.array([getattr(one, site) for one in found.panel]) for site in ("north", "south")},
        asked=np.array([[float(name in one.panels) for name in names] for one in found.disease]),
        index={one.code: i for i, one in enumerate(labs)},
    )  # fmt: skip


def measure(person: Person, contacts: Contacts, rng: np.random.Generator) -> Measured:
    """Draw what is measured at each contact and every hour where patients are watched, and its values."""
    table = sheet()
    level = levels(person, contacts.day, contacts.contact_kind)
    taken = _taken(person, contacts, level, rng)
    taken[:, table.index[DIASTOLIC]] = False
    contact, lab = np.nonzero(taken)
    bedside = table.bedside[lab]
    day = contacts.day[contact] - np.where(bedside, 10, 5) * MINUTE
    at_visits = _Taken(contact, lab, day, level[contact])
    watched = _watched(person, contacts, rng)
    return _results(
        person, _Taken(*map(np.concatenate, zip(at_visits.parts, watched.parts, strict=True))), rng
    )


@dataclass(frozen=True)
class _Taken:
    """What is measured when, and the levels of all then."""

    contact: Int64[np.ndarray, " result"]
    lab: Int64[np.ndarray, " result"]
    day: Float64[np.ndarray, " result"]
    level: Float64[np.ndarray, "result lab"]

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        return self.contact, self.lab, self.day, self.level


def _results(person: Person, taken: _Taken, rng: np.random.Generator) -> Measured:
    table = sheet()
    rows, diastolic = np.arange(len(taken.lab)), table.index[DIASTOLIC]
    noise = rng.standard_normal((2, len(rows)))
    value = taken.level[rows, taken.lab] + table.within[taken.lab] * noise[0]
    value = np.where(table.log[taken.lab], np.exp(np.minimum(value, 12.0)), value)
    value = np.minimum(value, table.high[taken.lab])
    value = np.where(taken.lab == table.index[SYSTOLIC], np.maximum(value, _LEAST[SYSTOLIC]), value)
    low = taken.level[:, diastolic] + table.within[diastolic] * noise[1]
    low = np.maximum(np.minimum(low, value - 15), _LEAST[DIASTOLIC])
    hours = (5.0 if person.site.icd else 9.0) * np.exp(0.6 * rng.standard_normal(len(rows)))
    delay = np.where(table.bedside[taken.lab], 3 * MINUTE, hours / 24)
    return Measured(
        contact=taken.contact, lab=taken.lab, value=value, day=taken.day, issued=taken.day + delay,
        diastolic=np.where(taken.lab == table.index[SYSTOLIC], low, np.nan),
    )  # fmt: skip


def _watched(person: Person, contacts: Contacts, rng: np.random.Generator) -> _Taken:
    """Take vital signs every hour, and some tests a few times a day, where a patient is watched."""
    index = sheet().index
    every = {index[code]: 1 for code in _WATCHED} | {index[code]: n for code, n in _SLOWER.items()}
    contact, lab, day = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for visit in np.flatnonzero(contacts.watched):
        hour = np.arange(0.25, contacts.watched[visit])
        time = contacts.start[visit] + hour / 24 + MINUTE * 30
        time = time[time < min(contacts.end[visit] - MINUTE, person.until)]
        first = int(np.flatnonzero(contacts.visit == visit)[0])
        for one, n in every.items():
            done = time[rng.integers(n) :: n]
            done = done[rng.random(len(done)) < 0.9]
            contact.append(np.full(len(done), first))
            lab.append(np.full(len(done), one))
            day.append(done)
    days = np.concatenate(day)
    level = levels(person, days, np.full(len(days), STAY))
    return _Taken(np.concatenate(contact), np.concatenate(lab), days, level)


def levels(
    person: Person, day: Float64[np.ndarray, " moment"], kind: Int64[np.ndarray, " moment"]
) -> Float64[np.ndarray, "moment lab"]:
    """Give the level of everything that can be measured, before the chance of one measurement."""
    table = sheet()
    level: np.ndarray = _own(person) + table.age * ((person.age + day / _YEAR)[:, None] - 60)
    level[:, table.index["1988-5"]] += np.array([0.0, 0.8, 1.3])[kind]
    level[:, table.index["6690-2"]] += np.array([0.0, 0.15, 0.2])[kind]
    for one, disease in enumerate(hospital().disease):
        if np.isfinite(person.onset[one]):
            _ill(person, one, disease, day, level)
    warfarin = person.treated[[one.name for one in hospital().treatment].index("warfarin")]
    if np.isfinite(warfarin):
        level[:, table.index[_INR]] += thinned(person, day - warfarin)
    return level


def _own(person: Person) -> Float64[np.ndarray, " lab"]:
    table = sheet()
    own: np.ndarray = table.mean + table.male * person.male + table.between * person.lab
    own[table.index["29463-7"]] += person.bmi * (person.height / 100) ** 2
    own[table.index[SYSTOLIC]] += 14.0 * person.hypertension
    own[table.index[DIASTOLIC]] += 7.0 * person.hypertension
    own[table.index["2571-8"]] += 0.02 * (person.bmi - 27)
    own[table.index["4548-4"]] += 0.012 * (person.bmi - 27)
    return own


def _ill(
    person: Person,
    one: int,
    disease: Disease,
    day: Float64[np.ndarray, " moment"],
    level: Float64[np.ndarray, "moment lab"],
) -> None:
    """Add what one disease does to the levels."""
    index, pace = sheet().index, float(person.pace[one])
    hard = pace**_HARD
    begun, found = day - person.onset[one], day - person.diagnosis[one]
    for marker in disease.marker:
        size = (marker.step, marker.per_year * pace, marker.limit * pace, marker.after)
        level[:, index[marker.lab]] += shift(begun, found, size)
    for vital in disease.vital:
        level[:, index[vital.lab]] += strike(begun, found, vital.per_hour, vital.limit * hard)
        if disease.fatal and np.isfinite(person.fatal) and person.fatal > person.diagnosis[one]:
            lead = person.diagnosis[one] - person.onset[one]
            again = strike(day - person.fatal + lead, day - person.fatal, vital.per_hour, vital.limit * hard)
            level[:, index[vital.lab]] += again


def strike(
    since_onset: Float64[np.ndarray, " moment"],
    since_found: Float64[np.ndarray, " moment"],
    per_hour: float,
    limit: float,
) -> Float64[np.ndarray, " moment"]:
    """Say how far an acute disease has moved a value: hour by hour until it is recognised, then back in days.

    Example:
        >>> strike(np.array([-1.0, 0.5]), np.array([-1.5, -0.1]), 2.0, 40.0)
        array([ 0., 24.])
    """
    treated = np.maximum(since_found, 0.0)
    size = np.minimum(abs(per_hour) * 24 * np.maximum(since_onset - treated, 0.0), limit) * np.sign(per_hour)
    return np.where(since_onset > 0, size * np.exp(-treated / _RECOVERS_DAYS), 0.0)


def warfarin_mg(person: Person, since: Float64[np.ndarray, " moment"]) -> Float64[np.ndarray, " moment"]:
    """Give the daily dose: 5 mg at first, moved towards the person's need as the INR is watched."""
    need = float(warfarin_need_mg(person.count[None])[0])
    moved = _MONITORED * (1 - np.exp(-np.maximum(since, 0.0) / _SETTLES_DAYS))
    dose: np.ndarray = STANDARD_MG * (need / STANDARD_MG) ** moved
    return dose


def thinned(person: Person, since: Float64[np.ndarray, " moment"]) -> Float64[np.ndarray, " moment"]:
    """Give what warfarin adds to the logarithm of the INR: 2.5 where the dose is what the person needs."""
    need = float(warfarin_need_mg(person.count[None])[0])
    full: np.ndarray = np.log(_AIM) + np.log(warfarin_mg(person, since) / need)
    full = full * (1 - np.exp(-np.maximum(since, 0.0) / _BUILDS_DAYS))
    return full


def shift(
    since_onset: Float64[np.ndarray, " contact"],
    since_diagnosis: Float64[np.ndarray, " contact"],
    marker: tuple[float, float, float, float],
) -> Float64[np.ndarray, " contact"]:
    """Say how far a disease has moved a value: it drifts until the diagnosis, then treatment takes part back.

    Args:
        since_onset: days.
        since_diagnosis: days; negative before it.
        marker: step at onset, drift per year, limit, and the part that stays.

    Example:
        >>> shift(np.array([-1.0, 365.25]), np.array([-300.0, -1.0]), (0.5, 0.5, 3.0, 0.4))
        array([0., 1.])
    """
    step, per_year, limit, after = marker
    treated = np.maximum(since_diagnosis, 0.0)
    ill = (since_onset - treated) / _YEAR
    size = np.minimum(abs(step) + abs(per_year) * ill, limit) * np.sign(per_year)
    left = after + (1 - after) * np.exp(-treated / _TREATED_DAYS)
    return np.where(since_onset > 0, size * left, 0.0)


def _taken(
    person: Person, contacts: Contacts, level: Float64[np.ndarray, "contact lab"], rng: np.random.Generator
) -> Bool[np.ndarray, "contact lab"]:
    """Draw panels by site, setting, insurance and illness; at a diagnosis its panels are certain."""
    table = sheet()
    kind = contacts.contact_kind
    usual = table.chance[person.site.name]
    chance = np.array([1.0, 1.6, 1.2])[kind, None] * usual + np.array([0.0, 0.1, 0.15])[kind, None]
    suspected = person.hidden(contacts.day) & (contacts.day[:, None] - person.onset > 60)
    acute = np.array([one.kind == "acute" for one in hospital().disease])
    since = contacts.day[:, None] - person.diagnosis
    known = person.known(contacts.day) & (~acute | (since < ASKED_DAYS))
    chance = (chance + (0.3 * suspected + 0.2 * known) @ table.asked) * measured_less(person)
    found = np.abs(since) < MINUTE
    chance = np.maximum(chance, found @ table.asked)
    warfarin = person.treated[[one.name for one in hospital().treatment].index("warfarin")]
    on_warfarin = (contacts.day >= warfarin) & (kind != STAY)
    coagulation = table.panel_of[table.index[_INR]]
    chance[:, coagulation] = np.maximum(chance[:, coagulation], 0.85 * on_warfarin)
    panel = rng.random(chance.shape) < chance
    each = rng.random((len(kind), len(table.labs))) < 0.93
    if person.variant == "informative_missingness":
        each &= rng.random(each.shape) < noticed((level - _own(person)) / np.maximum(table.within, 1e-6))
    taken: np.ndarray = panel[:, table.panel_of] & each
    return taken
