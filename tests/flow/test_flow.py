import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from residency.contract.errors import SpecError
from residency.contract.report import read_report
from residency.flow import Made, run

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = ["hospital", "records", "deidentified", "timelines", "truth", "model-1", "report-1", "summary"]
FLOW = """
work = "work"
policy = "policy.toml"
tasks = "tasks"

[simulate]
n_patients = 100
seed = 2

[ingest]
source = "fhir"
mapping = "mapping.toml"

[train]
model = {{ size = "tiny", passes = {passes}, threads = 1 }}
"""
TASK = """
name = "death"
title = "Death within five years"
horizon_days = 1825.0
[landmark]
kind = "regular"
every_days = 182
per_patient = 12
[outcome]
codes = ["MEDS_DEATH"]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    base = tmp_path_factory.mktemp("flow")
    for name in ("policy.toml", "demo.key", "mapping.toml"):
        shutil.copy(EXAMPLES / "hospital" / name, base / name)
    (base / "tasks").mkdir()
    (base / "tasks" / "death.toml").write_text(TASK)
    (base / "flow.toml").write_text(FLOW.format(passes=1))
    return run(base / "flow.toml", now=NOW)


def stamps(work: Path) -> dict[str, int]:
    return {
        path.relative_to(work).as_posix(): path.stat().st_mtime_ns
        for path in work.rglob("*")
        if path.is_file() and ".replaced" not in path.parts
    }


@pytest.mark.slow
def test_a_flow_makes_every_folder_and_a_report_beside_the_baseline_and_the_best_possible(made: Made) -> None:
    assert list(made.manifests) == STEPS
    whole = read_report(made.work / "report-1" / "report.json").tasks["death"]["all"]
    assert whole.model.keys() >= {"auroc", "auprc", "calibration_slope"}
    assert whole.baseline.keys() >= {"auroc"}
    assert whole.paired.keys() >= {"auroc"}
    assert "death" in made.table


@pytest.mark.slow
def test_a_second_run_makes_nothing_anew(made: Made) -> None:
    before = stamps(made.work)
    again = run(made.work.parent / "flow.toml", now=NOW)
    assert stamps(made.work) == before
    assert {name: item.digest for name, item in again.manifests.items()} == {
        name: item.digest for name, item in made.manifests.items()
    }


@pytest.mark.slow
def test_the_chain_of_manifests_leads_from_the_report_back_to_the_hospital(made: Made) -> None:
    manifests = made.manifests
    for later, earlier in (
        ("deidentified", "records"),
        ("timelines", "deidentified"),
        ("model-1", "timelines"),
        ("report-1", "model-1"),
    ):
        assert manifests[earlier].digest in manifests[later].made_from


@pytest.mark.slow
def test_changed_settings_redo_what_hangs_on_them_and_nothing_else(made: Made, tmp_path: Path) -> None:
    base = tmp_path / "changed"
    shutil.copytree(made.work.parent, base, copy_function=shutil.copy2)
    for path, stamp in stamps(made.work).items():
        os.utime(base / "work" / path, ns=(stamp, stamp))
    (base / "flow.toml").write_text(FLOW.format(passes=2))
    run(base / "flow.toml", now=NOW)
    before, after = stamps(made.work), stamps(base / "work")
    redone = {path.split("/")[0] for path, stamp in after.items() if before.get(path) != stamp}
    assert redone == {"model-1", "report-1", "summary"}
    assert (base / "work" / ".replaced" / "model-1" / "made-from.json").exists()


def test_a_flow_file_with_wrong_keys_is_refused_with_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text('wrok = "a"\n[simulate]\npatients = 3\n')
    with pytest.raises(SpecError) as caught:
        run(tmp_path / "flow.toml", now=NOW)
    assert all(key in str(caught.value) for key in ("wrok", "work", "simulate.patients"))
