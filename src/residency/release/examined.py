"""In: a report's folder. Out: what each of its tasks asked of the model."""

from pathlib import Path
from typing import Final

import msgspec

from residency.contract.errors import InputError
from residency.contract.report import Report
from residency.release.allow_list import ExaminedTask

TASKS: Final = "tasks.json"


def examined_in(folder: Path, report: Report) -> tuple[ExaminedTask, ...]:
    """Give the tasks that were examined, as the examination recorded them.

    Raises:
        InputError: the record is absent, or lacks a task of the report.
    """
    try:
        found = msgspec.json.decode((folder / TASKS).read_bytes(), type=tuple[ExaminedTask, ...])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise InputError("the report's folder does not say what its tasks asked", where=TASKS) from None
    missing = sorted(set(report.tasks) - {item.task for item in found})
    if missing:
        raise InputError(f"{len(missing)} tasks of the report are not described", where=TASKS)
    return tuple(item for item in found if item.task in report.tasks)
