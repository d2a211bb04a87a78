"""In: timelines, tasks, perhaps a model and records. Out: a folder that says why figures may be too good.

OUT holds `leakage.json` and `leakage.html`: the availability audit, single codes that solve a task, a
split in time beside a random one, the site guessed from the representation, and negative controls.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from residency.contract import specs
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.model import Model
from residency.model.adaptation import in_words_of
from residency.timeline import Timelines
from residency.validation.cohort import cohort_of
from residency.validation.examination import ValidationSpec
from residency.validation.measuring import Course
from residency.validation.page import figure, pages
from residency.validation.probes import SOLVES, Availability, CodeProbe, audit_availability, probe_codes
from residency.validation.shortcuts import (
    Control,
    SiteGuess,
    TimeSplit,
    controls_of,
    eras_of,
    site_guesses,
    time_split,
)
from residency.validation.tasks import Task, load_tasks

_CODES_SHOWN = 5


@dataclass(frozen=True)
class Suspect:
    """What is looked at.

    Attributes:
        tasks: folder of task definitions.
        timelines: folder that building made.
        model: folder that training made; without, neither representation nor negative controls.
        records: what the timelines were built from; without, eras are not known.
    """

    tasks: Path
    timelines: Path
    model: Path | None = None
    records: Path | None = None


class TaskLeaks(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one task; None where it was not looked at, or there was too little to tell."""

    title: str
    codes: list[CodeProbe]
    time_split: TimeSplit | None = None
    controls: list[Control] = []

    @property
    def leaks(self) -> list[str]:
        """Codes that solve it."""
        return [one.code for one in self.codes if one.solves]


class Leakage(msgspec.Struct, frozen=True, kw_only=True):
    """All that was looked for, and found."""

    availability: Availability
    tasks: dict[str, TaskLeaks]
    sites: list[SiteGuess]
    version: int = 1


def look_for_leaks(
    out: Path,
    suspect: Suspect,
    settings: ValidationSpec | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Look for leaks and shortcuts.

    Args:
        out: the folder to write.
        suspect: what is looked at.
        settings: of draws and trees; see `ValidationSpec`.
        now: the run's start, aware.
        progress: is told of each task.

    Raises:
        SpecError: a task is wrong, or names what the data do not have.
    """
    settings, tasks = settings or ValidationSpec(), load_tasks(suspect.tasks)
    inputs = [path for path in (suspect.timelines, suspect.model, suspect.records) if path is not None]
    spec = {**specs.plain(settings), "tasks": [specs.plain(task) for task in tasks]}
    with Step(out, name="probe", inputs=inputs, spec=spec, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        found = _found(suspect, tasks, settings, progress)
        body = msgspec.json.format(msgspec.json.encode(found), indent=1)
        step.put("leakage.json", body)
        step.put("leakage.html", _page(found))
        solved = {name: one.leaks for name, one in found.tasks.items() if one.leaks}
        result = {"records_before_they_happened": found.availability.before, "solved_by_one_code": solved}
        return step.finish(rows=Rows(), result=result)


def _found(
    suspect: Suspect, tasks: tuple[Task, ...], settings: ValidationSpec, progress: Progress
) -> Leakage:
    timelines = Timelines.open(suspect.timelines)
    model = None if suspect.model is None else Model.open(suspect.model)
    read = timelines if model is None else in_words_of(timelines, model)
    course = Course(settings.n_draws, settings.seed)
    controls = {} if model is None else controls_of(read, model, tasks, settings.seed, course)
    of_tasks = {}
    for number, task in enumerate(tasks):
        progress("looking for leaks", number, len(tasks))
        found = controls.get(task.name, [])
        of_tasks[task.name] = _of_task(suspect, timelines, (task, found), settings, course)
    progress("looking for leaks", len(tasks), len(tasks))
    sites = site_guesses(timelines if model is None else read, model)
    return Leakage(availability=audit_availability(timelines), tasks=of_tasks, sites=sites)


def _of_task(
    suspect: Suspect,
    timelines: Timelines,
    asked: tuple[Task, list[Control]],
    settings: ValidationSpec,
    course: Course,
) -> TaskLeaks:
    task, controls = asked
    cohort = cohort_of(timelines, task, settings.seed)
    split = None
    if suspect.records is not None:
        split = time_split(timelines, cohort, eras_of(suspect.records, cohort), settings.baseline, course)
    codes = probe_codes(timelines, cohort, most=_CODES_SHOWN)
    return TaskLeaks(title=task.title, codes=codes, time_split=split, controls=controls)


def _page(found: Leakage) -> str:
    environment = pages()
    environment.filters |= {"figure": figure}
    return environment.get_template("leakage.html").render(found=found, solves=SOLVES)
