import json
from pathlib import Path

import pytest

from residency.contract.errors import InputError
from residency.contract.report import METRICS, Metric, Report, Slice, read_report, write_report

GOLDEN = Path(__file__).parents[1] / "golden" / "1" / "report.json"


def small() -> Report:
    auroc = Metric(0.8, 0.75, 0.85)
    part = Slice(patients=200, predictions=400, events=120, model={"auroc": auroc}, baseline={"auroc": auroc})
    return Report(tasks={"sepsis": {"all": part}})


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_report(small(), tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == small()


def test_the_golden_report_still_opens_with_the_keys_that_others_script_against() -> None:
    body = json.loads(GOLDEN.read_text())
    assert read_report(GOLDEN) == small()
    assert body["version"] == 1
    keys = {"patients", "predictions", "events", "model", "baseline", "stack", "best_possible", "paired"}
    assert keys <= set(body["tasks"]["sepsis"]["all"])
    assert set(body["tasks"]["sepsis"]["all"]["model"]["auroc"]) == {"value", "low", "high"}
    assert "auroc" in METRICS


def test_fewer_than_100_events_cannot_tell() -> None:
    few = Slice(patients=9, predictions=9, events=99, model={}, baseline={})
    assert not few.can_tell
    assert small().tasks["sepsis"]["all"].can_tell


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError):
        read_report(tmp_path / "report.json")
    (tmp_path / "report.json").write_text('{"version": 2, "tasks": {}}')
    with pytest.raises(InputError, match="version 2"):
        read_report(tmp_path / "report.json")
