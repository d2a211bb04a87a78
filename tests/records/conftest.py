"""Invented records in the formats that hospitals use."""

import gzip
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from residency.contract.lineage import Manifest
from residency.records import Feed, ingest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Resource = dict[str, Any]


class Invented:
    """Makes invented records, and reads what became of them."""

    @staticmethod
    def concept(system: str, code: str, display: str = "") -> Resource:
        return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}

    @staticmethod
    def patient(number: int, **more: Any) -> Resource:
        return {
            "resourceType": "Patient",
            "id": f"p{number}",
            "birthDate": "1950-06-01",
            "gender": "female",
            **more,
        }

    @staticmethod
    def creatinine(
        number: int, patient_number: int, value: float = 1.0, unit: str = "mg/dL", **more: Any
    ) -> Resource:
        return {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "code": Invented.concept("http://loinc.org", "2160-0", "Creatinine"),
            "subject": {"reference": f"Patient/p{patient_number}"},
            "encounter": {"reference": f"Encounter/e{patient_number}"},
            "effectiveDateTime": f"2020-01-{number % 28 + 1:02}T08:00:00",
            "issued": f"2020-01-{number % 28 + 1:02}T10:30:00",
            "valueQuantity": {"value": value, "unit": unit, "code": unit},
            **more,
        }

    @staticmethod
    def ward(n_patients: int, n_each: int = 5) -> list[Resource]:
        """Give patients, a visit each, a diagnosis each, and some results."""
        found: list[Resource] = []
        for number in range(n_patients):
            found.append(Invented.patient(number))
            found.append(
                {
                    "resourceType": "Encounter",
                    "id": f"e{number}",
                    "status": "finished",
                    "class": {"code": "IMP"},
                    "subject": {"reference": f"Patient/p{number}"},
                    "period": {"start": "2020-01-01T07:00:00", "end": "2020-01-30T12:00:00"},
                }
            )
            found.append(
                {
                    "resourceType": "Condition",
                    "id": f"c{number}",
                    "code": Invented.concept(
                        "http://hl7.org/fhir/sid/icd-10-cm", "E11.22", "Type 2 diabetes with kidney disease"
                    ),
                    "subject": {"reference": f"Patient/p{number}"},
                    "onsetDateTime": "2020-01-02",
                    "recordedDate": "2020-01-05T09:00:00",
                }
            )
            found += [Invented.creatinine(number * 100 + i, number, value=1 + i / 8) for i in range(n_each)]
        return found

    @staticmethod
    def ndjson(path: Path, resources: Iterable[Resource]) -> Path:
        """Write NDJSON, gzipped where the name says so."""
        body = b"".join(msgspec.json.encode(resource) + b"\n" for resource in resources)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)
        return path

    @staticmethod
    def bundle(path: Path, resources: Iterable[Resource]) -> Path:
        """Write a Bundle, its entries named by urn:uuid."""
        entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources]
        body = msgspec.json.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(body, mtime=0) if path.suffix == ".gz" else body)
        return path

    @staticmethod
    def events(out: Path) -> pl.DataFrame:
        return pl.read_parquet(sorted((out / "data").glob("*.parquet")))

    @staticmethod
    def codes(out: Path) -> dict[str, Resource]:
        return {row["code"]: row for row in pl.read_parquet(out / "metadata/codes.parquet").to_dicts()}

    @staticmethod
    def digests(manifest: Manifest) -> list[tuple[str, str]]:
        """Give what *same bytes* means of a folder's tables."""
        return [(shard.path, shard.digest) for shard in manifest.shards]


Ingest = Callable[..., Manifest]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def invented() -> type[Invented]:
    return Invented


@pytest.fixture
def take(tmp_path: Path) -> Ingest:
    """Ingest into `tmp_path/out`, with a mapping given as text."""

    def run(source: str, *paths: Path, mapping: str = "", out: str = "out") -> Manifest:
        file = None
        if mapping:
            file = tmp_path / "mapping.toml"
            file.write_text(mapping)
        return ingest(tmp_path / out, [Feed(source, list(paths), file)], now=NOW)

    return run
