"""In: reports of one examination with models of several seeds. Out: their mean, paired with the baseline.

Each draw of patients is the same for every seed, so the interval is that of the mean over seeds, by patient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from residency.contract.errors import InputError
from residency.contract.lineage import open_made
from residency.contract.report import METRICS, Report, read_report
from residency.validation.figures import Figure
from residency.validation.measuring import Course, Measured, measure, rules_of
from residency.validation.page import figure
from residency.validation.tasks import Task, load_tasks

SHOWN: Final = ("auroc", "auprc", "calibration_slope", "utility")


@dataclass(frozen=True)
class Summary:
    """The mean over seeds.

    Attributes:
        report: in the form of any report; `about` says of how many seeds.
        spread: for each task, slice and metric, the standard deviation of the model's values over seeds.
    """

    report: Report
    spread: Mapping[str, Mapping[str, Mapping[str, float]]]

    def table(self) -> str:
        """Give the summary in Markdown: the held-out patients and each site."""
        lines = [
            "| task | patients | metric | network | LightGBM | difference | spread over seeds |",
            "|" + "---|" * 7,
        ]
        for task, slices in self.report.tasks.items():
            for name, held in slices.items():
                metrics = (
                    []
                    if name.startswith(("group=", "apart="))
                    else [m for m in METRICS if m in SHOWN and m in held.model]
                )
                lines += [
                    f"| {task} | {name} | {metric} | {figure(held.model[metric])} "
                    f"| {figure(held.baseline.get(metric))} | {figure(held.paired.get(metric), signed=True)} "
                    f"| {self.spread[task][name][metric]:.3f} |"
                    for metric in metrics
                ]
        return "\n".join(lines) + "\n"


def summarise(reports: Sequence[Path]) -> Summary:
    """Average the reports of several seeds.

    Args:
        reports: folders that `validate` made, with the same tasks on the same timelines.

    Raises:
        InputError: there are none, or they are not of the same tasks and patients.
        LineageError: a folder is not finished.
    """
    manifests = [open_made(folder, "validate") for folder in reports]
    if not manifests or any(one.spec != manifests[0].spec for one in manifests):
        raise InputError(
            "the reports are not of the same examination", mend="give reports of the same tasks and settings"
        )
    if len(reports) == 1:
        return _alone(read_report(reports[0] / "report.json"))
    course = Course(manifests[0].spec["n_draws"], manifests[0].spec["seed"])
    tasks = load_tasks(reports[0] / "tasks")
    means = {task.name: _mean([_measure(folder, task, course) for folder in reports]) for task in tasks}
    return Summary(
        report=Report(
            tasks={
                name: {part: held.slice for part, (held, _) in found.items()} for name, found in means.items()
            },
            about={"seeds": str(len(reports))},
        ),
        spread={name: {part: spread for part, (_, spread) in found.items()} for name, found in means.items()},
    )


def _alone(report: Report) -> Summary:
    """Give the report of a single seed: there is no spread."""
    spread = {
        task: {name: dict.fromkeys(held.model, 0.0) for name, held in slices.items()}
        for task, slices in report.tasks.items()
    }
    return Summary(Report(tasks=report.tasks, about={"seeds": "1"}), spread)


def _measure(folder: Path, task: Task, course: Course) -> dict[str, Measured]:
    (path,) = (folder / "predictions" / task.name).glob("*.parquet")
    predictions = pl.read_parquet(path)
    return measure(predictions, task, rules_of(predictions, task), course)


def _mean(runs: list[dict[str, Measured]]) -> dict[str, tuple[Measured, dict[str, float]]]:
    first = runs[0]
    for run in runs:
        if run.keys() != first.keys() or any(run[name].patients != first[name].patients for name in run):
            raise InputError("the reports are not of the same patients")
    return {name: _mean_slice([run[name] for run in runs]) for name in first}


def _mean_slice(held: list[Measured]) -> tuple[Measured, dict[str, float]]:
    figures = {score: _mean_figures([one.figures[score] for one in held]) for score in held[0].figures}
    values = [one.figures["model"] or {} for one in held]
    spread = {
        metric: float(np.std([value[metric].value for value in values], ddof=min(1, len(values) - 1)))
        for metric in figures["model"] or {}
    }
    mean = Measured(held[0].patients, held[0].predictions, held[0].events, figures)
    return mean, spread


def _mean_figures(found: list[dict[str, Figure] | None]) -> dict[str, Figure] | None:
    known = [figures for figures in found if figures is not None]
    if len(known) < len(found):
        return None
    shared = [metric for metric in known[0] if all(metric in figures for figures in known)]
    return {
        metric: Figure(
            float(np.mean([figures[metric].value for figures in known])),
            np.mean([figures[metric].draws for figures in known], axis=0),
        )
        for metric in shared
    }
