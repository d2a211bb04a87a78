import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from pydicom import dcmread

from residency import deid, timeline
from residency.contract.errors import LineageError, NotFoundError, SignatureError
from residency.contract.lineage import Rows, Step, open_made
from residency.contract.packed import Packed
from residency.deid import register
from residency.withdrawal import Patient, Withdrawal, withdraw

NOW = datetime(2026, 2, 1, tzinfo=UTC)
DATA = ("records", "deidentified", "timelines", "report")


def done(hospital: Any, **more: Any) -> Withdrawal:
    return withdraw([hospital.work], hospital.patient, hospital.policy, by="an office", now=NOW, **more)


def tables(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.parquet")) if "subject_id" in pq.read_schema(path).names]


def numbers(hospital: Any) -> list[int]:
    return [hospital.patient.ingest_id, hospital.pseudonym]


def secrets(hospital: Any) -> list[str]:
    """Give the notes, arrays and identifiers that the records know of this patient and of nobody else."""
    records, mine = hospital.work / "records", pl.col("subject_id") == hospital.patient.ingest_id
    found: list[str] = []
    for folder, column in (("metadata/identifiers", "value"), ("notes/*", "text"), ("images/*", "pixels")):
        table = pl.scan_parquet(records / f"{folder}.parquet").collect()
        found += set(table.filter(mine)[column]) - set(table.filter(~mine)[column])
    return [one for one in found if len(one) > 9]


def everything(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "made-from.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def texts(folder: Path) -> str:
    """Give every text and number of every table and file name below a folder."""
    found = [path.as_posix() for path in folder.rglob("*")]
    for path in folder.rglob("*.parquet"):
        table = pl.read_parquet(path)
        found += [str(value) for column in table if column.dtype == pl.String for value in column]
    return "\n".join(found)


def test_nothing_of_the_patient_is_left_in_any_folder_made_from_them(hospital) -> None:
    gone = secrets(hospital)
    told = done(hospital)
    assert {path.name for path in told.rewritten} == set(DATA)
    for name in DATA:
        folder = hospital.work / name
        manifest = open_made(folder, verify=True)
        for path in tables(folder):
            assert not pl.read_parquet(path)["subject_id"].is_in(numbers(hospital)).any(), path.name
        for shard in manifest.shards:
            if (folder / shard.path / "packed.json").exists():
                assert not np.isin(Packed.open(folder / shard.path).subject, numbers(hospital)).any()
        left = texts(folder)
        assert sum(one in left for one in gone) == 0
        stated = {folder / shard.path for shard in manifest.shards} | {folder / "made-from.json"}
        files = {path for path in folder.rglob("*") if path.is_file()}
        assert all(any(path.is_relative_to(one) for one in stated) for path in files), (
            "a file nobody knows of"
        )


def test_everybody_else_stays_to_the_row_and_untouched_shards_are_not_written(hospital, made) -> None:
    times = {path: path.stat().st_mtime_ns for path in tables(hospital.work / "deidentified")}
    holds = {path: pl.read_parquet(path)["subject_id"].is_in(numbers(hospital)).any() for path in times}
    done(hospital)
    others = ~pl.col("subject_id").is_in(numbers(hospital))
    for folder in ("data", "notes", "images", "variants", "observation"):
        before, after = (
            pl.read_parquet(sorted((one.work / "deidentified" / folder).glob("*.parquet")))
            for one in (made, hospital)
        )
        first = ["subject_id", *(name for name in before.columns if name in ("time", "source", "code"))]
        kinds = [name for name, kind in before.schema.items() if not kind.is_nested() and name not in first]
        order = [*first, *kinds]
        assert before.filter(others).sort(order).equals(after.sort(order), null_equal=True)
    data = [path for path in times if path.parent.name == "data"]
    theirs = [path for path in data if holds[path]]
    assert len(data) > 1
    assert len(theirs) == 1
    assert all(path.stat().st_mtime_ns == times[path] for path in data if path not in theirs)


def test_a_packed_shard_without_a_patient_is_what_packing_the_others_gives(hospital) -> None:
    done(hospital)
    shards = timeline.Timelines.open(hospital.work / "timelines")
    source = hospital.work / "deidentified"
    tables_ = {
        kind: pl.read_parquet(sorted((source / kind).glob("*.parquet")))
        for kind in ("data", "observation", "notes", "images", "variants")
    }
    for number, packed in enumerate(shards.shards):
        mine = pl.col("subject_id").is_in(np.asarray(packed.subject).tolist())
        few = {kind: table.filter(mine) for kind, table in tables_.items()}
        events = few["data"].sort("subject_id", maintain_order=True)
        attached = timeline.Attachments.of(
            notes=few["notes"], images=few["images"], variants=few["variants"], pixels=shards.pixels
        )
        fresh = timeline.packing_of(
            events, shards.vocabulary, observation=few["observation"], labels={}, attachments=attached
        )
        for name, array in vars(fresh.packed).items():
            np.testing.assert_array_equal(getattr(packed, name), array, err_msg=name)
        mine_now = shards.attachments(number)
        for old, new in zip(fresh.attachments.tables, mine_now.tables, strict=True):
            assert old.equals(new)
        assert shards.sources(number, packed.event_ref) == [
            one or "" for one in events["source"].gather(np.asarray(packed.event_ref))
        ]


def test_models_reports_and_releases_are_listed_whenever_it_is_asked_for_again(hospital) -> None:
    work = hospital.work
    planned, first, again = done(hospital, dry_run=True), done(hospital), done(hospital)
    assert planned == first
    assert again == replace(first, rewritten={})
    assert first.models == (work / "model",)
    assert first.reports == (work / "report",)
    assert first.releases == (work / "release",)
    assert first.sources == (work / "hospital",)


def test_what_was_made_from_a_model_is_listed_with_it(hospital) -> None:
    adapted = hospital.work / "adapted"
    with Step(adapted, name="adapt", inputs=[hospital.work / "model"], spec={}, now=NOW) as step:
        step.file("model.json", make=lambda path: path.write_text("y") and 0)
        step.finish(rows=Rows())
    assert set(done(hospital).models) == {hospital.work / "model", adapted}


def test_exported_dicom_files_of_the_patient_go_and_those_of_others_stay(hospital) -> None:
    work, policy = hospital.work, hospital.policy
    folder = work / "hospital" / "dicom" / hospital.patient.site
    deid.export_dicom(
        folder, work / "dicom", policy, site=hospital.patient.site, now=NOW, records=work / "records"
    )
    before = {path: dcmread(path).PatientID for path in (work / "dicom").rglob("*.dcm")}
    assert str(hospital.pseudonym) in before.values()
    done(hospital)
    after = {path: dcmread(path).PatientID for path in (work / "dicom").rglob("*.dcm")}
    assert after == {path: one for path, one in before.items() if one != str(hospital.pseudonym)}
    assert open_made(work / "dicom", verify=True).rows.kept == len(after)


def test_a_dry_run_changes_no_byte(hospital) -> None:
    before = everything(hospital.folder)
    done(hospital, dry_run=True)
    assert everything(hospital.folder) == before


def test_steps_over_data_are_done_already_and_a_model_is_not(hospital) -> None:
    done(hospital)
    digest = open_made(hospital.work / "timelines").digest
    hospital.deidentify(hospital.work / "deidentified")
    hospital.build(hospital.work / "timelines")
    assert open_made(hospital.work / "timelines").digest == digest
    assert digest not in open_made(hospital.work / "model").made_from


def test_a_second_patient_can_follow_and_the_first_ones_models_are_still_known(hospital) -> None:
    done(hospital)
    truth = pl.read_parquet(hospital.work / "hospital" / "truth" / "patients.parquet").sort("source_id")
    ids = [(str(a), str(b)) for a, b in truth.select("source_id", "site").iter_rows()]
    other = next(Patient(*one) for one in ids if one[0] != hospital.patient.source_id)
    told = withdraw([hospital.work], other, hospital.policy, by="an office", now=NOW)
    assert told.models == (hospital.work / "model",)
    assert len(open_made(hospital.work / "timelines", verify=True).result["before_withdrawals"]) == 2


def test_a_killed_withdrawal_ends_as_one_that_was_not(hospital, made, killing, tmp_path) -> None:
    done(hospital)
    calm = {name: everything(hospital.work / name) for name in DATA}
    digests = {name: open_made(hospital.work / name).digest for name in DATA}
    n_killed = 0
    for moment in (1, 3, 7, 12, 17, 22, 28, 40):
        again = type(made)(tmp_path / f"again-{moment}", made.patient)
        shutil.copytree(made.folder, again.folder)
        shutil.copytree(hospital.folder / "secret", again.folder / "secret", dirs_exist_ok=True)
        register.beside(again.policy.key_file).unlink()
        killing(moment)
        try:
            done(again)
        except BaseException as error:  # noqa: BLE001
            assert type(error).__name__ == "Killed"  # noqa: PT017
            n_killed += 1
        killing(-1)
        told = done(again)
        assert told.models == (again.work / "model",)
        assert {name: everything(again.work / name) for name in DATA} == calm
        assert {name: open_made(again.work / name).digest for name in DATA} == digests
        shutil.rmtree(again.folder)
    assert n_killed >= 7


def test_whoever_withdrew_is_kept_out_of_what_is_deidentified_later(hospital, tmp_path) -> None:
    fresh = tmp_path / "identified"
    shutil.copytree(hospital.work / "records", fresh)
    done(hospital)
    deid.deidentify(fresh, tmp_path / "out", hospital.policy, now=NOW)
    for path in tables(tmp_path / "out"):
        assert hospital.pseudonym not in pl.read_parquet(path)["subject_id"]


def test_the_register_names_nobody_and_cannot_be_altered(hospital) -> None:
    done(hospital)
    path = register.beside(hospital.policy.key_file)
    body = path.read_text()
    assert hospital.patient.source_id not in body
    assert not any(str(number) in body for number in numbers(hospital))
    assert path.stat().st_mode & 0o077 == 0
    assert [line["what"] for line in map(json.loads, body.splitlines())] == ["withdrawal", "withdrawn"]
    path.write_text(body.replace("an office", "an 0ffice"))
    with pytest.raises(SignatureError, match="altered"):
        done(hospital)


@pytest.mark.parametrize("wrong", ["nobody-at-all", ""])
def test_a_patient_whom_no_folder_holds_is_refused_without_being_named(hospital, wrong) -> None:
    with pytest.raises(NotFoundError) as caught:
        withdraw([hospital.work], Patient(wrong, "north"), hospital.policy, by="x", now=NOW)
    assert not wrong or wrong not in str(caught.value)
    assert not register.beside(hospital.policy.key_file).exists()


def test_an_unfinished_step_is_refused_before_anything_is_changed(hospital) -> None:
    (hospital.work / "half" / ".work").mkdir(parents=True)
    before = everything(hospital.work)
    with pytest.raises(LineageError, match="not finished"):
        done(hospital)
    assert everything(hospital.work) == before


def test_data_under_another_key_are_named_not_passed_over(hospital, tmp_path) -> None:
    other = hospital.folder / "secret" / "other.key"
    deid.new_key(other)
    policy = replace(hospital.policy, key_file=other)
    deid.deidentify(hospital.work / "records", hospital.work / "other", policy, now=NOW)
    assert done(hospital, dry_run=True).elsewhere == (hospital.work / "other",)


def test_an_array_that_two_patients_share_stays_with_the_other(hospital) -> None:
    work = hospital.work / "deidentified"
    paths = sorted((work / "images").glob("*.parquet"))
    tables_ = {path: pl.read_parquet(path) for path in paths}
    mine = pl.col("subject_id") == hospital.pseudonym
    (theirs,) = (table for table in tables_.values() if table.filter(mine).height)
    shared = theirs.filter(mine)["pixels"][0]
    path, images = next((p, table) for p, table in tables_.items() if table.filter(~mine).height)
    at = images.with_row_index("row").filter(~mine)["row"][0]
    kept = images.with_row_index("row").with_columns(
        pixels=pl.when(pl.col("row") == at).then(pl.lit(shared)).otherwise("pixels")
    )
    table = kept.drop("row").to_arrow().cast(pq.read_schema(path))
    pq.write_table(table, path)
    done(hospital)
    stored = pl.read_parquet(sorted((work / "images" / "pixels").glob("*.parquet")))["pixels"]
    assert shared in stored


def test_the_risk_is_measured_again(hospital) -> None:
    before = json.loads((hospital.work / "deidentified" / "metadata" / "risk.json").read_text())
    done(hospital)
    after = json.loads((hospital.work / "deidentified" / "metadata" / "risk.json").read_text())
    assert after["patients"] == before["patients"] - 1
    assert after["leak_scan"] == before["leak_scan"]


@pytest.mark.parametrize("how", ["text", "--json"])
def test_the_command_reads_the_id_from_elsewhere_and_never_shows_it(hospital, how: str) -> None:
    command: list[str | Path] = [sys.executable, "-m", "residency", "withdraw", hospital.work]
    command += ["--policy", hospital.folder / "policy.toml", "--site", hospital.patient.site, "--by", "x"]
    command += ["--id-file", "-", *([] if how == "text" else [how])]
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    ended = run(command, input=hospital.patient.source_id + "\n", capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout + ended.stderr
    assert hospital.patient.source_id not in said
    assert not any(str(number) in said for number in numbers(hospital))
    assert "model" in ended.stdout
