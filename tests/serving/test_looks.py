"""Looking at a patient's notes, images and genome: granted, audited, and nothing that came later."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

V1 = "/residency/v1"
EARLY, LATER = "2021-01-01T00:00:00", "2025-12-31T00:00:00"
PATHS = ("attachments", "notes/0", "images/0", "images/0/slices/0", "genomes/0")
PHENOTYPES = {"CYP2C19*1/*2": "intermediate", "CYP2C19*2/*2": "poor", "CYP2C19*1/*17": "rapid"}  # CPIC


@pytest.fixture
def first(client: TestClient) -> str:
    """MRN-1000, who has everything."""
    patients = client.get(f"{V1}/patients").json()["patients"]
    return str(next(one["subject_id"] for one in patients if one["reference"] == "MRN-1000"))


def _listed(client: TestClient, subject: str, as_of: str = EARLY) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(
        f"{V1}/patients/{subject}/attachments", params={"as_of": as_of}
    ).json()["attachments"]
    return found


@pytest.mark.parametrize("path", PATHS)
def test_nobody_looks_without_a_key_or_a_grant_for_the_panel(
    client: TestClient, first: str, path: str
) -> None:
    url = f"{V1}/patients/{first}/{path}"
    assert client.get(url, params={"as_of": EARLY}).status_code == 200
    for key, status in (("", 401), ("res_past", 401), ("res_clinic", 403)):
        answer = client.get(url, params={"as_of": EARLY}, headers={"api-key": key})
        assert answer.status_code == status
        assert set(answer.json()) == {"what", "where", "mend"}


def test_what_a_patient_has_is_listed_with_words(client: TestClient, first: str) -> None:
    listed = _listed(client, first)
    assert {(one["kind"], one["title"]) for one in listed} == {
        ("note", "Progress note"),
        ("image", "CT of the chest"),
        ("image", "Radiograph (DX) of the chest"),
        ("genome", "Genome: 1 star-allele call"),
    }
    known = [one["available"] for one in listed]
    assert known == sorted(known)


def test_nothing_that_came_later_is_listed_or_opened(client: TestClient, first: str) -> None:
    before, after = (_listed(client, first, as_of) for as_of in (EARLY, LATER))
    late = [one for one in after if one not in before]
    assert [one["kind"] for one in late] == ["note"]
    assert before == [one for one in after if one["available"] <= EARLY]
    url = f"{V1}/patients/{first}/notes/{late[0]['number']}"
    assert client.get(url, params={"as_of": LATER}).json()["text"].startswith("Addendum")
    hidden = client.get(url, params={"as_of": EARLY})
    absent = client.get(f"{V1}/patients/{first}/notes/99", params={"as_of": EARLY})
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json() == absent.json()  # nobody learns that there will be one


@pytest.mark.parametrize(("path", "known"), [("genomes/0", "2020-05-01T08:00:00")])
def test_a_result_is_seen_from_the_moment_it_was_known(
    client: TestClient, first: str, path: str, known: str
) -> None:
    url = f"{V1}/patients/{first}/{path}"
    assert client.get(url, params={"as_of": known}).status_code == 200
    assert client.get(url, params={"as_of": "2020-05-01T07:59:59"}).status_code == 404


def test_another_patients_number_opens_nothing_of_this_one(client: TestClient) -> None:
    patients = {
        one["reference"]: one["subject_id"] for one in client.get(f"{V1}/patients").json()["patients"]
    }
    assert _listed(client, patients["MRN-1001"]) == []
    assert client.get(f"{V1}/patients/{patients['MRN-1001']}/notes/0").status_code == 404
    assert client.get(f"{V1}/patients/12345/attachments").status_code == 404


def test_a_note_is_given_as_it_was_written_and_kept_nowhere(client: TestClient, first: str) -> None:
    answer = client.get(f"{V1}/patients/{first}/notes/0", params={"as_of": EARLY})
    assert "<script>" in answer.json()["text"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def _stored(world: Any, subject: str, modality: str) -> np.ndarray:
    rows = pl.read_parquet(sorted(Path(world.records, "images").glob("*.parquet")))
    (digest,) = rows.filter((pl.col("subject_id") == int(subject)) & (pl.col("modality") == modality))[
        "pixels"
    ]
    (row,) = pl.read_parquet(Path(world.records, "images", "pixels", f"{digest}.parquet")).to_dicts()
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"])


def test_a_slice_is_the_stored_pixels_in_the_window_asked_for(
    client: TestClient, world: Any, first: str
) -> None:
    number = next(one["number"] for one in _listed(client, first) if one["title"] == "CT of the chest")
    url = f"{V1}/patients/{first}/images/{number}"
    about = client.get(url, params={"as_of": EARLY}).json()
    voxels = _stored(world, first, "CT")
    assert (about["slices"], about["rows"], about["columns"]) == voxels.shape == (3, 16, 16)
    assert about["aspect"] == pytest.approx(0.8 / 0.7)
    assert (about["center"], about["width"], about["hounsfield"]) == (40.0, 400.0, True)
    for place, (low, high) in enumerate([(-160, 240), (-1024, 1024), (-700, -600)]):
        asked = {"as_of": EARLY, "center": (low + high) / 2, "width": high - low}
        png = client.get(f"{url}/slices/{place}", params=asked)
        assert (png.headers["content-type"], png.headers["cache-control"]) == ("image/png", "no-store")
        drawn = np.array(Image.open(io.BytesIO(png.content)))
        expected = np.interp(voxels[place], [low, high], [0, 255])
        assert np.abs(drawn - expected).max() <= 0.5
    as_stated = client.get(f"{url}/slices/0", params={"as_of": EARLY}).content
    assert (
        as_stated
        == client.get(f"{url}/slices/0", params={"as_of": EARLY, "center": 40, "width": 400}).content
    )


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [
        ("slices/3", {}, 404),
        ("slices/-1", {}, 404),
        ("slices/CANARY", {}, 422),
        ("slices/0", {"center": 0, "width": 0}, 422),
        ("slices/0", {"center": "nan", "width": "inf"}, 422),
        ("slices/0", {"as_of": "CANARY"}, 422),
    ],
)
def test_a_slice_or_a_window_that_is_none_is_refused(
    client: TestClient, first: str, path: str, asked: dict[str, Any], status: int
) -> None:
    number = next(one["number"] for one in _listed(client, first) if one["title"] == "CT of the chest")
    answer = client.get(f"{V1}/patients/{first}/images/{number}/{path}", params={"as_of": EARLY, **asked})
    assert answer.status_code == status
    assert "CANARY" not in answer.text


def test_a_genome_has_its_calls_and_what_they_mean(client: TestClient) -> None:
    patients = client.get(f"{V1}/patients").json()["patients"]
    subjects = {one["reference"]: one["subject_id"] for one in patients}
    for reference in ("MRN-1000", "MRN-1003", "MRN-1006"):
        table = client.get(f"{V1}/patients/{subjects[reference]}/genomes/0", params={"as_of": EARLY}).json()
        (row,) = table["rows"]
        assert (row["gene"], row["called"], table["rows_in_all"]) == ("CYP2C19", True, 1)
        assert row["phenotype"] == PHENOTYPES[row["name"]]


def test_every_look_and_every_refusal_is_audited(client: TestClient, audit: Path, first: str) -> None:
    for path in PATHS:
        client.get(f"{V1}/patients/{first}/{path}", params={"as_of": EARLY})
    client.get(f"{V1}/patients/{first}/notes/0", headers={"api-key": "res_clinic"})
    with sa.create_engine(f"sqlite:///{audit}").connect() as connection:
        rows = list(connection.execute(sa.text("select kind, status, grantee from audit order by n")))
    assert [tuple(row) for row in rows[-6:]] == [
        ("attachments", 200, "ward"),
        ("note", 200, "ward"),
        ("image", 200, "ward"),
        ("image", 200, "ward"),
        ("genome", 200, "ward"),
        ("note", 403, "clinic"),
    ]
