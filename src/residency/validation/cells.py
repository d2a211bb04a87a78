"""In: a report, or timelines. Out: counts of few patients that leave with a release, or follow from it.

Counts of a slice's patients and of those with the outcome are published. Where the values of a group divide
a slice, what lacks to the whole is a count too; so a small group is found even where it is not shown.
"""

import msgspec
import numpy as np

from residency.contract.report import Report, Slice
from residency.timeline import Timelines

SMALL = 11  # counts from 1 to below it


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """How many counts from 1 to 10 patients a report gives away.

    Attributes:
        stated: as they stand.
        by_differencing: by taking stated counts from each other.
        where: task and slices of the latter.
    """

    stated: int
    by_differencing: int
    where: list[str]


def _small(n: int) -> bool:
    return 0 < n < SMALL


def cells_of(report: Report) -> Cells:
    """Look for small counts in a report."""
    stated, where = 0, list[str]()
    for task, slices in report.tasks.items():
        for one in slices.values():
            stated += _small(one.patients) + _small(one.events) + _small(one.patients - one.events)
        where += [f"{task}: {found}" for found in _differences(slices)]
    return Cells(stated=stated, by_differencing=len(where), where=where)


def _differences(slices: dict[str, Slice]) -> list[str]:
    """Take groups' values from the whole: one of them that is not stated may be left."""
    whole, found = slices.get("all"), []
    groups: dict[str, list[Slice]] = {}
    for name, one in slices.items():
        if name.startswith(("group=", "apart=")):
            groups.setdefault(name.rpartition("=")[0], []).append(one)
    for group, values in groups.items() if whole else ():
        for count in ("patients", "events"):
            rest = getattr(whole, count) - sum(getattr(one, count) for one in values)
            if _small(rest):
                found.append(f"{count} in no value of {group}")
    return found


def unique_in(data: Timelines) -> dict[str, int]:
    """Count what a model's folder holds word for word, and that fewer than 11 train patients have.

    A model carries its vocabulary: codes, their descriptions, and quantiles of their values, the lowest and
    the highest among them.
    """
    vocabulary, few = data.vocabulary, np.asarray(data.vocabulary.n_patients) < SMALL
    has = np.asarray(data.vocabulary.n_patients) > 0
    knots = np.diff(vocabulary.knot_offset) > 0
    ends = knots & (vocabulary.n_patients < 2 * SMALL)
    return {
        "codes of fewer than 11 patients": int((few & has).sum()),
        "codes with quantiles that may be single patients' values": int((ends & has).sum()),
    }
