"""In: a chart and a kind of document. Out: its sentences, section by section; each cites, or says what lacks.

Deterministic: the same records give the same words. Nothing is inferred: no sentence says why. What is
required and not on record is said to be lacking (`flagged`), never left out.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import msgspec

from residency.contract.questions import Draft, Statement
from residency.contract.specs import read, spec
from residency.reasoning.chart import Chart
from residency.reasoning.concepts import table
from residency.reasoning.encounters import Stay, visit_of
from residency.reasoning.sections import SECTIONS

FLAGGED: Final = "flagged"
Section = Callable[[Chart, Stay], Iterator[Statement]]


@spec
class Plan:
    """What a document holds.

    Attributes:
        sections: in their order.
        required: of these, what must be there or be said to lack.
    """

    sections: tuple[str, ...]
    required: tuple[str, ...]


@cache
def plans() -> dict[str, Plan]:
    """Read the table.

    Raises:
        SpecError: names every wrong key at once.
    """
    return {name: read(Plan, row, where=f"drafts.toml, {name}") for name, row in table("drafts.toml").items()}


def drafted(question: Draft, chart: Chart) -> tuple[Statement, ...]:
    """Write a draft.

    Args:
        question: which document, about which visit; about the last one where it does not say.
        chart: of the patient.

    Raises:
        NotFoundError: no such visit is on record.
    """
    plan = plans()[question.document]
    visit = visit_of(chart, question.visit, stay=question.document == "discharge_summary")
    said: list[Statement] = []
    for name in plan.sections:
        found = [_in_section(one, name) for one in SECTIONS[name](chart, visit)]
        said += found
        if not found and name in plan.required:
            said.append(flag(name, f"{name.replace('_', ' ').capitalize()}: nothing is on record."))
    return tuple(said)


def _in_section(one: Statement, name: str) -> Statement:
    """Mark the section; what cites nothing is flagged."""
    return msgspec.structs.replace(one, tag=name if one.citations else FLAGGED, rule=name)


def flag(name: str, text: str) -> Statement:
    """Say that something lacks."""
    return Statement(text=text, citations=(), tag=FLAGGED, rule=name)
