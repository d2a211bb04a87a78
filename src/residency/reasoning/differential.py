"""In: a chart and the forecasts of conditions not on record. Out: which may be there, can't-miss first.

Conditions coexist, so each has a probability of its own: that it gets on record within a time. Within
`imminent_days` it is imminent; what gets on record within `present_days` was mostly there already, unseen.
What speaks for and against is read off the chart by rules with sources. It is no diagnosis, and nothing is
ruled out.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from msgspec import UNSET

from residency.contract.packed import DAY
from residency.contract.questions import Answer, Differential, Forecast, Outcome, Risk, Statement
from residency.reasoning.chart import Chart, number
from residency.reasoning.concepts import concepts
from residency.reasoning.conditions import Condition, Finding, conditions

PRESENT_DAYS: Final = 365.25
CANT_MISS: Final = "cant_miss"
POSSIBLE: Final = "possible"
KNOWN: Final = "known"


def candidates(question: Differential) -> tuple[Outcome, ...]:
    """Give what is looked at: the question's own candidates, else those of the table."""
    return question.candidates or tuple(one.outcome for one in conditions().condition)


def horizons_days(question: Differential) -> tuple[float, ...]:
    """Give the two times within which a condition may get on record."""
    present = PRESENT_DAYS if question.present_days is UNSET else question.present_days
    return tuple(sorted({question.imminent_days, max(present, question.imminent_days)}))


def first_records(question: Differential, *, evidence: bool = False) -> Forecast:
    """Give the forecast that a differential rests on: the first record of each candidate."""
    return Forecast(
        outcomes=candidates(question),
        horizons_days=horizons_days(question),
        occurrence="incident",
        evidence=evidence,
    )


class Possible(NamedTuple):
    """One candidate: what it is, what the table says of it, its risks, and whether it is on record."""

    outcome: Outcome
    condition: Condition | None
    risks: tuple[Risk, ...]
    known: bool

    @property
    def cant_miss(self) -> str:
        """Why it is thought of however unlikely."""
        return "" if self.condition is None else self.condition.cant_miss

    @property
    def chance(self) -> float:
        """Of being there unseen; 0 without a figure."""
        return self.risks[-1].probability if self.risks else 0.0


def ranked(question: Differential, found: Answer) -> tuple[Possible, ...]:
    """Put the candidates in order: what can't be missed first, then the likelier ones.

    Args:
        question: what is asked.
        found: the answer to `first_records`.
    """
    known = {one.outcome for one in found.abstentions if one.reason == "already_present"}
    all_of_them = [
        Possible(
            outcome,
            conditions().about(outcome),
            tuple(risk for risk in found.risks if risk.outcome == outcome.name),
            outcome.name in known,
        )
        for outcome in candidates(question)
    ]
    return tuple(sorted(all_of_them, key=lambda one: (not one.cant_miss, -one.chance)))


def differed(
    question: Differential, chart: Chart, found: Answer
) -> tuple[tuple[Risk, ...], tuple[Statement, ...]]:
    """Give each condition's risks, and what is to be said of it.

    Args:
        question: what is asked.
        chart: of the patient.
        found: the answer to `first_records`.
    """
    order = ranked(question, found)
    risks = tuple(risk for one in order for risk in one.risks)
    return risks, tuple(said for one in order for said in _said(chart, one))


def _said(chart: Chart, one: Possible) -> Iterator[Statement]:
    name = one.outcome.name.replace("_", " ")
    name = name[0].upper() + name[1:]
    if one.known:
        rows = chart.of(one.condition.name) if one.condition is not None else np.zeros(0, np.int64)
        yield Statement(
            text=f"{name} is on record already.", citations=chart.cite(rows[:1].tolist()), tag=KNOWN
        )
        return
    tag, basis = (CANT_MISS, one.cant_miss) if one.cant_miss else (POSSIBLE, UNSET)
    yield Statement(text=f"{name}: {_chances(one)}", citations=(), tag=tag, basis=basis)
    if one.condition is None:
        yield Statement(
            text=f"{name}: the table has no findings for or against it.", citations=(), tag="not_checked"
        )
        return
    yield from findings(chart, one.condition)


def _chances(one: Possible) -> str:
    if not one.risks:
        return "no figure; to be thought of all the same." if one.cant_miss else "no figure."
    said = ", ".join(f"{risk.probability:.1%} within {risk.horizon_days:g} days" for risk in one.risks)
    return f"not on record; the chance that it gets on record is {said}."


def findings(chart: Chart, condition: Condition) -> Iterator[Statement]:
    """Say what on record speaks for a condition, then what speaks against it, then what was not measured."""
    said = [_finding(chart, condition, one) for one in condition.finding]
    yield from (one for one in said if one is not None and one.tag == "for")
    yield from (one for one in said if one is not None and one.tag == "against")
    tests = [one.of for one in condition.finding if concepts().kinds.get(one.of) == "laboratory"]
    lacking = [
        name
        for name in dict.fromkeys(tests)
        if not any(one.of == name and len(_fresh(chart, one)) for one in condition.finding)
    ]
    if lacking:
        names = ", ".join(concepts().says[name] for name in lacking)
        title = concepts().says[condition.name]
        yield Statement(
            text=f"Not measured lately, of what would bear on {title}: {names}.",
            citations=(),
            tag="not_checked",
        )


def _fresh(chart: Chart, finding: Finding) -> np.ndarray:
    rows = chart.of(finding.of)
    if finding.above is not None or finding.below is not None:
        rows = rows[np.isfinite(chart.value[rows])]
    fresh: np.ndarray = rows[chart.time[rows] >= chart.as_of - finding.within_days * DAY]
    return fresh


def _finding(chart: Chart, condition: Condition, finding: Finding) -> Statement | None:
    rows = _fresh(chart, finding)
    if not len(rows):
        return None
    row, what, of = int(rows[-1]), concepts().says[finding.of], concepts().says[condition.name]
    if finding.above is None and finding.below is None:
        text = f"{what[0].upper()}{what[1:]} on record ({chart.date(row)})"
    else:
        value = float(chart.value[row])
        if not _beyond(finding, value):
            return None
        unit = chart.named(row).unit
        text = f"{what[0].upper()}{what[1:]} {number(value)} {unit}".rstrip() + f" on {chart.date(row)}"
    return Statement(
        text=f"{text}: speaks {finding.speaks} {of}.",
        citations=chart.cite([row]),
        tag=finding.speaks,
        rule=f"{condition.name}:{finding.of}",
        basis=finding.basis,
    )


def _beyond(finding: Finding, value: float) -> bool:
    over = finding.above is None or value > finding.above
    under = finding.below is None or value < finding.below
    return over and under
