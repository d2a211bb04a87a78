import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from residency.contract.errors import InputError, LineageError, NotFoundError, SpecError
from residency.contract.identifiers import bucket_of, split_of
from residency.contract.lineage import open_made
from residency.timeline import BuildSpec, Timelines, build, pack

NOW = datetime(2024, 1, 1, tzinfo=UTC)
LAB = "LOINC/2160-0"
PATIENTS = range(1, 61)


def history(patient: int) -> list[tuple]:
    return [
        (patient, -9000, "MEDS_BIRTH", None, None, 0),
        (patient, None, "DEMOGRAPHIC/SEX", None, None, 0),
        (patient, 1, LAB, patient / 10, "mg/dL", 1),
        (patient, 2, "ICD10CM/E11.9" if patient % 2 else "ICD10CM/E11.2", None, None, 0),
        (patient, 3, "LOCAL/only-here" if patient == 5 else "VISIT/AMB", None, None, 0),
    ]


@pytest.fixture
def two_shards(events):
    return [
        events([row for p in PATIENTS if p in part for row in history(p)])
        for part in (range(31), range(31, 99))
    ]


def test_a_build_opens_with_every_patient_and_event(records, two_shards, tmp_path) -> None:
    manifest = build(records(two_shards), tmp_path / "built", now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    assert (timelines.n_patients, timelines.n_events) == (60, 300)
    assert manifest.rows.read == manifest.rows.kept == 300
    assert manifest.result["patients"] == 60
    assert [int(shard.subject[0]) for shard in timelines.shards] == [1, 31]


def test_splits_follow_the_bucket(records, two_shards, tmp_path) -> None:
    build(records(two_shards), tmp_path / "built", now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    for shard, packed in enumerate(timelines.shards):
        assert timelines.split(shard).tolist() == [split_of(bucket_of(int(p))) for p in packed.subject]


def test_a_held_out_site_is_external_and_never_fitted_on(records, two_shards, tmp_path) -> None:
    folder = records(two_shards, sites=lambda patient: "south" if patient > 30 else "north")
    build(folder, tmp_path / "built", BuildSpec(min_patients=5, held_out_sites=("south",)), now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    assert set(timelines.split(1)) == {"external"}
    assert set(timelines.site(1)) == {"south"}
    n_train = (timelines.split(0) == "train").sum()
    vocabulary = timelines.vocabulary
    assert vocabulary.n_patients[vocabulary.index_of(LAB)] == n_train
    knots = vocabulary.knots[
        slice(*vocabulary.knot_offset[[vocabulary.index_of(LAB), vocabulary.index_of(LAB) + 1]])
    ]
    assert knots.max() <= 3.0


def test_a_held_out_site_that_is_not_there_is_refused(records, two_shards, tmp_path) -> None:
    with pytest.raises(SpecError, match="held_out_sites"):
        build(records(two_shards), tmp_path / "built", BuildSpec(held_out_sites=("east",)), now=NOW)
    assert not (tmp_path / "built").exists()


def test_the_vocabulary_counts_train_patients_and_their_ancestors(records, two_shards, tmp_path) -> None:
    build(records(two_shards), tmp_path / "built", BuildSpec(min_patients=5), now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    vocabulary = timelines.vocabulary
    n_train = sum(int((timelines.split(shard) == "train").sum()) for shard in (0, 1))
    assert vocabulary.codes[0] == "UNKNOWN"
    assert "LOCAL/only-here" not in vocabulary.codes
    category = vocabulary.index_of("ICD10CM/E11")
    assert vocabulary.n_patients[category] == vocabulary.n_events[category] == n_train
    assert vocabulary.ancestors_of(vocabulary.index_of("ICD10CM/E11.9")).tolist() == [category]
    assert vocabulary.units[vocabulary.index_of(LAB)] == "mg/dL"
    assert {"MEDS_BIRTH", "MEDS_DEATH"} <= set(vocabulary.codes)


def test_values_of_patients_outside_train_fit_nothing(records, two_shards, tmp_path) -> None:
    train = [p for p in PATIENTS if split_of(bucket_of(p)) == "train"]
    wild = [
        shard.with_columns(
            numeric_value=pl.when(pl.col("subject_id").is_in(train))
            .then("numeric_value")
            .otherwise(9e9)
            .cast(pl.Float32)
        )
        for shard in two_shards
    ]
    build(records(two_shards, name="a"), tmp_path / "built-a", now=NOW)
    build(records(wild, name="b"), tmp_path / "built-b", now=NOW)
    for file in ("vocabulary.parquet", "values.parquet"):
        assert (tmp_path / "built-a" / file).read_bytes() == (tmp_path / "built-b" / file).read_bytes()


def test_the_sharding_moves_no_vocabulary(records, two_shards, tmp_path) -> None:
    build(records(two_shards, name="a"), tmp_path / "built-a", now=NOW)
    build(records([pl.concat(two_shards)], name="b"), tmp_path / "built-b", now=NOW)
    for file in ("vocabulary.parquet", "values.parquet", "metadata/subjects.parquet"):
        assert (tmp_path / "built-a" / file).read_bytes() == (tmp_path / "built-b" / file).read_bytes()


def test_a_built_patient_packs_the_same_from_a_request(records, two_shards, tmp_path) -> None:
    build(records(two_shards), tmp_path / "built", now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    shard, row = timelines.locate(42)
    request = pack(two_shards[1].filter(pl.col("subject_id") == 42), timelines.vocabulary)
    packed = timelines.shards[shard]
    moments = packed.moments_of(row)
    events = slice(*packed.event_offset[[moments.start, moments.stop]])
    assert packed.moment_time[moments].tolist() == request.moment_time.tolist()
    assert packed.event_code[events].tolist() == request.event_code.tolist()
    assert np.array_equal(packed.event_value[events], request.event_value, equal_nan=True)


def test_labels_and_observation_come_with_their_patients(
    records, two_shards, tmp_path, label_table, observation_table, us
) -> None:
    folder = records(
        two_shards,
        labels={"sepsis": label_table([(40, 4, True)]), "death": label_table([(40, 3, False), (2, 3, True)])},
        observation=observation_table([(40, 0, 9)]),
    )
    build(folder, tmp_path / "built", now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    assert timelines.labels == ("death", "sepsis")
    shard, row = timelines.locate(40)
    packed = timelines.shards[shard]
    mine = slice(*packed.label_offset[[row, row + 1]])
    assert packed.label_time[mine].tolist() == [us(3), us(4)]
    assert packed.label_task[mine].tolist() == [0, 1]
    seen = slice(*packed.observation_offset[[row, row + 1]])
    assert packed.observation_end[seen].tolist() == [us(9)]


def test_references_lead_back_to_sources(records, two_shards, tmp_path) -> None:
    build(records(two_shards), tmp_path / "built", now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    shard, row = timelines.locate(42)
    packed = timelines.shards[shard]
    moments = packed.moments_of(row)
    refs = packed.event_ref[slice(*packed.event_offset[[moments.start, moments.stop]])]
    expected = two_shards[1].filter(pl.col("subject_id") == 42)["source"]
    assert sorted(timelines.sources(shard, refs)) == sorted(expected)


def test_an_unknown_patient_is_not_found(records, two_shards, tmp_path) -> None:
    build(records(two_shards), tmp_path / "built", now=NOW)
    timelines = Timelines.open(tmp_path / "built")
    for subject in (0, 1000):
        with pytest.raises(NotFoundError):
            timelines.locate(subject)


def test_nothing_is_built_twice_and_a_broken_build_ends_with_the_same_bytes(
    records, two_shards, tmp_path, monkeypatch
) -> None:
    folder = records(two_shards)
    whole = build(folder, tmp_path / "whole", now=NOW)
    assert build(folder, tmp_path / "whole", now=NOW) == whole

    def stop(what: str, done: int, total: int | None) -> None:
        if what == "packing timelines" and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "broken", now=NOW, progress=stop)
    assert not (tmp_path / "broken" / "made-from.json").exists()
    again = build(folder, tmp_path / "broken", now=NOW)
    assert again.digest == whole.digest
    assert open_made(tmp_path / "broken", "build", verify=True).digest == whole.digest


def test_a_folder_that_holds_something_else_is_refused(records, two_shards, tmp_path) -> None:
    folder = records(two_shards)
    build(folder, tmp_path / "built", now=NOW)
    with pytest.raises(LineageError):
        build(folder, tmp_path / "built", BuildSpec(min_patients=3), now=NOW)
    with pytest.raises(LineageError):
        build(tmp_path / "nowhere", tmp_path / "other", now=NOW)


def test_an_empty_shard_is_refused(records, two_shards, tmp_path) -> None:
    with pytest.raises(InputError, match="no rows"):
        build(records([two_shards[0].head(0)]), tmp_path / "built", now=NOW)


def test_the_tasks_are_listed_by_name(records, two_shards, tmp_path, label_table) -> None:
    build(records(two_shards, labels={"b": label_table([(1, 1, True)])}), tmp_path / "built", now=NOW)
    assert json.loads((tmp_path / "built" / "metadata" / "labels.json").read_text()) == ["b"]


def test_a_spec_with_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="min_patients"):
        BuildSpec(min_patients=0)
    with pytest.raises(ValueError, match="knots"):
        BuildSpec(knots=1)


def test_a_damaged_shard_is_named(records, two_shards, tmp_path) -> None:
    folder = records(two_shards)
    for path in (folder / "data").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cut short"):
        build(folder, tmp_path / "built", now=NOW)
    assert not (tmp_path / "built").exists()


def test_a_shard_without_a_column_is_named(records, two_shards, tmp_path) -> None:
    folder = records(two_shards)
    for path in (folder / "data").glob("*.parquet"):
        pl.read_parquet(path).drop("code").write_parquet(path)
    with pytest.raises(InputError, match="lacks one of the columns"):
        build(folder, tmp_path / "built", now=NOW)


def test_a_patient_in_two_shards_is_refused(records, two_shards, tmp_path) -> None:
    with pytest.raises(InputError, match="overlap"):
        build(
            records([two_shards[0], pl.concat([two_shards[0].tail(5), two_shards[1]])]),
            tmp_path / "b",
            now=NOW,
        )


def test_a_patient_who_is_not_listed_is_refused(records, two_shards, tmp_path) -> None:
    folder = records(two_shards)
    listed = pl.read_parquet(folder / "metadata" / "subjects.parquet")
    listed.head(50).write_parquet(folder / "metadata" / "subjects.parquet")
    with pytest.raises(InputError, match="10 patients"):
        build(folder, tmp_path / "built", now=NOW)
