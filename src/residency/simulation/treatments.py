"""In: a person, their contacts and conditions. Out: drugs ordered and given, and procedures done."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.contacts import MINUTE, OFFICE, STAY, Contacts, Person
from residency.simulation.diagnoses import Diagnosed, condition_index
from residency.simulation.medicine import hospital

_AGAIN: Final = 0.2
_SHORT: Final = 0.12
_GIVEN: Final = 0.6
_USUAL: Final = np.array([0.16, 0.4, 0.1])


@dataclass(frozen=True)
class Treated:
    """Orders, doses and procedures, by contact; the second column is a row of the drugs or procedures."""

    ordered: Int64[np.ndarray, "order 2"]
    given: Int64[np.ndarray, "dose 2"]
    done: Int64[np.ndarray, "procedure 2"]


@cache
def _drug_index() -> dict[str, int]:
    return {one.code: i for i, one in enumerate(hospital().drug)}


@cache
def _procedure_index() -> dict[str, int]:
    return {one.code: i for i, one in enumerate(hospital().procedure)}


def treat(person: Person, contacts: Contacts, diagnosed: Diagnosed, rng: np.random.Generator) -> Treated:
    """Draw drugs and procedures."""
    taking = contacts.day[:, None] >= _starts(person, diagnosed, rng)
    first = taking & ~np.concatenate([np.zeros((1, taking.shape[1]), bool), taking[:-1]])
    draw = rng.random(taking.shape)
    stay = contacts.contact_kind == STAY
    ordered = first | (taking & (draw < _AGAIN) & ~stay[:, None])
    short = np.array([one.short for one in hospital().drug])
    ordered |= short & (rng.random(taking.shape) < _SHORT / 3) & ~stay[:, None]
    given = taking & stay[:, None] & (draw < _GIVEN)
    return Treated(np.argwhere(ordered), np.argwhere(given), np.argwhere(_done(person, contacts, rng)))


def _starts(person: Person, diagnosed: Diagnosed, rng: np.random.Generator) -> Float64[np.ndarray, " drug"]:
    """Draw the day from which each drug is taken; infinite where it never is."""
    drugs = hospital().drug
    draw = rng.random(len(drugs))
    start = np.full(len(drugs), np.inf)
    for i, drug in enumerate(drugs):
        if drug.treats and draw[i] < drug.share:
            start[i] = diagnosed.lasting[condition_index(drug.treats)] + 30
    for one, disease in enumerate(hospital().disease):
        before = person.onset[one] + 120.0
        for part in disease.drug:
            index, u = _drug_index()[part.code], rng.random()
            if u < part.before and before < person.diagnosis[one]:
                start[index] = min(start[index], before)
            elif u < part.before + part.after:
                start[index] = min(start[index], person.diagnosis[one] - MINUTE / 60)
    return start


def _done(
    person: Person, contacts: Contacts, rng: np.random.Generator
) -> Bool[np.ndarray, "contact procedure"]:
    table = hospital().procedure
    weight = np.array([one.weight for one in table])
    chance = _USUAL[contacts.contact_kind, None] * (weight / weight.sum())
    hidden, known = person.hidden(contacts.day), person.known(contacts.day)
    found = np.abs(contacts.day[:, None] - person.diagnosis) < MINUTE
    sex = {"24623002": not person.male, "410006001": person.male}
    for code, has in sex.items():
        chance[:, _procedure_index()[code]] *= has
    for one, disease in enumerate(hospital().disease):
        for part in disease.procedure:
            more = part.preclinical * hidden[:, one] + part.later * (known & ~found)[:, one]
            chance[:, _procedure_index()[part.code]] += more + part.diagnosis * found[:, one]
    chance[contacts.contact_kind != OFFICE] *= 0.7
    done: np.ndarray = rng.random(chance.shape) < chance
    return done
