"""In: a person and their contacts. Out: which conditions were written down at which contact."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from residency.simulation.contacts import MINUTE, STAY, Contacts, Person
from residency.simulation.medicine import hospital

_YEAR: Final = 365.25
_ADULT: Final = 30.0
_AGAIN: Final = 0.12
_AGAIN_DISEASE: Final = (0.5, 0.4, 0.35)
_ACUTE_DAYS: Final = 14.0


@dataclass(frozen=True)
class Diagnosed:
    """Conditions by contact.

    Attributes:
        contact: at which it was written down.
        condition: index of it.
        onset: day from entry on which it began, as far as known; NaN where it is not said.
        lasting: day from which each lasting condition is known; infinite where it never is.
    """

    contact: Int64[np.ndarray, " row"]
    condition: Int64[np.ndarray, " row"]
    onset: Float64[np.ndarray, " row"]
    lasting: Float64[np.ndarray, " condition"]


@dataclass(frozen=True)
class _Codes:
    lasting: Int64[np.ndarray, " lasting"]
    rate: Float64[np.ndarray, " lasting"]
    given: tuple[str, ...]
    passing: Int64[np.ndarray, " passing"]
    weight: Float64[np.ndarray, " passing"]
    index: dict[str, int]


@cache
def _codes() -> _Codes:
    found = hospital().condition
    lasting = [i for i, one in enumerate(found) if one.kind == "lasting"]
    passing = [i for i, one in enumerate(found) if one.kind == "passing"]
    weight = np.array([found[i].rate for i in passing])
    return _Codes(
        lasting=np.array(lasting),
        rate=np.array([found[i].rate for i in lasting]),
        given=tuple(found[i].given for i in lasting),
        passing=np.array(passing),
        weight=np.cumsum(weight / weight.sum()),
        index={one.icd: i for i, one in enumerate(found)},
    )


def condition_index(icd: str) -> int:
    """Give the row of a condition."""
    return _codes().index[icd]


def diagnose(person: Person, contacts: Contacts, rng: np.random.Generator) -> Diagnosed:
    """Draw what is written: lasting and passing conditions, signs of hidden illness, and the diseases."""
    known = _lasting(person, rng)
    parts = [_again(contacts, known, rng), _passing(contacts, rng)]
    for one in range(len(person.onset)):
        parts += [_signs(person, contacts, one, rng), _disease(person, contacts, one, rng)]
    parts += [_struck(person, contacts)]
    contact, condition, onset = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((condition, contact))
    pair = np.stack([contact, condition])[:, order]
    new = np.concatenate([[True], (np.diff(pair) != 0).any(axis=0)])[: len(order)]
    keep = order[new]
    lasting = np.full(len(hospital().condition), np.inf)
    lasting[_codes().lasting] = known
    return Diagnosed(contact[keep], condition[keep], onset[keep], lasting)


_Part = tuple[Int64[np.ndarray, " row"], Int64[np.ndarray, " row"], Float64[np.ndarray, " row"]]


def _rows(contact: Int64[np.ndarray, " row"], condition: Int64[np.ndarray, " row"]) -> _Part:
    return contact, condition, np.full(len(contact), np.nan)


def _lasting(person: Person, rng: np.random.Generator) -> Float64[np.ndarray, " lasting"]:
    """Draw the day from which each lasting condition is there; a trait's from before entry."""
    codes = _codes()
    wait = rng.standard_exponential(len(codes.rate)) / np.maximum(codes.rate, 1e-9)
    day = (wait + _ADULT - person.age) * _YEAR
    has = {
        "": True, "hypertension": person.hypertension, "obese": person.bmi >= 30, "smoker": person.smoker,
        "former": person.former, "smoking": person.smoker or person.former, "male": person.male,
        "female": not person.male,
    }  # fmt: skip
    return np.where([has[one] for one in codes.given], day, np.inf)


def _again(contacts: Contacts, known: Float64[np.ndarray, " lasting"], rng: np.random.Generator) -> _Part:
    """Write a lasting condition at the first contact after it began, and again now and then."""
    there = contacts.day[:, None] >= known
    first = there & ~np.concatenate([np.zeros((1, len(known)), bool), there[:-1]])
    written = first | (there & (rng.random(there.shape) < _AGAIN))
    contact, which = np.nonzero(written)
    return _rows(contact, _codes().lasting[which])


def _passing(contacts: Contacts, rng: np.random.Generator) -> _Part:
    n = rng.poisson(np.array([0.55, 1.0, 0.3])[contacts.contact_kind])
    contact = np.repeat(np.arange(len(n)), n)
    which = np.searchsorted(_codes().weight, rng.random(len(contact)), side="right")
    return _rows(contact, _codes().passing[np.minimum(which, len(_codes().passing) - 1)])


def _signs(person: Person, contacts: Contacts, one: int, rng: np.random.Generator) -> _Part:
    signs = hospital().disease[one].sign
    draw = rng.random((len(contacts.day), len(signs)))
    hidden = person.hidden(contacts.day)[:, one, None]
    contact, which = np.nonzero(hidden & (draw < [sign.chance for sign in signs]))
    return _rows(contact, np.array([condition_index(sign.code) for sign in signs], np.int64)[which])


def _disease(person: Person, contacts: Contacts, one: int, rng: np.random.Generator) -> _Part:
    """Write a disease at its diagnosis, or at the first visit if found elsewhere, and again later.

    An acute one is coded as such for two weeks; then as history, where there is a code for it.
    """
    disease = hospital().disease[one]
    codes = np.array([condition_index(code) for code in disease.codes])
    which = np.searchsorted(np.cumsum(disease.weights), rng.random(len(contacts.day)), side="right")
    draw = rng.random(len(contacts.day))
    at = person.diagnosis[one]
    known = contacts.day >= at - MINUTE / 60
    again = draw < np.array(_AGAIN_DISEASE)[contacts.contact_kind]
    again &= (contacts.contact_kind != STAY) | (np.diff(contacts.visit, prepend=-1) > 0)
    first = known & ~np.concatenate([[False], known[:-1]])
    past = known & ~first & (disease.kind == "acute") & (contacts.day > at + _ACUTE_DAYS)
    kept = first | (known & again & (~past | bool(disease.history)))
    contact = np.flatnonzero(kept)
    condition = codes[np.minimum(which, len(codes) - 1)]
    if disease.history:
        condition = np.where(past, condition_index(disease.history), condition)
    onset = np.where((at < 0) & first[contact], at, np.nan)
    return contact, condition[contact], onset


def _struck(person: Person, contacts: Contacts) -> _Part:
    """Write complications, and a sepsis that kills, at the moment at which they are recognised."""
    found = hospital()
    fatal = next(one for one in found.disease if one.fatal)
    days = np.append(person.event, person.fatal)
    codes = [condition_index(code) for code in (*(one.code for one in found.complication), fatal.codes[-1])]
    contact, which = np.nonzero(np.abs(contacts.day[:, None] - days) < MINUTE / 60)
    return _rows(contact, np.array(codes)[which])
