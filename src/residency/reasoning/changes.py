"""In: a chart and a date. Out: what is new since, what went away, what got worse, as sentences that cite.

*New* is what became available after the date, not what happened after it. Nothing here is a model's.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from residency.contract.packed import DAY
from residency.contract.questions import Statement
from residency.reasoning.chart import Chart, Rows, number
from residency.reasoning.concepts import concepts
from residency.reasoning.rules import TrendRule, rules

NEW: Final = "new"
RESOLVED: Final = "resolved"
WORSENING: Final = "worsening"
_FRESH_DAYS: Final = 730.0  # a value older than that is nothing to compare with


def changed(chart: Chart, since: int) -> tuple[Statement, ...]:
    """Say what changed since a date (µs)."""
    found = [*_new(chart, since), *_resolved(chart, since)]
    found += [one for rule in rules().trend for one in _worse(chart, rule, since)]
    return tuple(found)


def _new(chart: Chart, since: int) -> Iterator[Statement]:
    """Give codes of diagnoses, drugs, procedures and allergies that were never on record before."""
    for kind, words in (
        ("Condition", "Newly recorded: {name} ({date})."),
        ("MedicationRequest", "Newly ordered: {name} ({date})."),
        ("AllergyIntolerance", "Newly recorded allergy: {name} ({date})."),
        ("Procedure", "Done for the first time here: {name} ({date})."),
    ):
        rows = chart.of_kind(kind)
        before = set(chart.code[rows[chart.available[rows] <= since]].tolist())
        for row in _firsts(chart, rows):
            if int(chart.code[row]) not in before and chart.available[row] > since:
                name = chart.named(row).says.removeprefix("allergy: ")
                text = words.format(name=name, date=chart.date(row))
                yield Statement(text=text, citations=chart.cite([row]), tag=NEW)


def _firsts(chart: Chart, rows: Rows) -> list[int]:
    """Give the first event of each code, in the order of time."""
    _, first = np.unique(chart.code[rows], return_index=True)
    return [int(rows[place]) for place in np.sort(first)]


def _resolved(chart: Chart, since: int) -> Iterator[Statement]:
    """Give values that were beyond a rule's limit at the date and no longer are."""
    for rule in rules().result:
        taken = chart.of(rule.of)
        taken = taken[np.isfinite(chart.value[taken])]
        before, after = taken[chart.available[taken] <= since], taken[chart.available[taken] > since]
        if not len(before) or not len(after):
            continue
        old, new = int(before[-1]), int(after[-1])
        low, high = rule.below or -np.inf, rule.above or np.inf
        if not low <= chart.value[old] <= high and low <= chart.value[new] <= high:
            yield Statement(
                text=f"{_said(chart, rule.of, new)}, after {_value(chart, old)} on {chart.date(old)}.",
                citations=chart.cite([old, new]), tag=RESOLVED, rule=rule.name, basis=rule.basis,
            )  # fmt: skip


def _worse(chart: Chart, rule: TrendRule, since: int) -> Iterator[Statement]:
    """Hold the newest value against the last one that was known at the date."""
    taken = chart.of(rule.of)
    taken = taken[np.isfinite(chart.value[taken])]
    before, after = taken[chart.available[taken] <= since], taken[chart.available[taken] > since]
    if not len(before) or not len(after):
        return
    old, new = int(before[-1]), int(after[-1])
    if chart.time[new] - chart.time[old] > _FRESH_DAYS * DAY or not is_worse(
        rule, float(chart.value[old]), float(chart.value[new])
    ):
        return
    yield Statement(
        text=f"{_said(chart, rule.of, new)}, {'up' if rule.worse == 'up' else 'down'} from"
        f" {_value(chart, old)} on {chart.date(old)}.",
        citations=chart.cite([old, new]), tag=WORSENING, rule=f"{rule.of}_{rule.worse}", basis=rule.basis,
    )  # fmt: skip


def is_worse(rule: TrendRule, old: float, new: float) -> bool:
    """Whether a value moved the wrong way by what counts.

    Example:
        >>> is_worse(TrendRule(of="creatinine", worse="up", ratio=1.3, basis=""), 1.0, 1.4)
        True
    """
    sign = 1.0 if rule.worse == "up" else -1.0
    if rule.ratio is not None:
        return bool(sign * new >= sign * old * rule.ratio)
    return sign * (new - old) >= (rule.by or 0.0)


def _said(chart: Chart, name: str, row: int) -> str:
    said = concepts().says[name]
    return f"{said[0].upper()}{said[1:]} {_value(chart, row)} on {chart.date(row)}"


def _value(chart: Chart, row: int) -> str:
    return f"{number(float(chart.value[row]))} {chart.named(row).unit}".strip()
