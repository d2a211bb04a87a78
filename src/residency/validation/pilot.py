"""In: a silent trial's report. Out: the plan of a pilot with its sample size; arms held against each other.

Two designs: patients who would be alerted are randomised to an alert or none; or wards start to use the model
one after the other, in an order that is drawn (a stepped wedge). What an alert does for a patient nobody
knows before: it is an assumption, stated in the plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from residency.contract import specs
from residency.contract.errors import InputError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.report import Metric, Slice, read_report
from residency.contract.specs import spec
from residency.validation import sample_size
from residency.validation.figures import Figure, dense
from residency.validation.measuring import Course, rules_of
from residency.validation.silent import HELD_BACK, SHOWN
from residency.validation.tasks import Task, load_tasks
from residency.validation.words import interval, per_100


@spec
class PilotSpec:
    """What is assumed, and what is there.

    Attributes:
        relative_reduction: share of the outcomes of alerted patients that acting on the alert prevents.
        wards: that could take part in a stepped wedge; one starts at each step.
        patients: of each ward in each period.
        spread: standard deviation of the share with the outcome between wards.
        power: aimed at, at the 5% level.
        seed: of the order in which wards start.
    """

    relative_reduction: float = 0.25
    wards: int = 8
    patients: int = 100
    spread: float = 0.02
    power: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.relative_reduction < 1 or self.wards < 2 or self.patients < 1:
            raise ValueError("relative_reduction between 0 and 1, wards 2 or more, patients 1 or more")


class Randomised(msgspec.Struct, frozen=True, kw_only=True):
    """Alerted patients, half of them shown the alert.

    Attributes:
        control: share of alerted patients with the outcome, from the silent trial.
        treated: with the assumed reduction.
        each_arm: patients; None where the control share is 0 or 1.
        each_arm_at_low: at the low end of the control share's interval, which wants more.
        alerted_a_month: patients alerted for the first time in a month, from the silent trial.
        months: to have both arms full.
    """

    control: Metric
    treated: float
    each_arm: int | None
    each_arm_at_low: int | None
    alerted_a_month: float
    months: float | None


class SteppedWedge(msgspec.Struct, frozen=True, kw_only=True):
    """Wards that start one after the other; ward numbers in the order in which they start."""

    control: float
    treated: float
    order: list[int]
    power: float
    enough: bool


class PilotOfTask(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one task; None with too few outcomes in the silent trial to plan by."""

    title: str
    threshold: float
    randomised: Randomised | None
    stepped_wedge: SteppedWedge | None


def plan_pilot(out: Path, report: Path, settings: PilotSpec, *, now: datetime) -> Manifest:
    """Plan a pilot by what a silent trial found.

    Args:
        out: the folder to write: `pilot.json` and `pilot.md`.
        report: folder of the silent trial's report.
        settings: see `PilotSpec`.
        now: the run's start, aware.
    """
    with Step(out, name="pilot", inputs=[report], spec=specs.plain(settings), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        asked = {task.name: task for task in load_tasks(report / "tasks")}
        plans = {
            name: _of_task(asked[name], slices["all"], _rows(report, name), settings)
            for name, slices in read_report(report / "report.json").tasks.items()
        }
        body = msgspec.json.format(msgspec.json.encode(plans, order="deterministic"), indent=1)
        step.put("pilot.json", body)
        step.put("pilot.md", _said(plans, settings))
        each = {name: one.randomised and one.randomised.each_arm for name, one in plans.items()}
        return step.finish(rows=Rows(), result={"each_arm": each})


def _rows(report: Path, task: str) -> pl.DataFrame:
    paths = sorted((report / "predictions" / task).glob("*.parquet"))
    if not paths:
        raise InputError("the report has no predictions", where=str(report))
    return pl.read_parquet(paths).sort("subject_id", "prediction_time")


def _of_task(task: Task, whole: Slice, rows: pl.DataFrame, settings: PilotSpec) -> PilotOfTask:
    threshold, told = rules_of(rows, task).threshold, whole.can_tell
    return PilotOfTask(
        title=task.title,
        threshold=threshold,
        randomised=_randomised(whole, rows, threshold, settings) if told else None,
        stepped_wedge=_wedge(whole, settings) if told else None,
    )


def _randomised(whole: Slice, rows: pl.DataFrame, threshold: float, settings: PilotSpec) -> Randomised | None:
    control = whole.model.get("ppv")
    if control is None or control.value is None:
        return None
    times = rows["prediction_time"].cast(pl.Int64).to_numpy()
    months = max(float(times.max() - times.min()) / 86_400e6 / 30.4, 1.0)
    alerted = rows.filter(pl.col("score") >= threshold)["subject_id"].n_unique() / months
    each, at_low = (_each(share, settings) for share in (control.value, control.low))
    return Randomised(
        control=control,
        treated=control.value * (1 - settings.relative_reduction),
        each_arm=each,
        each_arm_at_low=at_low,
        alerted_a_month=alerted,
        months=2 * each / alerted if each and alerted else None,
    )


def _each(share: float | None, settings: PilotSpec) -> int | None:
    if share is None or not 0 < share < 1:
        return None
    return sample_size.two_arms(share, share * (1 - settings.relative_reduction), power=settings.power)


def _wedge(whole: Slice, settings: PilotSpec) -> SteppedWedge | None:
    """Only outcomes that the alerts find can be prevented."""
    found = whole.model.get("sensitivity")
    control = whole.events / max(whole.patients, 1)
    if found is None or found.value is None or not 0 < control < 1 or found.value == 0:
        return None
    treated = control * (1 - settings.relative_reduction * found.value)
    power, enough = sample_size.stepped_wedge(
        control,
        treated,
        clusters=settings.wards,
        patients=settings.patients,
        spread=settings.spread,
        power=settings.power,
    )
    order = np.random.default_rng(settings.seed).permutation(settings.wards) + 1
    return SteppedWedge(control=control, treated=treated, order=order.tolist(), power=power, enough=enough)


def _said(plans: Mapping[str, PilotOfTask], settings: PilotSpec) -> str:
    lines = [
        "# Plan of a pilot",
        "",
        f"Assumed: acting on an alert prevents {per_100(settings.relative_reduction)} of outcomes of those"
        " alerted. Nobody knows that before the pilot; with less, more patients are needed.",
    ]
    for one in plans.values():
        lines += ["", f"## {one.title}", "", f"An alert is a risk of {per_100(one.threshold)} or more."]
        if one.randomised is None and one.stepped_wedge is None:
            lines += ["", "Cannot tell: too few outcomes in the silent trial to plan by."]
        lines += _said_randomised(one.randomised) + _said_wedge(one.stepped_wedge, settings)
    return "\n".join(lines) + "\n"


def _said_randomised(one: Randomised | None) -> list[str]:
    if one is None or one.each_arm is None:
        return []
    worst = "" if one.each_arm_at_low is None else f"; {one.each_arm_at_low:,} at the low end of its interval"
    months = "" if one.months is None else f", about {one.months:.0f} months"
    return [
        "",
        f"**Randomised.** Of those alerted, {interval(one.control)} had the outcome, nobody told; with the"
        f" pilot {one.treated:.2f} is hoped for. {one.each_arm:,} patients in each arm{worst}."
        f" {one.alerted_a_month:.1f} new ones a month are alerted{months}.",
    ]


def _said_wedge(one: SteppedWedge | None, settings: PilotSpec) -> list[str]:
    if one is None:
        return []
    order = ", then ".join(str(ward) for ward in one.order)
    return [
        "",
        f"**Stepped wedge.** {settings.wards} wards of {settings.patients:,} patients a period; all begin"
        f" without. Ward {order} start, one a period. Power {one.power:.2f} to show {one.control:.3f} against"
        f" {one.treated:.3f}: {'enough' if one.enough else 'not enough'}.",
    ]


@dataclass(frozen=True)
class Arms:
    """Share with the outcome of those shown and of those held back, whom nothing influenced."""

    patients: Mapping[str, int]
    share: Mapping[str, Metric]
    difference: Metric


def compare_arms(rows: pl.DataFrame, course: Course) -> Arms | None:
    """Hold patients who were shown alerts against those held back; None with a single arm.

    Args:
        rows: of a report's predictions, with `group_arm`.
        course: of the draws of patients, which are apart in the two arms.
    """
    if "group_arm" not in rows.columns:
        return None
    found: dict[str, Figure] = {}
    patients = {}
    for arm in (SHOWN, HELD_BACK):
        mine = rows.filter(pl.col("group_arm") == arm)
        if not len(mine):
            return None
        patients[arm] = mine["subject_id"].n_unique()
        found[arm] = _share(mine, course.counts(arm, patients[arm]))
    difference = found[SHOWN].less(found[HELD_BACK]).metric
    return Arms(patients, {arm: figure.metric for arm, figure in found.items()}, difference)


def _share(rows: pl.DataFrame, counts: np.ndarray) -> Figure:
    """Share of patients with the outcome after any of their index times."""
    came = np.bincount(dense(rows), rows["label"].to_numpy(), len(counts)) > 0
    drawn = came.astype(np.float64) @ counts / counts.sum(axis=0)
    return Figure(float(came.mean()), drawn)
