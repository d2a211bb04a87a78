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
from residency.contract.schema import (
    CODES,
    EVENTS,
    IMAGES,
    LABELS,
    NOTES,
    OBSERVATION,
    PIXELS,
    SUBJECTS,
    VARIANTS,
)
from residency.timeline import Attachments, Vocabulary

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
def now() -> datetime:
    return NOW


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


PICTURES = {name: np.full((1, 2, 2), n, np.uint8) for n, name in enumerate(("dark", "bright"))}


def document_table(schema: pa.Schema, rows: Sequence[dict]) -> pl.DataFrame:
    """Make documents: `subject_id`, `day` or None, `wait` until available, and the rest by name."""
    kinds = empty(schema).schema
    made = []
    for number, row in enumerate(rows):
        day, wait = row.get("day"), row.get("wait", 0)
        times = {
            "time": None if day is None else EPOCH + timedelta(days=day),
            "available": None if day is None else EPOCH + timedelta(days=day + wait),
            "source": f"Document/{number}",
        }
        made.append({name: {**times, **row}.get(name) for name in kinds})
    return pl.DataFrame(made, schema=kinds, orient="row")


def note_table(rows: Sequence[tuple]) -> pl.DataFrame:
    """Make notes of (patient, day or None, days until available, text)."""
    return document_table(
        NOTES, [{"subject_id": p, "day": day, "wait": wait, "text": text} for p, day, wait, text in rows]
    )


def image_table(rows: Sequence[tuple]) -> pl.DataFrame:
    """Make images of (patient, day or None, name of a picture)."""
    return document_table(
        IMAGES,
        [
            {"subject_id": p, "day": day, "pixels": name, "spacing_mm": [float("nan"), 0.5, 0.5]}
            for p, day, name in rows
        ],
    )


def variant_table(rows: Sequence[tuple]) -> pl.DataFrame:
    """Make variants of (patient, day or None, source, position)."""
    return document_table(
        VARIANTS,
        [
            {
                "subject_id": p,
                "day": day,
                "source": source,
                "chromosome": "1",
                "position": at,
                "genotype": "0/1",
            }
            for p, day, source, at in rows
        ],
    )


def pixel_table() -> pl.DataFrame:
    """Make the pixel store of the pictures."""
    rows = [(name, list(a.shape), str(a.dtype), a.tobytes()) for name, a in PICTURES.items()]
    return pl.DataFrame(rows, schema=empty(PIXELS).schema, orient="row")


@pytest.fixture
def attached() -> Callable[..., Attachments]:
    """Make attachments of rows of notes, images and variants."""

    def make(notes: Sequence[tuple] = (), images: Sequence[tuple] = (), variants: Sequence[tuple] = ()):
        return Attachments.of(
            notes=note_table(notes),
            images=image_table(images),
            variants=variant_table(variants),
            pixels=PICTURES,
        )

    return make


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished folder of event tables, such as `ingest` makes."""

    def make(
        shards: Sequence[pl.DataFrame],
        *,
        codes: pl.DataFrame | None = None,
        observation: pl.DataFrame | None = None,
        labels: dict[str, pl.DataFrame] | None = None,
        documents: dict[str, Sequence[tuple]] | None = None,
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
            for name, rows in (documents or {}).items():
                table = {"notes": note_table, "images": image_table, "variants": variant_table}[name](rows)
                schema = {"notes": NOTES, "images": IMAGES, "variants": VARIANTS}[name]
                step.shard("0", name, suffix=".parquet", make=write(table, schema))
            if documents:
                step.shard("0", "images/pixels", suffix=".parquet", make=write(pixel_table(), PIXELS))
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
