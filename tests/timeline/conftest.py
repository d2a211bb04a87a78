"""Small event tables made by hand, and folders of them such as `ingest` makes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from residency.contract.identifiers import bucket_of
from residency.contract.lineage import Rows, Step
from residency.contract.schema import CODES, EVENTS, LABELS, OBSERVATION, SUBJECTS
from residency.timeline import Vocabulary

EPOCH = datetime(2020, 1, 6)  # noqa: DTZ001 (naive, as in the schema)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def empty(schema: object) -> pl.DataFrame:
    """Give a table of one of our schemas without rows."""
    return pl.DataFrame(pl.from_arrow(schema.empty_table()))  # type: ignore[attr-defined]


def event_table(rows: Sequence[tuple]) -> pl.DataFrame:
    """Make events of (patient, day or None, code, value, unit, days until available)."""
    columns = [
        {
            "subject_id": patient,
            "time": None if day is None else EPOCH + timedelta(days=day),
            "code": code,
            "numeric_value": value,
            "unit": unit,
            "available": None if day is None else EPOCH + timedelta(days=day + wait),
            "site": "north",
            "source": f"Observation/{row}",
        }
        for row, (patient, day, code, value, unit, wait) in enumerate(rows)
    ]
    kinds = empty(EVENTS).schema
    filled = [{name: row.get(name) for name in kinds} for row in columns]
    return pl.DataFrame(filled, schema=kinds, orient="row")


def micro(day: float) -> int:
    """Give a day of `event_table` in µs."""
    return int((EPOCH + timedelta(days=day) - datetime(1970, 1, 1)) / timedelta(microseconds=1))  # noqa: DTZ001


@pytest.fixture
def events() -> Callable[[Sequence[tuple]], pl.DataFrame]:
    return event_table


@pytest.fixture
def us() -> Callable[[float], int]:
    return micro


@pytest.fixture
def vocabulary() -> Vocabulary:
    """Codes of the tests: a lab with knots, a diagnosis below its category, a birth and a death."""
    return Vocabulary(
        codes=("UNKNOWN", "MEDS_BIRTH", "MEDS_DEATH", "ICD10CM/E11", "ICD10CM/E11.9", "LOINC/2160-0"),
        descriptions=("", "birth", "death", "diabetes", "", "creatinine"),
        units=(None, None, None, None, None, "mg/dL"),
        n_patients=np.array([0, 9, 1, 5, 4, 6]),
        n_events=np.array([0, 9, 1, 8, 7, 30]),
        ancestor_offset=np.array([0, 0, 0, 0, 0, 1, 1]),
        ancestor_index=np.array([3], np.int32),
        knot_offset=np.array([0, 0, 0, 0, 0, 0, 3]),
        knots=np.array([0.5, 1.0, 4.0], np.float32),
        levels=np.array([0.0, 0.5, 1.0], np.float32),
        also={"LOCAL/sugar": 3},
    )


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished folder of event tables, such as `ingest` makes."""

    def make(
        shards: Sequence[pl.DataFrame],
        *,
        codes: pl.DataFrame | None = None,
        observation: pl.DataFrame | None = None,
        labels: dict[str, pl.DataFrame] | None = None,
        sites: Callable[[int], str] = lambda _: "north",
        name: str = "records",
    ) -> Path:
        out = tmp_path / name
        patients = sorted({patient for shard in shards for patient in shard["subject_id"]})
        subjects = pl.DataFrame(
            {
                "subject_id": patients,
                "site": [sites(patient) for patient in patients],
                "split_bucket": [bucket_of(patient) for patient in patients],
            },
            schema=empty(SUBJECTS).schema,
        )

        def write(table: pl.DataFrame, schema: pa.Schema) -> Callable[[Path], int]:
            return lambda path: pq.write_table(table.to_arrow().cast(schema), path) or len(table)

        with Step(out, name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
            for place, shard in enumerate(shards):
                ordered = shard.sort("subject_id", "time", "available", "code", nulls_last=False)
                step.shard(f"{place:04d}", "data", suffix=".parquet", make=write(ordered, EVENTS))
            step.file("metadata/subjects.parquet", make=write(subjects, SUBJECTS))
            step.file("metadata/codes.parquet", make=write(empty(CODES) if codes is None else codes, CODES))
            if observation is not None:
                step.shard("0", "observation", suffix=".parquet", make=write(observation, OBSERVATION))
            for task, table in (labels or {}).items():
                step.shard("0", f"labels/{task}", suffix=".parquet", make=write(table, LABELS))
            step.finish(rows=Rows())
        return out

    return make


@pytest.fixture
def label_table() -> Callable[[Sequence[tuple[int, float, bool]]], pl.DataFrame]:
    def make(rows: Sequence[tuple[int, float, bool]]) -> pl.DataFrame:
        kinds = empty(LABELS).schema
        filled = [
            {"subject_id": patient, "prediction_time": EPOCH + timedelta(days=day), "boolean_value": value}
            for patient, day, value in rows
        ]
        return pl.DataFrame(
            [{name: row.get(name) for name in kinds} for row in filled], schema=kinds, orient="row"
        )

    return make


@pytest.fixture
def observation_table() -> Callable[[Sequence[tuple[int, float, float]]], pl.DataFrame]:
    def make(rows: Sequence[tuple[int, float, float]]) -> pl.DataFrame:
        kinds = empty(OBSERVATION).schema
        filled = [
            (patient, EPOCH + timedelta(days=start), EPOCH + timedelta(days=end), "enrolment")
            for patient, start, end in rows
        ]
        return pl.DataFrame(filled, schema=kinds, orient="row")

    return make
