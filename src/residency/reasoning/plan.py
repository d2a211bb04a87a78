"""In: questions, and a model's vocabulary, targets and labels. Out: what to work out, column by column."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import inf, isfinite
from typing import Final, NamedTuple, TypedDict, get_args

import numpy as np
from jaxtyping import Int64
from msgspec import UnsetType

from residency.contract.codes import DEATH
from residency.contract.errors import QuestionError
from residency.contract.questions import Forecast, Modality, Occurrence, Outcome
from residency.model import Model, Range
from residency.reasoning.answers import Column
from residency.reasoning.outcomes import Cause, Family, cause_of

_MOST_HINTED: Final = 3  # codes of an outcome for which the nearest are looked for


class Examined(NamedTuple):
    """What a release was examined for. What a caller names an outcome does not count."""

    codes: frozenset[str]
    label: str | None
    above: float | None
    below: float | None
    before: frozenset[str]
    horizon_days: float
    occurrence: Occurrence

    @classmethod
    def of(cls, outcome: Outcome, horizon_days: float, occurrence: Occurrence) -> "Examined":
        """Take what counts of an outcome, with a horizon and an occurrence."""
        codes, before = frozenset(outcome.codes), frozenset(outcome.before)
        values = outcome.above, outcome.below
        return cls(codes, outcome.label, *values, before, float(horizon_days), occurrence)


@dataclass(frozen=True)
class Part:
    """One outcome of one question.

    Attributes:
        question: number of the question.
        occurrence: as asked.
        interval: whether asked for.
        columns: one for each horizon.
        horizons_days: of the columns.
        cause: how its hazard is made; None for a label.
        rivals: how the hazard of what ends its window is made: death, and what it is to come before.
        values: range that a value must lie in; None where any event counts.
        label: number of the model's label; None for codes.
    """

    question: int
    occurrence: Occurrence
    interval: bool
    columns: slice
    horizons_days: tuple[float, ...]
    cause: Cause | None
    rivals: Cause | None
    values: Range | None
    label: int | None

    @property
    def answerable(self) -> bool:
        """Whether the model has a hazard or a label for it, and for all that ends its window."""
        return self.label is not None or (self.cause is not None and bool(self.cause.nodes))

    @property
    def needs(self) -> frozenset[int]:
        """All targets whose hazards are looked at."""
        causes = (self.cause, self.rivals) if self.answerable else ()
        return frozenset[int]().union(*(cause.needs for cause in causes if cause is not None))


@dataclass(frozen=True)
class Plan:
    """All outcomes of all questions, and the columns that they fill."""

    questions: tuple[Forecast, ...]
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]

    @property
    def targets(self) -> Int64[np.ndarray, " target"]:
        """All targets whose hazards are needed; none where labels alone are asked for."""
        return np.array(sorted(frozenset[int]().union(*(part.needs for part in self.parts))), dtype=np.int64)

    def by_modalities(self) -> dict[frozenset[Modality], "Plan"]:
        """Give the parts of the questions that may use the same modalities, as plans with all columns."""
        allowed = [modalities_of(question) for question in self.questions]
        return {
            modalities: replace(
                self, parts=tuple(part for part in self.parts if allowed[part.question] == modalities)
            )
            for modalities in dict.fromkeys(allowed)
        }

    def asks(self, modalities: frozenset[Modality]) -> tuple[list[int], list[int]]:
        """Give the questions that may use just these modalities, and their columns."""
        mine = [n for n, question in enumerate(self.questions) if modalities_of(question) == modalities]
        return mine, [n for n, column in enumerate(self.columns) if column.question in mine]

    def examined(self, column: Column) -> Examined:
        """What a column asks, in the terms of an allow-list."""
        return Examined.of(column.outcome, column.horizon_days, self.questions[column.question].occurrence)


def modalities_of(question: Forecast) -> frozenset[Modality]:
    """Give what a question lets the model use."""
    return frozenset(
        get_args(Modality) if isinstance(question.modalities, UnsetType) else question.modalities
    )


def plan_of(model: Model, questions: Sequence[Forecast]) -> Plan:
    """Lay out what is asked.

    Raises:
        QuestionError: a question has a horizon or label that the model does not answer.
    """
    family = Family(model.vocabulary, model.targets)
    forecasts: list[Forecast] = []
    columns: list[Column] = []
    parts: list[Part] = []
    for number, question in enumerate(questions):
        forecast = _forecast(question, float(model.edges_days[-1]))
        forecasts.append(forecast)
        for outcome in forecast.outcomes:
            horizons = tuple(sorted(set(forecast.horizons_days)))
            parts.append(
                Part(
                    question=number,
                    occurrence=forecast.occurrence,
                    interval=forecast.interval,
                    columns=slice(len(columns), len(columns) + len(horizons)),
                    horizons_days=horizons,
                    label=_label(outcome, model.labels),
                    **_of_codes(outcome, model, family),
                )
            )
            columns.extend(Column(number, outcome, horizon) for horizon in horizons)
    return Plan(tuple(forecasts), tuple(columns), tuple(parts))


def _forecast(question: Forecast, reach_days: float) -> Forecast:
    """Refuse what this release cannot answer."""
    if not all(map(isfinite, question.horizons_days)):
        raise QuestionError("a horizon is no number of days", where="horizons_days", mend="give a finite one")
    by_codes = any(outcome.label is None for outcome in question.outcomes)
    if by_codes and max(question.horizons_days) > reach_days:
        raise QuestionError(
            "a horizon is farther than the model looks",
            where="horizons_days",
            mend=f"at most {reach_days:g} days",
        )
    return question


class _OfCodes(TypedDict):
    """What a part holds of an outcome of codes."""

    cause: Cause | None
    rivals: Cause | None
    values: Range | None


def _of_codes(outcome: Outcome, model: Model, family: Family) -> _OfCodes:
    """Find what an outcome of codes rests on; no node where a code of its window, or its values, are unknown.

    Raises:
        QuestionError: it can have no answer.
    """
    if outcome.label is not None:
        return {"cause": None, "rivals": None, "values": None}
    cause, window = cause_of(outcome.codes, family), [cause_of((one,), family) for one in outcome.before]
    if any(np.isin(cause.history, one.history).any() for one in window):
        raise QuestionError(
            "an outcome cannot come before itself", where="outcomes", mend="give other codes in before"
        )
    values = _range(outcome, model) if outcome.has_threshold else None
    unknown = outcome.has_threshold and (values is None or values.reaches_beyond(model))
    if unknown or not all(one.nodes for one in window):
        cause = replace(cause, nodes=())
    death = () if DEATH in outcome.codes else (DEATH,)
    return {"cause": cause, "rivals": cause_of((*outcome.before, *death), family), "values": values}


def _range(outcome: Outcome, model: Model) -> Range | None:
    """Give the values asked for; None where the model knows no values of the code.

    Raises:
        QuestionError: there are several codes, whose values may have several units.
    """
    if len(outcome.codes) > 1:
        raise QuestionError(
            "a threshold is of one code's values, in its unit", where="outcomes", mend="ask code by code"
        )
    code = model.vocabulary.index_of(outcome.codes[0])
    if code not in model.valued:
        return None
    low, high = outcome.above, outcome.below
    return Range(code, -inf if low is None else low, inf if high is None else high)


def _label(outcome: Outcome, labels: tuple[str, ...]) -> int | None:
    if outcome.label is None:
        return None
    if outcome.label not in labels:
        raise QuestionError(
            "the model was not trained for this label",
            where="outcomes",
            mend=f"labels: {', '.join(labels) or 'none'}",
        )
    return labels.index(outcome.label)


def hints_of(plan: Plan, known: Sequence[str]) -> dict[str, str]:
    """Name the known codes that are spelled most like those that a model has nothing for."""
    asked = {plan.columns[part.columns.start].outcome for part in plan.parts if not part.answerable}
    return {outcome.name: hint for outcome in asked if (hint := _hint(outcome, known))}


def _hint(outcome: Outcome, known: Sequence[str]) -> str:
    strange = [code for code in outcome.codes if code not in known]
    near = [
        name for code in strange[:_MOST_HINTED] for name in get_close_matches(code, known, n=2, cutoff=0.75)
    ]
    return f"not known to the model; nearest known: {', '.join(dict.fromkeys(near))}" if near else ""
