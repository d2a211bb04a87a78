import importlib.util
import random
import shutil
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "hospital"

SPEC = importlib.util.spec_from_file_location("killing", Path(__file__).with_name("killing.py"))
assert SPEC
assert SPEC.loader
killing: ModuleType = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(killing)

TASK = """
name = "death"
title = "Death within a year"
horizon_days = 365.0
[landmark]
kind = "regular"
every_days = 365
[outcome]
codes = ["MEDS_DEATH"]
"""


def steps(work: Path) -> dict[str, list[str]]:
    """Give the command of each step, each reading what the ones before made."""
    (work / "spec.toml").write_text('size = "tiny"\npasses = 2\n')
    (work / "tasks").mkdir(exist_ok=True)
    (work / "tasks" / "death.toml").write_text(TASK)
    flow = {
        "hospital": ("simulate", work / "hospital", "--patients", "40", "--seed", "3"),
        "records": ("ingest", work / "records", work / "hospital" / "fhir", "--source", "fhir",
                    "--mapping", EXAMPLES / "mapping.toml"),
        "deidentified": ("deidentify", work / "records", work / "deidentified",
                         "--policy", EXAMPLES / "policy.toml"),
        "timelines": ("build", work / "deidentified", work / "timelines"),
        "model": ("train", work / "timelines", work / "model", "--spec", work / "spec.toml"),
        "report": ("validate", work / "report", "--tasks", work / "tasks", "--model", work / "model",
                   "--timelines", work / "timelines"),
    }  # fmt: skip
    return {name: killing.command(*arguments) for name, arguments in flow.items()}


@pytest.mark.slow
def test_every_step_killed_at_random_moments_ends_with_the_same_bytes(tmp_path: Path) -> None:
    rng, hits = random.Random(7), {}
    for name, arguments in steps(tmp_path).items():
        seconds = killing.undisturbed(arguments)
        calm = killing.same_bytes(tmp_path / name)
        shutil.rmtree(tmp_path / name)
        hits[name] = killing.killed(arguments, times=2, seconds=seconds, rng=rng)
        assert killing.same_bytes(tmp_path / name) == calm, name
        assert not (tmp_path / name / ".work").exists()
    assert sum(hits.values()) >= len(hits)
