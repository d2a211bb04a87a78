import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from residency.contract import schema
from residency.contract.digests import digest_of_voxels
from residency.contract.identifiers import bucket_of, pseudonym_of, subject_id_of
from residency.contract.lineage import Rows, Step
from residency.contract.processes import spread
from residency.deid import NotesRules, Tables, attachments, deidentify, notes, plan, read_key, transform
from residency.deid.pixels import Stored, as_row

NOW = datetime(2024, 1, 1, tzinfo=UTC)
N = 14


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def common(number: int, source: str) -> dict:
    return {
        "subject_id": subject_id_of(f"p{number}", "north"),
        "time": at("2010-02-03T10:00:00"),
        "available": at("2010-02-03T12:00:00"),
        "visit_id": 5 + number,
        "site": "north",
        "era": None,
        "source": source,
    }


def note_rows() -> list[dict]:
    text = (
        "Ms. Ravenscroft{n}a Philippa of 12 Larkspur Lane, MRN 7712{n:04d}, seen 02/03/2010. Phillippa: COPD."
    )
    return [
        common(n, f"DocumentReference/note-{n}") | {"kind": "LOINC/18842-5", "text": text.format(n=n)}
        for n in range(N)
    ]


def voxels(n: int) -> np.ndarray:
    return np.full((1, 32, 32), n, np.uint8)


def image_rows() -> list[dict]:
    return [
        common(n, f"ImagingStudy/1.2.840.{n}")
        | {
            "modality": ("CR", "CT")[n % 2],
            "body_site": ("chest", "HEAD")[n % 2],
            "pixels": digest_of_voxels(voxels(n)),
        }
        | {"spacing_mm": [1.0, 0.5, 0.5], "orientation": [], "window_center": 40.0, "window_width": 400.0}
        for n in range(N)
    ]


def variant_rows() -> list[dict]:
    kinds = [("CYP2C19", "rs4244285", 94781859), ("BRCA1", "rs80357906", 43057062), ("TPMT", None, 18130687)]
    return [
        common(n, f"Genome/g-{n}")
        | {"assembly": "GRCh38", "chromosome": "chr1", "position": place, "reference": "A", "alternate": "G"}
        | {"genotype": "0/1", "gene": gene, "name": name}
        for n in range(N)
        for gene, name, place in kinds
        if gene != "TPMT" or n < 3
    ]


def identifier_rows() -> list[dict]:
    return [
        {"subject_id": subject_id_of(f"p{n}", "north"), "kind": kind, "value": value}
        for n in range(N)
        for kind, value in (
            ("name", f"Philippa Ravenscroft{n}a"),
            ("address", "12 Larkspur Lane, Cambridge, MA 02139"),
            ("number", f"MRN7712{n:04d}"),
            ("date_of_birth", "1950-03-04"),
        )
    ]


@pytest.fixture
def hospital(tmp_path, patient, rows) -> Path:
    """A finished identified folder with notes, images, genomes and identifiers."""
    out = tmp_path / "records"

    def write(table: pa.Table):
        return lambda path: pq.write_table(table, path) or len(table)

    def table(found: list[dict], kind: pa.Schema) -> pa.Table:
        return pa.Table.from_pylist(found, schema=kind)

    ids = sorted(subject_id_of(f"p{n}", "north") for n in range(N))
    subjects = [{"subject_id": one, "site": "north", "split_bucket": bucket_of(one)} for one in ids]
    with Step(out, name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
        for part in (range(5), range(5, N)):
            events = [row for n in part for row in patient(f"p{n}")]
            step.shard(f"{part[0]:04d}", "data", suffix=".parquet", make=write(rows(events)))
        step.shard("0", "notes", suffix=".parquet", make=write(table(note_rows(), schema.NOTES)))
        step.shard("0", "images", suffix=".parquet", make=write(table(image_rows(), schema.IMAGES)))
        store = pa.concat_tables([as_row(Stored(digest_of_voxels(voxels(n)), voxels(n))) for n in range(N)])
        step.shard("0", "images/pixels", suffix=".parquet", make=write(store))
        step.shard("0", "variants", suffix=".parquet", make=write(table(variant_rows(), schema.VARIANTS)))
        step.file(schema.IDENTIFIERS_FILE, make=write(table(identifier_rows(), schema.IDENTIFIERS)))
        step.file(schema.SUBJECTS_FILE, make=write(table(subjects, schema.SUBJECTS)))
        step.file(schema.CODES_FILE, make=write(schema.CODES.empty_table()))
        body = json.dumps({"residency": {"time_zone": "UTC", "sites": ["north"]}})
        step.file(schema.DATASET_FILE, make=lambda path: path.write_text(body) and 0)
        step.finish(rows=Rows())
    return out


def read(out: Path, folder: str) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(path) for path in sorted((out / folder).glob("*.parquet")))


def test_notes_images_and_genomes_come_through_in_their_schemas(hospital, policy, tmp_path) -> None:
    manifest = deidentify(hospital, tmp_path / "out", policy, now=NOW)
    kinds = {"notes": schema.NOTES, "images": schema.IMAGES, "variants": schema.VARIANTS}
    for folder, kind in (*kinds.items(), ("images/pixels", schema.PIXELS)):
        for path in (tmp_path / "out" / folder).glob("*.parquet"):
            schema.check(pq.read_table(path), kind)
    assert len(read(tmp_path / "out", "notes")) == N
    assert manifest.rows.dropped["images: a face could be built"] == N // 2
    assert manifest.rows.dropped["variants: gene or position not allowed"] == N
    assert manifest.rows.dropped["variants: too few patients have it"] == 3


def test_every_image_names_an_array_that_is_there_and_no_other_is(hospital, policy, tmp_path) -> None:
    deidentify(hospital, tmp_path / "out", policy, now=NOW)
    named = set(read(tmp_path / "out", "images")["pixels"])
    stored = read(tmp_path / "out", "images/pixels")["pixels"].to_list()
    assert sorted(named) == stored
    assert len(named) == N // 2


def test_a_document_moves_with_its_patient(hospital, policy, tmp_path) -> None:
    deidentify(hospital, tmp_path / "out", policy, now=NOW)
    key = read_key(policy)
    pseudonym = pseudonym_of(key, subject_id_of("p4", "north"))
    lab = read(tmp_path / "out", "data").filter(subject_id=pseudonym, code="LOINC/2160-0")
    shift = lab["time"][0] - at("2010-02-03T10:11:12")
    for folder in ("notes", "images", "variants"):
        mine = read(tmp_path / "out", folder).filter(subject_id=pseudonym)
        assert mine["time"][0] - at("2010-02-03T10:00:00") == shift
    note = read(tmp_path / "out", "notes").filter(subject_id=pseudonym)["text"][0]
    assert f"{at('2010-02-03') + shift:%m/%d/%Y}" in note


def test_nothing_known_of_a_patient_is_in_any_file(hospital, policy, tmp_path) -> None:
    deidentify(hospital, tmp_path / "out", policy, now=NOW)
    words = [
        "Ravenscroft",
        "Philippa",
        "Phillippa",
        "Larkspur",
        "7712",
        "02/03/2010",
        "note-",
        "1.2.840",
        "Genome/g-",
    ]
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            body = path.read_bytes().decode("latin-1")
            assert not [word for word in words if word in body]
    for folder in ("notes", "images", "variants"):
        values = " ".join(str(one) for one in read(tmp_path / "out", folder).rows())
        assert not [word for word in words if word in values]
    assert not (tmp_path / "out" / schema.IDENTIFIERS_FILE).exists()


def test_the_request_and_the_batch_give_the_same_note(hospital, policy, tmp_path, patient, rows) -> None:
    deidentify(hospital, tmp_path / "out", policy, now=NOW)
    mine = [row for row in note_rows() if row["subject_id"] == subject_id_of("p3", "north")]
    who = [row for row in identifier_rows() if row["subject_id"] == subject_id_of("p3", "north")]
    alone = transform(
        Tables(rows(patient("p3")), notes=pa.Table.from_pylist(mine, schema=schema.NOTES)),
        policy,
        read_key(policy),
        identifiers=pa.Table.from_pylist(who, schema=schema.IDENTIFIERS),
    )
    note = pl.DataFrame(pl.from_arrow(alone.tables.notes))
    batch = read(tmp_path / "out", "notes").filter(pl.col("subject_id") == note["subject_id"][0])
    assert batch.equals(note.cast(batch.schema))


def test_what_a_policy_leaves_out_is_not_there_and_is_counted(hospital, policy, tmp_path) -> None:
    from dataclasses import replace

    manifest = deidentify(
        hospital, tmp_path / "out", replace(policy, notes=NotesRules(handling="out")), now=NOW
    )
    assert not (tmp_path / "out" / "notes").exists()
    assert manifest.rows.dropped["notes: left out by policy"] == N


def test_notes_done_by_several_processes_are_what_one_makes_of_them(
    hospital, policy, tmp_path, monkeypatch
) -> None:
    alone = deidentify(hospital, tmp_path / "alone", policy, now=NOW)
    used = []
    monkeypatch.setattr(notes, "PART", 3)
    monkeypatch.setattr(attachments, "_MANY", 0)
    monkeypatch.setattr(attachments, "spread", lambda *given: used.append(1) or spread(*given, n_processes=2))
    together = deidentify(hospital, tmp_path / "together", policy, now=NOW)
    assert used
    assert together.digest == alone.digest


def test_a_broken_run_over_documents_ends_with_the_same_bytes(hospital, policy, tmp_path) -> None:
    whole = deidentify(hospital, tmp_path / "whole", policy, now=NOW)
    for phase in ("notes: taking identities out", "images: looking for writing", "writing"):
        out = tmp_path / phase.replace(":", "")

        def stop(what: str, done: int, total: int | None, phase=phase) -> None:
            if what == phase and done == 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            deidentify(hospital, out, policy, now=NOW, progress=stop)
        assert deidentify(hospital, out, policy, now=NOW).digest == whole.digest


def test_a_dry_run_names_every_column_and_writes_nothing(hospital, policy, tmp_path) -> None:
    from dataclasses import replace

    before = sorted(tmp_path.rglob("*"))
    fates = plan(hospital, replace(policy, notes=NotesRules(handling="out")))
    told = {(one.table, one.column): one for one in fates}
    kinds = {
        "data": schema.EVENTS,
        "notes": schema.NOTES,
        "images": schema.IMAGES,
        "images/pixels": schema.PIXELS,
    }
    for folder, kind in (kinds | {"variants": schema.VARIANTS}).items():
        assert all(told[folder, name].done for name in kind.names)
    assert told["notes", "text"].done == "left out"
    assert told["notes", "text"].rows == N
    assert told[schema.IDENTIFIERS_FILE, "all"].done == "used for notes, never passed on"
    assert sorted(tmp_path.rglob("*")) == before


def test_the_position_of_a_listed_variant_passes_whatever_its_gene(hospital, policy, tmp_path) -> None:
    from dataclasses import replace

    from residency.deid import VariantsRules

    rules = VariantsRules(genes=("NONE",), names=("rs1",), positions=("GRCh38:chr1:43057062",))
    deidentify(hospital, tmp_path / "out", replace(policy, variants=rules), now=NOW)
    assert set(read(tmp_path / "out", "variants")["gene"]) == {"BRCA1"}
