"""A small simulated hospital of every modality, through to timelines and what looks like a model."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from residency import deid, records, simulation, timeline
from residency.contract.identifiers import pseudonym_of, subject_id_of
from residency.contract.lineage import Rows, Step, open_made
from residency.withdrawal import Patient

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAPPING = 'site_from = "folder"\n'


@dataclass(frozen=True)
class Hospital:
    """Everything that was made of the hospital.

    Attributes:
        folder: that holds it all.
        patient: one with notes, images and variants.
    """

    folder: Path
    patient: Patient

    @property
    def policy(self) -> deid.Policy:
        return deid.load_policy(self.folder / "policy.toml")

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def pseudonym(self) -> int:
        return pseudonym_of(deid.read_key(self.policy), self.patient.ingest_id)

    def deidentify(self, out: Path) -> None:
        deid.deidentify(self.work / "records", out, self.policy, now=NOW)

    def build(self, out: Path) -> None:
        timeline.build(self.work / "deidentified", out, timeline.BuildSpec(min_patients=2), now=NOW)


def _patient(work: Path) -> Patient:
    """Choose one who has something of every kind."""
    kinds = [
        pl.read_parquet(sorted((work / "records" / kind).glob("*.parquet")))
        for kind in ("images", "notes", "variants")
    ]
    whole = set.intersection(*(set(table["subject_id"]) for table in kinds))
    truth = pl.read_parquet(work / "hospital" / "truth" / "patients.parquet")
    for source_id, site in sorted(truth.select("source_id", "site").iter_rows()):
        if subject_id_of(str(source_id), str(site)) in whole:
            return Patient(str(source_id), str(site))
    raise AssertionError("nobody has everything")


def pretend(folder: Path, name: str, made_from: list[Path], text: str = "x") -> Path:
    """Make a folder such as a step makes, with one file in it."""
    with Step(folder, name=name, inputs=made_from, spec={}, now=NOW) as step:
        step.file("model.json", make=lambda path: path.write_text(text) and 0)
        step.finish(rows=Rows())
    return folder


def _bundle(work: Path) -> None:
    """Make what a release looks like from outside."""
    content = work / "release" / "content"
    shutil.copytree(work / "model", content / "model")
    digests = {"model": open_made(work / "model").digest}
    (content / "proposal.json").write_bytes(msgspec.json.encode(digests))


def _predictions(work: Path) -> None:
    subjects = pl.read_parquet(work / "timelines" / "metadata" / "subjects.parquet").select("subject_id")
    with Step(work / "report", name="validate", inputs=[work / "model"], spec={}, now=NOW) as step:
        step.shard(
            "x", "predictions/x", suffix=".parquet", make=lambda path: subjects.write_parquet(path) or 9
        )
        step.finish(rows=Rows())


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("hospital")
    work = folder / "work"
    spec = simulation.HospitalSpec(n_patients=40, seed=5, start="2019-07-01")
    simulation.simulate(work / "hospital", spec, now=NOW)
    (folder / "mapping.toml").write_text(MAPPING)
    feeds = [
        records.Feed(kind, [work / "hospital" / kind], folder / "mapping.toml")
        for kind in ("fhir", "dicom", "vcf")
    ]
    records.ingest(work / "records", feeds, now=NOW)
    deid.new_key(folder / "secret" / "deid.key")
    (folder / "policy.toml").write_text('key_file = "secret/deid.key"\n[variants]\nrare_patients = 1\n')
    hospital = Hospital(folder, _patient(work))
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("residency.deid.spool.SHARD_EVENTS", 700)  # several shards
        hospital.deidentify(work / "deidentified")
    hospital.build(work / "timelines")
    (work / "timelines" / ".encodings").mkdir()
    (work / "timelines" / ".encodings" / "x.safetensors").write_text("of a note")
    pretend(work / "model", "train", [work / "timelines"])
    _predictions(work)
    _bundle(work)
    return hospital


@pytest.fixture
def hospital(made: Hospital, tmp_path: Path) -> Hospital:
    """A copy that a test may change."""
    folder = tmp_path / "hospital"
    shutil.copytree(made.folder, folder)
    return Hospital(folder, made.patient)


class Killed(BaseException):
    """A process that ends here."""


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Let the process die at the n-th time that it renames, removes or writes something whole."""

    def arm(n: int) -> None:
        left = [n]

        def deadly(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **named: object) -> object:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return function(*arguments, **named)

            return call

        monkeypatch.setattr(Path, "rename", deadly(Path.rename))
        monkeypatch.setattr(Path, "unlink", deadly(Path.unlink))
        monkeypatch.setattr(shutil, "rmtree", deadly(shutil.rmtree))

    yield arm
    monkeypatch.undo()
