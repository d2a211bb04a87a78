"""In: a model, one patient, a question. Out: what its answer needs of the model beside forecasts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from residency.contract.packed import Packed
from residency.contract.questions import AbstentionReason, Moved, NextTest
from residency.model import Futures, Measured
from residency.reasoning.alike import Company
from residency.reasoning.index import Index
from residency.reasoning.research import Local
from residency.reasoning.supposing import Result, suppose
from residency.reasoning.trying import Tried, choices, results_of
from residency.timeline import Vocabulary, take, until

Ask = Callable[[Packed, Index], Float32[np.ndarray, " index"]]
Measure = Callable[[int], Measured | None]


@dataclass(frozen=True)
class Figures:
    """What was worked out with the model for one answer.

    Attributes:
        moved: evidence, and the name of the outcome that it is about.
        tried: tests, supposed done.
        alike: how patients like this one fared.
        local: of each option, what the drug did here to patients like this one; None where nothing is known.
        futures: simulated with the model.
        vocabulary: that their codes are of.
        withheld: why neither futures nor patients alike are told of, where that is so.
    """

    moved: tuple[str, tuple[Moved, ...]] = ("", ())
    tried: tuple[Tried, ...] = ()
    alike: Company | None = None
    local: tuple[Local | None, ...] = ()
    futures: Futures | None = None
    vocabulary: Vocabulary | None = None
    withheld: AbstentionReason | None = None


def try_tests(
    question: NextTest,
    packed: Packed,
    index: Index,
    *,
    ask: Ask,
    measure: Measure,
    vocabulary: Vocabulary,
) -> tuple[Tried, ...]:
    """Suppose each test done, and ask again under each result that may come.

    Args:
        question: what is asked.
        packed: timelines.
        index: one patient, one time.
        ask: gives the risk at index times.
        measure: gives the distribution of a code's result if it is measured now.
        vocabulary: of the timelines.

    Raises:
        QuestionError: a test or a cost is not known.
    """
    cut = until(take(packed, index.patient), index.as_of)
    may_come = [(one, measure(one.code)) for one in choices(question, vocabulary)]
    found = [(one, *results_of(result)) for one, result in may_come if result is not None]
    if not found:
        return ()
    sets = [(Result(choice.code, float(value)),) for choice, values, _ in found for value in values]
    risk = ask(*suppose(cut, sets, int(index.as_of[0]))).astype(np.float64)
    parts = np.split(risk, np.cumsum([len(values) for _, values, _ in found])[:-1])
    return tuple(Tried(*one, under) for one, under in zip(found, parts, strict=True))
