"""In: `tables/conditions.toml`. Out: what a differential looks at, and what speaks for or against each."""

from functools import cache
from typing import Literal

from residency.contract.questions import Outcome
from residency.contract.specs import spec
from residency.reasoning.concepts import rule_table

Speaks = Literal["for", "against"]


@spec
class Finding:
    """Something on record that speaks for a condition, or against it.

    Attributes:
        of: a concept: a laboratory test, or a condition, drug or class that is there.
        within_days: how old it may be.
        speaks: which way.
        basis: who says so.
        above: it counts if the newest value is above this, in the unit of the vocabulary.
        below: it counts if the newest value is below this.
    """

    of: str
    within_days: float
    speaks: Speaks
    basis: str
    above: float | None = None
    below: float | None = None


@spec
class Condition:
    """One condition that may be there.

    Attributes:
        name: of the outcome, and of a concept.
        codes: how it is recorded.
        finding: what speaks for it or against it.
        cant_miss: why it is thought of however unlikely; empty where it is not.
    """

    name: str
    codes: tuple[str, ...]
    finding: tuple[Finding, ...]
    cant_miss: str = ""

    @property
    def outcome(self) -> Outcome:
        """What is forecast of it."""
        return Outcome(name=self.name, codes=self.codes)


@spec
class Conditions:
    """All of them."""

    version: str
    condition: tuple[Condition, ...]

    def about(self, outcome: Outcome) -> Condition | None:
        """Give the condition that an outcome is about: with all of its codes, or with codes above them."""
        for one in self.condition:
            if outcome.codes and all(code.startswith(one.codes) for code in outcome.codes):
                return one
        return None


@cache
def conditions() -> Conditions:
    """Read the table.

    Raises:
        SpecError: names every wrong key at once.
        KeyError: a finding speaks of something that the table of concepts lacks.
    """
    return rule_table(
        Conditions,
        "conditions.toml",
        lambda found: [
            name for one in found.condition for name in (one.name, *(finding.of for finding in one.finding))
        ],
    )
