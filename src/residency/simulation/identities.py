"""In: a person. Out: who they are to the hospital (all invented), and their Patient resource."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from residency.simulation.contacts import Person
from residency.simulation.names import house, names
from residency.simulation.resources import OMB, US_CORE_RACE, Patient, raw, reference

_RACES: Final = (
    ("2106-3", "White", 0.89),
    ("2028-9", "Asian", 0.07),
    ("2131-1", "Other Race", 0.04),
)
_BLACK: Final = ("2054-5", "Black or African American")
_LANGUAGES: Final = "urn:ietf:bcp:47"


@dataclass(frozen=True)
class Identity:
    """Who a patient is.

    Attributes:
        id: of the Patient resource; it tells nothing but the order in which patients were simulated.
        number: the medical record number.
        language: its tag and its name.
        race: code and display.
        member: number at the insurer.
    """

    id: str
    site: str
    given: str
    family: str
    male: bool
    number: str
    born: date
    street: str
    city: str
    zip: str
    phone: str
    email: str
    language: tuple[str, str]
    race: tuple[str, str]
    insurer: str
    member: str

    @property
    def name(self) -> str:
        """Given name and family name."""
        return f"{self.given} {self.family}"


def patient_id(person: Person) -> str:
    """Give the id of a person's Patient resource."""
    return f"{person.site.name}-{person.number:07d}"


def identity(
    person: Person, rng: np.random.Generator, *, african: bool, extra: np.random.Generator
) -> Identity:
    """Draw who a person is.

    Args:
        person: the person.
        rng: chance of the chart, for what charts have always held.
        african: of African descent, as the genome has it.
        extra: chance of its own for the rest.
    """
    pick, more = rng.random(6), extra.random(6)
    home, table = house(person.site.name), names()
    given = _one(table.male if person.male else table.female, pick[0])
    family = _one(table.family, pick[1])
    at = int(pick[4] * len(home.zips))
    tag, language, _ = _weighted(home.languages, more[1])
    race = _BLACK if african and more[2] < 0.92 else _weighted(_RACES, pick[5])[:2]
    return Identity(
        id=patient_id(person), site=person.site.name, given=given, family=family, male=person.male,
        number=f"{(person.number * 7919 + 104729) % 90_000_000 + 10_000_000}",
        born=date(1970, 1, 1) + timedelta(days=person.entry_day - round(person.age * 365.25)),
        street=f"{int(pick[2] * 180) + 1} {_one(table.street, pick[3])} Street",
        city=home.cities[at], zip=home.zips[at], phone=home.phone.format(number=int(more[0] * 10_000)),
        email=f"{_plain(given)}.{_plain(family)}{person.number % 97}@{home.mail}",
        language=(tag, language), race=(race[0], race[1]), insurer=_weighted(home.insurers, more[3])[0],
        member=f"{home.country}{int(more[4] * 1e9):09d}",
    )  # fmt: skip


def _one(of: tuple[str, ...], pick: float) -> str:
    return of[int(pick * len(of))]


def _weighted(rows: tuple[tuple[Any, ...], ...], pick: float) -> tuple[Any, ...]:
    """Choose a row by its share, which stands last."""
    shares = np.cumsum([row[-1] for row in rows])
    return rows[min(int(np.searchsorted(shares, pick, side="right")), len(rows) - 1)]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if "a" <= letter <= "z")


def patient(who: Identity, deceased: str | None) -> Patient:
    """Write the resource."""
    tag, language = who.language
    speaks = {"coding": [{"system": _LANGUAGES, "code": tag, "display": language}], "text": language}
    number = {"type": {"coding": [{"code": "MR"}]}, "system": f"urn:{who.site}", "value": who.number}
    telecom = [{"system": "phone", "value": who.phone}, {"system": "email", "value": who.email}]
    home = {"line": [who.street], "city": who.city, "postalCode": who.zip, "country": house(who.site).country}
    return Patient(
        id=who.id,
        identifier=raw([number]),
        name=raw([{"use": "official", "family": who.family, "given": [who.given]}]),
        telecom=raw(telecom),
        gender="male" if who.male else "female",
        birth_date=who.born.isoformat(),
        address=raw([home]),
        communication=raw([{"language": speaks, "preferred": True}]),
        extension=raw([_race(who)]),
        managing_organization=reference("Organization", who.site),
        deceased_date_time=deceased,
    )


def _race(who: Identity) -> dict[str, object]:
    code, display = who.race
    return {
        "url": US_CORE_RACE,
        "extension": [
            {"url": "ombCategory", "valueCoding": {"system": OMB, "code": code, "display": display}},
            {"url": "text", "valueString": display},
        ],
    }
