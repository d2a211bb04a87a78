"""In: `tables/rules.toml`. Out: what counts as left open and as a change, as frozen specs."""

import re
from functools import cache
from typing import Literal

from residency.contract.specs import spec
from residency.reasoning.concepts import rule_table


@spec
class ResultRule:
    """A result that calls for something.

    Attributes:
        name: of the rule.
        of: the laboratory test.
        acted: what closes the loop.
        within_days: after so many days without, it is open.
        basis: who says so.
        above: values above this, in the unit of the vocabulary.
        below: values below this.
    """

    name: str
    of: str
    acted: tuple[str, ...]
    within_days: float
    basis: str
    above: float | None = None
    below: float | None = None


@spec
class MonitoringRule:
    """A drug that wants tests.

    Attributes:
        name: of the rule.
        drugs: any of these is started.
        tests: any of these closes the loop.
        within_days: after so many days without, it is open.
        seen_after_days: the patient was seen between so many days after the start and `within_days`.
        basis: who says so.
    """

    name: str
    drugs: tuple[str, ...]
    tests: tuple[str, ...]
    within_days: float
    seen_after_days: float
    basis: str


@spec
class FindingRule:
    """A finding in a report that wants something done.

    Attributes:
        name: of the rule.
        kinds: of document.
        pattern: is found in one line of the text.
        says: what it is, for a reader.
        acted: what closes the loop.
        within_days: after so many days without, it is open.
        basis: who says so.
        known: a condition that explains the finding where it is on record before.
    """

    name: str
    kinds: tuple[str, ...]
    pattern: str
    says: str
    acted: tuple[str, ...]
    within_days: float
    basis: str
    known: tuple[str, ...] = ()


@spec
class PendingRule:
    """A test that was out: `patterns` name it as `test`; a later document that names it closes the loop."""

    name: str
    kinds: tuple[str, ...]
    patterns: tuple[str, ...]
    within_days: float
    basis: str


@spec
class RecallRule:
    """A return that was asked for: `patterns` give `n` and `unit`; a visit closes the loop."""

    name: str
    patterns: tuple[str, ...]
    grace_days: float
    basis: str


@spec
class ScreeningRule:
    """A test that is due every so often for some.

    Attributes:
        name: of the rule.
        tests: any of these.
        every_days: how long one lasts.
        basis: who says so.
        having: any of these is needed; empty: none is.
        never: none of these may be on record.
        sex: `female`, `male`, or empty for both.
        ages: first and last year of age; empty for all.
    """

    name: str
    tests: tuple[str, ...]
    every_days: float
    basis: str
    having: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    sex: Literal["", "female", "male"] = ""
    ages: tuple[float, ...] = ()


@spec
class TrendRule:
    """A change of a value that counts: `ratio` times, or `by` units, the way that is worse."""

    of: str
    worse: Literal["up", "down"]
    basis: str
    ratio: float | None = None
    by: float | None = None


@spec
class Rules:
    """All of them."""

    result: tuple[ResultRule, ...]
    monitoring: tuple[MonitoringRule, ...]
    finding: tuple[FindingRule, ...]
    pending: tuple[PendingRule, ...]
    recall: tuple[RecallRule, ...]
    screening: tuple[ScreeningRule, ...]
    trend: tuple[TrendRule, ...]


@cache
def rules() -> Rules:
    """Read the table.

    Raises:
        SpecError: names every wrong key at once.
        KeyError: a rule speaks of something that the table of concepts lacks.
    """
    return rule_table(Rules, "rules.toml", spoken_of)


def spoken_of(found: Rules) -> tuple[str, ...]:
    """Give all concepts that rules speak of."""
    parts = [one.of for one in found.result] + [one.of for one in found.trend]
    parts += [name for one in found.result for name in one.acted]
    parts += [name for one in found.finding for name in (*one.acted, *one.known)]
    for watched in found.monitoring:
        parts += (*watched.drugs, *watched.tests)
    for due in found.screening:
        parts += (*due.tests, *due.having, *due.never)
    return tuple(dict.fromkeys(parts))


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the table, once."""
    return re.compile(pattern)
