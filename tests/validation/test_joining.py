from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from residency.contract.errors import ResidencyError
from residency.contract.verdict import read_verdicts
from residency.timeline import Timelines
from residency.validation import Offer, ValidationSpec, load_tasks, validate_scores
from residency.validation.cohort import cohort_of


def test_scores_stored_blind_get_their_outcomes_when_they_are_known(
    clinic: Path, tasks: Path, ward: Any, tmp_path: Path
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "kidney.toml").write_text((tasks / "kidney.toml").read_text())
    cohort = cohort_of(Timelines.open(clinic / "timelines"), load_tasks(tmp_path / "tasks")[0], 0)
    blind = pl.DataFrame(
        {
            "subject_id": np.append(cohort.subject, 999_999),
            "time": pl.Series(np.append(cohort.as_of, cohort.as_of[:1])).cast(pl.Datetime("us")),
            "score": np.append(np.where(cohort.label, 0.6, 0.1), 0.5),
        }
    )
    blind.write_parquet(tmp_path / "blind.parquet")
    offer = Offer((str(tmp_path / "blind.parquet"),), tmp_path / "tasks", timelines=clinic / "timelines")
    validate_scores(tmp_path / "out", offer, ValidationSpec(n_draws=20), now=ward.now)
    found = read_verdicts(tmp_path / "out" / "verdict.json").verdicts[0]
    assert found.predictions == len(cohort)
    assert found.figures["auroc"].value == 1
    assert found.left_out == {"no such patient": 1}


def test_scores_of_nobody_in_particular_get_no_outcomes(
    clinic: Path, tasks: Path, ward: Any, tmp_path: Path
) -> None:
    one = tmp_path / "tasks"
    one.mkdir()
    (one / "kidney.toml").write_text((tasks / "kidney.toml").read_text())
    (tmp_path / "a.csv").write_text("score\n0.1\n")
    (tmp_path / "b.csv").write_text("patient,time,score\nx,2020-01-01,0.1\n")
    for name, said in (("a", "missing columns: subject_id"), ("b", "must go by the subject_id")):
        offer = Offer((str(tmp_path / f"{name}.csv"),), one, timelines=clinic / "timelines")
        with pytest.raises(ResidencyError, match=said):
            validate_scores(tmp_path / "out", offer, now=ward.now)
