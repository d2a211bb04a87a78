import hashlib
import random
import subprocess
import sys
import tarfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meds.schema import CodeMetadataSchema, DataSchema

from residency.contract.errors import InputError, LineageError, PluginError, SpecError
from residency.contract.identifiers import bucket_of
from residency.contract.lineage import open_made
from residency.contract.schema import EVENTS, check
from residency.records import Feed, ingest, runs, shards, spool

CANARY = "Wilhelmina Canary"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def refused(take: Any, source: str, *paths: Path, mapping: str = "", out: Path) -> InputError:
    """Ingest what must be refused, into a folder that then must not be there."""
    with pytest.raises(InputError) as caught:
        take(source, *paths, mapping=mapping, out=out.name)
    assert not out.exists()
    assert CANARY not in str(caught.value)
    return caught.value


def test_events_follow_the_contract(invented: Any, take: Any, tmp_path: Path) -> None:
    manifest = take("fhir", invented.ndjson(tmp_path / "x.ndjson", invented.ward(5)))
    events = invented.events(tmp_path / "out")
    for shard in manifest.shards:
        if shard.path.startswith("data/"):
            check(pq.read_table(tmp_path / "out" / shard.path), EVENTS)
    order = events.select("subject_id", "time", "available", "code")
    assert order.equals(order.sort("subject_id", "time", "available", "code", nulls_last=False))
    assert manifest.rows.read == manifest.rows.kept + sum(manifest.rows.dropped.values())
    assert open_made(tmp_path / "out", "ingest", verify=True) == manifest


def test_metadata_describe_codes_patients_and_the_data_set(invented: Any, take: Any, tmp_path: Path) -> None:
    take(
        "fhir",
        invented.ndjson(tmp_path / "x.ndjson", invented.ward(3)),
        mapping='time_zone = "Europe/Berlin"',
    )
    found = invented.codes(tmp_path / "out")
    assert found["LOINC/2160-0"]["description"] == "Creatinine"
    assert found["LOINC/2160-0"]["unit"] == "mg/dL"
    assert found["ICD10CM/E11.22"]["parent_codes"] == ["ICD10CM/E11.2"]
    assert found["ICD10CM/E11.2"]["parent_codes"] == ["ICD10CM/E11"]
    subjects = pl.read_parquet(tmp_path / "out/metadata/subjects.parquet")
    assert subjects["split_bucket"].to_list() == [bucket_of(one) for one in subjects["subject_id"]]
    body = msgspec.json.decode((tmp_path / "out/metadata/dataset.json").read_bytes())
    assert body["meds_version"].startswith("0.4")
    assert body["residency"]["time_zone"] == "Europe/Berlin"
    assert body["residency"]["deidentified"] is False


def test_meds_itself_accepts_the_tables(invented: Any, take: Any, tmp_path: Path) -> None:
    manifest = take("fhir", invented.ndjson(tmp_path / "x.ndjson", invented.ward(3)))
    path = next(shard.path for shard in manifest.shards if shard.path.startswith("data/"))
    DataSchema.validate(pq.read_table(tmp_path / "out" / path))
    CodeMetadataSchema.validate(pq.read_table(tmp_path / "out/metadata/codes.parquet"))


def test_one_unit_a_code_and_what_cannot_be_converted_is_kept_apart(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    results = [
        invented.creatinine(1, 1, 1.0),
        invented.creatinine(2, 1, 2.0),
        invented.creatinine(3, 1, 88.4, "umol/L"),
        invented.creatinine(4, 1, 5.0, "mm[Hg]"),
    ]
    manifest = take("fhir", invented.ndjson(tmp_path / "x.ndjson", [invented.patient(1), *results]))
    found = {row["source"]: row for row in invented.events(tmp_path / "out").to_dicts()}
    assert found["Observation/o3"]["numeric_value"] == pytest.approx(1.0, rel=1e-3)
    assert found["Observation/o3"]["unit"] == "mg/dL"
    assert found["Observation/o4"]["code"] == "LOINC/2160-0//unit=mm[Hg]"
    assert manifest.result == {"values_converted": 1, "values_of_other_unit_kept_apart": 1}
    assert invented.codes(tmp_path / "out")["LOINC/2160-0//unit=mm[Hg]"]["parent_codes"] == ["LOINC/2160-0"]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 20))
def test_neither_the_order_of_rows_nor_their_files_change_the_bytes(
    invented: Any, take: Any, tmp_path_factory: Any, seed: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    resources = invented.ward(4, 4)
    usual = invented.ndjson(folder / "usual/x.ndjson", resources)
    random.Random(seed).shuffle(resources)
    invented.ndjson(folder / "other/a.ndjson", resources[:cut])
    invented.ndjson(folder / "other/b.ndjson.gz", resources[cut:])
    one = ingest(folder / "one", [Feed("fhir", [usual])], now=NOW)
    other = ingest(folder / "two", [Feed("fhir", [folder / "other"])], now=NOW)
    assert invented.digests(one) == invented.digests(other)


def test_small_chunks_runs_and_shards_hold_the_same_events(
    invented: Any, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        invented.bundle(tmp_path / f"in/{number}.json", invented.ward(6, 9)[number * 12 : (number + 1) * 12])
    take("fhir", tmp_path / "in", out="usual")
    monkeypatch.setattr("residency.records.documents.CHUNK_FILES", 2)
    monkeypatch.setattr(spool, "RUN_EVENTS", 5)
    monkeypatch.setattr(spool, "BATCH_ROWS", 4)
    monkeypatch.setattr(runs, "BATCH_ROWS", 4)
    monkeypatch.setattr(shards, "SHARD_EVENTS", 20)
    manifest = take("fhir", tmp_path / "in", out="small")
    assert len(list((tmp_path / "small/data").iterdir())) > 2
    whole, small = (invented.events(tmp_path / name).sort(pl.all()) for name in ("usual", "small"))
    assert whole.equals(small)
    per_shard = [pl.read_parquet(path)["subject_id"].unique() for path in (tmp_path / "small/data").iterdir()]
    assert sum(len(one) for one in per_shard) == len(set().union(*per_shard))
    assert manifest.rows == open_made(tmp_path / "usual").rows


def test_a_second_run_does_nothing_and_another_input_is_refused(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    path = invented.ndjson(tmp_path / "x.ndjson", invented.ward(2))
    first = take("fhir", path)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")}
    assert take("fhir", path) == first
    invented.ndjson(path, invented.ward(3))
    with pytest.raises(LineageError):
        take("fhir", path)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*")} == before


_CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from residency.records import Feed, documents, ingest
documents.CHUNK_FILES = 1
ingest(Path(sys.argv[1]), [Feed("fhir", [Path(sys.argv[2])])], now=datetime(2026, 1, 1, tzinfo=UTC))
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_chunks", [0, 5, 11])
def test_a_kill_at_any_moment_leads_to_the_same_bytes(
    invented: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_chunks: int
) -> None:
    for number in range(12):
        ward = invented.ward(number + 1, 3)[number * 6 :]
        invented.ndjson(tmp_path / f"in/{number:02}.ndjson.gz", ward)
    monkeypatch.setattr("residency.records.documents.CHUNK_FILES", 1)
    usual = ingest(tmp_path / "usual", [Feed("fhir", [tmp_path / "in"])], now=NOW)
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", _CHILD, str(out), str(tmp_path / "in")]) as child:
        while child.poll() is None and not (out / ".work/spool" / f"{n_chunks:06}").is_dir():
            time.sleep(0.0005)
        child.kill()
    again = ingest(out, [Feed("fhir", [tmp_path / "in"])], now=NOW)
    assert invented.digests(again) == invented.digests(usual)
    assert again.digest == usual.digest
    assert not (out / ".work").exists()


def test_a_chunk_that_is_there_is_not_read_again(invented: Any, take: Any, tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("read again")
        yield

    folder = tmp_path / "spool/000000"
    folder.mkdir(parents=True)
    spool.spool_chunk(folder, never())
    assert list(folder.iterdir()) == []


# what is wrong with a file


def test_a_gzip_that_is_cut_short_is_refused(invented: Any, take: Any, tmp_path: Path) -> None:
    path = invented.ndjson(tmp_path / "in/Observation.000.ndjson.gz", invented.ward(50))
    path.write_bytes(path.read_bytes()[:-30])
    error = refused(take, "fhir", tmp_path / "in", out=tmp_path / "out")
    assert "cut short" in str(error)
    assert "Observation.000.ndjson.gz" in str(error)


def test_a_line_that_is_cut_short_is_refused_with_its_row(invented: Any, take: Any, tmp_path: Path) -> None:
    path = invented.ndjson(tmp_path / "x.ndjson", [*invented.ward(1), invented.patient(7, name=CANARY)])
    path.write_bytes(path.read_bytes()[:-10])
    error = refused(take, "fhir", path, out=tmp_path / "out")
    assert f"row {len(invented.ward(1)) + 1}" in error.where


def test_a_bundle_that_is_cut_short_is_refused(invented: Any, take: Any, tmp_path: Path) -> None:
    path = invented.bundle(tmp_path / "x.json", [*invented.ward(1), invented.patient(7, name=CANARY)])
    path.write_bytes(path.read_bytes()[:-10])
    assert "cut short" in str(refused(take, "fhir", path, out=tmp_path / "out"))


def test_what_is_named_gz_and_is_none_is_refused(take: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson.gz"
    path.write_text(CANARY)
    assert "not gzip" in str(refused(take, "fhir", path, out=tmp_path / "out"))


@pytest.mark.parametrize(
    "body", [b'{"name": "Wilhelmina Canary"}', b"[1]", b"\x89PNG\r\n", b'"Wilhelmina Canary"', b"{}"]
)
def test_json_that_is_no_fhir_is_refused(take: Any, tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(body)
    refused(take, "fhir", path, out=tmp_path / "out")


def test_an_empty_file_an_empty_folder_and_no_such_path_are_refused(take: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.json").write_text("")
    for path in (tmp_path / "empty", tmp_path / "x.json", tmp_path / "absent"):
        assert str(path) in str(refused(take, "fhir", path, out=tmp_path / "out"))
    (tmp_path / "x.ndjson").write_text("")  # of lines there may be none, but not in all there is
    assert "nothing to keep" in str(refused(take, "fhir", tmp_path / "x.ndjson", out=tmp_path / "out"))


def test_a_patient_who_is_described_twice_is_refused_with_both_places(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    resources = [invented.patient(1), invented.patient(2), invented.patient(1)]
    error = refused(take, "fhir", invented.ndjson(tmp_path / "x.ndjson", resources), out=tmp_path / "out")
    assert "described twice" in str(error)
    assert "row 1" in error.where
    assert "row 3" in error.where


def test_a_date_that_is_none_is_refused_when_there_are_many(invented: Any, take: Any, tmp_path: Path) -> None:
    wrong = invented.creatinine(1, 1, effectiveDateTime=CANARY)
    error = refused(
        take,
        "fhir",
        invented.ndjson(tmp_path / "x.ndjson", [invented.patient(1), wrong]),
        out=tmp_path / "out",
    )
    assert "row 2" in error.where
    assert "date" in error.where


def test_a_few_dates_that_are_none_are_counted_and_left_out(invented: Any, take: Any, tmp_path: Path) -> None:
    wrong = invented.creatinine(99, 1, effectiveDateTime=CANARY)
    resources = [*invented.ward(40), wrong]
    manifest = take("fhir", invented.ndjson(tmp_path / "x.ndjson", resources))
    assert manifest.rows.dropped == {"Observation: a date that is none": 1}
    assert manifest.rows.read == len(resources)


def test_a_malformed_resource_is_counted_and_the_others_are_read(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    wrong = {**invented.creatinine(99, 1), "valueQuantity": CANARY}
    path = invented.ndjson(tmp_path / "x.ndjson", [wrong, *invented.ward(40)])
    manifest = take("fhir", path, mapping="max_bad_share = 0.1")
    assert manifest.rows.dropped == {"Observation: malformed": 1}
    assert manifest.rows.kept == len(invented.ward(40))


def test_a_malformed_entry_does_not_spoil_its_bundle(invented: Any, take: Any, tmp_path: Path) -> None:
    wrong = {**invented.creatinine(99, 1), "valueQuantity": CANARY}
    path = invented.bundle(tmp_path / "x.json", [*invented.ward(2), wrong])
    manifest = take("fhir", path, mapping="max_bad_share = 0.1")
    assert manifest.rows.dropped == {"Observation: malformed": 1}


def test_a_file_in_a_folder_that_may_be_named_after_a_patient_is_not_named(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    path = tmp_path / "in" / f"{CANARY}.json"
    invented.bundle(path, invented.ward(1))
    body = path.read_bytes()[:-10]
    path.write_bytes(body)
    error = refused(take, "fhir", tmp_path / "in", out=tmp_path / "out")
    assert f"file 1 of {tmp_path / 'in'}" in error.where
    assert hashlib.sha256(body).hexdigest()[:12] in error.where


def test_what_was_good_before_stays_untouched_when_input_is_bad(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    path = invented.ndjson(tmp_path / "x.ndjson", invented.ward(2))
    good = take("fhir", path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises((InputError, LineageError)):
        take("fhir", path)
    assert open_made(tmp_path / "out", verify=True) == good


def test_after_the_file_is_mended_the_same_folder_can_be_made(
    invented: Any, take: Any, tmp_path: Path
) -> None:
    path = invented.ndjson(tmp_path / "x.ndjson", invented.ward(2))
    body = path.read_bytes()
    path.write_bytes(body[:-10])
    refused(take, "fhir", path, out=tmp_path / "out")
    path.write_bytes(body)
    assert take("fhir", path).rows.kept == len(invented.ward(2))


def test_a_folder_with_something_else_in_it_is_left_alone(invented: Any, take: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("dear")
    with pytest.raises(LineageError):
        take("fhir", invented.ndjson(tmp_path / "x.ndjson", invented.ward(1)))
    assert (tmp_path / "out/thesis.txt").read_text() == "dear"


@pytest.mark.parametrize(
    "mapping",
    [
        "sites = 3",
        "no_such_key = 1",
        'time_zone = "Mars/Crater"',
        'site = "a"\nsite_from = "folder"',
        "max_bad_share = 2",
    ],
)
def test_a_wrong_mapping_is_refused(invented: Any, take: Any, tmp_path: Path, mapping: str) -> None:
    with pytest.raises(SpecError):
        take("fhir", invented.ndjson(tmp_path / "x.ndjson", invented.ward(1)), mapping=mapping)
    assert not (tmp_path / "out").exists()


def test_an_unknown_source_is_refused_with_the_ones_there_are(take: Any, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="fhir, meds, table"):
        take("fax", tmp_path)


def test_archives_are_read_as_they_are(invented: Any, take: Any, tmp_path: Path) -> None:
    for site in ("north", "south"):
        invented.ndjson(tmp_path / "in" / site / "a.ndjson.gz", invented.ward(2))
    mapping = 'site_from = "folder"'
    usual = take("fhir", tmp_path / "in", mapping=mapping, out="usual")
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "in", ".")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for path in sorted((tmp_path / "in").rglob("*.gz")):
            packed.write(path, path.relative_to(tmp_path / "in"))
    for name in ("x.tar.xz", "x.zip"):
        found = take("fhir", tmp_path / name, mapping=mapping, out=f"of {name}")
        assert invented.digests(found) == invented.digests(usual)
    body = (tmp_path / "x.tar.xz").read_bytes()
    (tmp_path / "x.tar.xz").write_bytes(body[: len(body) // 2])
    assert "archive" in str(
        refused(take, "fhir", tmp_path / "x.tar.xz", mapping=mapping, out=tmp_path / "out")
    )


def test_what_would_not_fit_in_memory_is_refused(
    invented: Any, take: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("residency.records.documents.LARGEST", 1000)
    monkeypatch.setattr("residency.records.fhir_files.LARGEST", 1000)
    monkeypatch.setattr("residency.records.documents.BLOCK", 500)
    path = invented.bundle(tmp_path / "x.json", invented.ward(2))
    assert "use NDJSON" in str(refused(take, "fhir", path, out=tmp_path / "out"))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(path, "x.json")
    assert "unpack" in str(refused(take, "fhir", tmp_path / "x.tar", out=tmp_path / "out"))
