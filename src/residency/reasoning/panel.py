"""In: a model, many patients, a question. Out: all of them, the most urgent first, a batch at a time.

What is urgent depends on the kind: of a forecast the risk of its first outcome within the longest horizon, of
a differential the likeliest condition that cannot be missed, of changes how much is left open. Memory holds
one batch, and the few who are shown.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.errors import QuestionError
from residency.contract.packed import STATIC, Packed
from residency.contract.progress import Progress, silent
from residency.contract.questions import Answer, AnyQuestion, Changes, Differential, Forecast
from residency.model import Model
from residency.reasoning.abstaining import Limits
from residency.reasoning.asking import ask
from residency.reasoning.conditions import conditions
from residency.reasoning.differential import candidates
from residency.reasoning.index import Index
from residency.reasoning.loops import OPEN_LOOP
from residency.reasoning.plan import Examined
from residency.timeline import Timelines
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

    def patients(self, progress: Progress = silent) -> Iterator[Urgent]:
        """Answer for all, a batch at a time, in the order of the timelines.

        Args:
            progress: told after each batch.
        """
        question, done = _plain(self.question), 0
        total = sum(packed.n_patients for packed in self.timelines.shards)
        for number, packed in enumerate(self.timelines.shards):
            records = self._records(number)
            attachments = self.timelines.attachments(number)
            for rows in np.split(np.arange(packed.n_patients), range(BATCH, packed.n_patients, BATCH)):
                index = _index(packed, rows, self.as_of)
                answers = ask(
                    self.model, packed, [question], index, attachments=attachments, records=records,
                    release=self.release, allowed=self.allowed, limits=self.limits,
                )  # fmt: skip
                for row in range(len(index)):
                    answer = answers[row]
                    yield Urgent(urgency(question, answer), int(packed.subject[index.patient[row]]), answer)
                done += len(rows)
                progress("patients", done, total)

    def _records(self, number: int) -> pl.DataFrame | None:
        """Give what answers cite; forecasts cite nothing."""
        if isinstance(self.question, Forecast):
            return None
        return pl.read_parquet(self.timelines.paths[number] / SOURCE_FILE)

    def first(self, n: int, progress: Progress = silent) -> list[Urgent]:
        """Give the most urgent, in their order; of equals, the lower subject."""
        return heapq.nlargest(n, self.patients(progress), key=lambda one: (one.urgency, -one.subject))


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
