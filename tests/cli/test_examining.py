import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from residency.contract.verdict import read_verdicts


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "residency", "validate", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bare_file_of_scores_and_outcomes_gives_the_page_in_one_command(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-1.5, 1, 1_000)
    rows = [
        f"{1 / (1 + np.exp(-at)):.4f},{int(rng.random() < 1 / (1 + np.exp(-at)))}" for at in truth.tolist()
    ]
    (tmp_path / "vendor.csv").write_text("score,outcome\n" + "\n".join(rows))
    done = run(str(tmp_path / "out"), "--predictions", str(tmp_path / "vendor.csv"), "--threshold", "0.2")
    assert done.returncode == 0, done.stderr
    assert "vendor, outcome: use" in done.stdout
    assert "verdict.html" in done.stdout
    assert read_verdicts(tmp_path / "out" / "verdict.json").verdicts[0].verdict == "use"
    again = run(
        str(tmp_path / "out"), "--predictions", str(tmp_path / "vendor.csv"), "--threshold", "0.2", "--json"
    )
    assert json.loads(again.stdout)["result"]["verdicts"] == {"vendor": {"outcome": "use"}}


def test_a_file_that_cannot_be_examined_is_a_foreseen_error(tmp_path: Path) -> None:
    (tmp_path / "vendor.csv").write_text("score,outcome\n1.7,0\n0.2,1\n")
    done = run(str(tmp_path / "out"), "--predictions", str(tmp_path / "vendor.csv"))
    assert done.returncode == 1
    assert "score outside 0 to 1: 1 (first in line 2)" in done.stderr
    assert "1.7" not in done.stderr
    assert not (tmp_path / "out").exists()
