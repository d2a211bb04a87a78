"""In: a model, many patients, a question. Out: all of them, the most urgent first, a batch at a time.

What is urgent depends on the kind: of a forecast the risk of its first outcome within the longest horizon, of
a differential the likeliest condition that cannot be missed, of changes how much is left open. Memory holds
one batch, and the few who are shown.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.errors import QuestionError
from residency.contract.packed import STATIC, Packed
from residency.contract.processes import Mapping
from residency.contract.progress import Progress, silent
from residency.contract.questions import Answer, AnyQuestion, Changes, Differential, Forecast
from residency.model import Model
from residency.model.adaptation import in_words_of
from residency.reasoning.abstaining import Limits
from residency.reasoning.asking import ask
from residency.reasoning.conditions import conditions
from residency.reasoning.differential import candidates
from residency.reasoning.index import Index
from residency.reasoning.loops import OPEN_LOOP
from residency.reasoning.plan import Examined
from residency.timeline import Attachments, Timelines
from residency.timeline.building import SOURCE_FILE

BATCH: Final = 256  # patients at once
_RANKED: Final = (Forecast, Differential, Changes)


class Urgent(NamedTuple):
    """One patient of a panel.

    Attributes:
        urgency: more is more urgent; below 0: nothing is answered.
        subject: of the patient.
        answer: to the question.
    """

    urgency: float
    subject: int
    answer: Answer


@dataclass(frozen=True)
class Triage:
    """The same question about everybody.

    Attributes:
        model: a frozen model.
        timelines: in its vocabulary.
        question: a forecast, a differential, or changes.
        as_of: the time of asking, µs; None: each patient's latest moment.
        release: digest of the release.
        allowed: what may be answered with numbers; None for research.
        limits: when too little is known of a patient.
    """

    model: Model
    timelines: Timelines
    question: AnyQuestion
    as_of: int | None = None
    release: str = ""
    allowed: frozenset[Examined] | None = None
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.question, _RANKED):
            raise QuestionError(
                "a panel is not ranked by this kind of question",
                where="kind",
                mend="ask a forecast, a differential or changes",
            )

    def patients(self, progress: Progress = silent, over: Mapping = map) -> Iterator[Urgent]:
        """Answer for all, a batch at a time, in the order of the timelines.

        Args:
            progress: told after each batch.
            over: does one batch after another, or several at once (`contract.processes.spread`).
        """
        batches = [
            Batch(number, begin, min(begin + BATCH, packed.n_patients))
            for number, packed in enumerate(self.timelines.shards)
            for begin in range(0, packed.n_patients, BATCH)
        ]
        done, total = 0, sum(one.end - one.begin for one in batches)
        for batch, answered in zip(batches, over(self.batch, batches), strict=True):
            yield from answered
            done += batch.end - batch.begin
            progress("patients", done, total)

    def batch(self, batch: "Batch") -> list[Urgent]:
        """Answer for some patients of a shard."""
        question, packed = _plain(self.question), self.timelines.shards[batch.shard]
        index = _index(packed, np.arange(batch.begin, batch.end), self.as_of)
        attachments, records = self._beside(batch.shard)
        answers = ask(
            self.model, packed, [question], index, attachments=attachments, records=records,
            release=self.release, allowed=self.allowed, limits=self.limits,
        )  # fmt: skip
        told = [answers[row] for row in range(len(index))]
        subjects = packed.subject[index.patient].tolist()
        return [Urgent(urgency(question, one), who, one) for who, one in zip(subjects, told, strict=True)]

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process without the timelines: they are opened there."""
        more = (self.question, self.as_of, self.release, self.allowed, self.limits)
        return _opened, (self.timelines.folder, self.model, *more)

    @cached_property
    def _beside(self) -> Callable[[int], tuple[Attachments, pl.DataFrame | None]]:
        """Give what lies beside a shard: attachments, and what answers cite; forecasts cite nothing."""

        def opened(shard: int) -> tuple[Attachments, pl.DataFrame | None]:
            cites = not isinstance(self.question, Forecast)
            records = pl.read_parquet(self.timelines.paths[shard] / SOURCE_FILE) if cites else None
            return self.timelines.attachments(shard), records

        return lru_cache(maxsize=1)(opened)

    def first(self, n: int, progress: Progress = silent, over: Mapping = map) -> list[Urgent]:
        """Give the most urgent, in their order; of equals, the lower subject."""
        return heapq.nlargest(n, self.patients(progress, over), key=lambda one: (one.urgency, -one.subject))


class Batch(NamedTuple):
    """Rows of one shard, from `begin` up to `end`."""

    shard: int
    begin: int
    end: int


def _opened(folder: Path, model: Model, *more: Any) -> Triage:
    return Triage(model, in_words_of(Timelines.open(folder), model), *more)


def _plain(question: AnyQuestion) -> AnyQuestion:
    """Leave out what costs twenty forecasts a patient."""
    if isinstance(question, Forecast | Differential):
        return msgspec.structs.replace(question, evidence=False)
    return question


def _index(packed: Packed, rows: Int64[np.ndarray, " patient"], as_of: int | None) -> Index:
    """Ask about patients at a time, or each at their latest moment; who was not born then is left out."""
    if as_of is not None:
        return Index(rows, np.full(len(rows), as_of, np.int64))
    latest = packed.moment_time[packed.moment_offset[rows + 1] - 1]
    dated = latest != STATIC
    return Index(rows[dated], np.asarray(latest[dated]))


def urgency(question: AnyQuestion, answer: Answer) -> float:
    """Say how urgent an answer is; −1 where nothing is answered."""
    if isinstance(question, Changes):
        return float(sum(one.tag == OPEN_LOOP for one in answer.statements))
    risks = answer.risks
    if isinstance(question, Differential):
        grave = {
            one.name
            for one in candidates(question)
            if (of := conditions().about(one)) is not None and of.cant_miss
        }
        risks = tuple(risk for risk in risks if risk.outcome in grave) or risks
    elif isinstance(question, Forecast):
        risks = tuple(risk for risk in risks if risk.outcome == question.outcomes[0].name)
    longest = max((risk.horizon_days for risk in risks), default=0.0)
    return max((risk.probability for risk in risks if risk.horizon_days == longest), default=-1.0)
