"""In: a frozen model, packed timelines, questions and index times. Out: risks, intervals and abstentions.

All index times of a patient come from one causal pass over the patient's moments. Validation and serving use
nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int8, Int64

from residency.contract.errors import QuestionError
from residency.contract.packed import ATTACHMENT_KINDS, STATIC, Packed
from residency.contract.questions import (
    AbstentionReason,
    Answer,
    AnyQuestion,
    Differential,
    Forecast,
    LikeThis,
    Modality,
    Moved,
    NextTest,
    Rollout,
    Treatment,
)
from residency.model import Asked, Model, RolloutSpec, rollouts
from residency.reasoning.abstaining import ANSWERED, REASONS, Limits, abstain, code_of, history_of
from residency.reasoning.alike import Alike, hold_against
from residency.reasoning.answers import Answers
from residency.reasoning.chart import Chart, chart_of
from residency.reasoning.covariates import Instant
from residency.reasoning.differential import first_records
from residency.reasoning.effects import Effects
from residency.reasoning.evidence import Documents, Sources, evidence
from residency.reasoning.figures import Ask, Figures, Measure, try_tests
from residency.reasoning.index import Index, Place, place
from residency.reasoning.plan import Examined, Plan, hints_of, modalities_of, plan_of
from residency.reasoning.research import local_effects
from residency.reasoning.risks import bounds_of
from residency.reasoning.telling import needs, refuse_unknown, tell
from residency.reasoning.treatment import resolved
from residency.reasoning.trying import risk_of
from residency.reasoning.views import View, kinds_of, view_of
from residency.timeline import Attachments

_NO_LIMITS: Final = Limits(min_moments=0, stale_days=1e9, max_unknown_share=1.0)


def ask(  # noqa: PLR0913 - what is asked with, and the things that limit an answer
    model: Model,
    packed: Packed,
    questions: Sequence[AnyQuestion],
    index: Index,
    *,
    attachments: Attachments | None = None,
    records: pl.DataFrame | None = None,
    release: str = "",
    allowed: frozenset[Examined] | None = None,
    limits: Limits | None = None,
    alike: Alike | None = None,
    effects: Sequence[Effects] = (),
) -> Answers:
    """Ask a model about patients at index times.

    Args:
        model: a frozen model.
        packed: timelines in the model's vocabulary.
        questions: of any kind that is answered.
        index: who is asked about, and when.
        attachments: what `packed` points at; without, there are no notes, images or genomes.
        records: what `Packed.event_ref` means, for citations: a column `source`, and `code` where rare codes
            are not to be read as the vocabulary reads them.
        release: digest of the release that the model is in.
        allowed: what may be answered with numbers; None for research, where everything may.
        limits: when too little is known of a patient.
        alike: train patients in groups, to hold patients against (`alike_of`).
        effects: emulated trials, for treatment in research mode (`emulate`).

    Raises:
        QuestionError: a question is of a kind, horizon or label that is not answered.
    """
    refuse_unknown(questions)
    asker = _Asker(model, packed, attachments, records, release, allowed, limits or Limits(), alike, effects)
    answers = asker.with_evidence([one for one in questions if isinstance(one, Forecast)], index)
    others = {n: one for n, one in enumerate(questions) if not isinstance(one, Forecast)}
    charts = [asker.chart(index, row) for row in range(len(index))] if others else []
    told = {n: asker.told(one, charts, index) for n, one in others.items()}
    return replace(answers, told=told)


def figures_of(  # noqa: PLR0913 - whom it is about, and what may be looked at
    model: Model,
    packed: Packed,
    question: AnyQuestion,
    found: Sequence[Answer],
    index: Index,
    *,
    attachments: Attachments | None = None,
    records: pl.DataFrame | None = None,
    limits: Limits | None = None,
) -> Figures:
    """Work out what one patient's answer needs of the model beside forecasts.

    Args:
        model: a frozen model.
        packed: timelines in the model's vocabulary.
        question: of another kind than a forecast.
        found: answers to what it `needs`.
        index: one patient, one time.
        attachments: what `packed` points at.
        records: what `Packed.event_ref` means, for citations.
        limits: when too little is known of the patient.
    """
    asker = _Asker(model, packed, attachments, records, "", None, limits or Limits())
    return asker.figures(question, found, index)


@dataclass(frozen=True)
class _Asker:
    """What is asked, and what limits the answers."""

    model: Model
    packed: Packed
    attachments: Attachments | None
    records: pl.DataFrame | None
    release: str
    allowed: frozenset[Examined] | None
    limits: Limits
    alike: Alike | None = None
    effects: Sequence[Effects] = ()

    def chart(self, index: Index, row: int) -> Chart:
        """Give the chart of one index time."""
        return chart_of(
            self.packed,
            int(index.patient[row]),
            int(index.as_of[row]),
            vocabulary=self.model.vocabulary,
            records=self.records,
            attachments=self.attachments,
        )

    def told(self, question: AnyQuestion, charts: Sequence[Chart], index: Index) -> tuple[Answer, ...]:
        """Answer another question than a forecast, with the forecasts that it needs: all patients at once."""
        question = resolved(question, self.model.vocabulary)
        wanted = [needs(question, chart.as_of) for chart in charts]
        found = [
            self.forecast([slot[0].forecast], Index(index.patient, np.array([need.as_of for need in slot])))
            for slot in zip(*wanted, strict=True)
        ]
        answers = []
        for row, chart in enumerate(charts):
            mine = [one[row] for one in found]
            figures = self.figures(question, mine, index.take(np.array([row])))
            answers.append(tell(question, chart, mine, figures=figures, release=self.release))
        return tuple(answers)

    def figures(self, question: AnyQuestion, found: Sequence[Answer], index: Index) -> Figures:
        """Work out what an answer needs of the model beside forecasts; nothing where there is no risk."""
        if isinstance(question, LikeThis):
            alike = hold_against(question, self.model, self.packed, index, self.alike)
            return Figures(alike=alike, withheld=self._withheld(self._whole(index), index))
        if isinstance(question, Rollout):
            return self._unfolding(question, index)
        patient, as_of = int(index.patient[0]), int(index.as_of[0])
        if isinstance(question, Treatment) and question.mode == "research" and self.effects:
            now = Instant(self.packed, patient, as_of, as_of)
            return Figures(local=local_effects(question, self.effects, now))
        if not (found and found[0].risks):
            return Figures()
        if isinstance(question, Differential) and question.evidence and self.records is not None:
            name = max(found[0].risks, key=lambda risk: risk.probability).outcome
            asked = first_records(question)
            likeliest = tuple(one for one in asked.outcomes if one.name == name)
            asked = msgspec.structs.replace(asked, outcomes=likeliest)
            return Figures(moved=(name, self._evidence(asked, index)))
        if isinstance(question, NextTest):
            return Figures(
                tried=try_tests(
                    question,
                    self.packed,
                    index,
                    ask=self._risk_alone(risk_of(question)),
                    measure=self._measuring(index),
                    vocabulary=self.model.vocabulary,
                )
            )
        return Figures()

    def _unfolding(self, question: Rollout, index: Index) -> Figures:
        """Simulate one patient's futures, where anything may be said of them."""
        settings = RolloutSpec(horizon_days=question.horizon_days, draws=question.draws, seed=question.seed)
        view, asked = self._whole(index), Asked(index.patient, index.as_of)
        if withheld := self._withheld(view, index):
            return Figures(withheld=withheld)
        (futures,) = rollouts(self.model, view.packed, asked, settings, encoded=view.encoded or None)
        return Figures(futures=futures, vocabulary=self.model.vocabulary)

    def _withheld(self, view: View, index: Index) -> AbstentionReason | None:
        """Say why nothing of the model may be told of one patient, whatever the outcome."""
        at = place(view.packed, index)
        (reason,) = abstain(view.packed, index, at, self.limits, view.used(index, at))
        return None if reason == ANSWERED else REASONS[reason]

    def _whole(self, index: Index) -> View:
        """Give what may be looked at, kinds of records all included."""
        return view_of(self.model, self.packed, self.attachments, frozenset(get_args(Modality)), index)

    def _measuring(self, index: Index) -> Measure:
        """Give what the distribution of a result is, if it is measured now; from codes alone."""
        at, codes = place(self.packed, index), self.model.vocabulary.codes
        states = self.model.encode_at(self.packed, index.patient, at.moment)
        moment = np.arange(len(index))
        return lambda code: self.model.measured(states, moment, at.elapsed_days, codes[code])

    def with_evidence(self, questions: Sequence[Forecast], index: Index) -> Answers:
        """Give risks at index times, and what moved the model where that is asked for and there is a risk."""
        answers = self.forecast(questions, index)
        wanted = [n for n, question in enumerate(questions) if question.evidence]
        if wanted and self.records is None:
            raise QuestionError(
                "evidence is not given here", where="evidence", mend="give the records that it would cite"
            )
        moved = {
            (n, row): self._evidence(questions[n], index.take(np.array([row])))
            for n in wanted
            for row in range(len(index))
            if answers.answer(row, n).risks
        }
        return replace(answers, moved=moved)

    def _evidence(self, question: Forecast, index: Index) -> tuple[Moved, ...]:
        """Say what moved the risk of the first outcome within the longest horizon."""
        assert self.records is not None  # noqa: S101 - `with_evidence` looked
        return evidence(
            self.packed,
            int(index.patient[0]),
            int(index.as_of[0]),
            ask=self._risk_alone(question),
            sources=Sources(self.model.vocabulary, self.records, self._documents(question)),
        )

    def _documents(self, question: Forecast) -> Documents | None:
        """Give the documents that a forecast reads."""
        if self.attachments is None:
            return None
        kinds = kinds_of(self.model, modalities_of(question))
        return Documents(
            self.attachments,
            tuple(ATTACHMENT_KINDS.index(kind) for kind in kinds),
            lambda attachments: replace(self, attachments=attachments)._risk_alone(question),
        )

    def _risk_alone(self, question: Forecast) -> Ask:
        """Give the risk of the first outcome within the longest horizon, of any timelines, without limits."""
        alone = msgspec.structs.replace(
            question,
            outcomes=question.outcomes[:1],
            horizons_days=(max(question.horizons_days),),
            interval=False,
            evidence=False,
        )
        return lambda packed, at: (
            replace(self, packed=packed, allowed=None, limits=_NO_LIMITS).forecast([alone], at).risk[:, 0]
        )

    def forecast(self, questions: Sequence[Forecast], index: Index) -> Answers:
        """Give risks at index times."""
        plan = plan_of(self.model, questions)
        found = Found.nothing(len(index), plan)
        for modalities, part in plan.by_modalities().items():
            view = view_of(self.model, self.packed, self.attachments, modalities, index)
            mine, columns = plan.asks(modalities)
            at = place(view.packed, index)
            used = view.used(index, at)
            reason = _reasons(
                part, view.packed, index, at, abstain(view.packed, index, at, self.limits, used)
            )
            if self.allowed is not None:
                barred = [plan.examined(column) not in self.allowed for column in plan.columns]
                reason[:, barred] = code_of("not_examined")
            reason, bounds = (
                reason[:, columns],
                bounds_of(self.model, view, part, index, (at, reason))[:, :, columns],
            )
            bounds[:, reason != ANSWERED] = np.nan
            found.reason[:, columns], found.bounds[:, :, columns] = reason, bounds
            found.latest[:, mine] = view.latest(index, at)[:, None]
            found.used[:, mine] = used[:, None]
        risk, low, high = found.bounds
        return Answers(
            questions=plan.questions,
            columns=plan.columns,
            subject=self.packed.subject[index.patient],
            as_of=index.as_of,
            latest=found.latest,
            used=found.used,
            risk=risk,
            low=low,
            high=high,
            reason=found.reason,
            release=self.release,
            research=self.allowed is None,
            hints=hints_of(plan, self.model.vocabulary.codes),
        )


@dataclass(frozen=True)
class Found:
    """What has been found out so far, question by question."""

    bounds: Float32[np.ndarray, "3 index column"]
    reason: Int8[np.ndarray, "index column"]
    latest: Int64[np.ndarray, "index question"]
    used: Bool[np.ndarray, "index question kind"]

    @classmethod
    def nothing(cls, n: int, plan: Plan) -> "Found":
        """Begin."""
        n_questions, n_columns = len(plan.questions), len(plan.columns)
        return cls(
            np.full((3, n, n_columns), np.nan, np.float32),
            np.full((n, n_columns), ANSWERED, np.int8),
            np.full((n, n_questions), STATIC),
            np.zeros((n, n_questions, len(ATTACHMENT_KINDS)), bool),
        )


def _reasons(
    plan: Plan, packed: Packed, index: Index, at: Place, general: Int8[np.ndarray, " index"]
) -> Int8[np.ndarray, "index column"]:
    """Say why there is no answer, where there is none; what holds for a whole patient comes first."""
    reason = np.full((len(index), len(plan.columns)), ANSWERED, dtype=np.int8)
    for part in plan.parts:
        mine = reason[:, part.columns]
        if part.cause is not None and part.occurrence != "any":
            had = history_of(packed, part.cause.history, part.values).by(packed, index, at)
            if part.occurrence == "incident":
                mine[had] = code_of("already_present")
            else:
                mine[~had] = code_of("never_present")
        if not part.answerable:
            mine[:] = code_of("not_examined")
    return np.where(general[:, None] != ANSWERED, general[:, None], reason)
