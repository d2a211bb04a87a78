"""In: `tables/safety.toml`. Out: what speaks against drugs, as frozen specs."""

from collections.abc import Iterator
from functools import cache
from typing import Literal

from residency.contract.specs import spec
from residency.reasoning.concepts import rule_table

Level = Literal["blocked", "caution"]


@spec
class GeneRule:
    """A gene whose phenotypes speak against some drugs."""

    drugs: tuple[str, ...]
    gene: str
    phenotypes: dict[str, str]
    says: str
    basis: str


@spec
class AlleleRule:
    """An allele that forbids some drugs."""

    drugs: tuple[str, ...]
    allele: str
    says: str
    basis: str


@spec
class UncalledRule:
    """A gene that matters for some drugs, and that nothing here calls."""

    drugs: tuple[str, ...]
    gene: str
    basis: str


@spec
class ConditionRule:
    """Conditions that speak against some drugs."""

    drugs: tuple[str, ...]
    conditions: tuple[str, ...]
    level: Level
    says: str
    basis: str


@spec
class ValueRule:
    """A laboratory value that speaks against some drugs."""

    drugs: tuple[str, ...]
    of: str
    level: Level
    fresh_days: float
    says: str
    basis: str
    above: float | None = None
    below: float | None = None


@spec
class InteractionRule:
    """Other drugs that speak against some drugs."""

    drugs: tuple[str, ...]
    others: tuple[str, ...]
    level: Level
    says: str
    basis: str


@spec
class CrossRule:
    """Allergies that speak against some drugs."""

    drugs: tuple[str, ...]
    allergens: tuple[str, ...]
    level: Level
    says: str
    basis: str


@spec
class SafetyTable:
    """All of them."""

    version: str
    gene: tuple[GeneRule, ...]
    allele: tuple[AlleleRule, ...]
    uncalled: tuple[UncalledRule, ...]
    condition: tuple[ConditionRule, ...]
    value: tuple[ValueRule, ...]
    interaction: tuple[InteractionRule, ...]
    cross: tuple[CrossRule, ...]


@cache
def safety() -> SafetyTable:
    """Read the table.

    Raises:
        SpecError: names every wrong key at once.
        KeyError: a rule speaks of something that the table of concepts lacks.
    """
    return rule_table(SafetyTable, "safety.toml", spoken_of)


def spoken_of(found: SafetyTable) -> tuple[str, ...]:
    """Give all concepts that rules speak of."""
    parts = [name for drugs in _drugs(found) for name in drugs]
    parts += [name for rule in found.condition for name in rule.conditions]
    parts += [name for rule in found.interaction for name in rule.others]
    parts += [name for rule in found.cross for name in rule.allergens]
    return tuple(dict.fromkeys((*parts, *(rule.of for rule in found.value))))


def _drugs(found: SafetyTable) -> Iterator[tuple[str, ...]]:
    yield from (rule.drugs for rule in found.gene)
    yield from (rule.drugs for rule in found.allele)
    yield from (rule.drugs for rule in found.uncalled)
    yield from (rule.drugs for rule in found.condition)
    yield from (rule.drugs for rule in found.value)
    yield from (rule.drugs for rule in found.interaction)
    yield from (rule.drugs for rule in found.cross)
