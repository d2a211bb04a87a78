"""In: a request's question, and what a release and a grant allow. Out: what to ask, and the tasks touched."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from residency.contract.errors import ForbiddenError, QuestionError
from residency.contract.questions import AnyQuestion, Forecast, Modality, Occurrence, Outcome, read_question
from residency.reasoning import Examined, forecasts_in
from residency.release.allow_list import Allowed, AllowList, ExaminedTask
from residency.serving.grants import Grant
from residency.serving.wire import PatientContext, is_given


def granted(allow_list: AllowList, grant: Grant) -> tuple[Allowed, ...]:
    """Give what a release may answer this grantee.

    Raises:
        QuestionError: the release may answer for nothing.
        ForbiddenError: what it may answer for was not granted.
    """
    if not allow_list.allowed:
        raise QuestionError("no examined task passed every gate, so this release may answer nothing")
    found = tuple(item for item in allow_list.allowed if grant.covers(item.examined.task))
    if not found:
        raise ForbiddenError("the grant covers none of this release's tasks")
    return found


def examined_of(item: ExaminedTask) -> frozenset[Examined]:
    """Give a task as reasoning knows it: its outcome with each of its horizons."""
    return frozenset(Examined.of(item.outcome, days, item.occurrence) for days in item.horizons_days)


def allowed_of(items: Sequence[Allowed]) -> frozenset[Examined]:
    """Give what reasoning may answer."""
    return frozenset().union(*(examined_of(item.examined) for item in items))


def questions_of(context: PatientContext, items: Sequence[Allowed]) -> tuple[AnyQuestion, ...]:
    """Read a request's question; without one, ask for everything that is allowed.

    Raises:
        QuestionError: the question cannot be read.
    """
    modalities = UNSET if context.modalities is None else context.modalities
    if is_given(context.question):
        return (_limited(read_question(bytes(context.question)), modalities),)
    asked: defaultdict[tuple[Occurrence, tuple[float, ...]], list[Outcome]] = defaultdict(list)
    for item in items:
        asked[item.examined.occurrence, item.examined.horizons_days].append(item.examined.outcome)
    return tuple(
        Forecast(
            outcomes=tuple(outcomes), horizons_days=horizons, occurrence=occurrence, modalities=modalities
        )
        for (occurrence, horizons), outcomes in asked.items()
    )


def _limited(question: AnyQuestion, modalities: tuple[Modality, ...] | UnsetType) -> AnyQuestion:
    """Let a forecast use what the request says, where it does not say itself."""
    if isinstance(question, Forecast) and question.modalities is UNSET:
        return msgspec.structs.replace(question, modalities=modalities)
    return question


def tasks_touched(questions: Sequence[AnyQuestion], allow_list: AllowList, grant: Grant) -> tuple[str, ...]:
    """Name the release's tasks that some questions are about.

    Raises:
        ForbiddenError: one of them was not granted.
    """
    wanted = frozenset(
        Examined.of(outcome, days, question.occurrence)
        for asked in questions
        for question in forecasts_in(asked)
        for outcome in question.outcomes
        for days in question.horizons_days
    )
    touched = [item.examined.task for item in allow_list.allowed if examined_of(item.examined) & wanted]
    if not all(grant.covers(task) for task in touched):
        raise ForbiddenError("the grant does not cover a task that was asked for")
    return tuple(touched)
