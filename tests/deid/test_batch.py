import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from residency.contract.errors import IdentityError, InputError, LineageError
from residency.contract.identifiers import bucket_of, pseudonym_of, subject_id_of, visit_id_of
from residency.contract.lineage import open_made
from residency.contract.schema import EVENTS, check
from residency.deid import Tables, deidentify, read_key, transform

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def folder(records, patient) -> Path:
    names = [f"p{number}" for number in range(30)]
    labels = pl.DataFrame(
        {
            "subject_id": [subject_id_of(name, "north") for name in names[:5]] + [99],
            "prediction_time": [at("2010-02-03T10:11:12")] * 6,
            "boolean_value": [True] * 6,
        }
    ).with_columns(
        pl.lit(None, pl.Int64).alias("integer_value"),
        pl.lit(None, pl.Float32).alias("float_value"),
        pl.lit(None, pl.String).alias("categorical_value"),
    )
    seen = pl.DataFrame(
        {
            "subject_id": [subject_id_of(name, "north") for name in names],
            "start": [at("2010-01-01")] * 30,
            "end": [at("2011-01-01")] * 30,
            "rule": ["enrolment"] * 30,
        }
    )
    shards = [[row for name in part for row in patient(name)] for part in (names[:10], names[10:])]
    return records(shards, labels=labels, observation=seen)


def events_of(out: Path) -> pl.DataFrame:
    return pl.concat(pl.read_parquet(path) for path in sorted((out / "data").glob("*.parquet")))


def test_the_result_obeys_the_contract(folder, policy, tmp_path) -> None:
    manifest = deidentify(folder, tmp_path / "out", policy, now=NOW)
    assert open_made(tmp_path / "out", "deidentify", verify=True) == manifest
    for path in (tmp_path / "out" / "data").glob("*.parquet"):
        table = check(pq.read_table(path), EVENTS)
        frame = pl.DataFrame(pl.from_arrow(table))
        ordered = frame.sort("subject_id", "time", "available", "code", nulls_last=False)
        assert ordered["code"].to_list() == table.column("code").to_pylist()
    assert (manifest.rows.read, manifest.rows.kept) == (180, 180)
    assert manifest.rows.dropped == {"labels: patient without events": 1}
    assert (
        json.loads((tmp_path / "out/metadata/dataset.json").read_text())["residency"]["deidentified"] is True
    )


def identities(n: int) -> tuple[list[str], set[int]]:
    """Give what must not come out: texts, and the identifiers that ingest gave."""
    names = [f"p{number}" for number in range(n)]
    texts = ["Doe", "obs-p", "enc-p", "c-p", "02139", "St. Elsewhere", *(f"Patient/{name}" for name in names)]
    visits = {visit_id_of(f"enc-{name}", "north") for name in names}
    return texts, visits | {subject_id_of(name, "north") for name in names}


def test_no_identity_is_in_any_byte_of_the_result(folder, policy, tmp_path) -> None:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    texts, numbers = identities(30)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        body = path.read_bytes()
        assert not [text for text in texts if text.encode() in body]
        assert not [one for one in numbers if one.to_bytes(8, "little") in body or str(one).encode() in body]


def test_no_identity_is_in_any_value_of_the_result(folder, policy, tmp_path) -> None:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    texts, numbers = identities(30)
    true_dates = {at(day).date() for day in ("1950-03-04", "2010-02-03", "2010-02-04", "2010-11-05")}
    for path in (tmp_path / "out").rglob("*.parquet"):
        rows = pq.read_table(path).to_pylist()
        values = {str(value) if isinstance(value, list) else value for row in rows for value in row.values()}
        assert not [text for text in texts if any(text in str(value) for value in values)]
        assert values.isdisjoint(numbers)
        assert {value.date() for value in values if isinstance(value, datetime)}.isdisjoint(true_dates)


def test_a_patient_has_one_pseudonym_shift_and_bucket_in_all_tables(folder, policy, tmp_path) -> None:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    key = read_key(policy)
    subject = subject_id_of("p3", "north")
    pseudonym = pseudonym_of(key, subject)
    lab = events_of(tmp_path / "out").filter(
        (pl.col("subject_id") == pseudonym) & (pl.col("code") == "LOINC/2160-0")
    )
    shift = lab["time"][0] - at("2010-02-03T10:11:12")
    label = pl.read_parquet(tmp_path / "out/labels/sepsis/*.parquet").filter(subject_id=pseudonym)
    seen = pl.read_parquet(tmp_path / "out/observation/*.parquet").filter(subject_id=pseudonym)
    assert label["prediction_time"][0] == lab["time"][0]
    assert seen["end"][0] - at("2011-01-01") == shift
    assert shift % timedelta(weeks=1) == timedelta(0)
    listed = pl.read_parquet(tmp_path / "out/metadata/subjects.parquet").filter(subject_id=pseudonym)
    assert listed["split_bucket"].to_list() == [bucket_of(subject)]


def test_the_batch_and_the_request_give_the_same_view(folder, policy, tmp_path, rows, patient) -> None:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    request = transform(Tables(rows(patient("p17"))), policy, read_key(policy))
    alone = pl.DataFrame(pl.from_arrow(request.tables.events))
    batch = events_of(tmp_path / "out").filter(pl.col("subject_id") == alone["subject_id"][0])
    order = ["time", "available", "code", "source"]
    assert batch.sort(order).equals(alone.cast(batch.schema).sort(order))


def test_the_sharding_of_the_input_moves_no_value(records, patient, policy, tmp_path) -> None:
    names = [f"p{number}" for number in range(12)]
    two = records(
        [[r for n in names[:6] for r in patient(n)], [r for n in names[6:] for r in patient(n)]], name="a"
    )
    one = records([[row for name in names for row in patient(name)]], name="b")
    deidentify(two, tmp_path / "out-a", policy, now=NOW)
    deidentify(one, tmp_path / "out-b", policy, now=NOW)
    assert events_of(tmp_path / "out-a").equals(events_of(tmp_path / "out-b"))


def test_many_ranges_hold_what_one_range_holds(folder, policy, tmp_path, monkeypatch) -> None:
    deidentify(folder, tmp_path / "one", policy, now=NOW)
    monkeypatch.setattr("residency.deid.spool.SHARD_EVENTS", 25)
    deidentify(folder, tmp_path / "many", policy, now=NOW)
    shards = [pl.read_parquet(path) for path in (tmp_path / "many" / "data").glob("*.parquet")]
    ordered = sorted(shards, key=lambda shard: shard["subject_id"][0])
    assert len(ordered) > 5
    for before, after in pairwise(ordered):
        assert before["subject_id"].max() < after["subject_id"].min()
    assert pl.concat(ordered).equals(events_of(tmp_path / "one"))


def test_a_broken_run_goes_on_and_ends_with_the_same_bytes(folder, policy, tmp_path) -> None:
    whole = deidentify(folder, tmp_path / "whole", policy, now=NOW)
    assert deidentify(folder, tmp_path / "whole", policy, now=NOW) == whole

    for phase, at_done in (("taking identities out", 1), ("writing", 1), ("writing", 0)):
        out = tmp_path / f"{phase}-{at_done}"

        def stop(what: str, done: int, total: int | None, phase=phase, at_done=at_done) -> None:
            if (what, done) == (phase, at_done):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            deidentify(folder, out, policy, now=NOW, progress=stop)
        left = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
        assert not [body for body in left if subject_id_of("p1", "north").to_bytes(8, "little") in body]
        assert deidentify(folder, out, policy, now=NOW).digest == whole.digest


def test_another_key_or_policy_does_not_overwrite(folder, policy, tmp_path) -> None:
    from residency.deid import new_key

    deidentify(folder, tmp_path / "out", policy, now=NOW)
    new_key(tmp_path / "secrets" / "other")
    for other in (replace(policy, key_file=tmp_path / "secrets" / "other"), replace(policy, shift_weeks=9)):
        with pytest.raises(LineageError):
            deidentify(folder, tmp_path / "out", other, now=NOW)


def test_a_moved_key_file_is_the_same_key(folder, policy, tmp_path) -> None:
    first = deidentify(folder, tmp_path / "out", policy, now=NOW)
    moved = policy.key_file.rename(tmp_path / "elsewhere")
    assert deidentify(folder, tmp_path / "out", replace(policy, key_file=moved), now=NOW) == first


def test_a_key_inside_the_records_is_refused_before_anything_is_written(folder, policy, tmp_path) -> None:
    inside = policy.key_file.rename(folder / "deid.key")
    with pytest.raises(IdentityError, match="inside a data folder"):
        deidentify(folder, tmp_path / "out", replace(policy, key_file=inside), now=NOW)
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_named_and_leaves_nothing(folder, policy, tmp_path) -> None:
    shard = sorted((folder / "data").glob("*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        deidentify(folder, tmp_path / "out", policy, now=NOW)
    assert not (tmp_path / "out" / "made-from.json").exists()


def test_codes_of_other_systems_and_full_postal_codes_leave_the_list_of_codes(
    records, patient, policy, tmp_path
) -> None:
    rows = [*patient("p1"), patient("p1")[1] | {"code": "DEMOGRAPHIC/ZIP=02139"}]
    strict = replace(policy, code_systems=("LOINC", "MEDS", "DEMOGRAPHIC"))
    manifest = deidentify(records([rows]), tmp_path / "out", strict, now=NOW)
    codes = set(pl.read_parquet(tmp_path / "out/metadata/codes.parquet")["code"])
    assert "DEMOGRAPHIC/ZIP=021" in codes
    assert "DEMOGRAPHIC/ZIP=02139" not in codes
    assert "ICD10CM/E11.9" not in codes
    assert manifest.rows.dropped == {"code system not allowed": 1}


def test_the_risk_that_is_left_is_measured(folder, policy, tmp_path) -> None:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    risk = json.loads((tmp_path / "out/metadata/risk.json").read_text())
    birth = events_of(tmp_path / "out").filter(pl.col("code") == "MEDS_BIRTH")
    cells = birth.group_by(pl.col("time").dt.year()).len()["len"]
    assert risk["patients"] == 30
    assert risk["smallest_cell"] == cells.min()
    assert risk["highest_risk"] == pytest.approx(1 / cells.min(), abs=1e-4)
    assert risk["cells"] == len(cells)


def test_made_up_codes_of_few_patients_are_hidden_with_their_values(
    records, patient, policy, tmp_path
) -> None:
    names = [f"p{number}" for number in range(20)]
    named = [patient(name)[5] | {"code": "LOCAL/ankle of Mr Doe", "numeric_value": 3.0} for name in names[:5]]
    common = [patient(name)[5] | {"code": "LAB/sodium", "numeric_value": 140.0} for name in names]
    shards = [[row for name in part for row in patient(name)] for part in (names[:9], names[9:])]
    folder = records([shards[0] + named + common[:9], shards[1] + common[9:]])
    manifest = deidentify(folder, tmp_path / "out", policy, now=NOW)
    events = events_of(tmp_path / "out")
    assert "LAB/sodium" in set(events["code"])
    hidden = events.filter(pl.col("code") == "UNKNOWN")
    assert len(hidden) == manifest.result["codes of too few patients hidden"] == 5
    assert hidden["numeric_value"].null_count() == 5
    assert b"Doe" not in (tmp_path / "out/metadata/codes.parquet").read_bytes()
    assert not events["code"].str.contains("Doe").any()


def test_records_without_identities_are_refused(folder, policy, tmp_path) -> None:
    deidentify(folder, tmp_path / "out", policy, now=NOW)
    with pytest.raises(InputError, match="already"):
        deidentify(tmp_path / "out", tmp_path / "again", policy, now=NOW)
    assert not (tmp_path / "again").exists()
