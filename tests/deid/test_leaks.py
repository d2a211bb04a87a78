"""A hospital's own files, with all that they say of people, through every step that follows."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from residency.deid import deidentify
from residency.records import Feed, ingest
from residency.timeline import BuildSpec, Timelines, build

NOW = datetime(2024, 1, 1, tzinfo=UTC)
N_PATIENTS = 40


def person(number: int) -> list[dict]:
    """Give one patient's resources: names, numbers, addresses, and text that repeats them."""
    name = f"patient-{number:03d}"
    reference = {"subject": {"reference": f"Patient/{name}"}}
    day = date(2015, 1 + number % 12, 1 + number % 28).isoformat()
    return [
        {
            "resourceType": "Patient",
            "id": name,
            "identifier": [{"system": "urn:mrn", "value": f"MRN77{number:05d}"}],
            "name": [{"family": f"Ravenscroft{number}", "given": ["Philippa"]}],
            "telecom": [{"system": "phone", "value": f"617-555-{number:04d}"}],
            "address": [{"line": ["12 Larkspur Lane"], "city": "Cambridge", "postalCode": "02139"}],
            "gender": "female",
            "birthDate": f"{1915 + number}-0{1 + number % 9}-11",
        },
        {
            "resourceType": "Encounter",
            "id": f"enc-{number:03d}",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "period": {"start": f"{day}T09:00:00", "end": f"{day}T10:00:00"},
            **reference,
        },
        {
            "resourceType": "Observation",
            "id": f"obs-{number:03d}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2160-0", "display": "Creatinine"}]},
            "effectiveDateTime": f"{day}T09:30:00",
            "issued": f"{day}T11:30:00Z",
            "valueQuantity": {"value": 0.5 + number / 40, "unit": "mg/dL", "code": "mg/dL"},
            "encounter": {"reference": f"Encounter/enc-{number:03d}"},
            **reference,
        },
        {
            "resourceType": "Observation",
            "id": f"txt-{number:03d}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8251-1"}]},
            "effectiveDateTime": f"{day}T09:40:00",
            "valueString": f"Philippa Ravenscroft{number} of 12 Larkspur Lane called",
            **reference,
        },
    ]


@pytest.fixture
def made(tmp_path, policy) -> tuple[Path, Path, Path]:
    """Ingest, de-identify and build; give the three folders."""
    source = tmp_path / "fhir" / "north"
    source.mkdir(parents=True)
    for place, kind in enumerate(("Patient", "Encounter", "Observation")):
        lines = [json.dumps(r) for n in range(N_PATIENTS) for r in person(n) if r["resourceType"] == kind]
        (source / f"{kind}.{place:03d}.ndjson").write_text("\n".join(lines))
    records, hidden, built = (tmp_path / name for name in ("records", "deidentified", "timelines"))
    ingest(records, [Feed("fhir", [tmp_path / "fhir"])], now=NOW)
    deidentify(records, hidden, policy, now=NOW)
    build(hidden, built, BuildSpec(min_patients=5), now=NOW)
    return records, hidden, built


def texts_of(folder: Path) -> list[str]:
    """Give every file's bytes, and every value of every table, as text."""
    found = [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    for path in folder.rglob("*.parquet"):
        found += [str(value) for column in pl.read_parquet(path).get_columns() for value in column]
    return found


def test_nothing_that_names_a_patient_is_in_any_file_of_the_result(made) -> None:
    records, *results = made
    told = pl.read_parquet(records / "data" / "*.parquet")
    ids = {*told["subject_id"], *told["visit_id"].drop_nulls()}
    words = ["Ravenscroft", "Philippa", "MRN77", "617-555", "Larkspur", "02139"]
    words += [f"{kind}-{n:03d}" for kind in ("patient", "enc", "obs", "txt") for n in range(N_PATIENTS)]
    for folder in results:
        everything = "\n".join(texts_of(folder))
        assert not [word for word in words if word in everything]
        assert not [one for one in ids if str(one) in everything]
        assert not [one for one in ids if one.to_bytes(8, "little").decode("latin-1") in everything]


def test_no_patient_shows_a_true_time_and_no_birth_is_true(made) -> None:
    records, hidden, built = made
    true, shown = (pl.read_parquet(folder / "data" / "*.parquet") for folder in (records, hidden))
    lives = [
        set(part["time"].drop_nulls()) for part in (true, shown) for part in part.partition_by("subject_id")
    ]
    assert len(lives) == 2 * N_PATIENTS
    assert not {frozenset(life) for life in lives[:N_PATIENTS]} & {
        frozenset(life) for life in lives[N_PATIENTS:]
    }
    births = true.filter(pl.col("code") == "MEDS_BIRTH")["time"].cast(pl.Int64)
    assert len(births) == N_PATIENTS
    packed = {int(time) for shard in Timelines.open(built).shards for time in shard.event_time}
    assert packed.isdisjoint(births)


def test_the_built_timelines_keep_every_interval(made) -> None:
    records, _, built = made
    before = pl.read_parquet(records / "data" / "*.parquet").filter(pl.col("code") == "LOINC/2160-0")
    waits = (before["available"] - before["time"]).dt.total_microseconds()
    timelines = Timelines.open(built)
    lab = timelines.vocabulary.index_of("LOINC/2160-0")
    found = []
    for packed in timelines.shards:
        mine = packed.event_code == lab
        available = packed.moment_time.repeat(packed.event_offset[1:] - packed.event_offset[:-1])
        found += (available[mine] - packed.event_time[mine]).tolist()
    assert sorted(found) == sorted(waits)
    assert len(found) == N_PATIENTS
