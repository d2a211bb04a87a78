"""In: people and years since entry. Out: rates per day of all that can happen, constant within a year.

What other diseases do to a rate is a factor each, from their hidden onset on.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64

from residency.simulation.genome import log_rates
from residency.simulation.medicine import Complication, Disease, Rates, Treatment, hospital
from residency.simulation.people import People
from residency.simulation.pharmacogenes import genetic_score
from residency.simulation.spec import YEAR_DAYS, Variant

_YEAR = 365.25
_OLDEST = 95.0


@dataclass(frozen=True)
class Effects:
    """What diseases do to each other, to happenings and to death, as logarithms of rate ratios.

    Attributes:
        onset: `[of, on]` chronic disease.
        happening: of a chronic disease, from its hidden onset on.
        known: of a chronic disease, from its diagnosis on.
        pace: of the logarithm of a disease's pace, while a person has it.
        death: of each chronic disease.
        diagnosis: rate per day from onset to diagnosis.
        fatal: share of a happening's strikes that kill.
        of: the disease that a happening must follow the diagnosis of, -1 if none.
        treatment: that changes a happening, -1 if none.
    """

    onset: Float64[np.ndarray, "chronic chronic"]
    happening: Float64[np.ndarray, "chronic happening"]
    known: Float64[np.ndarray, "chronic happening"]
    pace: Float64[np.ndarray, "disease happening"]
    death: Float64[np.ndarray, " chronic"]
    diagnosis: Float64[np.ndarray, " chronic"]
    fatal: Float64[np.ndarray, " happening"]
    of: tuple[int, ...]
    treatment: tuple[int, ...]


@dataclass(frozen=True)
class Intensities:
    """Rates per day of each person in each year, as if free of the diseases.

    Attributes:
        first_year: year of column 0, counted from entry; negative before it.
        onset: of each chronic disease.
        happening: of each acute disease (all strikes) and each complication.
        death: of dying.
        arm: logarithm of what each arm of a happening's treatment does to it; arm 1 is the drug.
        propensity: chance of getting the drug of each treatment when it is asked.
    """

    first_year: int
    onset: Float64[np.ndarray, "patient year chronic"]
    happening: Float64[np.ndarray, "patient year happening"]
    death: Float64[np.ndarray, "patient year"]
    arm: Float64[np.ndarray, "patient happening 2"]
    propensity: Float64[np.ndarray, "patient year treatment"]


@cache
def effects() -> Effects:
    """Read the effects from the tables."""
    found = hospital()
    names = [one.name for one in found.disease]
    chronic, happening = found.chronic, found.happening
    return Effects(
        onset=_matrix([one.others for one in chronic])[: len(chronic)],
        happening=_matrix([one.others for one in happening])[: len(chronic)],
        known=_matrix([one.known for one in happening])[: len(chronic)],
        pace=_matrix([one.pace for one in happening]),
        death=np.array([one.mortality for one in chronic]),
        diagnosis=np.array([one.diagnosed for one in chronic]) / _YEAR,
        fatal=np.array([one.fatal if isinstance(one, Disease) else 0.0 for one in happening]),
        of=tuple(names.index(one.of) if isinstance(one, Complication) else -1 for one in happening),
        treatment=tuple(
            next((i for i, drug in enumerate(found.treatment) if one.name in drug.effect), -1)
            for one in happening
        ),
    )


def _matrix(columns: list[dict[str, float]]) -> Float64[np.ndarray, "disease column"]:
    names = [one.name for one in hospital().disease]
    return np.array([[column.get(name, 0.0) for column in columns] for name in names])


def intensities(people: People, first_year: int, last_year: int, variant: Variant = "plain") -> Intensities:
    """Give the rates of `people` from `first_year` to `last_year`, counted from entry.

    Returns:
        Death's rate is 0 before entry: who is drawn has lived to come.
    """
    found = hospital()
    years = np.arange(first_year, last_year + 1)
    age = np.minimum(people.age[:, None] + (years + 0.5) * YEAR_DAYS / _YEAR, _OLDEST)
    bent = variant == "wrong_hazard_shape"
    onset = np.stack([_rate(one.onset, people, age, bent=bent) for one in found.chronic], axis=2)
    happening = np.stack([_rate(one.onset, people, age, bent=bent) for one in found.happening], axis=2)
    onset *= np.exp(log_rates(people.count, tuple(one.name for one in found.chronic)))[:, None]
    happening *= np.exp(log_rates(people.count, tuple(one.name for one in found.happening)))[:, None]
    hides = variant == "hidden_confounder"
    if hides:
        by = np.array([one.hidden for one in found.happening])
        happening *= np.exp(by * people.hidden[:, None] - by**2 / 2)[:, None]
    death = _rate(found.death, people, age) * (years >= 0)
    odds = np.stack([_odds(one, people, age, hides=hides) for one in found.treatment], axis=2)
    return Intensities(first_year, onset, happening, death, _arms(people), 1 / (1 + np.exp(-odds)))


def _rate(
    rates: Rates, people: People, age: Float64[np.ndarray, "patient year"], *, bent: bool = False
) -> Float64[np.ndarray, "patient year"]:
    """Give one rate; `bent`: habits lose and turn their effect with age, body mass works both ways."""
    habits = rates.male * people.male + rates.smoker * people.smoker + rates.former * people.former
    fixed = rates.bmi * (people.bmi - 27) + rates.hypertension * people.hypertension
    power = habits[:, None] + fixed[:, None] + rates.age * (age - 60)
    if bent:
        power = power - habits[:, None] * (age - 50) / 15 + 0.012 * (people.bmi[:, None] - 27) ** 2 - 0.25
    result: np.ndarray = rates.per_year / _YEAR * np.exp(power)
    return result


def _odds(
    drug: Treatment, people: People, age: Float64[np.ndarray, "patient year"], *, hides: bool
) -> Float64[np.ndarray, "patient year"]:
    by = drug.propensity
    names = [one.name for one in hospital().disease]
    fixed = (
        by.usual
        + by.male * people.male
        + by.hypertension * people.hypertension
        + by.seen * people.seen[:, names.index(drug.of)]
        + by.insured * people.insured
        + by.north * people.north
        + by.hidden * people.hidden * hides
    )
    result: np.ndarray = fixed[:, None] + by.age * (age - 70)
    return result


def _arms(people: People) -> Float64[np.ndarray, "patient happening 2"]:
    arms = np.zeros((len(people), len(hospital().happening), 2))
    for h, one in enumerate(hospital().happening):
        for drug in hospital().treatment:
            arms[:, h, 1] += drug.effect.get(one.name, 0.0)
            if one.name in drug.genetic:
                by = drug.genetic[one.name]
                arms[:, h, 1] += by.per * genetic_score(by.score, people.count)
    return arms
