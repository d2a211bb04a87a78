"""In: a person, their contacts and conditions. Out: drugs ordered and given, and procedures done."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from residency.simulation.contacts import MINUTE, OFFICE, STAY, Contacts, Person
from residency.simulation.diagnoses import Diagnosed, condition_index
from residency.simulation.measurements import warfarin_mg
from residency.simulation.medicine import hospital
from residency.simulation.selection import measured_less

_AGAIN: Final = 0.2
_SHORT: Final = 0.12
_GIVEN: Final = 0.6
_USUAL: Final = np.array([0.16, 0.4, 0.1])


@dataclass(frozen=True)
class Treated:
    """Orders, doses and procedures, by contact; the second column is a row of the drugs or procedures.

    `dose_mg`: of an order, where it is the person's own; else NaN.
    """

    ordered: Int64[np.ndarray, "order 2"]
    dose_mg: Float64[np.ndarray, " order"]
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
    start, end = _courses(person, diagnosed, rng)
    taking = (contacts.day[:, None] >= start) & (contacts.day[:, None] < end)
    first = taking & ~np.concatenate([np.zeros((1, taking.shape[1]), bool), taking[:-1]])
    draw = rng.random(taking.shape)
    stay = contacts.contact_kind == STAY
    ordered = first | (taking & (draw < _AGAIN) & ~stay[:, None])
    short = np.array([one.short for one in hospital().drug])
    ordered |= short & (rng.random(taking.shape) < _SHORT / 3) & ~stay[:, None]
    given = taking & stay[:, None] & (draw < _GIVEN)
    orders = np.argwhere(ordered)
    warfarin = next(one for one in hospital().treatment if one.name == "warfarin")
    row = _drug_index()[warfarin.drug]
    dose = warfarin_mg(person, contacts.day[orders[:, 0]] - start[row])
    dose = np.where(orders[:, 1] == row, np.maximum(np.round(dose * 2) / 2, 0.5), np.nan)
    return Treated(orders, dose, np.argwhere(given), np.argwhere(_done(person, contacts, rng)))


_Span = tuple[Float64[np.ndarray, " drug"], Float64[np.ndarray, " drug"]]


def _courses(person: Person, diagnosed: Diagnosed, rng: np.random.Generator) -> _Span:
    """Draw from when to when each drug is taken.

    Drugs whose effect is known truth come from the course itself; all others change nothing.
    """
    drugs = hospital().drug
    draw = rng.random(len(drugs))
    start, end = np.full(len(drugs), np.inf), np.full(len(drugs), np.inf)
    for i, drug in enumerate(drugs):
        if drug.treats and draw[i] < drug.share:
            start[i] = diagnosed.lasting[condition_index(drug.treats)] + 30
    for one in range(len(hospital().disease)):
        _for_disease(person, one, (start, end), rng)
    for i, question in enumerate(hospital().treatment):
        start[_drug_index()[question.drug]] = person.treated[i] - MINUTE / 60
        if question.alternative:
            start[_drug_index()[question.alternative]] = person.alternative[i] - MINUTE / 60
    return start, end


def _for_disease(person: Person, one: int, span: _Span, rng: np.random.Generator) -> None:
    """Start the drugs of one disease: the faster it moves, the likelier."""
    start, end = span
    before = person.onset[one] + 120.0
    for part in hospital().disease[one].drug:
        index, u = _drug_index()[part.code], rng.random()
        if u < part.before and before < person.diagnosis[one]:
            start[index] = min(start[index], before)
        elif u < (part.before + part.after) ** (1 / person.pace[one]):
            start[index] = min(start[index], person.diagnosis[one] - MINUTE / 60)
        if part.days:
            end[index] = start[index] + part.days


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
    chance = np.where(found.any(axis=1)[:, None], chance, chance * measured_less(person))
    done: np.ndarray = rng.random(chance.shape) < chance
    return done
