"""Invented patients of a kidney clinic, and one small model of them, for all tests of the room."""

import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from residency.contract.identifiers import bucket_of
from residency.contract.lineage import Rows, Step
from residency.contract.packed import Packed
from residency.contract.schema import CODES, EVENTS, LABELS, OBSERVATION, SUBJECTS, VARIANTS
from residency.model import Model, ModelSpec, train
from residency.timeline import BuildSpec, Timelines, build

for name in ("invented_charts", "invented_hospital"):  # so that tests can import them
    _spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[name])

EPOCH = datetime(2015, 1, 5)  # noqa: DTZ001 - naive, as in the schema
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def frame(schema: pa.Schema, rows: list[dict]) -> pl.DataFrame:
    kinds = pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
    return pl.DataFrame([{name: row.get(name) for name in kinds} for row in rows], schema=kinds, orient="row")


def patient(subject: int, rng: np.random.Generator) -> tuple[list[dict], list[dict], dict]:
    """Give events, labels and observation: a high creatinine comes before either stage of kidney disease."""
    ill = rng.random() < 0.5
    birth = EPOCH - timedelta(days=int(rng.integers(10_000, 30_000)))
    rows: list[dict] = [
        {"time": None, "code": f"DEMOGRAPHIC/SEX={'female' if subject % 2 else 'male'}", "available": None},
        {"time": birth, "code": "MEDS_BIRTH", "available": birth},
    ]
    labels, day = [], 0.0
    for visit in range(int(rng.integers(2, 25))):
        day += float(rng.exponential(20.0)) + 0.1
        at = EPOCH + timedelta(days=day)
        value = float(rng.normal(3.0 if ill else 1.0, 0.7))
        rows += [
            {"time": at, "code": "VISIT/AMB", "available": at},
            {"time": at, "code": "LOINC/2160-0", "numeric_value": value, "available": at},
        ]
        if ill and visit > 1 and rng.random() < 0.25:
            seen, stage = at + timedelta(hours=3), rng.choice(["N18.3", "N18.4"])
            rows.append({"time": seen, "code": f"ICD10CM/{stage}", "available": seen})
        labels.append({"prediction_time": at + timedelta(hours=1), "boolean_value": ill})
    end = EPOCH + timedelta(days=day + 30.0)
    if rng.random() < (0.4 if ill else 0.1):
        rows.append({"time": end, "code": "MEDS_DEATH", "available": end})
    everyone = {"subject_id": subject, "site": "north"}
    return (
        [{**row, **everyone} for row in rows],
        [{**row, "subject_id": subject} for row in labels],
        {"subject_id": subject, "start": EPOCH, "end": end, "rule": "invented"},
    )


def genomes(people: list[tuple], rng: np.random.Generator) -> pl.DataFrame:
    """Give most patients a genome that tells who is ill, known some time after the first visit."""
    rows = []
    for _, labels, _ in people:
        subject, ill = labels[0]["subject_id"], labels[0]["boolean_value"]
        at = labels[int(rng.integers(len(labels)))]["prediction_time"] + timedelta(hours=5)
        if rng.random() < 0.8:
            genotype = "1/1" if ill else "0/1"
            row = {"subject_id": subject, "time": at, "available": at, "source": f"lab/{subject}"}
            change = {"chromosome": "10", "position": 94942290, "reference": "C", "alternate": "T"}
            rows.append({**row, **change, "genotype": genotype, "gene": "CYP2C9"})
    return frame(VARIANTS, rows)


def write_records(out: Path, n_patients: int, *, with_genomes: bool = False) -> None:
    rng = np.random.default_rng(5)
    people = [patient(subject, rng) for subject in range(1, n_patients + 1)]
    events = frame(EVENTS, [row for rows, _, _ in people for row in rows])
    tables = {
        "metadata/subjects.parquet": frame(
            SUBJECTS,
            [
                {"subject_id": s, "site": "north", "split_bucket": bucket_of(s)}
                for s in range(1, n_patients + 1)
            ],
        ),
        "metadata/codes.parquet": frame(CODES, []),
        "data/0.parquet": events.sort("subject_id", "time", "available", "code", nulls_last=False),
        "observation/0.parquet": frame(OBSERVATION, [seen for _, _, seen in people]),
        "labels/ill/0.parquet": frame(LABELS, [row for _, rows, _ in people for row in rows]),
    }
    if with_genomes:
        tables["variants/0.parquet"] = genomes(people, rng)
    with Step(out, name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
        for name, table in tables.items():
            step.file(name, make=lambda path, table=table: write(table, path))
        step.finish(rows=Rows())


def write(table: pl.DataFrame, path: Path) -> int:
    table.write_parquet(path)
    return len(table)


@pytest.fixture(scope="session")
def timelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    write_records(folder / "records", 260)
    build(folder / "records", folder / "timelines", BuildSpec(), now=NOW)
    return folder / "timelines"


@pytest.fixture(scope="session")
def packed(timelines: Path) -> Packed:
    return Timelines.open(timelines).shards[0]


@pytest.fixture(scope="session")
def model_folder(timelines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model"
    train(timelines, out, ModelSpec(size="tiny", min_patients=10, threads=1, passes=3), now=NOW)
    return out


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    return Model.open(model_folder)


@pytest.fixture(scope="session")
def genotyped(tmp_path_factory: pytest.TempPathFactory) -> Timelines:
    """Timelines of patients of whom most have a genome."""
    folder = tmp_path_factory.mktemp("genotyped")
    write_records(folder / "records", 150, with_genomes=True)
    build(folder / "records", folder / "timelines", BuildSpec(), now=NOW)
    return Timelines.open(folder / "timelines")


@pytest.fixture(scope="session")
def reader(genotyped: Timelines, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small model that reads them."""
    out = tmp_path_factory.mktemp("reader") / "model"
    train(genotyped.folder, out, ModelSpec(size="tiny", min_patients=10, threads=1, passes=6), now=NOW)
    return Model.open(out)
