"""In: `tables/tests.toml`, a question about the next test. Out: tests to choose from, and what each is worth.

A test is worth what its results change: with the risk under each result that may come, and one acts above
`act_above`, the value is E[max(risk − t, 0)] − max(E[risk] − t, 0), over 1 − t: net benefit, in true
positives a patient. It is never negative, and nothing where no result crosses the threshold. That a test was
ordered tells of who orders it; so both terms suppose it *done*: what moves is the result alone.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

from residency.contract.errors import QuestionError
from residency.contract.questions import Forecast, NextTest
from residency.contract.specs import spec
from residency.model import Measured
from residency.reasoning.concepts import concepts, rule_table
from residency.timeline import Vocabulary

_LEAST_SHARE: Final = 0.001  # what few have is what tells: a rare result may be the one that matters


@spec
class Test:
    """A test that may be done.

    Attributes:
        name: of the concept.
        price: in the table's currency.
        sample: how it is taken.
        hours: until the result.
        basis: where the price is from.
    """

    name: str
    price: float
    sample: Literal["bedside", "blood", "urine"]
    hours: float
    basis: str


@spec
class Tests:
    """All of them; `sample` holds what taking each kind costs."""

    version: str
    currency: str
    sample: dict[str, float]
    test: tuple[Test, ...]


@cache
def tests() -> Tests:
    """Read the table.

    Raises:
        SpecError: names every wrong key at once.
        KeyError: a test is no concept.
    """
    return rule_table(Tests, "tests.toml", lambda found: [one.name for one in found.test])


@dataclass(frozen=True)
class Choice:
    """A test that can be asked about: its name, its code in the vocabulary, and what it costs."""

    name: str
    code: int
    cost: float
    hours: float


@dataclass(frozen=True)
class Tried:
    """A test, supposed done: what may come, how likely each, and the risk with it."""

    choice: Choice
    value: Float64[np.ndarray, " result"]
    weight: Float64[np.ndarray, " result"]
    risk: Float64[np.ndarray, " result"]

    def worth(self, act_above: float) -> float:
        """Give the net benefit that it brings, in true positives a patient; 0 or more.

        Example:
            >>> one = Choice("hba1c", 1, 10.0, 5.0)
            >>> half, risk = np.array([0.5, 0.5]), np.array([0.0, 0.2])
            >>> round(Tried(one, risk, half, risk).worth(0.15), 4)
            0.0294
        """
        return worth(self.risk, self.weight, act_above)

    def crosses(self, act_above: float) -> float:
        """Give how likely it is that the result changes the decision."""
        acts = self.risk > act_above
        before = float(self.weight @ self.risk) > act_above
        return float(self.weight[acts != before].sum())


def worth(
    risk: Float64[np.ndarray, " result"], weight: Float64[np.ndarray, " result"], act_above: float
) -> float:
    """Give E[max(risk − t, 0)] − max(E[risk] − t, 0), over 1 − t."""
    gain = float(weight @ np.maximum(risk - act_above, 0)) - max(float(weight @ risk) - act_above, 0.0)
    return max(gain, 0.0) / max(1 - act_above, 1e-9)


def risk_of(question: NextTest) -> Forecast:
    """Give the forecast that the decision rests on."""
    return Forecast(outcomes=(question.outcome,), horizons_days=(question.horizon_days,))


def choices(question: NextTest, vocabulary: Vocabulary) -> tuple[Choice, ...]:
    """Give the tests to choose from that the model knows with values.

    Raises:
        QuestionError: a test is not known, or a cost is of a test that is none of the choices.
    """
    named = question.tests or tuple(
        one.name for one in tests().test if _code(one.name, vocabulary) is not None
    )
    if strange := set(question.costs) - set(named):
        raise QuestionError(f"{len(strange)} costs are of tests that are not asked about", where="costs")
    if any(cost < 0 for cost in question.costs.values()):
        raise QuestionError("a cost is negative", where="costs")
    return tuple(_choice(name, question.costs.get(name), vocabulary) for name in named)


def _choice(name: str, cost: float | None, vocabulary: Vocabulary) -> Choice:
    code = _code(name, vocabulary)
    if code is None:
        known = [one.name for one in tests().test if _code(one.name, vocabulary) is not None]
        near = get_close_matches(name, [*known, *vocabulary.codes], n=3, cutoff=0.5) or known
        raise QuestionError(
            "a test is not known, or the model never saw its values",
            where="tests",
            mend=f"nearest known: {', '.join(near)}",
        )
    priced = next(
        (one for one in tests().test if name == one.name or _code(one.name, vocabulary) == code), None
    )
    if cost is None and priced is not None:
        cost = priced.price + tests().sample[priced.sample]
    if cost is None:
        raise QuestionError(
            "a test has no price in the table", where="tests", mend=f"give it in costs, in {tests().currency}"
        )
    return Choice(name, code, cost, priced.hours if priced is not None else float("nan"))


def _code(name: str, vocabulary: Vocabulary) -> int | None:
    """Give the index of a test that has values in the vocabulary: of a code, or of a concept's commonest."""
    spelled = [code for code, of in concepts().by_code.items() if name in of] if "/" not in name else [name]
    found = [index for code in spelled if (index := vocabulary.index_of(code))]
    valued = [one for one in found if vocabulary.knot_offset[one + 1] > vocabulary.knot_offset[one]]
    return max(valued, key=lambda one: int(vocabulary.n_patients[one]), default=None)


def results_of(
    found: Measured, row: int = 0
) -> tuple[Float64[np.ndarray, " result"], Float64[np.ndarray, " result"]]:
    """Give values that stand for all results that may come, and how likely each is, but the unlikeliest."""
    share = found.share[row].astype(np.float64)
    kept = share >= _LEAST_SHARE
    return found.middle[kept].astype(np.float64), share[kept] / share[kept].sum()
