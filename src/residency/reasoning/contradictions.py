"""In: a chart. Out: what its records say against each other; nothing is guessed from such records."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from residency.contract.packed import DAY, STATIC
from residency.contract.questions import Statement
from residency.reasoning.chart import Chart, Rows

CONTRADICTION: Final = "contradiction"
_CARE: Final = ("Observation", "MedicationRequest", "MedicationAdministration", "Procedure", "Encounter")


def contradictions(chart: Chart) -> tuple[Statement, ...]:
    """Say which records contradict each other."""
    return tuple(
        Statement(text=text, citations=chart.cite(rows.tolist()), tag=CONTRADICTION)
        for text, rows in _found(chart)
        if len(rows)
    )


def _found(chart: Chart) -> Iterator[tuple[str, Rows]]:
    births = chart.prefixed("MEDS_BIRTH")
    if len(np.unique(chart.time[births])) > 1:
        yield "Several dates of birth are on record; no age is given.", births
    sexes = chart.prefixed("DEMOGRAPHIC/SEX")
    if len(np.unique(chart.code[sexes])) > 1:
        yield "Different sexes are on record; none is taken for right.", sexes
    deaths = chart.prefixed("MEDS_DEATH")
    if len(deaths) and chart.death is not None and chart.death != STATIC:
        cared = chart.of_kind(*_CARE)
        after = cared[chart.time[cared] > chart.death + DAY]
        yield (
            "Care is on record from after the death on record.",
            np.concatenate([deaths[:1], after[:3]])[: 4 * bool(len(after))],
        )
