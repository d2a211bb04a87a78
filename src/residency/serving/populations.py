"""In: what a release was shown to do for whom, and a patient. Out: figures withheld or warned about."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import msgspec

from residency.contract.packed import Packed
from residency.contract.questions import Abstention, Answer, AnyQuestion, Forecast, Statement
from residency.reasoning import Examined, Index
from residency.release import Release
from residency.release.allow_list import Allowed
from residency.release.bundle import CONTENT, REPORT
from residency.serving.questions import examined_of
from residency.timeline import Vocabulary
from residency.validation import Task, load_tasks
from residency.validation.groups import groups_of

WARNING = "warning"


@dataclass(frozen=True)
class Populations:
    """How the groups of each task were defined, and what to do where the examination cannot tell.

    Attributes:
        tasks: definitions, by name.
        when_cannot_tell: give no figure, or one with a warning.
    """

    tasks: dict[str, Task]
    when_cannot_tell: Literal["abstain", "warn"]

    @classmethod
    def of(cls, release: Release) -> "Populations":
        """Read the definitions that a release carries."""
        folder = release.standing.bundle / CONTENT / REPORT / "tasks"
        tasks = {task.name: task for task in load_tasks(folder)} if folder.is_dir() else {}
        return cls(tasks, release.standing.policy.when_cannot_tell)

    def slices_of(
        self, item: Allowed, packed: Packed, vocabulary: Vocabulary, index: Index, site: str | None
    ) -> list[tuple[str, ...]]:
        """Name the slices that the patient is in, at each index time."""
        by_site = (f"site={site}",) if site else ()
        task = self.tasks.get(item.examined.task)
        if task is None:
            return [by_site] * len(index)
        found = groups_of(packed, vocabulary, index, task.groups)
        return [
            by_site + tuple(f"group={name}={values[row]}" for name, values in found.items())
            for row in range(len(index))
        ]

    def judged(self, answer: Answer, doubts: Sequence["Doubt"]) -> Answer:
        """Withhold the figures that were not shown to hold for this patient, and warn of the doubtful."""
        withheld = [doubt for doubt in doubts if doubt.failed or self.when_cannot_tell == "abstain"]
        warned = [doubt for doubt in doubts if doubt not in withheld]
        barred = {(doubt.outcome, days) for doubt in withheld for days in doubt.horizons_days}
        kept = tuple(risk for risk in answer.risks if (risk.outcome, risk.horizon_days) not in barred)
        shown = {risk.outcome for risk in answer.risks}
        return msgspec.structs.replace(
            answer,
            risks=kept,
            moved=answer.moved if kept else (),
            abstentions=(
                *answer.abstentions,
                *(doubt.abstention() for doubt in withheld if doubt.outcome in shown),
            ),
            statements=(*answer.statements, *(doubt.warning() for doubt in warned if doubt.outcome in shown)),
        )


@dataclass(frozen=True)
class Doubt:
    """One outcome, and the slices with this patient for which it failed, or for which nobody can tell."""

    outcome: str
    horizons_days: tuple[float, ...]
    failed: tuple[str, ...]
    unknown: tuple[str, ...]

    def abstention(self) -> Abstention:
        """Say why there is no figure."""
        detail = "; ".join(_said(name) for name in (*self.failed, *self.unknown))
        return Abstention(reason="group_not_validated", outcome=self.outcome, detail=detail)

    def warning(self) -> Statement:
        """Say why not to lean on the figure."""
        who = "; ".join(_said(name) for name in self.unknown)
        text = f"{self.outcome}: too few events were examined to know how well it does for {who}."
        return Statement(text=text, citations=(), tag=WARNING)


def doubts_of(questions: Sequence[AnyQuestion], item: Allowed, slices: Sequence[str]) -> list[Doubt]:
    """Give the doubts about one task's figures, for a patient in some slices."""
    failed = tuple(name for name in slices if item.populations.get(name) == "fail")
    unknown = tuple(name for name in slices if item.populations.get(name) == "insufficient")
    if not failed and not unknown:
        return []
    mine = examined_of(item.examined)
    asked: defaultdict[str, list[float]] = defaultdict(list)
    for question in questions:
        if isinstance(question, Forecast):
            for outcome, days in product(question.outcomes, question.horizons_days):
                if Examined.of(outcome, days, question.occurrence) in mine:
                    asked[outcome.name].append(days)
    return [Doubt(outcome, tuple(days), failed, unknown) for outcome, days in asked.items()]


def _said(name: str) -> str:
    return name.removeprefix("group=").replace("=", ": ").replace("_", " ")
