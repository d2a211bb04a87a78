import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from residency.contract.errors import InputError, SpecError
from residency.contract.identifiers import subject_id_of, visit_id_of

at = datetime.fromisoformat
CANARY = "Wilhelmina Canary"
HOURLY = r"""
site_from = "folder"
sites = { ward_a = "A" }
observation = { rule = "rows" }

[[tables]]
files = "*.psv"
separator = "|"
null_values = ["NaN"]
subject = { file = '(p\d+)\.psv$' }
time = { offset = "Hour", unit = "h", anchor = "2001-01-01T00:00:00" }
visit = "{subject}"
source = "hour/{subject}-{Hour}"
birth = { age = "Age", at = { anchor = "2001-01-01T00:00:00" } }
measures = { HR = { code = "LOINC/8867-4", unit = "/min" }, Temp = { code = "LOINC/8310-5", unit = "Cel" } }
labels = { sepsis = { column = "Label" } }
events = [{ code = "DEMOGRAPHIC/SEX={Sex}", recode = { Sex = { 0 = "female", 1 = "male" } }, static = true }]
"""
HEADER = "HR|Temp|Age|Sex|Hour|Label"


def psv(folder: Path, number: int, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"p{number:06}.psv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def labels(out: Path, task: str) -> pl.DataFrame:
    return pl.read_parquet(sorted((out / "labels" / task).glob("*.parquet")))


def test_hourly_files_become_events_labels_and_observation(invented: Any, take: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in/ward_a"
    psv(folder, 1, "80|NaN|60.5|1|1|0", "NaN|37.5|60.5|1|2|0", "NaN|NaN|60.5|1|3|1")
    psv(folder, 2, "90|36|70|0|1|0")
    manifest = take("table", tmp_path / "in", mapping=HOURLY)
    events = invented.events(tmp_path / "out").filter(pl.col("subject_id") == subject_id_of("p000001", "A"))
    found = events.select("code", "time", "numeric_value", "unit", "source", "site").rows()
    assert set(found) == {
        ("DEMOGRAPHIC/SEX=male", None, None, None, "hour/p000001-1", "A"),
        ("MEDS_BIRTH", at("1940-07-02"), None, None, "hour/p000001-1", "A"),
        ("LOINC/8867-4", at("2001-01-01T01:00"), 80.0, "/min", "hour/p000001-1", "A"),
        ("LOINC/8310-5", at("2001-01-01T02:00"), 37.5, "Cel", "hour/p000001-2", "A"),
    }
    assert events.filter(pl.col("time").is_null())["visit_id"].to_list() == [visit_id_of("p000001", "A")]
    one = labels(tmp_path / "out", "sepsis").filter(pl.col("subject_id") == subject_id_of("p000001", "A"))
    assert one["boolean_value"].to_list() == [False, False, True]
    assert one["prediction_time"].to_list() == [at(f"2001-01-01T0{hour}:00") for hour in (1, 2, 3)]
    seen = pl.read_parquet(sorted((tmp_path / "out/observation").glob("*.parquet")))
    assert (at("2001-01-01T01:00"), at("2001-01-01T03:00")) in seen.select("start", "end").rows()
    assert (manifest.rows.read, manifest.rows.kept) == (4, 4)


def test_a_label_column_never_becomes_an_event(invented: Any, take: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in/ward_a"
    psv(folder, 1, "80|37|60|1|1|0", "80|37|60|1|2|1")
    one = take("table", tmp_path / "in", mapping=HOURLY, out="one")
    psv(folder, 1, "80|37|60|1|1|1", "80|37|60|1|2|0")
    other = take("table", tmp_path / "in", mapping=HOURLY, out="other")
    tables = [[s for s in invented.digests(m) if s[0].startswith("data/")] for m in (one, other)]
    assert tables[0] == tables[1]
    assert invented.digests(one) != invented.digests(other)


LONG = r"""
site = "north"
units = { "LAB/K" = "mmol/L" }
[[tables]]
files = "labs.csv*"
subject = { column = "patient" }
time = { column = "taken", format = "%d.%m.%Y %H:%M" }
available = { column = "reported", format = "%d.%m.%Y %H:%M" }
[[tables.events]]
code = "LAB/{item}"
value = "result"
text = "remark"
unit = "{unit}"
description = "{name}"
parents = ["PANEL/{name}"]

[[tables]]
files = "*.parquet"
subject = { column = "patient" }
observed = false
[[tables.events]]
code = "VISIT/IMP"
time = { column = "admitted" }
[[tables.events]]
code = "VISIT_END/IMP"
time = { column = "left" }
"""


def test_long_tables_take_codes_values_and_units_from_columns(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    (tmp_path / "labs.csv").write_text(
        "patient,taken,reported,item,name,result,unit,remark\n"
        '7,01.02.2020 08:00,01.02.2020 09:30,K,Potassium,4.1,mmol/L,"fasting, early"\n'
        "7,02.02.2020 08:00,,K,Potassium,4100,umol/L,\n"
        "7,03.02.2020 08:00,,,Potassium,4.3,mmol/L,\n"
    )
    stays = pl.DataFrame(
        {"patient": [7], "admitted": [at("2020-02-01")], "left": [None]},
        schema_overrides={"left": pl.Datetime},
    )
    stays.write_parquet(tmp_path / "stays.parquet")
    manifest = take("table", tmp_path / "labs.csv", tmp_path / "stays.parquet", mapping=LONG)
    found = invented.events(tmp_path / "out").sort("time", "code")
    assert found.select("code", "numeric_value", "unit", "text_value").rows() == [
        ("VISIT/IMP", None, None, None),
        ("LAB/K", pytest.approx(4.1), "mmol/L", "fasting, early"),
        ("LAB/K", pytest.approx(4.1), "mmol/L", None),
    ]
    assert found["available"].to_list()[1:] == [at("2020-02-01T09:30"), at("2020-02-02T08:00")]
    assert manifest.rows.dropped == {"nothing in the row that the mapping reads": 1}
    assert manifest.rows.read == 4
    said = invented.codes(tmp_path / "out")["LAB/K"]
    assert (said["description"], said["parent_codes"]) == ("Potassium", ["PANEL/Potassium"])


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_large_file_is_streamed_to_the_same_rows(
    invented: Any, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    lines = ["patient,taken,reported,item,name,result,unit,remark"]
    lines += [f"{i % 9},0{i % 9 + 1}.02.2020 08:00,,K,Potassium,{i},mmol/L," for i in range(500)]
    body = ("\n".join(lines) + "\n").encode()
    path = tmp_path / f"labs.{suffix}"
    path.write_bytes(gzip.compress(body) if suffix.endswith("gz") else body)
    usual = take("table", path, mapping=LONG, out="usual")
    monkeypatch.setattr("residency.records.table_files.SMALL", 0)
    monkeypatch.setattr("residency.records.table_files._BLOCK", 1000)
    streamed = take("table", path, mapping=LONG, out="streamed")
    assert invented.digests(usual) == invented.digests(streamed)


def test_columns_may_be_called_as_ours_are(invented: Any, take: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "subject_id": [1, 1],
            "time": [None, at("2020-01-01")],
            "code": ["SEX//F", "K"],
            "source": ["a", "b"],
            "site": ["x", "y"],
            "visit_id": [1, 2],
            "available": [0, 0],
            "subject": ["s", "t"],
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    mapping = """
[[tables]]
files = "*.parquet"
subject = { column = "subject_id" }
source = "row/{source}"
[[tables.events]]
code = "DEMOGRAPHIC/SEX={code}"
recode = { code = { "SEX//F" = "female" } }
static = true
[[tables.events]]
code = "{code}"
time = { column = "time" }
"""
    take("table", tmp_path / "x.parquet", mapping=mapping)
    found = invented.events(tmp_path / "out").select("code", "time", "source").rows()
    assert found == [("DEMOGRAPHIC/SEX=female", None, "row/a"), ("K", at("2020-01-01"), "row/b")]


@pytest.mark.parametrize("unit", ["s", "min", "h", "d"])
def test_offsets_from_an_anchor_column_are_times(invented: Any, take: Any, tmp_path: Path, unit: str) -> None:
    (tmp_path / "x.csv").write_text("p,admitted,after,v\n1,2020-01-01,2.5,3\n")
    mapping = f"""
[[tables]]
files = "x.csv"
subject = {{ column = "p" }}
time = {{ offset = "after", unit = "{unit}", anchor_column = "admitted", delay_hours = 0 }}
measures = {{ v = {{ code = "LOCAL/v" }} }}
"""
    take("table", tmp_path / "x.csv", mapping=mapping)
    seconds = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit] * 2.5
    found = invented.events(tmp_path / "out")["time"].to_list()[0]
    assert (found - at("2020-01-01")).total_seconds() == seconds


# what is wrong with a table


def refused(take: Any, *paths: Path, mapping: str = HOURLY, out: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        take("table", *paths, mapping=mapping, out=out.name)
    assert not out.exists()
    assert CANARY not in str(caught.value)
    return caught.value


def test_a_missing_column_is_refused_by_name(take: Any, tmp_path: Path) -> None:
    (tmp_path / "in/ward_a").mkdir(parents=True)
    (tmp_path / "in/ward_a/p1.psv").write_text("HR|Temp|Age|Hour|Label\n1|2|3|4|0\n")
    assert "columns are missing: Sex" in str(refused(take, tmp_path / "in", out=tmp_path / "out"))


def test_a_row_that_is_cut_short_is_refused_with_its_number(take: Any, tmp_path: Path) -> None:
    psv(tmp_path / "in/ward_a", 1, "80|37|60|1|1|0")
    psv(tmp_path / "in/ward_a", 2, "80|37|60|1|1|0", "81|37|60")
    error = refused(take, tmp_path / "in", out=tmp_path / "out")
    assert "file 2 of" in error.where
    assert "row 2" in error.where
    assert "p000002" not in str(error)


@pytest.mark.parametrize(
    ("row", "column"),
    [(f"{CANARY}|37|60|1|1|0", "HR"), (f"80|37|60|1|{CANARY}|0", "Hour"), (f"80|37|{CANARY}|1|1|0", "Age"),
     (f"80|37|60|1|1|{CANARY}", "Label"), ("80|37|900|1|1|0", "Age")],
)  # fmt: skip
def test_a_cell_that_cannot_be_is_refused_with_row_and_column(
    take: Any, tmp_path: Path, row: str, column: str
) -> None:
    psv(tmp_path / "in/ward_a", 1, "80|37|60|1|1|0", row)
    error = refused(take, tmp_path / "in", out=tmp_path / "out")
    assert "row 2" in error.where
    assert column in error.where


def test_a_few_cells_that_cannot_be_are_counted_with_their_rows(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    good = [f"80|37|60|1|{hour}|0" for hour in range(1, 200)]
    psv(tmp_path / "in/ward_a", 1, *good, f"{CANARY}|{CANARY}|60|1|200|1")
    manifest = take("table", tmp_path / "in", mapping=HOURLY)
    assert manifest.rows.dropped == {"column HR: not a number": 1}
    assert (manifest.rows.read, manifest.rows.kept) == (200, 199)
    assert labels(tmp_path / "out", "sepsis").height == 199


@pytest.mark.parametrize("body", [b"\x89PNG\r\n\x1a\n\x00\x00", b"", b"\xff\xfe\x00H\x00R"])
def test_what_is_no_table_is_refused(take: Any, tmp_path: Path, body: bytes) -> None:
    (tmp_path / "p1.psv").write_bytes(body)
    refused(take, tmp_path / "p1.psv", out=tmp_path / "out")


def test_a_parquet_file_that_is_cut_short_is_refused(take: Any, tmp_path: Path) -> None:
    path = tmp_path / "stays.parquet"
    pl.DataFrame({"patient": [7], "admitted": [at("2020-02-01")], "left": [at("2020-02-02")]}).write_parquet(
        path
    )
    path.write_bytes(path.read_bytes()[:-20])
    assert "Parquet" in str(refused(take, path, mapping=LONG, out=tmp_path / "out"))


def test_a_file_name_that_tells_no_patient_is_refused_and_not_shown(take: Any, tmp_path: Path) -> None:
    (tmp_path / "in/ward_a").mkdir(parents=True)
    (tmp_path / f"in/ward_a/{CANARY}.psv").write_text(f"{HEADER}\n80|37|60|1|1|0\n")
    assert "does not tell a patient" in str(refused(take, tmp_path / "in", out=tmp_path / "out"))


def test_a_file_that_no_table_reads_is_refused(take: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    assert "no table of the mapping" in str(refused(take, tmp_path / "x.csv", out=tmp_path / "out"))


@pytest.mark.parametrize(
    "mapping",
    [
        "",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p', file = 'x' }",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\nmeasures = { v = { code = 'LOCAL/v' } }",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\ntime = { offset = 'h' }",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\ncolour = 'red'",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\nseparator = '||'",
        "[[tables]]\nfiles = '*.csv'\nsubject = { file = '([a-z' }",
        "[[tables]]\nfiles = '*.csv'\nsubject = { file = '[a-z]' }",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\ntime = { anchor = 'soon' }",
        "[[tables]]\nfiles = '*.csv'\nsubject = { column = 'p' }\nevents = [{ code = 'A/{', static = true }]",
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(take: Any, tmp_path: Path, mapping: str) -> None:
    (tmp_path / "x.csv").write_text("p,v,h\n1,2,3\n")
    with pytest.raises(SpecError):
        take("table", tmp_path / "x.csv", mapping=mapping)
    assert not (tmp_path / "out").exists()
