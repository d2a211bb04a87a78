"""In: a frozen model, packed timelines, questions and index times. Out: risks, intervals and abstentions.

All index times of a patient come from one causal pass over the patient's moments. Validation and serving use
nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int8, Int64
from scipy.stats import t as student

from residency.contract.errors import QuestionError
from residency.contract.packed import ATTACHMENT_KINDS, STATIC, Packed
from residency.contract.questions import (
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
from residency.model import Asked, Futures, Model, RolloutSpec, States, rollouts
from residency.reasoning.abstaining import ANSWERED, Limits, abstain, code_of, history_of
from residency.reasoning.alike import Alike, hold_against
from residency.reasoning.answers import Answers
from residency.reasoning.chart import Chart, chart_of
from residency.reasoning.covariates import Instant
from residency.reasoning.differential import first_records
from residency.reasoning.effects import Effects
from residency.reasoning.evidence import evidence
from residency.reasoning.figures import Ask, Figures, Measure, try_tests
from residency.reasoning.incidence import cumulative_incidence
from residency.reasoning.index import Index, Place, place
from residency.reasoning.outcomes import Cause
from residency.reasoning.plan import DEATH_TARGET, Examined, Plan, hints_of, plan_of
from residency.reasoning.research import local_effects
from residency.reasoning.telling import needs, refuse_unknown, tell
from residency.reasoning.treatment import resolved
from residency.reasoning.trying import risk_of
from residency.reasoning.views import View, view_of
from residency.timeline import Attachments

INTERVAL: Final = 0.90
_NO_LIMITS: Final = Limits(min_moments=0, stale_days=1e9, max_unknown_share=1.0)
_MOMENTS_AT_ONCE: Final = 250_000
_NUMBERS_AT_ONCE: Final = 12_000_000  # hazards worked on at once: 48 MB


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
    """
    return _Asker(model, packed, attachments, records, "", None, Limits()).figures(question, found, index)


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
            return Figures(alike=hold_against(question, self.model, self.packed, index, self.alike))
        if isinstance(question, Rollout):
            return Figures(futures=self._futures(question, index), vocabulary=self.model.vocabulary)
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

    def _futures(self, question: Rollout, index: Index) -> Futures | None:
        """Simulate one patient's futures; None where nothing is known of the patient."""
        if not place(self.packed, index).known[0]:
            return None
        view = view_of(self.model, self.packed, self.attachments, frozenset(get_args(Modality)), index)
        settings = RolloutSpec(horizon_days=question.horizon_days, draws=question.draws, seed=question.seed)
        asked = Asked(index.patient, index.as_of)
        return rollouts(self.model, view.packed, asked, settings, encoded=view.encoded or None)[0]

    def _measuring(self, index: Index) -> Measure:
        """Give what the distribution of a result is, if it is measured now; from codes alone."""
        at, codes = place(self.packed, index), self.model.vocabulary.codes
        states = self.model.encode(self.packed, index.patient)
        moment = at.moment - self.packed.moment_offset[index.patient]
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
            vocabulary=self.model.vocabulary,
            records=self.records,
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
                _bounds(self.model, view, part, index, (at, reason))[:, :, columns],
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


def _bounds(
    model: Model, view: View, plan: Plan, index: Index, found: tuple[Place, Int8[np.ndarray, "index column"]]
) -> Float32[np.ndarray, "3 index column"]:
    """Give risk, low and high where something is to be answered."""
    at, reason = found
    bounds = np.full((3, *reason.shape), np.nan, dtype=np.float32)
    for rows in _chunks(view.packed, index, np.flatnonzero((reason == ANSWERED).any(axis=1))):
        bounds[:, rows] = _work_out(model, view, plan, index.take(rows), at.take(rows))
    return bounds


def _reasons(
    plan: Plan, packed: Packed, index: Index, at: Place, general: Int8[np.ndarray, " index"]
) -> Int8[np.ndarray, "index column"]:
    """Say why there is no answer, where there is none; what holds for a whole patient comes first."""
    reason = np.full((len(index), len(plan.columns)), ANSWERED, dtype=np.int8)
    for part in plan.parts:
        mine = reason[:, part.columns]
        if part.cause is not None and part.occurrence != "any":
            had = history_of(packed, part.cause.history).by(packed, index, at)
            if part.occurrence == "incident":
                mine[had] = code_of("already_present")
            else:
                mine[~had] = code_of("never_present")
        if not part.answerable:
            mine[:] = code_of("not_examined")
    return np.where(general[:, None] != ANSWERED, general[:, None], reason)


def _chunks(
    packed: Packed, index: Index, rows: Int64[np.ndarray, " row"]
) -> Iterator[Int64[np.ndarray, " row"]]:
    """Give rows in parts that hold whole patients, of about as many moments."""
    if not len(rows):
        return
    ordered = rows[np.argsort(index.patient[rows], kind="stable")]
    patient = index.patient[ordered]
    starts = np.flatnonzero(np.concatenate(([True], patient[1:] != patient[:-1])))
    moments = np.cumsum(np.diff(packed.moment_offset)[patient[starts]])
    part = (moments - 1) // _MOMENTS_AT_ONCE
    cuts = starts[1:][part[1:] != part[:-1]]
    yield from np.split(ordered, cuts)


def _work_out(
    model: Model, view: View, plan: Plan, index: Index, at: Place
) -> Float32[np.ndarray, "3 index column"]:
    """Give risk, low and high, of patients who are few enough to be read at once."""
    patients, local = np.unique(index.patient, return_inverse=True)
    states = model.encode(view.packed, patients, encoded=view.encoded)
    moment = states.offset[local] + at.moment - view.packed.moment_offset[index.patient]
    result = np.empty((3, len(index), len(plan.columns)), dtype=np.float32)
    numbers = model.n_heads * (len(model.edges_days) - 1) * max(len(plan.targets), 1)
    n_parts = -(-len(index) * numbers // _NUMBERS_AT_ONCE)
    for rows in np.array_split(np.arange(len(index)), n_parts):
        never = model.never(view.packed, index.patient[rows], index.as_of[rows], plan.targets)
        by_head = _by_head(model, states, plan, (moment[rows], at.elapsed_days[rows]), never)
        for part in plan.parts:
            result[:, rows, part.columns] = summary(by_head[:, :, part.columns], interval=part.interval)
    return result


def _by_head(
    model: Model,
    states: States,
    plan: Plan,
    instant: tuple[Int64[np.ndarray, " index"], Float32[np.ndarray, " index"]],
    never: Bool[np.ndarray, "index target"],
) -> Float32[np.ndarray, "index head column"]:
    """Give the risk that each head sees; NaN in columns that the model has nothing for."""
    moment, elapsed_days = instant
    result = np.full((len(moment), model.n_heads, len(plan.columns)), np.nan, dtype=np.float32)
    targets = plan.targets
    column = {int(target): number for number, target in enumerate(targets)}
    hazards = model.hazards(states, moment, elapsed_days, targets, never) if len(targets) else None
    for part in plan.parts:
        if part.label is not None:
            risk = model.label_probability(states, moment, elapsed_days, part.label)
            result[:, :, part.columns] = risk[:, :, None]
        elif part.cause is not None and part.answerable and hazards is not None:
            result[:, :, part.columns] = _incidence(model, part.cause, part.horizons_days, hazards, column)
    return result


def _incidence(
    model: Model,
    cause: Cause,
    horizons_days: tuple[float, ...],
    hazards: Float32[np.ndarray, "index head target interval"],
    column: dict[int, int],
) -> Float32[np.ndarray, "index head horizon"]:
    """Give the cumulative incidence of one outcome, with death competing unless it is the outcome."""
    hazard = cause.hazard(hazards, column)
    death = hazards[:, :, column[DEATH_TARGET]]
    competing = np.zeros_like(death) if cause.is_death else death
    edges, horizons = (np.array(days, dtype=np.float64) for days in (model.edges_days, horizons_days))
    return cumulative_incidence(hazard, competing, edges, horizons)


def summary(
    by_head: Float32[np.ndarray, "index head horizon"], *, interval: bool
) -> Float32[np.ndarray, "3 index horizon"]:
    """Give the mean of the heads, and a 90% interval from their spread.

    The heads are fitted to bootstrap samples of patients, so their spread on the log-odds scale estimates the
    standard error of a fit; for so few heads the quantile is Student's t. Bounds never fall with the horizon.
    """
    mean = by_head.mean(axis=1)
    if not interval or by_head.shape[1] < 2:
        nothing = np.full_like(mean, np.nan)
        return np.stack([mean, nothing, nothing])
    inside = np.clip(by_head, 1e-7, 1 - 1e-7)
    log_odds = np.log(inside / (1 - inside))
    reach = student.ppf((1 + INTERVAL) / 2, by_head.shape[1] - 1) * log_odds.std(axis=1, ddof=1)
    centre = np.log(np.clip(mean, 1e-7, 1 - 1e-7) / (1 - np.clip(mean, 1e-7, 1 - 1e-7)))
    low, high = 1 / (1 + np.exp(reach - centre)), 1 / (1 + np.exp(-reach - centre))
    low = np.minimum(np.maximum.accumulate(low, axis=1), mean)
    high = np.maximum(np.maximum.accumulate(high, axis=1), mean)
    return np.stack([mean, low, high]).astype(np.float32)
