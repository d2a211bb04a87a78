"""In: figures of each group. Out: how groups differ, tested, with Holm's correction over all of a task."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from residency.contract.report import TOO_FEW_EVENTS, Contrast
from residency.validation.measuring import Measured

TESTED: Final = ("auroc", "calibration_intercept")


def holm(p: Sequence[float | None]) -> tuple[float | None, ...]:
    """Correct several tests (Holm 1979); None, where a test could not be made, stays None.

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        (0.03, 0.06, None, 0.06)
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        corrected[place] = highest
    return tuple(corrected)


def contrasts_of(measured: Mapping[str, Measured]) -> list[Contrast]:
    """Hold each group with events enough against the largest value of the same group.

    The draws of two groups are apart from each other. Where a patient is in two (an age band, over time),
    that makes the interval of the difference a little too wide or too narrow.
    """
    found = []
    for group, values in _groups(measured).items():
        telling = {value: one for value, one in values.items() if one.events >= TOO_FEW_EVENTS}
        if len(telling) < 2:
            continue
        reference = max(telling, key=lambda value: (telling[value].patients, value))
        for value, one in telling.items():
            if value != reference:
                found += _between(group, (value, reference), (one, telling[reference]))
    corrected = holm([one.p for one in found])
    return [msgspec.structs.replace(one, p_corrected=p) for one, p in zip(found, corrected, strict=True)]


def _groups(measured: Mapping[str, Measured]) -> dict[str, dict[str, Measured]]:
    groups: dict[str, dict[str, Measured]] = {}
    for name, one in measured.items():
        if name.startswith(("group=", "apart=")):
            group, _, value = name.partition("=")[2].partition("=")
            groups.setdefault(group, {})[value] = one
    return groups


def _between(group: str, names: tuple[str, str], pair: tuple[Measured, Measured]) -> list[Contrast]:
    mine, other = (one.figures["model"] or {} for one in pair)
    found = []
    for metric in TESTED:
        if metric in mine and metric in other and np.isfinite(mine[metric].value - other[metric].value):
            difference = mine[metric].less(other[metric])
            found.append(
                Contrast(
                    group=group, value=names[0], reference=names[1], metric=metric,
                    difference=difference.metric, p=difference.p, p_corrected=None,
                )
            )  # fmt: skip
    return found
