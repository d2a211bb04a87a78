"""In: a question that is not a forecast, a chart, and the forecasts it needs. Out: the answer.

Two steps, so that a bedside can read an identified chart and ask the model about the de-identified one:
`needs` says which forecasts an answer rests on, `tell` makes the answer of the chart and of these.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from residency.contract.errors import QuestionError
from residency.contract.packed import DAY
from residency.contract.questions import (
    Abstention,
    Answer,
    AnyQuestion,
    Changes,
    Differential,
    Draft,
    Forecast,
    Freshness,
    LikeThis,
    Modality,
    NextTest,
    Risk,
    Rollout,
    Statement,
    Treatment,
)
from residency.reasoning.answers import instant, microseconds
from residency.reasoning.changes import changed
from residency.reasoning.chart import Chart
from residency.reasoning.choosing import advised
from residency.reasoning.contradictions import contradictions
from residency.reasoning.differential import differed, first_records
from residency.reasoning.drafts import drafted
from residency.reasoning.figures import Figures
from residency.reasoning.loops import open_loops
from residency.reasoning.resembling import resembling
from residency.reasoning.treatment import baseline, weighed
from residency.reasoning.trying import risk_of
from residency.reasoning.unfolding import unfolded

TOLD: Final = (Changes, Differential, NextTest, Treatment, Rollout, LikeThis, Draft)
ANSWERED: Final = "forecast, changes, differential, next_test, treatment, rollout, like_this, draft"
NOTHING: Final = Figures()
_YEAR: Final = 365.25
_STALE_DAYS: Final = 730.5
NOT_CHECKED: Final = "not_checked"
MOVED_RISK: Final = "moved_risk"
MOVED_MODEL: Final = "moved_model"


class Need(NamedTuple):
    """A forecast that an answer rests on, and as of when (µs)."""

    forecast: Forecast
    as_of: int


def refuse_unknown(questions: Sequence[AnyQuestion]) -> None:
    """Refuse the kinds that nothing here answers.

    Raises:
        QuestionError: names the kinds that are answered.
    """
    for question in questions:
        if not isinstance(question, (Forecast, *TOLD)):
            raise QuestionError("not answered by this release", where="kind", mend=f"it answers: {ANSWERED}")


def forecasts_in(question: AnyQuestion) -> tuple[Forecast, ...]:
    """Give the forecasts that an answer rests on, whenever it is asked.

    Raises:
        QuestionError: the question asks for what is not answered.
    """
    if isinstance(question, Forecast):
        return (question,)
    if isinstance(question, Treatment):
        return (baseline(question),)
    if isinstance(question, Differential):
        return (first_records(question),)
    if isinstance(question, NextTest):
        return (risk_of(question),)
    if isinstance(question, Changes) and question.outcomes is not UNSET and question.outcomes:
        days = _YEAR if question.horizon_days is UNSET else question.horizon_days
        return (Forecast(outcomes=question.outcomes, horizons_days=(days,)),)
    return ()


def needs(question: AnyQuestion, as_of: int) -> tuple[Need, ...]:
    """Say which forecasts an answer rests on, and as of when.

    Raises:
        QuestionError: the question's dates are impossible, or it asks for what is not answered.
    """
    found = forecasts_in(question)
    if not isinstance(question, Changes):
        return tuple(Need(one, as_of) for one in found)
    since = microseconds(question.since)
    if since > as_of:
        raise QuestionError("since lies after as_of", where="since", mend="give an earlier date")
    return tuple(Need(one, at) for one in found for at in (since, as_of))


def tell(
    question: AnyQuestion,
    chart: Chart,
    found: Sequence[Answer],
    *,
    figures: Figures = NOTHING,
    release: str = "",
) -> Answer:
    """Answer a question that is not a forecast.

    Args:
        question: of a kind in `TOLD`.
        chart: of the patient, cut at the time of asking.
        found: answers to what it `needs`, in that order.
        figures: what was worked out with the model beside.
        release: digest of the release.
    """
    empty = _empty(question, chart, release)
    if not len(chart) and not chart.documents:
        none = Abstention(reason="too_little_history", detail="no record was available then")
        return msgspec.structs.replace(empty, abstentions=(none,))
    empty = msgspec.structs.replace(empty, statements=contradictions(chart))
    if isinstance(question, Changes):
        return _changes(question, chart, found, empty)
    if isinstance(question, Draft):
        return msgspec.structs.replace(
            empty, statements=(*empty.statements, *drafted(question, chart), *unread(chart))
        )
    if figures.withheld is not None:
        why = {one.reason: one for one in (Abstention(reason=figures.withheld), *empty.abstentions)}
        return msgspec.structs.replace(empty, abstentions=tuple(why.values()), research=True)
    if isinstance(question, LikeThis):
        return _alike(question, figures, empty)
    if isinstance(question, Rollout):
        return _unfolded(question, chart, figures, empty)
    told = _with_risks(empty, found[0], *_worked_out(question, chart, found[0], figures), figures)
    research = isinstance(question, Treatment) and question.mode == "research"
    return msgspec.structs.replace(told, research=told.research or research)


def _unfolded(question: Rollout, chart: Chart, figures: Figures, empty: Answer) -> Answer:
    if figures.futures is None or figures.vocabulary is None:
        raise QuestionError("no future was simulated", where="kind")
    said = unfolded(question, chart, figures.futures, figures.vocabulary)
    return msgspec.structs.replace(empty, statements=(*empty.statements, *said), research=True)


def _alike(question: LikeThis, figures: Figures, empty: Answer) -> Answer:
    if figures.alike is None:
        raise QuestionError("patients like this one are told beside the train patients alone", where="kind")
    said = resembling(question, figures.alike)
    return msgspec.structs.replace(empty, statements=(*empty.statements, *said), research=True)


def _worked_out(
    question: AnyQuestion, chart: Chart, found: Answer, figures: Figures
) -> tuple[tuple[Risk, ...], tuple[Statement, ...]]:
    """Give risks and statements of a kind that rests on one forecast."""
    if isinstance(question, Treatment):
        return weighed(question, chart, found, figures.local)
    if isinstance(question, NextTest):
        return advised(question, chart, found, figures.tried)
    if isinstance(question, Differential):
        risks, said = differed(question, chart, found)
        return risks, (*said, *_moved_by(figures), *unread(chart))
    raise QuestionError("not answered by this release", where="kind", mend=f"it answers: {ANSWERED}")


def _with_risks(
    empty: Answer, found: Answer, risks: tuple[Risk, ...], said: tuple[Statement, ...], figures: Figures
) -> Answer:
    abstentions = dict.fromkeys((*empty.abstentions, *found.abstentions))
    return msgspec.structs.replace(
        empty,
        risks=risks,
        statements=(*empty.statements, *said),
        moved=figures.moved[1],
        abstentions=tuple(abstentions),
        modalities=tuple(dict.fromkeys((*empty.modalities, *found.modalities))),
        research=found.research,
    )


def _moved_by(figures: Figures) -> tuple[Statement, ...]:
    name, moved = figures.moved
    if not moved:
        return ()
    text = f"What moved the model is given for {name.replace('_', ' ')}; it is not why the patient has it."
    return (Statement(text=text, citations=tuple(one.citation for one in moved), tag=MOVED_MODEL),)


def _empty(question: AnyQuestion, chart: Chart, release: str) -> Answer:
    """Give what every answer says, and that the records are old where they are."""
    latest = chart.latest
    age = (chart.as_of - latest) / DAY if latest is not None else None
    stale = (
        (
            Abstention(
                reason="stale_feed", detail="nothing new is on record; what happened since is not known"
            ),
        )
        if age is not None and age > _STALE_DAYS
        else ()
    )
    more: tuple[tuple[Modality, bool], ...] = (
        ("notes", bool(chart.documents)),
        ("variants", bool(chart.genomes)),
    )
    return Answer(
        kind=str(type(question).__struct_config__.tag),
        subject=str(chart.subject),
        as_of=instant(chart.as_of),
        release=release,
        freshness=Freshness(latest=None if latest is None else instant(latest), age_days=age),
        modalities=("codes", *(name for name, has in more if has)),
        abstentions=stale,
    )


def _changes(question: Changes, chart: Chart, found: Sequence[Answer], empty: Answer) -> Answer:
    said = [*changed(chart, microseconds(question.since)), *moved_risks(found)]
    if question.open_loops:
        said += [loop.statement for loop in open_loops(chart)]
    now = found[1] if len(found) == 2 else None
    return msgspec.structs.replace(
        empty,
        statements=(*empty.statements, *said, *unread(chart)),
        risks=() if now is None else now.risks,
        abstentions=(*empty.abstentions, *(() if now is None else now.abstentions)),
        research=now is not None and now.research,
    )


def unread(chart: Chart) -> tuple[Statement, ...]:
    """Say how many records no rule could see."""
    if not chart.n_unread:
        return ()
    text = f"{chart.n_unread} records have a code that is not known here and were not looked at."
    return (Statement(text=text, citations=(), tag=NOT_CHECKED),)


def moved_risks(found: Sequence[Answer]) -> list[Statement]:
    """Say how each risk moved, where there is one then and now."""
    if len(found) != 2:
        return []
    then = {(one.outcome, one.horizon_days): one for one in found[0].risks}
    return [
        Statement(text=_moved(then[one.outcome, one.horizon_days], one), citations=(), tag=MOVED_RISK)
        for one in found[1].risks
        if (one.outcome, one.horizon_days) in then
    ]


def _moved(then: Risk, now: Risk) -> str:
    name = now.outcome.replace("_", " ")
    return (
        f"The risk of {name} within {now.horizon_days:g} days was {then.probability:.1%} and is"
        f" {now.probability:.1%}."
    )
