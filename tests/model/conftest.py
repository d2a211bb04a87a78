"""Invented patients whose lab foretells a diagnosis: event tables, timelines, and one trained model."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
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
from residency.model import Model, ModelSpec, train
from residency.timeline import BuildSpec, Timelines, build

EPOCH = datetime(2015, 1, 5)  # noqa: DTZ001 (naive, as in the schema)
NOW = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=10)


def _frame(schema: object, rows: list[dict]) -> pl.DataFrame:
    kinds = pl.DataFrame(pl.from_arrow(schema.empty_table())).schema  # type: ignore[attr-defined]
    return pl.DataFrame([{name: row.get(name) for name in kinds} for row in rows], schema=kinds, orient="row")


def _patient(subject: int, rng: np.random.Generator) -> tuple[list[dict], list[dict], dict]:
    """Give events, labels and observation of a patient: a high lab doubles as a warning of the diagnosis."""
    ill = rng.random() < 0.4
    birth = EPOCH - timedelta(days=int(rng.integers(10_000, 30_000)))
    rows = [
        {"subject_id": subject, "time": None, "code": "GENDER/F", "available": None},
        {"subject_id": subject, "time": birth, "code": "MEDS_BIRTH", "available": birth},
    ]
    labels = []
    day, n_visits = 0.0, int(rng.integers(2, 30))
    for visit in range(n_visits):
        day += float(rng.exponential(20.0)) + 0.1
        at = EPOCH + timedelta(days=day)
        value = float(rng.normal(3.0 if ill else 1.0, 0.5))
        rows += [
            {"subject_id": subject, "time": at, "code": "VISIT/AMB", "available": at},
            {
                "subject_id": subject,
                "time": at,
                "code": "LOINC/2160-0",
                "numeric_value": value,
                "available": at,
            },
        ]
        if ill and visit > 1 and rng.random() < 0.3:
            seen = at + timedelta(hours=3)
            rows.append({"subject_id": subject, "time": seen, "code": "ICD10CM/N18.3", "available": seen})
        labels.append(
            {"subject_id": subject, "prediction_time": at + timedelta(hours=1), "boolean_value": ill}
        )
    end = EPOCH + timedelta(days=day + 30.0)
    if ill and rng.random() < 0.3:
        rows.append({"subject_id": subject, "time": end, "code": "MEDS_DEATH", "available": end})
    seen_row = {"subject_id": subject, "start": EPOCH, "end": end, "rule": "invented"}
    return rows, labels, seen_row


def _documents(people: list[tuple], rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Give notes, images and genomes that tell who is ill, each of some patients only."""
    notes, images, variants, pixels = [], [], [], {}
    for _, labels, _ in people:
        subject, ill = labels[0]["subject_id"], labels[0]["boolean_value"]
        if rng.random() < 0.8:
            genotype = "1/1" if ill else "0/1"
            variants += [
                {
                    "subject_id": subject,
                    "source": f"lab/{subject}",
                    "assembly": "GRCh38",
                    "chromosome": "chr10",
                    "position": at,
                    "reference": "C",
                    "alternate": "T",
                    "genotype": genotype,
                    "gene": "CYP2C9",
                }
                for at in (94942290, 94942291)
            ]
        for label in labels:
            row = {"subject_id": subject, "time": label["prediction_time"]}
            if rng.random() < 0.3:
                text = "Reports chest pain. Looks unwell." if ill else "No chest pain. Looks well."
                late = row["time"] + timedelta(hours=int(rng.integers(0, 5)))
                notes.append({**row, "available": late, "kind": "LOINC/34109-9", "text": text})
            if rng.random() < 0.2:
                picture = rng.integers(0, 60, (1, 16, 16)).astype(np.uint8)
                picture[0, 4:12, 4:12] += 150 * np.uint8(ill)
                name = sha256(picture.tobytes()).hexdigest()
                pixels[name] = picture
                images.append({**row, "available": row["time"], "modality": "DX", "pixels": name})
    stored = [(name, list(a.shape), str(a.dtype), a.tobytes()) for name, a in pixels.items()]
    store = pl.DataFrame(stored, schema=_frame(PIXELS, []).schema, orient="row")
    return {
        "notes": _frame(NOTES, notes),
        "images": _frame(IMAGES, images),
        "images/pixels": store,
        "variants": _frame(VARIANTS, variants),
    }


def write_records(
    out: Path, n_patients: int, *, with_documents: bool = False, with_labels: bool = True
) -> None:
    """Write a finished folder of event tables in two shards."""
    rng = np.random.default_rng(5)
    people = [_patient(subject, rng) for subject in range(1, n_patients + 1)]
    half = n_patients // 2
    subjects = [
        {"subject_id": s, "site": "north", "split_bucket": bucket_of(s)} for s in range(1, n_patients + 1)
    ]
    with Step(out, name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
        for place, part in enumerate((people[:half], people[half:])):
            rows = _frame(EVENTS, [row for events, _, _ in part for row in events])
            rows = rows.sort("subject_id", "time", "available", "code", nulls_last=False)
            step.shard(f"{place}", "data", suffix=".parquet", make=lambda path, rows=rows: _write(rows, path))
        tables = {
            "metadata/subjects.parquet": _frame(SUBJECTS, subjects),
            "metadata/codes.parquet": _frame(CODES, []),
        }
        for name, table in tables.items():
            step.file(name, make=lambda path, table=table: _write(table, path))
        seen = _frame(OBSERVATION, [interval for _, _, interval in people])
        told = _frame(LABELS, [label for _, labels, _ in people for label in labels])
        step.shard("0", "observation", suffix=".parquet", make=lambda path: _write(seen, path))
        if with_labels:
            step.shard("0", "labels/ill", suffix=".parquet", make=lambda path: _write(told, path))
        for name, table in (_documents(people, rng) if with_documents else {}).items():
            step.shard("0", name, suffix=".parquet", make=lambda path, table=table: _write(table, path))
        step.finish(rows=Rows())


def _write(table: pl.DataFrame, path: Path) -> int:
    table.write_parquet(path)
    return len(table)


def _timelines(folder: Path, n_patients: int, **kinds: bool) -> Path:
    write_records(folder / "records", n_patients, **kinds)
    build(folder / "records", folder / "timelines", BuildSpec(), now=NOW)
    return folder / "timelines"


@pytest.fixture(scope="session")
def timelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Timelines of 300 invented patients."""
    return _timelines(tmp_path_factory.mktemp("model"), 300)


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Timelines of 60 invented patients of whom nobody labelled anything."""
    return _timelines(tmp_path_factory.mktemp("unlabelled"), 60, with_labels=False)


@pytest.fixture(scope="session")
def data(timelines: Path) -> Timelines:
    return Timelines.open(timelines)


@pytest.fixture(scope="session")
def trained(timelines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model of those patients."""
    out = tmp_path_factory.mktemp("trained") / "model"
    train(timelines, out, SPEC, now=NOW)
    return out


@pytest.fixture(scope="session")
def model(trained: Path) -> Model:
    return Model.open(trained)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Timelines of 150 invented patients of whom some have notes, images and genomes."""
    return _timelines(tmp_path_factory.mktemp("documented"), 150, with_documents=True)


@pytest.fixture(scope="session")
def undocumented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Timelines of the very same patients, of whom there is nothing but events."""
    return _timelines(tmp_path_factory.mktemp("undocumented"), 150)
