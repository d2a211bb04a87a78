"""In: the package's table of invented names. Out: the same, checked."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from residency.contract import specs
from residency.contract.specs import spec


@spec
class Allergen:
    """What somebody may be allergic to, and how it shows."""

    code: str
    display: str
    reaction: str


@spec
class House:
    """What a hospital and its people are called, and where its patients live."""

    name: str
    hospital: str
    zips: tuple[str, ...]
    cities: tuple[str, ...]
    country: str
    phone: str
    mail: str
    doctors: tuple[str, ...]
    radiologists: tuple[str, ...]
    languages: tuple[tuple[str, str, float], ...]
    insurers: tuple[tuple[str, float], ...]


@spec
class Names:
    """All names."""

    male: tuple[str, ...]
    female: tuple[str, ...]
    family: tuple[str, ...]
    street: tuple[str, ...]
    allergen: tuple[Allergen, ...]
    site: tuple[House, ...]


@cache
def names() -> Names:
    """Read the table once.

    Raises:
        SpecError: the table is wrong.
    """
    return specs.load(Names, Path(str(files("residency.simulation").joinpath("names.toml"))))


@cache
def house(site: str) -> House:
    """Give a site's names."""
    return next(one for one in names().site if one.name == site)
