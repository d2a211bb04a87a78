"""In: an answer of the contract. Out: plain English, the same words for the same answer."""

from typing import Final

from residency.contract.questions import Abstention, AbstentionReason, Answer, Risk

WHY_NOT: Final[dict[AbstentionReason, str]] = {
    "not_examined": "this release was not examined for it",
    "out_of_distribution": "most of this patient's records are of kinds that the model has never met",
    "too_little_history": "too little is on record",
    "stale_feed": "the newest record is too old",
    "modality_missing": "a kind of record that it needs is missing",
    "group_not_validated": "the release was not shown to work for a group that this patient belongs to",
    "already_present": "it is on record already",
    "never_present": "it was never on record, so it cannot come again",
    "outside_observation": "the patient was not under observation then",
    "held_back": "the patient is of the few without figures, so that it can be told what figures do",
}
NOTICE: Final = "Not a cleared medical device; a low figure does not rule anything out."


def days_in_words(days: float) -> str:
    """Say a horizon as a person would.

    Example:
        >>> [days_in_words(days) for days in (0.25, 1.0, 30.0, 365.25, 1826.25)]
        ['6 hours', '1 day', '30 days', '1 year', '5 years']
    """
    years = days / 365.25
    if round(years) >= 1 and abs(years - round(years)) < 0.02:
        return _counted(round(years), "year")
    if days < 2 and days != 1:
        return _counted(round(days * 24), "hour")
    return _counted(round(days), "day")


def _counted(n: int, unit: str) -> str:
    return f"{n} {unit}" if n == 1 else f"{n} {unit}s"


def percent(share: float) -> str:
    """Say a probability, never as 0 or 1.

    Example:
        >>> [percent(share) for share in (0.0001, 0.0123, 0.25, 0.9999)]
        ['less than 0.1%', '1.2%', '25%', 'more than 99%']
    """
    if share < 0.001:
        return "less than 0.1%"
    if share > 0.99:
        return "more than 99%"
    return f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


def sentences_of(answer: Answer) -> str:
    """Say an answer: one sentence a risk, one a reason for none, and what it is not."""
    parts = [_risk(risk) for risk in answer.risks]
    parts += [_abstention(abstention) for abstention in answer.abstentions]
    parts += [statement.text.replace("_", " ") for statement in answer.statements]
    parts.append(_freshness(answer))
    if answer.research:
        parts.append("Research only: outside what the release was examined for.")
    return " ".join([*parts, NOTICE])


def _risk(risk: Risk) -> str:
    between = ""
    if risk.interval is not None:
        between = f" (90% interval {percent(risk.interval.low)} to {percent(risk.interval.high)})"
    name = risk.outcome.replace("_", " ")
    return f"Risk of {name} within {days_in_words(risk.horizon_days)}: {percent(risk.probability)}{between}."


def _abstention(abstention: Abstention) -> str:
    subject = (abstention.outcome or "any outcome").replace("_", " ")
    detail = f" ({abstention.detail})" if abstention.detail else ""
    return f"No figure for {subject}: {WHY_NOT[abstention.reason]}{detail}."


def _freshness(answer: Answer) -> str:
    age = answer.freshness.age_days
    if age is None:
        return "No dated record was found."
    return f"The newest record is {days_in_words(max(age, 1 / 24))} old."
