"""In: timelines and tasks. Out: whom each task would ask about, and how often the outcome came."""

from dataclasses import dataclass

import numpy as np

from residency.contract.errors import SpecError
from residency.contract.report import TOO_FEW_EVENTS
from residency.timeline import Timelines
from residency.validation.cohort import cohort_of
from residency.validation.tasks import Task


@dataclass(frozen=True)
class Counted:
    """One task in one split.

    Attributes:
        task: its name.
        split: `train`, `tuning`, `held_out` or `external`.
        patients: asked about.
        index_times: asked about.
        events: patients with the outcome.
        left_out: index times of all splits, with the reason.
        cannot: why the task cannot be asked of these data; empty where it can.
    """

    task: str
    split: str
    patients: int
    index_times: int
    events: int
    left_out: dict[str, int]
    cannot: str = ""

    @property
    def can_tell(self) -> bool:
        """Whether there are outcomes enough for a verdict."""
        return self.events >= TOO_FEW_EVENTS


def count(timelines: Timelines, task: Task, seed: int = 0) -> list[Counted]:
    """Count a task in each split.

    Args:
        timelines: all patients.
        task: what would be asked.
        seed: of the draw of index times; the examination's own gives the same counts.
    """
    try:
        cohort = cohort_of(timelines, task, seed)
    except SpecError as error:
        return [Counted(task.name, "", 0, 0, 0, {}, error.what)]
    found = []
    for split in sorted(set(cohort.split.tolist())):
        mine = cohort.split == split
        came = cohort.subject[mine & cohort.label]
        patients = len(np.unique(cohort.subject[mine]))
        found.append(
            Counted(task.name, split, patients, int(mine.sum()), len(np.unique(came)), dict(cohort.counts))
        )
    return found or [Counted(task.name, "", 0, 0, 0, dict(cohort.counts), "nobody is asked about")]
