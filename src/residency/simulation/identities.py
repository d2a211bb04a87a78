"""In: a person. Out: their Patient resource: an invented name, number and address."""

from datetime import date, timedelta
from typing import Final

import numpy as np

from residency.simulation.contacts import Person
from residency.simulation.resources import OMB, US_CORE_RACE, Patient, raw, reference

_GIVEN: Final = {
    True: [
        "James",
        "Robert",
        "John",
        "Michael",
        "David",
        "William",
        "Carlos",
        "Ahmed",
        "Wei",
        "Jonas",
        "Omar",
    ],
    False: ["Mary", "Patricia", "Linda", "Susan", "Maria", "Fatima", "Mei", "Anna", "Lena", "Ruth", "Ingrid"],
}
_FAMILY: Final = (
    *("Smith", "Johnson", "Brown", "Garcia", "Miller", "Davis", "Martinez", "Lopez", "Wilson", "Moore"),
    *("Schmidt", "Fischer", "Weber", "Meyer", "Wagner", "Becker", "Nguyen", "Kim", "Patel", "Khan"),
    *("Yilmaz", "Kowalski", "Rossi", "Novak"),
)
_STREETS: Final = ("Oak", "Maple", "Harbour", "Mill", "Church", "Station", "Garden", "Bridge", "Hill")
_RACES: Final = (
    ("2106-3", "White", 0.76),
    ("2054-5", "Black or African American", 0.12),
    ("2028-9", "Asian", 0.08),
    ("2131-1", "Other Race", 0.04),
)


def patient_id(person: Person) -> str:
    """Give the id of a person's Patient resource.

    It tells nothing but the order in which patients were simulated.
    """
    return f"{person.site.name}-{person.number:07d}"


def patient(person: Person, deceased: str | None, rng: np.random.Generator) -> Patient:
    """Draw a name, an address and a race, and write the resource."""
    pick = rng.random(6)
    given = _GIVEN[person.male]
    organization = reference("Organization", person.site.name)
    number = f"{(person.number * 7919 + 104729) % 90_000_000 + 10_000_000}"
    born = date(1970, 1, 1) + timedelta(days=person.entry_day - round(person.age * 365.25))
    street = f"{int(pick[2] * 180) + 1} {_STREETS[int(pick[3] * len(_STREETS))]} Street"
    family = _FAMILY[int(pick[1] * len(_FAMILY))]
    return Patient(
        id=patient_id(person),
        identifier=raw(
            [{"type": {"coding": [{"code": "MR"}]}, "system": f"urn:{person.site.name}", "value": number}]
        ),
        name=raw([{"use": "official", "family": family, "given": [given[int(pick[0] * len(given))]]}]),
        gender="male" if person.male else "female",
        birth_date=born.isoformat(),
        address=raw(
            [{"line": [street], "postalCode": person.site.zips[int(pick[4] * len(person.site.zips))]}]
        ),
        extension=raw([_race(pick[5])]),
        managing_organization=organization,
        deceased_date_time=deceased,
    )


def _race(pick: float) -> dict[str, object]:
    shares = np.cumsum([share for _, _, share in _RACES])
    code, display, _ = _RACES[min(int(np.searchsorted(shares, pick, side="right")), len(_RACES) - 1)]
    return {
        "url": US_CORE_RACE,
        "extension": [
            {"url": "ombCategory", "valueCoding": {"system": OMB, "code": code, "display": display}},
            {"url": "text", "valueString": display},
        ],
    }
