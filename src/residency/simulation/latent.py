"""In: a person and days. Out: how far their hidden illness has come, for who draws or writes it."""

from typing import Final

import numpy as np
from jaxtyping import Float64

from residency.simulation.contacts import Person
from residency.simulation.medicine import hospital

_YEAR: Final = 365.25
_RISE_YEARS: Final = 1.5
_STAYS: Final = 0.55
_TREATED_DAYS: Final = 180.0
_FIRST_MM: Final = 6.0
_LARGEST_MM: Final = 90.0
_DOUBLING_DAYS: Final = 120.0
_SPREAD: Final = 0.35


def severity(
    person: Person, disease: str, day: Float64[np.ndarray, " moment"]
) -> Float64[np.ndarray, " moment"]:
    """Give how bad a disease is: 0 before its onset, towards its pace (about 1) in years, or hours if acute.

    After the diagnosis it stops growing and goes back in part: to a bit over half, to nothing if acute.
    """
    one = [found.name for found in hospital().disease].index(disease)
    acute = hospital().disease[one].kind == "acute"
    if not np.isfinite(person.onset[one]):
        return np.zeros(len(day))
    treated = np.maximum(day - person.diagnosis[one], 0.0)
    ill = np.maximum(day - person.onset[one] - treated, 0.0)
    scale, keeps, back = (0.5, 0.0, 3.0) if acute else (_RISE_YEARS * _YEAR, _STAYS, _TREATED_DAYS)
    rise = person.pace[one] * (1 - np.exp(-ill / scale))
    left = keeps + (1 - keeps) * np.exp(-treated / back)
    result: np.ndarray = rise * left
    return result


def doubling_days(person: Person) -> float:
    """Give the time in which a tumour's volume doubles in this person."""
    return float(_DOUBLING_DAYS * np.exp(_SPREAD * person.growth))


def nodule_mm(person: Person, day: Float64[np.ndarray, " moment"]) -> Float64[np.ndarray, " moment"]:
    """Give the diameter of a lung tumour: 6 mm at onset, growing by its own doubling time of volume.

    It is 0 for who has none; from the diagnosis on it is treated and stays as it is.
    """
    one = [found.name for found in hospital().disease].index("lung_cancer")
    onset, found = person.onset[one], person.diagnosis[one]
    if not np.isfinite(onset):
        return np.zeros(len(day))
    age = np.minimum(day, found) - onset
    size = np.minimum(_FIRST_MM * 2 ** (np.maximum(age, 0.0) / (3 * doubling_days(person))), _LARGEST_MM)
    return np.where(age >= 0, size, 0.0)
