from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of

at = datetime.fromisoformat


def folder(path: Path) -> Path:
    """Write a small MEDS data set."""
    for name in ("data/train", "metadata", "labels/death", "other"):
        (path / name).mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "subject_id": [1, 1, 2, 2],
            "time": [None, at("2020-01-01"), at("2020-01-02"), at("2020-01-02")],
            "code": ["GENDER//F", "LAB//1", "LAB//1", None],
            "numeric_value": pl.Series([None, 1.5, 2.5, 3.0], dtype=pl.Float32),
            "text_value": pl.Series([None, None, "high", None], dtype=pl.String),
        }
    ).write_parquet(path / "data/train/0.parquet")
    pl.DataFrame(
        {"code": ["LAB//1"], "description": ["Potassium"], "parent_codes": [["LOINC/2823-3"]]}
    ).write_parquet(path / "metadata/codes.parquet")
    pl.DataFrame(
        {"subject_id": [1], "prediction_time": [at("2020-02-01")], "boolean_value": [True]}
    ).write_parquet(path / "labels/death/0.parquet")
    pl.DataFrame({"x": [1]}).write_parquet(path / "other/x.parquet")
    return path


def test_a_meds_folder_keeps_events_labels_and_codes(invented: Any, take: Any, tmp_path: Path) -> None:
    manifest = take("meds", folder(tmp_path / "in"), mapping='site = "north"')
    found = invented.events(tmp_path / "out").sort("code", "time")
    assert found.select("code", "numeric_value", "text_value", "available").rows() == [
        ("GENDER//F", None, None, None),
        ("LAB//1", 1.5, None, at("2020-01-01")),
        ("LAB//1", 2.5, "high", at("2020-01-02")),
    ]
    assert invented.codes(tmp_path / "out")["LAB//1"]["parent_codes"] == ["LOINC/2823-3"]
    labels = pl.read_parquet(sorted((tmp_path / "out/labels/death").glob("*.parquet")))
    assert labels.select("subject_id", "boolean_value").rows() == [(subject_id_of("1", "north"), True)]
    assert manifest.rows.dropped == {"a row without a code": 1}
    assert manifest.rows.read == 5


def test_our_own_tables_come_back_in(invented: Any, take: Any, tmp_path: Path) -> None:
    take("fhir", invented.ndjson(tmp_path / "x.ndjson", invented.ward(3)), out="first")
    take("meds", tmp_path / "first", out="second")
    one, other = (invented.events(tmp_path / name) for name in ("first", "second"))
    columns = ["time", "code", "numeric_value", "unit", "available", "site", "source"]
    assert one.select(columns).sort(pl.all()).equals(other.select(columns).sort(pl.all()))


def test_a_table_that_lacks_a_column_of_meds_is_refused(take: Any, tmp_path: Path) -> None:
    pl.DataFrame({"subject_id": [1], "code": ["a"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="columns are missing: time"):
        take("meds", tmp_path / "x.parquet")
    assert not (tmp_path / "out").exists()


def test_times_that_are_numbers_are_refused(take: Any, tmp_path: Path) -> None:
    pl.DataFrame({"subject_id": [1], "time": [5], "code": ["a"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no times"):
        take("meds", tmp_path / "x.parquet")
