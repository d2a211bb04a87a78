"""In: emulated trials, a patient, a question in research mode. Out: what a drug did here to such patients.

Never a number without its interval, the doubts about it, and the word *research*.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from residency.contract.questions import Outcome, Statement, Treatment
from residency.reasoning.concepts import concepts, concepts_of
from residency.reasoning.covariates import Instant
from residency.reasoning.effects import Effects

LOCAL: Final = "local_effect"
NO_LOCAL: Final = "no_figure"


@dataclass(frozen=True)
class Local:
    """What an emulated trial says of one patient: risk difference and interval; NaN without overlap."""

    effects: Effects
    value: float
    low: float
    high: float


def local_effects(
    question: Treatment, effects: Sequence[Effects], instant: Instant
) -> tuple[Local | None, ...]:
    """Find the trial of each option and outcome, and what it says of the patient.

    Args:
        question: in research mode.
        effects: emulated trials.
        instant: the patient, now.
    """
    return tuple(_local(option, question.outcome, effects, instant) for option in question.options)


def _local(option: str, outcome: Outcome, effects: Sequence[Effects], instant: Instant) -> Local | None:
    for one in effects:
        if set(outcome.codes) == set(one.trial.outcome) and _is_of(option, one):
            value, low, high = one.individual([instant])[:, 0].tolist()
            return Local(one, value, low, high)
    return None


def _is_of(option: str, one: Effects) -> bool:
    wanted = {option, option.lower().replace(" ", "_"), *concepts_of(option, option)}
    known = {one.trial.name, *one.trial.drug}
    known |= {name for code in one.trial.drug for name in concepts_of(code, one.trial.name)}
    return bool(wanted & known)


def researched(
    question: Treatment, drugs: Sequence[str], local: Sequence[Local | None]
) -> Iterator[Statement]:
    """Say what each drug did here, or why there is no figure.

    Args:
        question: in research mode.
        drugs: the concept of each option.
        local: of each.
    """
    for drug, found in zip(drugs, local, strict=True):
        name = concepts().says[drug]
        if found is None:
            text = f"No local figure for {name}: no emulated trial of it for this outcome was given."
            yield Statement(text=text, citations=(), tag=NO_LOCAL)
        elif not np.isfinite(found.value):
            yield Statement(text=_without(name, found.effects), citations=(), tag=NO_LOCAL)
        else:
            text, rule = _with(name, question, found), found.effects.trial.name
            yield Statement(text=text, citations=(), tag=LOCAL, rule=rule)


def _without(name: str, effects: Effects) -> str:
    least = effects.trial.least_overlap
    return (
        f"No local figure for {name}: among patients like this one fewer than {least:.0%} took it, or fewer"
        f" than {least:.0%} did not, so that nobody is comparable."
    )


def _with(name: str, question: Treatment, found: Local) -> str:
    one = found.effects
    doubts = [f"an unseen cause with risk ratios of {one.e_value:.1f} could explain it away"]
    if one.e_value == 1.0:
        doubts = ["its average here may be nothing"]
    if one.doubted:
        doubts.append("the negative control shows bias: not to be relied on")
    elif one.control is None:
        doubts.append("no negative control was named")
    return (
        f"Research, not for care: {name}: risk of {question.outcome.name.replace('_', ' ')} within"
        f" {one.trial.horizon_days:g} days {found.value:+.1%} ({found.low:+.1%} to {found.high:+.1%}) by an"
        f" emulated trial on {one.counts['with overlap']} patients of these records; {'; '.join(doubts)}."
    )
