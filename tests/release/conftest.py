"""Small folders that look like what training and validation make; nothing in them is asked anything."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from residency.contract.lineage import Rows, Step
from residency.contract.questions import Outcome
from residency.contract.report import Metric, Report, Slice, write_report
from residency.release import ExaminedTask, make_demo_keys, promote, propose, sign
from residency.release.demo import DemoKeys

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
POLICY = Path(__file__).parents[2] / "examples" / "release_policy.toml"


def _figures(auroc: float = 0.82, events: int = 240, slope: float = 1.0) -> Slice:
    model = {
        "auroc": Metric(auroc, auroc - 0.03, auroc + 0.03),
        "calibration_slope": Metric(slope, slope - 0.1, slope + 0.1),
        "ici": Metric(0.01, 0.005, 0.02),
        "net_benefit": Metric(0.02, 0.01, 0.03),
    }
    return Slice(
        patients=1000,
        predictions=1000,
        events=events,
        model=model,
        baseline={"auroc": Metric(0.80, 0.77, 0.83)},
        paired={"auroc": Metric(auroc - 0.80, auroc - 0.82, auroc - 0.78)},
    )


@pytest.fixture
def figures() -> Callable[..., Slice]:
    """One slice in which everything but the named figures is good."""
    return _figures


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def policy_file() -> Path:
    return POLICY


@pytest.fixture
def report() -> Report:
    """One good task, one bad task, and a group too small to know."""
    return Report(
        tasks={
            "diabetes_1y": {
                "all": _figures(),
                "group=sex=female": _figures(0.8),
                "group=age=80_and_over": _figures(0.8, events=12),
                "site=north": _figures(0.81),
            },
            "sepsis_6h": {"all": _figures(auroc=0.66)},
        },
        about={"simulated": "true"},
    )


def _write(path: Path, body: bytes) -> int:
    return path.write_bytes(body) and 1


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as training leaves it."""
    step = Step(tmp_path / "model", name="train", inputs=["0" * 64], spec={"size": "tiny"}, now=NOW)
    with step:
        step.file("model.safetensors", make=lambda path: _write(path, b"weights" * 1000))
        step.file("model.json", make=lambda path: _write(path, b"{}"))
        step.finish(rows=Rows(read=10, kept=10), result={"patients": 700})
    return step.out


@pytest.fixture
def make_report_folder(tmp_path: Path, model: Path) -> Callable[[Report], Path]:
    """Makes a folder as validation leaves it."""

    def make(report: Report) -> Path:
        tasks = [
            ExaminedTask(
                task=name, outcome=Outcome(name=name, codes=("ICD10CM/E11",)), horizons_days=(365.25,)
            )
            for name in report.tasks
        ]
        step = Step(tmp_path / "report", name="validate", inputs=[model], spec={}, now=NOW)
        with step:
            step.file("report.json", make=lambda path: write_report(report, path))
            step.file("report.html", make=lambda path: _write(path, b"<p>report</p>"))
            step.file("tasks.json", make=lambda path: _write(path, msgspec.json.encode(tasks)))
            step.shard("0", "predictions", suffix=".txt", make=lambda path: _write(path, b"patient 7: 0.3"))
            step.finish(rows=Rows())
        return step.out

    return make


@pytest.fixture
def keys(tmp_path: Path) -> DemoKeys:
    return make_demo_keys(tmp_path / "keys", POLICY)


@pytest.fixture
def bundle(
    tmp_path: Path, keys: DemoKeys, model: Path, report: Report, make_report_folder: Callable[[Report], Path]
) -> Path:
    return propose(model, make_report_folder(report), tmp_path / "bundle", keys.policy, now=NOW)


@pytest.fixture
def take_up(keys: DemoKeys) -> Callable[[Path, str], None]:
    """Has both people sign one step of a bundle, and takes it."""

    def take(bundle: Path, to: str) -> None:
        for person in keys.signers:
            sign(bundle, person.key, person.name, person.role, now=NOW, to=to)
        promote(bundle, to)

    return take
