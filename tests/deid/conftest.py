"""Identified tables made by hand, with identities that must not come out again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from residency.contract.identifiers import bucket_of, subject_id_of, visit_id_of
from residency.contract.lineage import Rows, Step
from residency.contract.schema import CODES, EVENTS, LABELS, OBSERVATION, SUBJECTS
from residency.deid import Policy

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def naive(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def event_rows(rows: Sequence[dict]) -> pa.Table:
    """Make events of mappings; times as ISO text; `available` is `time` unless given."""
    filled = []
    for row in rows:
        full = dict.fromkeys(EVENTS.names) | {"available": row.get("time")} | row
        filled.append(full | {name: naive(full[name]) for name in ("time", "available")})
    return pa.Table.from_pylist(filled, schema=EVENTS)


def history(source_id: str, site: str = "north", year: int = 2010) -> list[dict]:
    """Give one patient's events: born in 1950, seen on three days of a year."""
    subject = {"subject_id": subject_id_of(source_id, site), "site": site, "source": f"Patient/{source_id}"}
    visit = subject | {"visit_id": visit_id_of(f"enc-{source_id}", site)}
    return [
        subject | {"time": "1950-03-04", "code": "MEDS_BIRTH"},
        subject | {"code": "DEMOGRAPHIC/SEX=female"},
        subject | {"code": "DEMOGRAPHIC/ZIP", "text_value": "02139"},
        visit
        | {"time": f"{year}-02-03T10:11:12", "code": "LOINC/2160-0", "numeric_value": 1.5, "unit": "mg/dL"}
        | {"available": f"{year}-02-03T12:00:00", "source": f"Observation/obs-{source_id}"},
        visit
        | {
            "time": f"{year}-02-04T08:00:00",
            "code": "LOINC/8251-1",
            "text_value": f"Mrs. Doe{source_id} says",
        },
        visit
        | {"time": f"{year}-11-05T08:00:00", "code": "ICD10CM/E11.9", "source": f"Condition/c-{source_id}"},
    ]


@pytest.fixture
def rows() -> Callable[[Sequence[dict]], pa.Table]:
    return event_rows


@pytest.fixture
def patient() -> Callable[..., list[dict]]:
    return history


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """A policy whose key lies outside the data."""
    path = tmp_path / "secrets" / "deid.key"
    path.parent.mkdir()
    path.write_text("6b" * 32)
    return Policy(key_file=path, era_blur_days=0)


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished folder, such as `ingest` makes."""

    def make(
        shards: Sequence[Sequence[dict]],
        *,
        labels: pl.DataFrame | None = None,
        observation: pl.DataFrame | None = None,
        codes: pa.Table | None = None,
        name: str = "records",
    ) -> Path:
        out = tmp_path / name

        def write(table: pa.Table) -> Callable[[Path], int]:
            return lambda path: pq.write_table(table, path) or len(table)

        sites = {row["subject_id"]: row["site"] for shard in shards for row in shard}
        subjects = [
            {"subject_id": subject, "site": site, "split_bucket": bucket_of(subject)}
            for subject, site in sorted(sites.items())
        ]
        listed = {row["code"] for shard in shards for row in shard}
        known = [
            {"code": code, "description": "x", "parent_codes": [], "unit": None} for code in sorted(listed)
        ]
        with Step(out, name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
            for place, shard in enumerate(shards):
                step.shard(f"{place:04d}", "data", suffix=".parquet", make=write(event_rows(shard)))
            step.file(
                "metadata/subjects.parquet", make=write(pa.Table.from_pylist(subjects, schema=SUBJECTS))
            )
            step.file(
                "metadata/codes.parquet", make=write(codes or pa.Table.from_pylist(known, schema=CODES))
            )
            if labels is not None:
                step.shard(
                    "0", "labels/sepsis", suffix=".parquet", make=write(labels.to_arrow().cast(LABELS))
                )
            if observation is not None:
                table = observation.to_arrow().cast(OBSERVATION)
                step.shard("0", "observation", suffix=".parquet", make=write(table))
            body = '{"dataset_name": "St. Elsewhere", "residency": {"time_zone": "UTC", "sites": ["north"]}}'
            step.file("metadata/dataset.json", make=lambda path: path.write_text(body) and 0)
            step.finish(rows=Rows())
        return out

    return make


@pytest.fixture
def days() -> Callable[..., timedelta]:
    return lambda n: timedelta(days=n)
