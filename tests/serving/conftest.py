"""One small invented ward, taken through the real rooms once, from records to HTTP."""

import importlib.util
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from residency import deid, model, records, release, timeline
from residency.contract.lineage import Rows, Step
from residency.contract.questions import Occurrence, Outcome
from residency.contract.report import Metric, Report, Slice, write_report
from residency.release import ExaminedTask
from residency.serving import create_app
from residency.serving.grants import digest_of_key

SPEC = importlib.util.spec_from_file_location(
    "invented_documents", Path(__file__).with_name("invented_documents.py")
)
assert SPEC is not None
assert SPEC.loader is not None
invented: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(invented)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
POLICY = Path(__file__).parents[2] / "examples" / "release_policy.toml"
KEYS = {"ward": "res_ward", "clinic": "res_clinic", "spent": "res_spent", "past": "res_past"}
GRANTS = """
[[grant]]
name = "ward"
key = "{ward}"
purpose = "DUO:0000043"
until = "2030-01-01"
quota_per_day = 100000
panel = true

[[grant]]
name = "clinic"
key = "{clinic}"
purpose = "DUO:0000043"
until = "2030-01-01"
quota_per_day = 100000
tasks = ["death*"]

[[grant]]
name = "spent"
key = "{spent}"
purpose = "DUO:0000042"
until = "2030-01-01"
quota_per_day = 1

[[grant]]
name = "past"
key = "{past}"
purpose = "DUO:0000043"
until = "2025-12-31"
quota_per_day = 10
"""
OCCURRENCE: dict[str, Occurrence] = {
    "diabetes_1y": "incident",
    "death_1y": "incident",
    "hypertension_1y": "incident",
    "hypertension_2y": "any",
}
GROUPED = """
name = "hypertension_2y"
title = "Hypertension"
horizon_days = 730.5
landmark = { kind = "regular", every_days = 180.0 }
outcome = { codes = ["ICD10CM/I10"] }
groups = { by_code = { sex = { female = "DEMOGRAPHIC/SEX=female", male = "DEMOGRAPHIC/SEX=male" } } }
"""
LOINC, ICD = "http://loinc.org", "http://hl7.org/fhir/sid/icd-10-cm"


def invented_bundle(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """Invent one patient as a FHIR Bundle; every third one's glucose rises to a diagnosis."""
    patient = f"MRN-{1000 + number}"
    subject = {"reference": f"Patient/{patient}"}
    born = date(1930, 1, 1) + timedelta(days=int(rng.integers(0, 20_000)))
    sex = ("female", "male")[number % 2]
    resources: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": patient, "gender": sex, "birthDate": born.isoformat()}
    ]
    time = datetime(2018, 1, 1) + timedelta(days=float(rng.uniform(0, 500)))  # noqa: DTZ001 - wall clock
    glucose, n = 95.0, 0
    while time.year < 2024:
        n += 1
        glucose += 6.0 if number % 3 == 0 else 0.0
        resources.append(
            {
                "resourceType": "Observation", "id": f"{patient}-o{n}", "status": "final", "subject": subject,
                "code": {"coding": [{"system": LOINC, "code": "2345-7", "display": "Glucose"}]},
                "effectiveDateTime": f"{time.isoformat(timespec='seconds')}Z",
                "issued": f"{(time + timedelta(hours=3)).isoformat(timespec='seconds')}Z",
                "valueQuantity": {"value": round(glucose + float(rng.normal(0, 5)), 1), "code": "mg/dL"},
            }
        )  # fmt: skip
        if glucose > 126:
            resources.append(_condition(patient, f"c{n}", "E11.9", time))
        if rng.random() < 0.05:
            resources.append(_condition(patient, f"h{n}", "I10", time))
        last, time = time, time + timedelta(days=float(rng.uniform(20, 200)))
    if number % 7 == 0:  # soon, while the others' results go on coming in
        time = last + timedelta(days=1)
        resources[0]["deceasedDateTime"] = f"{time.isoformat(timespec='seconds')}Z"
    resources += invented.documents(number)
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _condition(patient: str, name: str, code: str, time: datetime) -> dict[str, Any]:
    when = f"{time.isoformat(timespec='seconds')}Z"
    return {
        "resourceType": "Condition", "id": f"{patient}-{name}",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": ICD, "code": code}]},
        "onsetDateTime": when, "recordedDate": when,
    }  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let torch say that a model without labels has a head without rows."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:Initializing zero-element tensors"))


@dataclass(frozen=True)
class World:
    """Everything that was made of the ward.

    Attributes:
        folder: that holds it all.
        bundles: the patients, as FHIR.
        records: identified.
        policy: of the de-identification.
        bundle: the release; a demo that clinicians may see.
        grants: who may ask.
    """

    folder: Path
    bundles: tuple[dict[str, Any], ...]
    records: Path
    policy: Path
    bundle: Path
    grants: Path

    def app(self, audit: Path, *, panel: bool = True, key: bytes | None = None) -> FastAPI:
        """Put the release behind HTTP."""
        opened = release.open_bundle(self.bundle, "loopback")
        panel_folder = self.records if panel else None
        url = f"sqlite:///{audit}"
        return create_app(opened, self.grants, url, panel_folder, clock=lambda: NOW, key=key)


def _figures(auroc: float) -> Slice:
    model_figures = {
        "auroc": Metric(auroc, auroc - 0.02, auroc + 0.02),
        "calibration_slope": Metric(1.0, 0.9, 1.1),
        "ici": Metric(0.01, 0.005, 0.02),
        "net_benefit": Metric(0.02, 0.01, 0.03),
    }
    paired = {"auroc": Metric(0.01, -0.01, 0.03)}
    return Slice(patients=900, predictions=900, events=200, model=model_figures, baseline={}, paired=paired)


def _report(folder: Path, trained: Path) -> Path:
    outcomes = {
        "diabetes_1y": Outcome(name="type_2_diabetes", codes=("ICD10CM/E11",)),
        "death_1y": Outcome(name="death", codes=("MEDS_DEATH",)),
        "hypertension_1y": Outcome(name="hypertension", codes=("ICD10CM/I10",)),
        "hypertension_2y": Outcome(name="hypertension", codes=("ICD10CM/I10",)),
    }
    tasks = [
        ExaminedTask(
            task=task, outcome=outcome, horizons_days=(365.25 * int(task[-2]),), occurrence=OCCURRENCE[task]
        )
        for task, outcome in outcomes.items()
    ]
    aurocs = {"diabetes_1y": 0.85, "death_1y": 0.80, "hypertension_1y": 0.60, "hypertension_2y": 0.80}
    report = Report(tasks={task: {"all": _figures(auroc)} for task, auroc in aurocs.items()})
    report.tasks["hypertension_2y"]["group=sex=male"] = _figures(0.55)
    step = Step(folder, name="validate", inputs=[trained], spec={}, now=NOW)
    with step:
        step.file("report.json", make=lambda path: write_report(report, path))
        step.file("tasks/hypertension_2y.toml", make=lambda path: path.write_text(GROUPED, "utf-8") and 1)
        step.file("tasks.json", make=lambda path: path.write_bytes(msgspec.json.encode(tasks)) and 1)
        step.finish(rows=Rows())
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("ward")
    rng = np.random.default_rng(1)
    bundles = tuple(invented_bundle(number, rng) for number in range(90))
    (folder / "fhir").mkdir()
    text = "\n".join(json.dumps(bundle) for bundle in bundles)
    (folder / "fhir" / "bundles.ndjson").write_text(text, "utf-8")
    invented.dicom(folder / "dicom", range(0, 90, 3))
    mapping = folder / "mapping.toml"
    mapping.write_text('site = "main"\n', "utf-8")
    feeds = [records.Feed(name, [folder / name], mapping) for name in ("fhir", "dicom")]
    records.ingest(folder / "records", feeds, now=NOW)
    deid.new_key(folder / "secret" / "deid.key")
    policy = folder / "deid.toml"
    policy.write_text('key_file = "secret/deid.key"\n', "utf-8")
    deid.deidentify(folder / "records", folder / "shared", deid.load_policy(policy), now=NOW)
    timeline.build(folder / "shared", folder / "timelines", timeline.BuildSpec(min_patients=3), now=NOW)
    spec = model.ModelSpec(size="tiny", passes=1, min_patients=5, threads=1)
    model.train(folder / "timelines", folder / "model", spec, now=NOW)
    report = _report(folder / "report", folder / "model")
    keys = release.make_demo_keys(folder / "keys", POLICY)
    bundle = release.propose(folder / "model", report, folder / "bundle", keys.policy, now=NOW, deid=policy)
    for to in ("validated", "silent", "internal"):
        for person in keys.signers:
            release.sign(bundle, person.key, person.name, person.role, now=NOW)
        release.promote(bundle, to)
    grants = folder / "grants.toml"
    grants.write_text(GRANTS.format(**{name: digest_of_key(key) for name, key in KEYS.items()}), "utf-8")
    return World(folder, bundles, folder / "records", policy, bundle, grants)


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@contextmanager
def calling(app: FastAPI) -> Iterator[TestClient]:
    """Call an application from this machine, with the ward's key."""
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000)) as found:
        found.headers["api-key"] = KEYS["ward"]
        yield found


@pytest.fixture
def client(world: World, audit: Path) -> Iterator[TestClient]:
    with calling(world.app(audit)) as found:
        yield found


@pytest.fixture
def keyed(world: World, tmp_path: Path) -> Iterator[TestClient]:
    """A service with the very key of the training data: surrogates in notes are then the same, too."""
    key = deid.read_key(deid.load_policy(world.policy))
    with calling(world.app(tmp_path / "keyed.db", key=key)) as found:
        yield found


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[FastAPI, int], str]]:
    """Starts a real server on this machine, and stops it in the end."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: FastAPI, port: int) -> str:
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        servers.append((server, thread))
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started and time.monotonic() < deadline:
            thread.join(0.05)
        assert server.started
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)
