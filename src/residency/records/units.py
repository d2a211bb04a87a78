"""In: which units come with which codes, how often. Out: one unit a code, and factors for the others.

A unit that cannot be turned into the code's own is kept apart, as a code of its own under the first.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from residency.records.spool import NO_VALUE

APART: Final = "//unit="
_LONGEST: Final = 20


class Signal(NamedTuple):
    """A code with a unit as written; `NO_VALUE` where it has no number, None where a number has no unit."""

    code: str
    unit: str | None


@dataclass(frozen=True)
class Reading:
    """How a signal is written down: value × factor + offset, in `unit`, under `code`."""

    code: str
    unit: str | None
    factor: float = 1.0
    offset: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether numbers change."""
        return (self.factor, self.offset) != (1.0, 0.0)


@dataclass(frozen=True)
class _Table:
    spellings: Mapping[str, str]
    grams: Mapping[str, float]
    charges: Mapping[str, int]
    hba1c: frozenset[str]
    slope: float
    intercept: float


@cache
def _table() -> _Table:
    found = tomllib.loads(files("residency.records").joinpath("units.toml").read_text("utf-8"))
    pairs = [(f"LOINC/{code}", one) for one in found["substance"] for code in one["loinc"]]
    return _Table(
        spellings=found["spellings"],
        grams={code: one["grams_per_mole"] for code, one in pairs},
        charges={code: one["charges"] for code, one in pairs if "charges" in one},
        hba1c=frozenset(f"LOINC/{code}" for code in found["hba1c"]["loinc"]),
        slope=found["hba1c"]["slope"],
        intercept=found["hba1c"]["intercept"],
    )


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def canonical(unit: str | None) -> str | None:
    """Spell a unit in UCUM, where our table knows better; None where it says that there is none.

    Example:
        >>> canonical("K/uL"), canonical("mg/dL"), canonical("UNK")
        ('10*3/uL', 'mg/dL', None)
    """
    if unit is None:
        return None
    spelled = unit.strip()
    return _table().spellings.get(spelled, spelled) or None


@cache
def _reader() -> Callable[[str], Any]:
    """Give what reads UCUM into our registry; ucumvert's own way uses one that all of the process share."""
    from ucumvert import UcumToPintTransformer, get_ucum_parser, parse_ucum

    parser, transformer = get_ucum_parser(), UcumToPintTransformer(ureg=_registry())
    return lambda unit: transformer.transform(parse_ucum(unit, parser))


@cache
def _quantity(unit: str) -> Any | None:
    """Give the pint quantity of a UCUM unit; None where it is none."""
    from lark.exceptions import LarkError

    try:
        found = _reader()(unit)
    except (LarkError, ValueError, AttributeError, KeyError):
        return None
    # an annotation alone ("{score}") is the unit 1
    return found if hasattr(found, "dimensionality") else _registry().Quantity(1.0, "dimensionless")


def conversion(code: str, unit: str, wanted: str) -> tuple[float, float] | None:
    """Give factor and offset from one UCUM unit to another, for a code.

    Args:
        code: tells the substance where mass becomes amount, and the charge where equivalents become moles.
        unit: as the number comes.
        wanted: as it is to be.

    Returns:
        (factor, offset), or None where there is no way.

    Example:
        >>> conversion("LOINC/8310-5", "[degF]", "Cel")
        (0.5555555556, -17.7777777778)
        >>> conversion("LOINC/2345-7", "mg/dL", "[IU]/L") is None
        True
    """
    if _bare(unit) == _bare(wanted):
        return 1.0, 0.0
    if code in _table().hba1c and {unit, wanted} == {"%", "mmol/mol"}:
        return _hba1c(wanted)
    one, other = _quantity(unit), _quantity(wanted)
    if one is None or other is None:
        return None
    charge = _charge(code, unit, wanted)
    if charge is None:
        return None
    if one.dimensionality != other.dimensionality:
        factor = _molar(code, one, other)
        return None if factor is None else (_rounded(factor * charge), 0.0)
    at = [
        _registry().Quantity(x * one.magnitude, one.units).to(other.units).magnitude / other.magnitude
        for x in (0.0, 1.0)
    ]
    return _rounded((at[1] - at[0]) * charge), round(at[0], 10)


def _bare(unit: str) -> str:
    """Take annotations out, which change no value in UCUM."""
    return _ANNOTATION.sub("", unit) or "1"


def _rounded(factor: float) -> float:
    """Keep ten digits, so that the last bits of a library's arithmetic do not move ours."""
    return float(f"{factor:.10g}")


def _hba1c(wanted: str) -> tuple[float, float]:
    table = _table()
    if wanted == "%":
        return table.slope, table.intercept
    return _rounded(1 / table.slope), _rounded(-table.intercept / table.slope)


_ANNOTATION: Final = re.compile(r"/?\{[^}]*\}")
_EQUIVALENTS: Final = re.compile(r"(?<![A-Za-z])[munk]?eq(?![A-Za-z])")


def _charge(code: str, unit: str, wanted: str) -> float | None:
    """Give what to multiply by for equivalents, which pint takes for moles whatever the charge."""
    had, wants = bool(_EQUIVALENTS.search(unit)), bool(_EQUIVALENTS.search(wanted))
    if had == wants:
        return 1.0
    charges = _table().charges.get(code)
    return None if charges is None else 1.0 / charges if had else float(charges)


def _molar(code: str, one: Any, other: Any) -> float | None:
    """Give the factor between mass and amount of substance, where the code tells the substance."""
    grams = _table().grams.get(code)
    if grams is None:
        return None
    molar = _registry().Quantity(grams, "gram / mole")
    for bridged in (one / molar, one * molar):
        if bridged.dimensionality == other.dimensionality:
            return float((bridged.to(other.units) / other.magnitude).magnitude)
    return None


def readings(seen: Mapping[Signal, int], wanted: Mapping[str, str]) -> dict[Signal, Reading]:
    """Decide how every signal is written down.

    Args:
        seen: how often each signal comes.
        wanted: units of codes that the mapping names; for the others the most frequent one is taken.
    """
    by_code: defaultdict[str, dict[str | None, int]] = defaultdict(dict)
    for (code, unit), n in seen.items():
        if unit != NO_VALUE:
            spelled = canonical(unit)
            by_code[code][spelled] = by_code[code].get(spelled, 0) + n
    own = {code: wanted.get(code) or _most_frequent(units) for code, units in by_code.items()}
    return {signal: _reading(signal, own.get(signal.code)) for signal in seen}


def _most_frequent(units: Mapping[str | None, int]) -> str | None:
    return max(units, key=lambda unit: (units[unit], unit is not None, unit or ""))


def _reading(signal: Signal, own: str | None) -> Reading:
    if signal.unit == NO_VALUE:
        return Reading(signal.code, None)
    unit = canonical(signal.unit)
    if unit == own:
        return Reading(signal.code, own)
    found = None if unit is None or own is None else conversion(signal.code, unit, own)
    if found is not None:
        return Reading(signal.code, own, *found)
    return Reading(f"{signal.code}{APART}{_label(unit)}", unit)


def _label(unit: str | None) -> str:
    """Name a unit within a code; what is too long to be one may be a note, and is not repeated."""
    if unit is None:
        return "none"
    return unit if len(unit) <= _LONGEST and not any(letter.isspace() for letter in unit) else "other"
