"""In: a model, one patient, a question. Out: what its answer needs of the model beside forecasts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from residency.contract.packed import Packed
from residency.contract.questions import Moved, NextTest
from residency.reasoning.alike import Company
from residency.reasoning.index import Index
from residency.reasoning.research import Local
from residency.reasoning.supposing import Result, suppose
from residency.reasoning.trying import Tried, choices, results_of
from residency.timeline import Vocabulary, take, until

Ask = Callable[[Packed, Index], Float32[np.ndarray, " index"]]


@dataclass(frozen=True)
class Figures:
    """What was worked out with the model for one answer.

    Attributes:
        moved: evidence, and the name of the outcome that it is about.
        tried: tests, supposed done.
        alike: how patients like this one fared.
        local: of each option, what the drug did here to patients like this one; None where nothing is known.
    """

    moved: tuple[str, tuple[Moved, ...]] = ("", ())
    tried: tuple[Tried, ...] = ()
    alike: Company | None = None
    local: tuple[Local | None, ...] = ()


def try_tests(
    question: NextTest, packed: Packed, patient: int, as_of: int, *, ask: Ask, vocabulary: Vocabulary
) -> tuple[Tried, ...]:
    """Suppose each test done, and ask again under each result that may come.

    Args:
        question: what is asked.
        packed: timelines.
        patient: row of the patient.
        as_of: only what was available by then is there.
        ask: gives the risk at index times.
        vocabulary: of the timelines.

    Raises:
        QuestionError: a test or a cost is not known.
    """
    cut = until(take(packed, np.array([patient])), as_of)
    found = [(one, results_of(vocabulary, one.code)) for one in choices(question, vocabulary)]
    if not found:
        return ()
    sets: Sequence[tuple[Result, ...]] = [
        (Result(choice.code, float(value)),) for choice, values in found for value in values
    ]
    supposed = suppose(cut, list(sets), as_of)
    index = Index(np.arange(len(sets), dtype=np.int64), np.full(len(sets), as_of, np.int64))
    risks = iter(
        np.split(ask(supposed, index).astype(np.float64), np.cumsum([len(v) for _, v in found])[:-1])
    )
    return tuple(
        Tried(choice, values, np.full(len(values), 1 / len(values)), next(risks)) for choice, values in found
    )
