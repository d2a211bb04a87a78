"""Small invented patients, written out by hand or drawn, for all tests of the room."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from residency.contract.codes import built_in_parents
from residency.contract.identifiers import bucket_of
from residency.contract.lineage import Rows, Step
from residency.contract.packed import Packed
from residency.contract.schema import CODES, EVENTS, LABELS, OBSERVATION, SUBJECTS
from residency.contract.specs import read
from residency.model import ModelSpec, train
from residency.timeline import BuildSpec, Vocabulary, build, pack
from residency.validation import Task

EPOCH = datetime(2015, 1, 5)  # noqa: DTZ001 - naive, as in the schema
NOW = datetime(2024, 1, 1, tzinfo=UTC)
Row = tuple[int, float | None, str, float | None]  # patient, day, code, value


def day(number: float) -> datetime:
    return EPOCH + timedelta(days=number)


def microseconds(number: float) -> int:
    return round((day(number) - datetime(1970, 1, 1)) / timedelta(microseconds=1))  # noqa: DTZ001


def table(schema: pa.Schema, rows: list[dict]) -> pl.DataFrame:
    kinds = pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
    return pl.DataFrame([{name: row.get(name) for name in kinds} for row in rows], schema=kinds, orient="row")


def vocabulary_of(codes: list[str], valued: tuple[str, ...] = ()) -> Vocabulary:
    """Know some codes and, where they are among them, their parents."""
    known = ("UNKNOWN", *codes)
    above = [[known.index(parent) for parent in built_in_parents(code) if parent in known] for code in known]
    knots = [[0.0, 1.0] if code in valued else [] for code in known]
    return Vocabulary(
        codes=known,
        descriptions=("",) * len(known),
        units=(None,) * len(known),
        n_patients=np.arange(len(known), 0, -1) * 10,
        n_events=np.arange(len(known), 0, -1) * 100,
        ancestor_offset=np.cumsum([0, *map(len, above)]),
        ancestor_index=np.array([one for some in above for one in some], np.int32),
        knot_offset=np.cumsum([0, *map(len, knots)]),
        knots=np.array([one for some in knots for one in some], np.float32),
        levels=np.array([one for some in knots for one in some], np.float32),
        also={},
    )


def packed_of(
    rows: list[Row],
    vocabulary: Vocabulary,
    seen: list[tuple[int, float, float]] | None = None,
    happened: dict[int, float] | None = None,
) -> Packed:
    """Pack events; `seen`: observation intervals; `happened`: a row's own time where it was known later."""
    events = [
        {
            "subject_id": patient,
            "time": None if at is None else day((happened or {}).get(number, at)),
            "available": None if at is None else day(at),
            "code": code,
            "numeric_value": value,
        }
        for number, (patient, at, code, value) in enumerate(rows)
    ]
    ordered = table(EVENTS, events).sort("subject_id", "time", "available", "code", nulls_last=False)
    intervals = [
        {"subject_id": patient, "start": day(low), "end": day(high), "rule": "stated"}
        for patient, low, high in seen or []
    ]
    return pack(ordered, vocabulary, observation=table(OBSERVATION, intervals) if seen else None)


def task(**settings: object) -> Task:
    return read(
        Task,
        {
            "name": "kidney",
            "title": "Kidney disease",
            "landmark": {"kind": "every_moment"},
            "outcome": {"codes": ["ICD10CM/N18"]},
            "horizon_days": 100.0,
            **settings,
        },
    )


def _patient(subject: int, rng: np.random.Generator) -> tuple[list[dict], list[dict], dict]:
    """Give events, labels and observation: a high creatinine comes before kidney disease."""
    ill = rng.random() < 0.5
    birth = EPOCH - timedelta(days=int(rng.integers(10_000, 30_000)))
    rows: list[dict] = [
        {"time": None, "code": f"DEMOGRAPHIC/SEX={'female' if subject % 2 else 'male'}", "available": None},
        {"time": birth, "code": "MEDS_BIRTH", "available": birth},
    ]
    labels, days = [], 0.0
    for visit in range(int(rng.integers(2, 20))):
        days += float(rng.exponential(20.0)) + 0.1
        at = day(days)
        value = float(rng.normal(2.0 if ill else 1.0, 0.7))
        rows.append({"time": at, "code": "VISIT/AMB", "available": at})
        rows.append({"time": at, "code": "LOINC/2160-0", "numeric_value": value, "available": at})
        if visit > 1 and rng.random() < (0.25 if ill else 0.02):
            seen = at + timedelta(hours=3)
            rows.append({"time": seen, "code": "ICD10CM/N18.3", "available": seen})
        labels.append(
            {"prediction_time": at + timedelta(hours=1), "boolean_value": ill and rng.random() < 0.9}
        )
    if rng.random() < 0.15:
        rows.append({"time": day(days + 30.0), "code": "MEDS_DEATH", "available": day(days + 30.0)})
    mine = {"subject_id": subject, "site": "south" if subject % 4 == 0 else "north"}
    return (
        [{**row, **mine} for row in rows],
        [{**row, "subject_id": subject} for row in labels],
        {"subject_id": subject, "start": EPOCH, "end": day(days + 30.0), "rule": "invented"},
    )


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `timelines` of 700 patients of two sites (one external), and a small `model`."""
    folder = tmp_path_factory.mktemp("clinic")
    rng = np.random.default_rng(5)
    people = [_patient(subject, rng) for subject in range(1, 701)]
    site = ["south" if subject % 4 == 0 else "north" for subject in range(1, 701)]
    subjects = [
        {"subject_id": subject, "site": name, "split_bucket": bucket_of(subject)}
        for subject, name in enumerate(site, 1)
    ]
    events = table(EVENTS, [row for rows, _, _ in people for row in rows])
    events = events.sort("subject_id", "time", "available", "code", nulls_last=False)
    files = {
        "metadata/subjects.parquet": table(SUBJECTS, subjects),
        "metadata/codes.parquet": table(CODES, []),
        "data/0.parquet": events.filter(pl.col("subject_id") <= 300),
        "data/1.parquet": events.filter(pl.col("subject_id") > 300),
        "observation/0.parquet": table(OBSERVATION, [seen for _, _, seen in people]),
        "labels/ill/0.parquet": table(LABELS, [row for _, rows, _ in people for row in rows]),
    }
    with Step(folder / "records", name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
        for name, content in files.items():
            step.file(name, make=_writing(content))
        step.finish(rows=Rows())
    build(folder / "records", folder / "timelines", BuildSpec(held_out_sites=("south",)), now=NOW)
    settings = ModelSpec(size="tiny", min_patients=10, threads=1, passes=2)
    train(folder / "timelines", folder / "model", settings, now=NOW)
    return folder


def _writing(content: pl.DataFrame) -> Callable[[Path], int]:
    def make(path: Path) -> int:
        content.write_parquet(path)
        return len(content)

    return make


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks: one of codes, one of a label."""
    folder = tmp_path_factory.mktemp("tasks")
    sexes = 'female = "DEMOGRAPHIC/SEX=female"\nmale = "DEMOGRAPHIC/SEX=male"\n'
    groups = f"age_bands = [50.0]\n[groups.by_code.sex]\n{sexes}"
    (folder / "kidney.toml").write_text(
        'name = "kidney"\ntitle = "Kidney disease"\nhorizon_days = 90.0\noccurrence = "incident"\n'
        'clinical = "scored"\n'
        '[landmark]\nkind = "regular"\nevery_days = 30.0\nper_patient = 3\n'
        f'[outcome]\ncodes = ["ICD10CM/N18"]\n[groups]\n{groups}'
    )
    (folder / "ill.toml").write_text(
        'name = "ill"\ntitle = "Ill"\nhorizon_days = 0.25\nutility = "cinc2019"\n'
        '[landmark]\nkind = "labels"\n[outcome]\nlabel = "ill"\nonset_after_days = 0.25\n'
    )
    return folder


class Ward:
    """What tests write patients and tasks with."""

    now = NOW
    codes = vocabulary_of(
        [
            "MEDS_BIRTH",
            "VISIT/AMB",
            "LOINC/2160-0",
            "ICD10CM/N18",
            "ICD10CM/N18.3",
            "MEDS_DEATH",
            "DEMOGRAPHIC/SEX=male",
        ],
        valued=("LOINC/2160-0",),
    )
    day = staticmethod(day)
    microseconds = staticmethod(microseconds)
    task = staticmethod(task)

    def packed(
        self,
        rows: list[Row],
        seen: list[tuple[int, float, float]] | None = None,
        happened: dict[int, float] | None = None,
    ) -> Packed:
        return packed_of(rows, self.codes, seen, happened)


@pytest.fixture(scope="session")
def ward() -> Ward:
    return Ward()
