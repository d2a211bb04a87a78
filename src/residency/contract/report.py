"""In: what an examination measured. Out: `report.json`, format 1, and back.

`{"version": 1, "tasks": {TASK: {SLICE: …}}}`. Slice `all` holds the held-out patients of the training sites,
`site=NAME` each site (an external one only there), `group=NAME=VALUE` the groups.
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
    "ici",
    "net_benefit",
    "lead_time_days",
    "sensitivity_at_alerts",
    "utility",
)
TOO_FEW_EVENTS: Final = 100  # below it a group or a site gets "cannot tell"


class Metric(Struct, frozen=True):
    """One figure with its 95% interval by patient."""

    value: float | None
    low: float | None
    high: float | None


class Slice(Struct, frozen=True, kw_only=True):
    """What was measured on one slice of patients."""

    patients: int
    predictions: int
    events: int
    model: dict[str, Metric]
    baseline: dict[str, Metric]
    stack: dict[str, Metric] | None = None
    best_possible: dict[str, Metric] | None = None
    paired: dict[str, Metric] = {}  # model − baseline

    @property
    def can_tell(self) -> bool:
        """Whether there are events enough for a verdict."""
        return self.events >= TOO_FEW_EVENTS


class Report(Struct, frozen=True, kw_only=True):
    """One examination."""

    tasks: dict[str, dict[str, Slice]]
    version: int = REPORT_VERSION
    about: dict[str, str] = {}  # model and timelines digests, whether the patients are simulated


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        InputError: the file is absent, or is no report of this version.
    """
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        raise InputError("cannot read a report", where=str(path)) from None
    if report.version != REPORT_VERSION:
        raise InputError(f"report version {report.version} is not {REPORT_VERSION}", where=str(path))
    return report


def write_report(report: Report, path: Path) -> None:
    """Write a report, its keys in order, for people and for machines."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report, order="deterministic"), indent=1))
