"""In: a person and their contacts. Out: what was measured, when, when the result was out, and its value."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.contacts import MINUTE, Contacts, Person
from residency.simulation.medicine import Lab, hospital

SYSTOLIC: Final = "8480-6"
DIASTOLIC: Final = "8462-4"
_YEAR: Final = 365.25
_TREATED_DAYS: Final = 180.0
_BEDSIDE: Final = ("vitals", "size")


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
    """Draw what is measured at each contact, and its values."""
    table = sheet()
    level = _levels(person, contacts)
    value = level + table.within * rng.standard_normal(level.shape)
    value = np.minimum(np.where(table.log, np.exp(np.minimum(value, 12.0)), value), table.high)
    taken = _taken(person, contacts, rng)
    systolic, diastolic = table.index[SYSTOLIC], table.index[DIASTOLIC]
    taken[:, diastolic] = False
    contact, lab = np.nonzero(taken)
    bedside = table.bedside[lab]
    day = contacts.day[contact] - np.where(bedside, 10, 5) * MINUTE
    hours = (5.0 if person.site.icd else 9.0) * np.exp(0.6 * rng.standard_normal(len(lab)))
    delay = np.where(bedside, 3 * MINUTE, hours / 24)
    return Measured(
        contact=contact, lab=lab, value=value[contact, lab], day=day, issued=day + delay,
        diastolic=np.where(lab == systolic, value[contact, diastolic], np.nan),
    )  # fmt: skip


def _levels(person: Person, contacts: Contacts) -> Float64[np.ndarray, "contact lab"]:
    table = sheet()
    age = person.age + contacts.day / _YEAR
    own = table.mean + table.male * person.male + table.between * person.lab
    own[table.index["29463-7"]] += person.bmi * (person.height / 100) ** 2
    own[table.index[SYSTOLIC]] += 14.0 * person.hypertension
    own[table.index[DIASTOLIC]] += 7.0 * person.hypertension
    own[table.index["2571-8"]] += 0.02 * (person.bmi - 27)
    own[table.index["4548-4"]] += 0.012 * (person.bmi - 27)
    level: np.ndarray = own + table.age * (age[:, None] - 60)
    level[:, table.index["1988-5"]] += np.array([0.0, 0.8, 1.3])[contacts.contact_kind]
    level[:, table.index["6690-2"]] += np.array([0.0, 0.15, 0.2])[contacts.contact_kind]
    for one, disease in enumerate(hospital().disease):
        if np.isfinite(person.onset[one]):
            for marker in disease.marker:
                level[:, table.index[marker.lab]] += shift(
                    contacts.day - person.onset[one],
                    contacts.day - person.diagnosis[one],
                    (marker.step, marker.per_year, marker.limit, marker.after),
                )
    return level


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


def _taken(person: Person, contacts: Contacts, rng: np.random.Generator) -> Bool[np.ndarray, "contact lab"]:
    """Draw panels by site, setting and illness; at a diagnosis its panels are certain."""
    table = sheet()
    kind = contacts.contact_kind
    usual = table.chance[person.site.name]
    chance = np.array([1.0, 1.6, 1.2])[kind, None] * usual + np.array([0.0, 0.1, 0.15])[kind, None]
    suspected = person.hidden(contacts.day) & (contacts.day[:, None] - person.onset > 60)
    known = person.known(contacts.day)
    chance = chance + (0.3 * suspected + 0.2 * known) @ table.asked
    found = np.abs(contacts.day[:, None] - person.diagnosis) < MINUTE
    chance = np.maximum(chance, found @ table.asked)
    panel = rng.random(chance.shape) < chance
    taken: np.ndarray = panel[:, table.panel_of] & (rng.random((len(kind), len(table.labs))) < 0.93)
    return taken
