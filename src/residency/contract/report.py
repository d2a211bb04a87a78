"""In: what an examination measured. Out: `report.json`, format 1, and back.

`{"version": 1, "tasks": {TASK: {SLICE: …}}}`. Slice `all` holds the held-out patients of the training sites,
`site=NAME` each site (an external one only there), `group=NAME=VALUE` the groups,
`apart=NAME=VALUE` groups that only the report shows: without figures below 100 events, and no gate or
allow-list names them.
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from residency.contract.errors import InputError

REPORT_VERSION: Final = 1
METRICS: Final = (
    "auroc",
    "auprc",
    "calibration_slope",
    "calibration_intercept",
    "observed_expected",
    "ici",
    "ici_over_prevalence",
    "net_benefit",
    "flagged_share",
    "sensitivity",
    "specificity",
    "ppv",
    "number_needed_to_evaluate",
    "sensitivity_at_alerts",
    "lead_time_days",
    "alerts_per_found",
    "utility",
)
TOO_FEW_EVENTS: Final = 100  # below it a group or a site gets "cannot tell"


class Metric(Struct, frozen=True):
    """One figure with its 95% interval by patient."""

    value: float | None
    low: float | None
    high: float | None


class Point(Struct, frozen=True):
    """One point of a curve: where it is, and the figures there by name."""

    at: float
    figures: dict[str, Metric]


class Contrast(Struct, frozen=True, kw_only=True):
    """How a metric of one group differs from that of the group's largest value.

    Attributes:
        group: for example `sex`.
        value: for example `female`.
        reference: the largest value.
        metric: which one.
        difference: value less reference.
        p: of the difference, two-sided.
        p_corrected: by Holm, over all contrasts of the task.
    """

    group: str
    value: str
    reference: str
    metric: str
    difference: Metric
    p: float | None
    p_corrected: float | None


class Slice(Struct, frozen=True, kw_only=True):
    """What was measured on one slice of patients."""

    patients: int
    predictions: int
    events: int
    model: dict[str, Metric]
    baseline: dict[str, Metric]
    stack: dict[str, Metric] | None = None
    best_possible: dict[str, Metric] | None = None
    clinical: dict[str, Metric] | None = None  # a clinical score, where the task names one
    paired: dict[str, Metric] = {}  # model − baseline
    paired_clinical: dict[str, Metric] = {}  # model − clinical score
    abstained: int = 0  # index times without an answer, in none of the figures
    decision: list[
        Point
    ] = []  # at: risk at which one would act; net benefit of each score, and of acting on all
    burden: list[Point] = []  # at: alerts per 100 patient-days; what the model's alerts find
    censoring: list[Point] = []  # at: times the odds of being lost may be off; lowest and highest figures

    @property
    def can_tell(self) -> bool:
        """Whether there are events enough for a verdict."""
        return self.events >= TOO_FEW_EVENTS


class Report(Struct, frozen=True, kw_only=True):
    """One examination."""

    tasks: dict[str, dict[str, Slice]]
    version: int = REPORT_VERSION
    contrasts: dict[str, list[Contrast]] = {}  # of each task, between groups
    about: dict[str, str] = {}  # model and timelines digests, whether the patients are simulated


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        InputError: the file is absent, or is no report of this version.
    """
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise InputError("cannot read a report", where=str(path)) from None
    if report.version != REPORT_VERSION:
        raise InputError(f"report version {report.version} is not {REPORT_VERSION}", where=str(path))
    return report


def write_report(report: Report, path: Path) -> None:
    """Write a report, its keys in order, for people and for machines."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report, order="deterministic"), indent=1))
