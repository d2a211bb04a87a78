from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from residency.contract.errors import InputError
from residency.contract.identifiers import pseudonym_of, reference_pseudonym, subject_id_of
from residency.deid import Policy, Tables, read_key, rekey, transform

NOW = datetime(2024, 1, 1, tzinfo=UTC)
WHEN = datetime.fromisoformat("2010-02-03T10:11:12")


@pytest.fixture
def truth(tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    states = {
        "source_id": ["p1", "p2", "p1"],
        "site": ["north"] * 3,
        "onset": [WHEN] * 3,
        "risk": [0.1, 0.2, 0.3],
    }
    pl.DataFrame(states).with_columns(day=pl.lit(date(2010, 2, 3))).write_parquet(folder / "states.parquet")
    pl.DataFrame({"disease": ["ckd"], "rate": [0.1]}).write_parquet(folder / "diseases.parquet")
    return folder


def test_the_truth_meets_its_patient_under_the_pseudonym(truth, policy, tmp_path, rows, patient) -> None:
    manifest = rekey(truth, tmp_path / "out", policy, now=NOW)
    key = read_key(policy)
    people = transform(Tables(rows(patient("p1"))), policy, key).people
    states = pl.read_parquet(tmp_path / "out/states.parquet")
    mine = states.filter(pl.col("subject_id") == pseudonym_of(key, subject_id_of("p1", "north")))
    assert mine["risk"].sort().to_list() == [0.1, 0.3]
    assert ((mine["onset"] - WHEN).dt.total_microseconds() == people["shift"][0]).all()
    assert ((mine["day"] - date(2010, 2, 3)).dt.total_microseconds() == people["shift"][0]).all()
    assert "source_id" not in states.columns
    assert manifest.rows.kept == 4


def test_a_table_without_patients_is_copied(truth, policy, tmp_path) -> None:
    rekey(truth, tmp_path / "out", policy, now=NOW)
    assert pl.read_parquet(tmp_path / "out/diseases.parquet").to_dicts() == [{"disease": "ckd", "rate": 0.1}]


def test_a_table_that_names_a_patient_by_half_is_refused(truth, policy, tmp_path) -> None:
    pl.DataFrame({"source_id": ["p1"]}).write_parquet(truth / "half.parquet")
    with pytest.raises(InputError, match="only one"):
        rekey(truth, tmp_path / "out", policy, now=NOW)


def test_a_folder_without_tables_is_refused(policy, tmp_path) -> None:
    (tmp_path / "truth").mkdir()
    with pytest.raises(InputError, match="no parquet files"):
        rekey(tmp_path / "truth", tmp_path / "out", policy, now=NOW)


def test_sources_spans_and_files_of_the_truth_name_nobody(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    pl.DataFrame(
        {
            "source_id": ["p1", "p1"],
            "site": ["north", "north"],
            "source": ["DocumentReference/p1-n0", "DocumentReference/p1-n0"],
            "what": ["identifier", "fact"],
            "start": [0, 9],
            "end": [5, 12],
            "concept": [None, "nausea"],
            "file": ["dicom/p1.dcm", None],
        }
    ).write_parquet(tmp_path / "truth" / "notes.parquet")
    (tmp_path / "truth" / "outcomes.json").write_text('{"stroke": {"codes": ["I63"]}}')
    rekey(tmp_path / "truth", tmp_path / "out", policy, now=NOW)
    table = pl.read_parquet(tmp_path / "out" / "notes.parquet")
    assert set(table.columns) == {"subject_id", "site", "source", "what", "concept"}
    assert table["concept"].to_list() == ["nausea"]
    hidden = reference_pseudonym(read_key(policy), "DocumentReference/p1-n0")
    assert table["source"].to_list() == [hidden]
    assert (tmp_path / "out" / "outcomes.json").read_text() == '{"stroke": {"codes": ["I63"]}}'


def test_a_file_beside_the_truth_that_names_a_patient_is_refused(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    pl.DataFrame({"source_id": ["p-00001"], "site": ["north"]}).write_parquet(
        tmp_path / "truth" / "a.parquet"
    )
    (tmp_path / "truth" / "who.json").write_text('{"first": "p-00001"}')
    with pytest.raises(InputError, match="names a patient"):
        rekey(tmp_path / "truth", tmp_path / "out", policy, now=NOW)
