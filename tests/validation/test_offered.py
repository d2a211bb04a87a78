from pathlib import Path

import polars as pl
import pytest

from residency.contract.errors import InputError, SchemaError
from residency.validation.offered import read_offered

GOOD = "patient,time,score,outcome,event_time\n"


def read(tmp_path: Path, text: str, **how: bool) -> pl.DataFrame:
    (tmp_path / "scores.csv").write_text(text)
    return read_offered(tmp_path / "scores.csv", **how).rows


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a,2020-01-01,1.01,0,\n", "score outside 0 to 1: 1 (first in line 2)"),
        ("a,2020-01-01,-0.1,0,\n", "score outside 0 to 1: 1"),
        ("a,2020-01-01,high,0,\n", "score is no number: 1"),
        ("a,2020-01-01,inf,0,\n", "score is no number: 1"),
        ("a,2020-01-01,0.1,2,\n", "outcome neither 0 nor 1: 1"),
        ("a,2020-01-01,0.1,0,\na,2020-01-01,0.2,0,\n", "same patient and time twice: 2 (first in line 2)"),
        ("a,2020-01-02,0.1,1,2020-01-01\n", "prediction after the outcome: 1"),
        ("a,yesterday,0.1,1,\n", "time cannot be read: 1"),
        ("a,2020-01-01,0.1,1,soon\n", "event time cannot be read: 1"),
        ("a,,0.1,1,\n", "no time: 1"),
        (",2020-01-01,0.1,1,\n", "no patient: 1"),
    ],
)
def test_what_cannot_be_examined_is_named_counted_and_refused(tmp_path: Path, rows: str, reason: str) -> None:
    with pytest.raises(InputError, match=r"rows cannot be examined") as refused:
        read(tmp_path, GOOD + rows + "z,2020-01-01,0.5,0,\n")
    assert reason in str(refused.value)
    assert not any(value in str(refused.value) for value in ("1.01", "high", "yesterday", "soon"))


def test_every_reason_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, GOOD + "a,2020-01-01,3,0,\nb,2020-01-01,0.1,7,\nc,2020-01-01,0.1,0,\n")
    assert "2 of 3 rows" in str(refused.value)
    assert "score outside" in str(refused.value)
    assert "outcome neither" in str(refused.value)


def test_rows_that_cannot_be_examined_can_be_left_out_and_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GOOD + "a,2020-01-01,3,0,\nb,2020-01-01,0.1,1,2020-02-01\n")
    found = read_offered(tmp_path / "a.csv", leave_out=True)
    assert found.rows["subject_id"].to_list() == ["b"]
    assert found.counts == {"score outside 0 to 1": 1, "abstained": 0}


def test_without_times_a_patient_who_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="same patient twice: 2"):
        read(tmp_path, "id,risk,event\na,0.1,0\na,0.2,1\nb,0.2,1\n")


def test_percentages_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="divide them by 100"):
        read(tmp_path, "score,outcome\n12,0\n55,1\n3,0\n")


def test_an_empty_score_is_an_abstention_and_an_unknown_outcome_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient,score,outcome\na,,0\nb,NA,1\nc,0.2,1\nd,0.2,\n")
    found = read_offered(tmp_path / "a.csv")
    assert found.counts == {"outcome not known": 1, "abstained": 2}
    assert len(found.rows) == 3


@pytest.mark.parametrize("header", ["SCORE,Outcome", "probability,label", "Risk,event", "p,y"])
def test_columns_go_by_the_names_that_vendors_give(tmp_path: Path, header: str) -> None:
    found = read(tmp_path, f"{header}\n0.1,yes\n0.2,FALSE\n")
    assert found["score"].to_list() == [0.1, 0.2]
    assert found["label"].to_list() == [True, False]


@pytest.mark.parametrize(
    "time",
    ["2020-01-02T03:04:05", "2020-01-02 03:04:05.000", "2020-01-02T03:04:05Z", "2020-01-02T05:04:05+02:00"],
)
def test_times_are_read_as_vendors_write_them(tmp_path: Path, time: str) -> None:
    found = read(tmp_path, f"patient,time,score,outcome\na,{time},0.1,1\n")
    assert str(found["prediction_time"][0]) == "2020-01-02 03:04:05"


def test_a_file_in_which_columns_are_unclear_or_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="more than one column could be score"):
        read(tmp_path, "risk,probability,outcome\n0.1,0.1,1\n")
    with pytest.raises(SchemaError, match="missing columns: label"):
        read(tmp_path, "score\n0.1\n")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="cannot read"):
        read_offered(tmp_path / "empty.csv")


def test_several_models_may_be_columns(tmp_path: Path) -> None:
    found = read(tmp_path, "patient,outcome,score_a,score_B\nx,1,0.2,0.3\ny,0,0.1,\n")
    assert found.sort("model", "subject_id")["model"].to_list() == ["a", "a", "b", "b"]
    assert found.filter(pl.col("model") == "b").sort("subject_id")["score"].to_list()[0] == 0.3


def test_what_is_recorded_of_patients_makes_groups(tmp_path: Path) -> None:
    found = read(tmp_path, "score,outcome,Sex,age,group_notes\n.1,0,F,30,with\n.1,1,,70,without\n")
    assert found["group_sex"].to_list() == ["f", "unstated"]
    assert found["group_age"].to_list() == ["under_45", "65-79"]
    assert found["group_notes"].to_list() == ["with", "without"]


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    csv = GOOD + "a,2020-01-01T01:02:03,0.25,1,2020-02-01T00:00:00\nb,2020-01-01T00:00:00,0.5,0,\n"
    first = read(tmp_path, csv)
    pl.read_csv(tmp_path / "scores.csv", try_parse_dates=True).write_parquet(tmp_path / "scores.parquet")
    assert read_offered(tmp_path / "scores.parquet").rows.equals(first)
