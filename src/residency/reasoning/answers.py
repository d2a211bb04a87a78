"""In: risks and reasons in columns, a row an index time. Out: the contract's answers, made when looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int64

from residency.contract.packed import DAY, STATIC
from residency.contract.questions import (
    Abstention,
    Answer,
    Forecast,
    Freshness,
    Interval,
    Moved,
    Outcome,
    Risk,
)
from residency.reasoning.abstaining import ANSWERED, ATTACHMENT_MODALITIES, REASONS


class Column(NamedTuple):
    """What one column of risks is the risk of.

    Attributes:
        question: number of the question.
        outcome: of the question.
        horizon_days: one of the question's.
    """

    question: int
    outcome: Outcome
    horizon_days: float


@dataclass(frozen=True)
class Answers:
    """The answers to some questions at many index times.

    Attributes:
        questions: the forecasts among what was asked.
        columns: what each column is.
        subject: of each index time.
        as_of: index times, µs.
        latest: when the newest record that each question may use became available, µs; `STATIC` where none.
        used: kinds of attachments (`ATTACHMENT_KINDS`) that the answer to each question rests on.
        risk: NaN where not answered.
        low: lower end of the 90% interval; NaN where not answered or not asked for.
        high: upper end.
        reason: number of the reason for no answer (`abstaining.REASONS`), or `ANSWERED`.
        release: digest of the release; empty for a model that is not released.
        research: whether nothing limits what may be asked, so nothing was examined.
        hints: what the model knows that is spelled like what it does not know, by the outcome's name.
        moved: evidence, by the number of the forecast and of the index time, where it was asked for.
        told: answers to the other questions, by the number of the question and of the index time.
    """

    questions: tuple[Forecast, ...]
    columns: tuple[Column, ...]
    subject: Int64[np.ndarray, " index"]
    as_of: Int64[np.ndarray, " index"]
    latest: Int64[np.ndarray, "index question"]
    used: Bool[np.ndarray, "index question kind"]
    risk: Float32[np.ndarray, "index column"]
    low: Float32[np.ndarray, "index column"]
    high: Float32[np.ndarray, "index column"]
    reason: Int8[np.ndarray, "index column"]
    release: str
    research: bool
    hints: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[tuple[int, int], tuple[Moved, ...]] = field(default_factory=dict)
    told: Mapping[int, tuple[Answer, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.as_of)

    def __getitem__(self, row: int) -> Answer:
        """Give the answer to the first question at one index time."""
        return self.answer(row, 0)

    def answer(self, row: int, question: int) -> Answer:
        """Give the answer to one question, by its number as it was asked, at one index time."""
        if question in self.told:
            return self.told[question][row]
        question -= sum(number < question for number in self.told)
        mine = [number for number, column in enumerate(self.columns) if column.question == question]
        return Answer(
            kind="forecast",
            subject=str(int(self.subject[row])),
            as_of=instant(int(self.as_of[row])),
            release=self.release,
            freshness=self._freshness(row, question),
            modalities=(
                "codes",
                *(
                    name
                    for name, has in zip(ATTACHMENT_MODALITIES, self.used[row, question], strict=True)
                    if has
                ),
            ),
            risks=tuple(self._risk(row, number) for number in mine if self.reason[row, number] == ANSWERED),
            moved=self.moved.get((question, row), ()),
            abstentions=self._abstentions(row, mine),
            research=self.research,
        )

    def _risk(self, row: int, number: int) -> Risk:
        column = self.columns[number]
        low, high = float(self.low[row, number]), float(self.high[row, number])
        return Risk(
            outcome=column.outcome.name,
            horizon_days=column.horizon_days,
            probability=float(self.risk[row, number]),
            interval=None if np.isnan(low) else Interval(low=low, high=high),
        )

    def _freshness(self, row: int, question: int) -> Freshness:
        latest = int(self.latest[row, question])
        if latest == STATIC:
            return Freshness(latest=None, age_days=None)
        return Freshness(latest=instant(latest), age_days=(int(self.as_of[row]) - latest) / DAY)

    def _abstentions(self, row: int, columns: list[int]) -> tuple[Abstention, ...]:
        """Say each reason once an outcome; the horizons it is for, where it is not for all."""
        horizons: dict[tuple[str, int], list[float]] = {}
        asked: dict[str, int] = {}
        for number in columns:
            column, reason = self.columns[number], int(self.reason[row, number])
            asked[column.outcome.name] = asked.get(column.outcome.name, 0) + 1
            if reason != ANSWERED:
                horizons.setdefault((column.outcome.name, reason), []).append(column.horizon_days)
        return tuple(
            Abstention(
                reason=REASONS[reason],
                outcome=name,
                detail=self._detail(name, days, whole=len(days) == asked[name]),
            )
            for (name, reason), days in horizons.items()
        )

    def _detail(self, name: str, days: list[float], *, whole: bool) -> str:
        """Say for which horizons, where not for all; and what the model knows in its place."""
        parts = [] if whole else [f"for {', '.join(f'{d:g}' for d in days)} days"]
        return "; ".join((*parts, self.hints.get(name, ""))).strip("; ")


def instant(microseconds: int) -> datetime:
    """Give a time of the tables, which are naive and local, as such."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(
        microsecond=microseconds % 1_000_000, tzinfo=None
    )


def microseconds(time: datetime) -> int:
    """Give a naive time of the tables as µs since 1970."""
    return (time.replace(tzinfo=None) - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
