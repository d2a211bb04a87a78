"""In: simulated futures of a patient. Out: what happened in how many of them, in sentences.

What a future first brings counts: what is on record already would come again by itself. A share of so few
futures is coarse; its 90% interval (Wilson's) stands beside it.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from residency.contract.codes import DEATH
from residency.contract.questions import Rollout, Statement
from residency.model import Futures
from residency.reasoning.chart import Chart
from residency.timeline import Vocabulary

FUTURE: Final = "future"
SHOWN: Final = 10
_Z: Final = 1.6449
_TOLD: Final = ("ICD10CM/", "ICD10/", "ICD9CM/", "SNOMED/", "RXNORM/", "ATC/", "CPT/", "ICD10PCS/")


def unfolded(
    question: Rollout, chart: Chart, futures: Futures, vocabulary: Vocabulary
) -> tuple[Statement, ...]:
    """Say what happened in how many futures: death, then what was never on record, what is commonest first.

    Args:
        question: what is asked.
        chart: of the patient.
        futures: simulated with the model.
        vocabulary: of the model.
    """
    head = (
        f"{futures.draws} futures of {futures.horizon_days:g} days, simulated by the model (seed"
        f" {question.seed}). They are what it takes for possible, not a plan and not a promise."
    )
    died = int(futures.died.sum())
    said = [head, f"Death in {_share(died, futures.draws)}.", *_firsts(chart, futures, vocabulary)]
    return tuple(Statement(text=text, citations=(), tag=FUTURE) for text in said)


def _firsts(chart: Chart, futures: Futures, vocabulary: Vocabulary) -> Iterator[str]:
    """Give diagnoses, drugs and procedures that were never on record, by the futures that hold them."""
    known = {one.name for one in chart.codes} | {up for one in chart.codes for up in one.above} | {DEATH}
    pairs = np.unique(np.stack([futures.code, futures.draw]), axis=1)
    codes, n = np.unique(pairs[0], return_counts=True)
    order = np.lexsort((codes, -n))
    told = [
        (int(codes[at]), int(n[at]))
        for at in order
        if vocabulary.codes[codes[at]].startswith(_TOLD) and vocabulary.codes[codes[at]] not in known
    ]
    for code, count in told[:SHOWN]:
        name = vocabulary.descriptions[code] or vocabulary.codes[code]
        yield f"First record of {name} in {_share(count, futures.draws)}."
    if not told:
        yield "No future held a diagnosis, drug or procedure that was not on record before."


def _share(count: int, n: int) -> str:
    """Say a share of futures with its interval.

    Example:
        >>> _share(5, 20)
        '5 of 20 (25%, 13% to 43%)'
    """
    share = count / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    reach = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return f"{count} of {n} ({share:.0%}, {max(middle - reach, 0):.0%} to {min(middle + reach, 1):.0%})"
