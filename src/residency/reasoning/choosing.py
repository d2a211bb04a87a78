"""In: a chart, the risk now, tests supposed done. Out: which test would settle the decision, for its cost."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from residency.contract.packed import DAY
from residency.contract.questions import Answer, NextTest, Risk, Statement
from residency.reasoning.chart import Chart, number
from residency.reasoning.concepts import concepts
from residency.reasoning.trying import Choice, Tried, tests

TEST: Final = "test"
NO_TEST: Final = "no_test"
LEAST_WORTH: Final = 1e-5  # net true positives a patient: less is no reason for a needle
SHOWN: Final = 5


def ranked(tried: Sequence[Tried], act_above: float) -> tuple[Tried, ...]:
    """Put tests in order: what is worth most for its cost first; what costs nothing counts as a cent."""
    return tuple(sorted(tried, key=lambda one: -one.worth(act_above) / max(one.choice.cost, 0.01)))


def advised(
    question: NextTest, chart: Chart, found: Answer, tried: Sequence[Tried]
) -> tuple[tuple[Risk, ...], tuple[Statement, ...]]:
    """Give the risk now and under the results of the tests that are worth something, and what is to be said.

    Args:
        question: what is asked.
        chart: of the patient.
        found: the answer to `risk_of`.
        tried: each test, supposed done; none where there is no risk.
    """
    if not found.risks:
        return (), ()
    good = [one for one in ranked(tried, question.act_above) if one.worth(question.act_above) >= LEAST_WORTH][
        :SHOWN
    ]
    risks = [risk for one in good for risk in _risks(question, chart, one)]
    said = [_test(question, chart, one) for one in good] or [_none(question, found.risks[0], tried)]
    return (*found.risks, *risks), (*said, *_caveats(question, tried))


def _risks(question: NextTest, chart: Chart, one: Tried) -> Iterator[Risk]:
    """Give the risk if the result is low, in the middle or high."""
    for row in _shown(one):
        yield Risk(
            outcome=f"{question.outcome.name} if {name_of(one.choice)} {number(float(one.value[row]))}"[:100],
            horizon_days=question.horizon_days,
            probability=float(np.clip(one.risk[row], 0, 1)),
        )


def _shown(one: Tried) -> tuple[int, ...]:
    """Rows of a low, a middle and a high result."""
    reached = np.cumsum(one.weight)
    return tuple(dict.fromkeys(int(np.searchsorted(reached, level - 1e-9)) for level in (0.1, 0.5, 0.9)))


def _test(question: NextTest, chart: Chart, one: Tried) -> Statement:
    worth, cost = one.worth(question.act_above), one.choice.cost
    rows = _own(chart, one.choice)
    last = (
        f" The last is of {chart.date(int(rows[-1]))}: {number(float(chart.value[rows[-1]]))}."
        if len(rows)
        else " None is on record."
    )
    text = (
        f"{_upper(name_of(one.choice))} ({number(cost)} {tests().currency}{_hours(one.choice)}): the decision"
        f" changes with {one.crosses(question.act_above):.0%} of the results that may come; it brings"
        f" {1000 * worth:.2g} more right decisions to act among 1,000 such patients, unnecessary ones"
        f" subtracted, {1000 * worth / max(cost, 0.01):.2g} for each {tests().currency}.{last}"
    )
    return Statement(text=text, citations=chart.cite(rows[-1:].tolist()), tag=TEST, rule=one.choice.name)


def _none(question: NextTest, now: Risk, tried: Sequence[Tried]) -> Statement:
    side = "above" if now.probability > question.act_above else "below"
    text = (
        f"The risk is {now.probability:.1%}, {side} the {question.act_above:.1%} above which one acts; no"
        f" result of the {len(tried)} tests looked at would change that."
    )
    return Statement(text=text, citations=(), tag=NO_TEST)


def _caveats(question: NextTest, tried: Sequence[Tried]) -> Iterator[Statement]:
    names = ", ".join(name_of(one.choice) for one in tried)
    yield Statement(
        text=f"Looked at, one at a time: {names}. Prices: table of {tests().version}, or the question's own.",
        citations=(),
        tag="looked_at",
    )
    yield Statement(
        text="Not looked at: imaging, procedures, several tests at once, what a test does beyond its cost.",
        citations=(),
        tag="not_checked",
    )


def _own(chart: Chart, choice: Choice) -> np.ndarray:
    """Give the patient's own results of a test, by time."""
    name = next((one for one in (choice.name,) if "/" not in one), None)
    rows = (
        chart.of(name)
        if name is not None
        else chart.dated(np.isin(np.arange(len(chart)), chart.prefixed(choice.name)))
    )
    valued: np.ndarray = rows[np.isfinite(chart.value[rows])]
    return valued


def name_of(choice: Choice) -> str:
    """Give a test's name for a reader."""
    return concepts().says.get(choice.name, choice.name)


def _hours(choice: Choice) -> str:
    if not np.isfinite(choice.hours):
        return ""
    days = choice.hours * 3600e6 / DAY
    return f", about {choice.hours:g} hours" if days < 1 else f", about {days:.0f} days"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
