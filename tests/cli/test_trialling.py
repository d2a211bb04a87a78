from pathlib import Path

import numpy as np
import polars as pl
from typer.testing import CliRunner

from residency.cli.app import app
from residency.validation.silent import arm_of


def test_the_arms_of_a_report_are_said_with_an_interval(tmp_path: Path) -> None:
    subject = np.arange(1, 2_001)
    came = np.random.default_rng(0).random(2_000) < 0.1
    folder = tmp_path / "predictions" / "death"
    folder.mkdir(parents=True)
    rows = pl.DataFrame({"subject_id": subject, "prediction_time": subject, "label": came})
    rows.with_columns(group_arm=pl.Series(arm_of(subject, 0.5, 0))).write_parquet(folder / "0.parquet")
    shown = CliRunner().invoke(app, ["silent", "arms", str(tmp_path), "--draws", "50"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("death: shown 0.")
    assert "difference" in shown.output
    assert " to " in shown.output
