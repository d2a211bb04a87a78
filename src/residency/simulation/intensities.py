"""In: people and years since entry. Out: rates per day of onset, diagnosis and death, constant within a year.

What other diseases do to a rate is a factor each, from their hidden onset on.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from residency.simulation.medicine import Rates, hospital
from residency.simulation.people import People
from residency.simulation.spec import YEAR_DAYS

_YEAR = 365.25
_OLDEST = 95.0


@dataclass(frozen=True)
class Effects:
    """What diseases do to each other and to death, as logarithms of rate ratios.

    Attributes:
        onset: `[of, on]` disease.
        death: of each disease.
        diagnosis: rate per day from onset to diagnosis.
    """

    onset: Float64[np.ndarray, "disease disease"]
    death: Float64[np.ndarray, " disease"]
    diagnosis: Float64[np.ndarray, " disease"]


@dataclass(frozen=True)
class Intensities:
    """Rates per day of each person in each year, as if free of the diseases.

    Attributes:
        first_year: year of column 0, counted from entry; negative before it.
        onset: of each disease.
        death: of dying.
    """

    first_year: int
    onset: Float64[np.ndarray, "patient year disease"]
    death: Float64[np.ndarray, "patient year"]


def effects() -> Effects:
    """Read the effects from the tables."""
    found = hospital().disease
    names = [one.name for one in found]
    onset = np.zeros((len(found), len(found)))
    for on, one in enumerate(found):
        for name, ratio in one.others.items():
            onset[names.index(name), on] = ratio
    return Effects(
        onset=onset,
        death=np.array([one.mortality for one in found]),
        diagnosis=np.array([one.diagnosed for one in found]) / _YEAR,
    )


def intensities(people: People, first_year: int, last_year: int) -> Intensities:
    """Give the rates of `people` from `first_year` to `last_year`, counted from entry.

    Returns:
        Death's rate is 0 before entry: who is drawn has lived to come.
    """
    years = np.arange(first_year, last_year + 1)
    age = np.minimum(people.age[:, None] + (years + 0.5) * YEAR_DAYS / _YEAR, _OLDEST)
    onset = np.stack([_rate(one.onset, people, age) for one in hospital().disease], axis=2)
    death = _rate(hospital().death, people, age) * (years >= 0)
    return Intensities(first_year, onset, death)


def _rate(
    rates: Rates, people: People, age: Float64[np.ndarray, "patient year"]
) -> Float64[np.ndarray, "patient year"]:
    fixed = (
        rates.male * people.male
        + rates.smoker * people.smoker
        + rates.former * people.former
        + rates.bmi * (people.bmi - 27)
        + rates.hypertension * people.hypertension
    )
    result: np.ndarray = rates.per_year / _YEAR * np.exp(fixed[:, None] + rates.age * (age - 60))
    return result
