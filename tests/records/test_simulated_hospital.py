"""What the simulated hospital wrote comes in as its truth says."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from residency import simulation
from residency.contract.identifiers import subject_id_of
from residency.records import Feed, ingest

_CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from residency.records import Feed, documents, ingest
documents.CHUNK_FILES = 40
hospital, out, mapping = map(Path, sys.argv[1:])
feeds = [Feed("fhir", [hospital / "fhir"], mapping)]
feeds += [Feed(name, [hospital / name]) for name in ("dicom", "vcf")]
ingest(out, feeds, now=datetime(2026, 1, 1, tzinfo=UTC))
"""


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    spec = simulation.HospitalSpec(n_patients=20, seed=5)
    simulation.simulate(folder / "hospital", spec, now=datetime(2026, 1, 1, tzinfo=UTC))
    (folder / "mapping.toml").write_text('site_from = "folder"\n')
    return folder / "hospital"


@pytest.fixture
def feeds(hospital: Path) -> list[Feed]:
    mapping = hospital.parent / "mapping.toml"
    return [Feed("fhir", [hospital / "fhir"], mapping), *(Feed(n, [hospital / n]) for n in ("dicom", "vcf"))]


def table(out: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(sorted((out / name).glob("*.parquet")))


def told(hospital: Path, name: str) -> pl.DataFrame:
    frame = pl.read_parquet(hospital / "truth" / f"{name}.parquet")
    ids = [subject_id_of(one, site) for one, site in frame.select("source_id", "site").iter_rows()]
    return frame.with_columns(subject_id=pl.Series(ids, dtype=pl.Int64))


def test_notes_images_and_genomes_are_the_truths(
    hospital: Path, feeds: Any, tmp_path: Path, now: Any
) -> None:
    manifest = ingest(tmp_path / "out", feeds, now=now)
    notes, images, variants = (table(tmp_path / "out", name) for name in ("notes", "images", "variants"))
    truth = told(hospital, "notes").select("subject_id", "source").unique()
    written = notes.filter(pl.col("source").str.starts_with("DocumentReference/"))
    assert truth.join(written, on=["subject_id", "source"], how="anti").is_empty()
    filmed = told(hospital, "images")
    sound = filmed.filter(pl.col("fault") == "")
    assert len(sound) > 5
    joined = sound.join(images, on=["subject_id", "source", "time", "modality"], how="anti")
    assert joined.is_empty()
    wrong = manifest.rows.dropped
    assert (
        wrong.get("image: of another patient than its study", 0) == (filmed["fault"] == "other_patient").sum()
    )
    sequenced = set(told(hospital, "genomes").filter("sequenced")["subject_id"])
    assert set(variants.filter(pl.col("source").str.starts_with("Genome/"))["subject_id"]) == sequenced
    assert variants["available"].null_count() == 0


@pytest.mark.slow
def test_a_kill_at_any_moment_of_three_feeds_leads_to_the_same_bytes(
    hospital: Path, feeds: Any, tmp_path: Path, now: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("residency.records.documents.CHUNK_FILES", 40)
    usual = ingest(tmp_path / "usual", feeds, now=now)
    out, arguments = tmp_path / "out", (hospital, tmp_path / "out", hospital.parent / "mapping.toml")
    for reached in (".work/spool/000001", "images/pixels", "notes", "metadata"):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, *map(str, arguments)], env=os.environ)
        while child.poll() is None and not (out / reached).exists():
            time.sleep(0.0005)
        child.kill()
        child.wait()
    again = ingest(out, feeds, now=now)
    assert [(one.path, one.digest) for one in again.shards] == [
        (one.path, one.digest) for one in usual.shards
    ]
    assert again.digest == usual.digest
    assert not (out / ".work").exists()
