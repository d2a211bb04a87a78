"""Public data sets, read where they lie, against counts made in another way."""

import gzip
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared/data"
EXAMPLES = ROOT / "examples"


def at(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


def mapping(name: str) -> str:
    return (EXAMPLES / name / "mapping.toml").read_text()


@pytest.mark.slow
def test_synthea_has_as_many_events_as_its_json_says(invented: Any, take: Any, tmp_path: Path) -> None:
    archive = at("synthea_fhir_r4.tar")
    expected: Counter[str] = Counter()
    with tarfile.open(archive) as members:
        for member in members:
            handle = members.extractfile(member) if member.name.endswith(".json.gz") else None
            if handle is None:
                continue
            for entry in json.loads(gzip.decompress(handle.read()))["entry"]:
                kind = entry["resource"]["resourceType"]
                expected[kind] += 1
                expected["parts"] += len(entry["resource"].get("component", ()))
    manifest = take("fhir", archive, mapping=mapping("synthea"))
    events = invented.events(tmp_path / "out")
    kind = events["source"].str.split("/").list.first()
    found = Counter(events.group_by(kind.alias("kind")).agg(pl.col("source").n_unique()).rows_by_key("kind"))
    by_kind = dict(events.group_by(kind.alias("kind")).agg(pl.col("source").n_unique()).rows())
    coded = ("Observation", "Condition", "Procedure", "MedicationRequest", "Encounter", "Patient")
    reported = ("AllergyIntolerance", "DiagnosticReport", "ImagingStudy")
    for name in (*coded, *reported):
        assert by_kind[name] == expected[name], name
    assert len(found) == len(coded) + len(reported)
    assert expected["Patient"] == events["subject_id"].n_unique() == 300
    assert manifest.rows.read == sum(expected.values()) - expected["parts"]
    parts = events.filter(pl.col("code").str.contains("LOINC/(8480-6|8462-4)"))
    assert parts.height == 2 * 2701
    assert events.filter(pl.col("code").str.starts_with("VISIT/")).height == expected["Encounter"]
    assert events.filter(pl.col("time").is_null())["code"].str.starts_with("DEMOGRAPHIC/").all()


@pytest.mark.slow
def test_the_mimic_demo_keeps_every_row(invented: Any, take: Any, tmp_path: Path) -> None:
    path = at("mimic_iv_demo_meds_events.parquet")
    source = pl.read_parquet(path)
    manifest = take("table", path, mapping=mapping("mimic_demo"))
    events = invented.events(tmp_path / "out")
    assert manifest.rows.read == manifest.rows.kept == source.height == events.height == 916_166
    assert events["subject_id"].n_unique() == 100
    timed = events.filter(pl.col("time").is_not_null())
    assert timed["code"].n_unique() == source.filter(pl.col("time").is_not_null())["code"].n_unique()
    assert events["numeric_value"].drop_nulls().sum() == pytest.approx(
        source["value"].cast(pl.Float64).sum(), rel=1e-6
    )


@pytest.mark.slow
def test_both_sepsis_hospitals_keep_every_cell_of_a_sample(invented: Any, take: Any, tmp_path: Path) -> None:
    header, cells, septic, rows = "", 0, 0, 0
    for name, hospital in (("a", "training_setA"), ("b", "training_setB")):
        with tarfile.open(at(f"cinc2019_hospital_{name}.tar.xz"), "r|xz") as members:
            taken = 0
            for member in members:
                handle = members.extractfile(member) if member.name.endswith(".psv") else None
                if handle is None:
                    continue
                body = handle.read().decode()
                folder = tmp_path / "in" / hospital
                folder.mkdir(parents=True, exist_ok=True)
                (folder / Path(member.name).name).write_text(body)
                header, *lines = body.splitlines()
                cells += sum(cell != "NaN" for line in lines for cell in line.split("|")[:34])
                septic += sum(line.endswith("|1") for line in lines)
                rows += len(lines)
                taken += 1
                if taken == 200:
                    break
    manifest = take("table", tmp_path / "in", mapping=mapping("cinc2019"))
    events = invented.events(tmp_path / "out")
    assert header.count("|") == 40
    assert events.filter(pl.col("unit").is_not_null() & pl.col("time").is_not_null()).height == cells
    labels = pl.read_parquet(sorted((tmp_path / "out/labels/sepsis").glob("*.parquet")))
    assert (labels.height, labels["boolean_value"].sum()) == (rows, septic)
    assert manifest.rows.read == manifest.rows.kept == rows
    assert events.group_by("site").agg(pl.col("subject_id").n_unique()).sort("site").rows() == [
        ("A", 200),
        ("B", 200),
    ]
    assert events.filter(pl.col("code") == "MEDS_BIRTH").height == 400
