"""What somebody forgot to hide is put into a folder by hand; the scan is to find it."""

from pathlib import Path

import polars as pl
import pytest

from residency.deid.known import known_of
from residency.deid.leaks import everyone
from residency.deid.scanning import scan

WHO = [("name", "Philippa Ravenscroft"), ("number", "MRN4711471"), ("email", "p.raven@home.org")]
KNOWN = frozenset(value.lower() for _, value in WHO)
EVERYONE = everyone({1: known_of(WHO)})
CLEAN = {
    "subject_id": [7, 8],
    "source": ["Observation/227a79918b4aa9bda8ac", "Record/4711471aaaaaaaaaaaaa"],
    "code": ["LOINC/2160-0", "SNOMED/4711471"],
    "text_value": [None, "mild to moderate"],
}


def folder(tmp_path: Path, **more: list[str]) -> Path:
    (tmp_path / "data").mkdir()
    pl.DataFrame(CLEAN | more).write_parquet(tmp_path / "data" / "00000.parquet")
    return tmp_path


def test_pseudonyms_and_public_codes_are_no_hits_and_every_byte_is_counted(tmp_path) -> None:
    found = scan(folder(tmp_path), KNOWN, EVERYONE)
    assert found.report()["hits"] == 0
    texts = [one for name in ("source", "code", "text_value") for one in CLEAN[name] if one]
    bounds = [one for name in ("source", "code") for one in CLEAN[name]] + 2 * [CLEAN["text_value"][1]]
    assert found.n_bytes == len("".join([*texts, *bounds, "data/00000.parquet"]))


@pytest.mark.parametrize(
    "value",
    ["PHILIPPA RAVENSCROFT", "ask Philippa  Ravenscroft first", "MRN4711471", "471-1471", "P.Raven@home.org"],
)
@pytest.mark.parametrize("column", ["source", "text_value", "unit"])
def test_an_identifier_in_any_column_is_a_hit_there(tmp_path, column: str, value: str) -> None:
    found = scan(folder(tmp_path, **{column: ["x", value]}), KNOWN, EVERYONE).hits
    assert found[f"data: {column}"] == 1


def test_paths_descriptions_and_other_files_are_read_too_and_notes_are_counted(tmp_path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "dataset.json").write_text('{"made": "for Philippa Ravenscroft"}')
    codes = {"description": ["of MRN4711471"], "parent_codes": [["LOINC/1"]]}
    pl.DataFrame(codes).write_parquet(tmp_path / "metadata" / "codes.parquet")
    (tmp_path / "notes").mkdir()
    pl.DataFrame({"text": ["abc"]}).write_parquet(tmp_path / "notes" / "MRN4711471.parquet")
    found = scan(tmp_path, KNOWN, EVERYONE)
    assert found.hits["metadata/dataset.json"] == found.hits["metadata: description"] == 1
    assert found.hits["paths"] == 1
    assert found.n_note_bytes == 9  # the text, and twice in the footer
