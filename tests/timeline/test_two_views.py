"""One patient, in a de-identified data set and in an identified request, packs to the same timeline."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from residency.contract.schema import EVENTS
from residency.deid import Policy, Tables, deidentify, transform
from residency.timeline import BuildSpec, Timelines, build, events_of, pack, until

NOW = datetime(2024, 1, 1, tzinfo=UTC)
LAB = "LOINC/2160-0"


def life(patient: int, rng: np.random.Generator) -> list[tuple]:
    days = np.sort(rng.integers(0, 900, 12)).tolist()
    return [
        (patient, -365 * (30 + patient), "MEDS_BIRTH", None, None, 0),
        (patient, None, "DEMOGRAPHIC/SEX=male", None, None, 0),
        *((patient, day, LAB, float(rng.gamma(2)), "mg/dL", int(rng.integers(0, 3))) for day in days),
        *((patient, day, f"ICD10CM/E11.{day % 4}", None, None, 0) for day in days[::3]),
    ]


@pytest.fixture
def world(events, records, tmp_path) -> tuple[pl.DataFrame, Policy, Timelines]:
    rng = np.random.default_rng(0)
    table = events([row for patient in range(1, 61) for row in life(patient, rng)])
    key = tmp_path / "secrets" / "key"
    key.parent.mkdir()
    key.write_text("6b" * 32)
    folder, policy = records([table]), Policy(key_file=key)
    (folder / "metadata" / "dataset.json").write_text("{}")
    deidentify(folder, tmp_path / "hidden", policy, now=NOW)
    build(tmp_path / "hidden", tmp_path / "built", BuildSpec(min_patients=5), now=NOW)
    return table, policy, Timelines.open(tmp_path / "built")


def test_a_request_under_any_key_packs_as_the_data_set_did(world) -> None:
    table, policy, timelines = world
    key = bytes.fromhex(Path(policy.key_file).read_text())
    for patient in (1, 7, 60):  # the last is 92 when last seen
        tables = Tables(table.filter(subject_id=patient).to_arrow().cast(EVENTS))
        (pseudonym,) = transform(tables, policy, key).people["pseudonym"]
        shard, row = timelines.locate(pseudonym)
        batch = events_of(timelines.shards[shard], row)
        request = events_of(pack(transform(tables, policy, b"x" * 32).tables.events, timelines.vocabulary), 0)
        assert batch.code.tolist() == request.code.tolist()
        assert np.array_equal(batch.value, request.value, equal_nan=True)
        assert np.diff(batch.available).tolist() == np.diff(request.available).tolist()


def test_the_same_cut_in_both_views_leaves_the_same_past(world) -> None:
    table, policy, timelines = world
    tables = Tables(table.filter(subject_id=7).to_arrow().cast(EVENTS))
    pasts = []
    for key in (b"x" * 32, b"y" * 32):
        done = transform(tables, policy, key)
        packed = pack(done.tables.events, timelines.vocabulary)
        as_of = datetime.fromisoformat("2021-02-03") + timedelta(microseconds=done.people["shift"][0])
        cut = until(packed, int((as_of - datetime.fromisoformat("1970-01-01")) / timedelta(microseconds=1)))
        pasts.append(cut.event_code.tolist())
    assert pasts[0] == pasts[1]
    assert 3 < len(pasts[0]) < 18
