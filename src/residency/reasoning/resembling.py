"""In: how a group of patients alike fared. Out: sentences with counts of at least 11, rounded, with noise."""

from collections.abc import Iterator
from typing import Final

from residency.contract.questions import LikeThis, Statement
from residency.reasoning.alike import LEAST, Company, Fared

ALIKE: Final = "alike"


def resembling(question: LikeThis, company: Company) -> tuple[Statement, ...]:
    """Say how patients like this one fared.

    Args:
        question: what is asked.
        company: the group that the patient falls into.
    """
    about = "" if company.size is None else f" of about {company.size} train patients"
    head = (
        f"Held against a fixed group{about} whom the model finds most like this one. Counts have noise, are"
        f" rounded to fives, and none is under {LEAST}; how they fared says nothing of why."
    )
    said = [_fared(one, question.horizon_days) for one in company.fared]
    return (Statement(text=head, citations=(), tag=ALIKE), *said)


def _fared(one: Fared, days: float) -> Statement:
    name = one.outcome.name.replace("_", " ")
    return Statement(text="".join(_parts(one, name, days)), citations=(), tag=ALIKE)


def _parts(one: Fared, name: str, days: float) -> Iterator[str]:
    if one.at_risk is None:
        yield f"{name}: too few of them could have it for the first time, or were seen for long enough."
    elif one.had is None:
        yield f"{name} within {days:g} days, of about {one.at_risk}: fewer than {LEAST} had it, or fewer than"
        yield f" {LEAST} did not; not told which."
    else:
        yield f"{name} within {days:g} days, of about {one.at_risk}: about {one.had} had it,"
        yield f" about {one.without} did not."
