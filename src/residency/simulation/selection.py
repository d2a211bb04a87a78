"""In: a person and their contacts. Out: who is measured, imaged, sequenced and written about: not all alike.

The sicker are looked at more, the uninsured less: what is missing tells something.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64

from residency.simulation.chances import SEQUENCED, stream
from residency.simulation.contacts import OFFICE, Contacts, Person
from residency.simulation.medicine import hospital

ASKED_DAYS: Final = 30.0
_UNINSURED: Final = 0.6
_GENETIC: Final = ("atrial_fibrillation", "coronary_disease", "myocardial_infarction", "lung_cancer")


def measured_less(person: Person) -> float:
    """Give the factor on the chance of any test: below 1 without insurance."""
    return 1.0 if person.insured else _UNINSURED


def noticed(deviation: Float64[np.ndarray, "contact lab"]) -> Float64[np.ndarray, "contact lab"]:
    """Give the chance that a result is kept where tests are made for suspicion: the stranger, the likelier.

    Args:
        deviation: from the person's own healthy level, in standard deviations of one measurement.
    """
    chance: np.ndarray = 0.3 + 0.7 / (1 + np.exp(2.5 - np.abs(deviation)))
    return chance


def image_chance(person: Person, contacts: Contacts) -> Float64[np.ndarray, " contact"]:
    """Give the chance that an image made at a contact is in the archive: less if uninsured or well."""
    ill = (person.hidden(contacts.day) | person.known(contacts.day)).any(axis=1)
    usual = np.where(ill, 0.95, 0.75) * np.where(contacts.contact_kind == OFFICE, 0.9, 1.0)
    kept: np.ndarray = usual * (1.0 if person.insured else _UNINSURED)
    if person.variant == "informative_missingness":
        kept = kept * np.where(person.hidden(contacts.day).any(axis=1), 0.5, 1.0)
    return kept


def noted(person: Person, contacts: Contacts) -> Float64[np.ndarray, " contact"]:
    """Give the chance that a note was written at a contact."""
    ill = (person.hidden(contacts.day) | person.known(contacts.day)).any(axis=1)
    usual = np.where(contacts.contact_kind == OFFICE, np.where(ill, 0.75, 0.5), 0.95)
    kept: np.ndarray = usual * (1.0 if person.insured else 0.8)
    return kept


def sequencing_chance(person: Person) -> float:
    """Give the chance that a person was sequenced: heart disease and cancer more, the uninsured hardly."""
    names = [one.name for one in hospital().disease]
    ill = any(person.diagnosis[names.index(name)] <= person.until for name in _GENETIC)
    usual = 0.6 if ill else 0.25
    return usual * (1.0 if person.insured else 0.4)


def sequenced(person: Person, seed: int) -> bool:
    """Say whether a person was sequenced, from a stream of chance of its own."""
    return bool(stream(seed, person.number, SEQUENCED).random() < sequencing_chance(person))
