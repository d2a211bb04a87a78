"""In: a folder of task definitions in TOML. Out: tasks: who is asked about, when, and for what outcome."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from residency.contract.errors import SpecError
from residency.contract.questions import Forecast, Occurrence, Outcome
from residency.contract.specs import load, spec


@spec
class EveryMoment:
    """Ask at every dated moment of a patient, as at a monitor."""

    kind: Literal["every_moment"]


@spec
class Visits:
    """Ask when visits begin.

    Attributes:
        codes: what begins a visit; any code of that prefix.
        per_patient: at most so many, drawn by a hash of patient and time; each stands for all of theirs.
    """

    kind: Literal["visits"]
    codes: str = "VISIT/"
    per_patient: int = 1


@spec
class Regular:
    """Ask at fixed steps of time, between visits too; each patient begins at a hashed part of a step.

    Attributes:
        every_days: the step.
        per_patient: at most so many, drawn by a hash of patient and time; each stands for all of theirs.
    """

    kind: Literal["regular"]
    every_days: float
    per_patient: int = 1


@spec
class AtLabels:
    """Ask at the prediction times of the outcome's label."""

    kind: Literal["labels"]


Landmark = EveryMoment | Visits | Regular | AtLabels


@spec
class CodedOutcome:
    """The outcome is the next record of any of some codes; those below them count.

    Attributes:
        codes: any of these.
    """

    codes: tuple[str, ...]


@spec
class LabelledOutcome:
    """The outcome is a label of the data set.

    Attributes:
        label: its name.
        onset_after_days: from the first positive label to the outcome itself, for lead times.
    """

    label: str
    onset_after_days: float = 0.0


@spec
class Population:
    """Who is asked about.

    Attributes:
        min_age_years: youngest; the birth must be known where this is above 0.
        max_age_years: oldest.
        min_history_days: observed for so long before the index time.
        min_moments: dated moments on record at the index time.
        washout_days: for `incident`: nobody with the outcome on record so long before; None for ever.
    """

    min_age_years: float = 0.0
    max_age_years: float = 150.0
    min_history_days: float = 0.0
    min_moments: int = 1
    washout_days: float | None = None


@spec
class Groups:
    """Which groups are looked at apart.

    Attributes:
        by_code: for each name (`sex`) its values, and the code that says so.
        age_bands: ages at which a new band begins.
        age_code: a static value that holds the age in years, where births are not known.
    """

    by_code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    age_bands: tuple[float, ...] = ()
    age_code: str | None = None


@spec
class Apart:
    """What the report shows apart; no gate and no allow-list knows of it, so nothing is withheld by it.

    Attributes:
        by_code: for each name (`race`) its values, and the code that says so.
        measured_days: by thirds of how much was recorded in so many days before the index time (thirds of the
            train patients); 0 to leave that out.
        attachments: by whether there is a note, an image, a genome.
    """

    by_code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    measured_days: float = 365.25
    attachments: bool = True


@spec
class Task:
    """One task of an examination.

    Attributes:
        name: in reports and file names: lower-case letters, digits, `_`.
        title: for people.
        landmark: when patients are asked about.
        outcome: what may come.
        horizon_days: how far ahead. A label's own horizon, where the outcome is a label.
        occurrence: `incident`: the first ever; `recurrent`: again; `any`: the next one.
        gap_days: an outcome sooner than this is too near to be a forecast: such index times are left out.
        population: who is asked about.
        groups: which groups are looked at apart; a release may be withheld from them.
        apart: which others the report shows apart.
        clinical: a clinical score to be shown beside the model, by its name in `clinical.toml`.
        threshold: one would act at and above this risk (net benefit); None for the tuning patients' share.
        alerts_per_100_days: alerts that may be made per 100 patient-days on which the model is asked.
        utility: a utility that is defined for the task.
        truth: name of the outcome in the simulation's truth; None for the task's name.
    """

    name: str
    title: str
    landmark: Landmark
    outcome: CodedOutcome | LabelledOutcome
    horizon_days: float
    occurrence: Occurrence = "any"
    gap_days: float = 0.0
    population: Population = field(default_factory=Population)
    groups: Groups = field(default_factory=Groups)
    apart: Apart = field(default_factory=Apart)
    clinical: str | None = None
    threshold: float | None = None
    alerts_per_100_days: float = 5.0
    utility: Literal["cinc2019"] | None = None
    truth: str | None = None

    def __post_init__(self) -> None:
        if not self.name or not all(
            letter.islower() or letter.isdigit() or letter == "_" for letter in self.name
        ):
            raise ValueError("name must be of lower-case letters, digits and _")
        if self.horizon_days <= self.gap_days or self.gap_days < 0:
            raise ValueError("horizon_days must be above gap_days, and gap_days 0 or more")
        labelled = isinstance(self.outcome, LabelledOutcome)
        if labelled != isinstance(self.landmark, AtLabels):
            raise ValueError("the landmark is `labels` where the outcome is a label, and only there")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError("threshold must be between 0 and 1")
        if self.utility is not None and not labelled:
            raise ValueError("the utility is defined on labels")

    @property
    def asked(self) -> Outcome:
        """The outcome, as a question names it."""
        if isinstance(self.outcome, LabelledOutcome):
            return Outcome(name=self.name, label=self.outcome.label)
        return Outcome(name=self.name, codes=self.outcome.codes)

    @property
    def question(self) -> Forecast:
        """The question that the model is asked; with a gap, its end is asked too."""
        days = (self.gap_days, self.horizon_days) if self.gap_days else (self.horizon_days,)
        occurrence = self.occurrence if self.population.washout_days is None else "any"
        return Forecast(outcomes=(self.asked,), horizons_days=days, occurrence=occurrence)

    @property
    def truth_name(self) -> str:
        """The outcome's name in the simulation's truth."""
        return self.truth or self.name

    @property
    def who(self) -> str:
        """Of which patients, in words."""
        people, when = self.population, self.landmark
        parts = [
            {"incident": "without the outcome on record", "recurrent": "with the outcome on record"}.get(
                self.occurrence
            )
        ]
        if people.min_age_years or people.max_age_years < 150:
            parts.append(f"aged {people.min_age_years:g} to {people.max_age_years:g}")
        if people.min_history_days:
            parts.append(f"observed for {people.min_history_days:g} days or more")
        parts.append(_WHEN[when.kind])
        return "patients " + ", ".join(part for part in parts if part)


_WHEN = {
    "every_moment": "asked about at every moment",
    "visits": "asked about when a visit begins",
    "regular": "asked about at fixed steps of time",
    "labels": "asked about at the times of the label",
}


def load_tasks(folder: Path) -> tuple[Task, ...]:
    """Read every `*.toml` of a folder as a task.

    Raises:
        SpecError: there is none, one is wrong, or two have the same name.
    """
    paths = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not paths:
        raise SpecError("no task definitions", where=str(folder), mend="give a folder with *.toml files")
    tasks = tuple(load(Task, path) for path in paths)
    names = [task.name for task in tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"more than one task is called {', '.join(twice)}", where=str(folder))
    return tasks
