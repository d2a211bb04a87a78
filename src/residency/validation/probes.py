"""In: timelines and a task. Out: leakage: one code that solves it, records known before they happened."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64

from residency.contract.packed import DAY, STATIC, Packed
from residency.reasoning import Index
from residency.reasoning.index import place
from residency.timeline import Timelines, moment_of_event
from residency.validation.cohort import Cohort

MIN_EVENTS: Final = 30  # rows; below it a code's AUROC says nothing
SOLVES: Final = 0.9  # a single code with this AUROC is a leak until somebody says why not
WORRIES: Final = 0.8
NEAR_DAYS: Final = 1.0


@dataclass(frozen=True)
class CodeProbe:
    """What one code says of the outcome by its presence alone.

    Attributes:
        code: which.
        auroc: of having it in the window before the index time; below .5 turned round.
        rows: index times with it.
        rows_with_outcome: of them with the outcome.
    """

    code: str
    auroc: float
    rows: int
    rows_with_outcome: int

    @property
    def solves(self) -> bool:
        """Whether it alone solves the task."""
        return self.auroc >= SOLVES


@dataclass(frozen=True)
class Availability:
    """Whether records were known only once they had happened.

    Attributes:
        events: dated events.
        before: events that are known before they happened.
        at_once: events known within a minute of happening; of laboratory values that is worth a question.
        median_hours: from happening to being known.
    """

    events: int
    before: int
    at_once: int
    median_hours: float


def probe_codes(
    timelines: Timelines, cohort: Cohort, *, days: float = 30.0, most: int = 20
) -> list[CodeProbe]:
    """Look for single codes, just before the index time, that give the outcome away.

    Codes are looked for in the last `days` before each index time. Patients of all splits are looked at: this
    asks about the data, and not about a model.

    Args:
        timelines: all patients.
        cohort: index times of a task.
        days: of the window.
        most: of the strongest codes are given.
    """
    n_codes = len(timelines.vocabulary)
    with_code = np.zeros((n_codes, 2))
    for number, packed in enumerate(timelines.shards):
        mine = cohort.shard == number
        with_code += _having(packed, cohort.of_shard(number), cohort.label[mine], days, n_codes)
    total = np.array([(~cohort.label).sum(), cohort.label.sum()], dtype=np.float64)
    if total.min() < MIN_EVENTS:
        return []
    share = with_code / total
    auroc = 0.5 + (share[:, 1] - share[:, 0]) / 2
    strength = np.maximum(auroc, 1 - auroc)
    strongest = np.argsort(-strength, kind="stable")[:most]
    return [
        CodeProbe(
            timelines.vocabulary.codes[code],
            float(auroc[code]),
            int(with_code[code].sum()),
            int(with_code[code, 1]),
        )
        for code in strongest.tolist()
        if with_code[code].sum() >= MIN_EVENTS
    ]


def _having(
    packed: Packed, index: Index, label: Bool[np.ndarray, " row"], days: float, n_codes: int
) -> Float[np.ndarray, "code 2"]:
    """Count index times, without and with the outcome, that have each code in the window."""
    found = np.zeros((n_codes, 2))
    if not len(index):
        return found
    now = place(packed, index)
    before = place(packed, Index(index.patient, index.as_of - round(days * DAY)))
    first = np.asarray(packed.moment_offset[index.patient])
    start = np.where(before.known, before.moment + 1, first + 1)
    end = np.where(now.known, now.moment + 1, first)
    for low, high, came in zip(
        packed.event_offset[start].tolist(),
        packed.event_offset[np.maximum(end, start)].tolist(),
        label.tolist(),
        strict=True,
    ):
        if high > low:
            found[np.unique(packed.event_code[low:high]), int(came)] += 1
    return found


def audit_availability(timelines: Timelines) -> Availability:
    """Hold when records became known against when they happened."""
    waits = []
    for packed in timelines.shards:
        known = np.asarray(packed.moment_time)[moment_of_event(packed)]
        happened = np.asarray(packed.event_time)
        dated = (known != STATIC) & (happened != STATIC)
        first = np.isin(moment_of_event(packed), packed.moment_offset[:-1])
        waits.append((known - happened)[dated & ~first])
    wait: Int64[np.ndarray, " event"] = np.concatenate(waits) if waits else np.zeros(0, np.int64)
    minute = DAY // 1440
    return Availability(
        events=len(wait),
        before=int((wait < 0).sum()),
        at_once=int(((wait >= 0) & (wait < minute)).sum()),
        median_hours=float(np.median(wait)) / DAY * 24 if len(wait) else float("nan"),
    )
