"""In: a flow file. Out: every folder from the hospital's records to a signed release, made once.

    simulate → ingest → deidentify → build → train → validate → release

Each step reads folders and writes one; a step whose inputs and settings are those of last time is not done again. Where
they differ, the old folder is set aside in `.replaced` and the step is done anew.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from residency import deid, model, records, release, simulation, timeline, validation
from residency.contract import specs
from residency.contract.errors import StaleError
from residency.contract.lineage import Manifest
from residency.contract.progress import Progress, silent
from residency.contract.specs import spec


@spec
class IngestSpec:
    """Where the records come from.

    Attributes:
        source: a record source's name.
        paths: files or folders; empty for the simulated hospital's.
        mapping: mapping file, in TOML.
    """

    source: str
    paths: tuple[Path, ...] = ()
    mapping: Path | None = None


@spec
class TrainSpec:
    """One model for each seed; the first is the one to be released."""

    seeds: tuple[int, ...] = (1,)
    model: dict[str, Any] = field(default_factory=dict)


@spec
class ReleaseSpec:
    """How the release is governed.

    Attributes:
        policy: gates and signers, in TOML.
        demo_signers: make two keys labelled DEMO and sign with them; such a release serves on loopback only.
    """

    policy: Path
    demo_signers: bool = False


@spec
class ServeSpec:
    """Where the page comes up when the flow is done."""

    port: int = 8000


@spec
class FlowSpec:
    """A whole flow. Paths are relative to the flow file.

    Attributes:
        work: folder for everything that is made.
        simulate: the hospital to invent; absent where records are real.
        ingest: where records come from.
        policy: de-identification policy, in TOML.
        build: settings of the timelines.
        train: settings of the models.
        tasks: folder of task files.
        release: absent where nothing is to be released.
        serve: absent where nothing is to be served.
    """

    work: Path
    ingest: IngestSpec
    policy: Path
    tasks: Path
    simulate: simulation.HospitalSpec | None = None
    build: timeline.BuildSpec = timeline.BuildSpec()
    train: TrainSpec = TrainSpec()
    release: ReleaseSpec | None = None
    serve: ServeSpec | None = None


@dataclass(frozen=True)
class Made:
    """What a flow made: the folders, in order, and the bundle where there is one."""

    spec: FlowSpec
    base: Path
    manifests: dict[str, Manifest]

    def folder(self, step: str) -> Path:
        """Where a step's result lies."""
        return self.base / self.spec.work / step


def run(path: Path, *, now: datetime, progress: Progress = silent) -> Made:
    """Do every step of a flow that is not done.

    Args:
        path: the flow file.
        now: the run's start, aware.
        progress: shown what is done.

    Raises:
        ResidencyError: a step cannot be done; what earlier steps made stays.
    """
    flow, base = specs.load(FlowSpec, path), path.parent
    work = base / flow.work
    made: dict[str, Manifest] = {}

    def step(name: str, make: Callable[[Path], Manifest]) -> Path:
        progress(name, 0, None)
        made[name] = _make(make, work / name)
        return work / name

    if flow.simulate is not None:
        hospital = flow.simulate
        step("hospital", lambda out: simulation.simulate(out, hospital, now=now, progress=progress))
    paths = [base / given for given in flow.ingest.paths] or [work / "hospital" / "fhir"]
    mapping = base / flow.ingest.mapping if flow.ingest.mapping else None
    identified = step(
        "records",
        lambda out: records.ingest(out, flow.ingest.source, paths, mapping, now=now, progress=progress),
    )
    policy = deid.load_policy(base / flow.policy)
    shared = step(
        "deidentified", lambda out: deid.deidentify(identified, out, policy, now=now, progress=progress)
    )
    timelines = step(
        "timelines", lambda out: timeline.build(shared, out, flow.build, now=now, progress=progress)
    )
    truth = None
    if flow.simulate is not None:
        truth = step("truth", lambda out: deid.rekey(work / "hospital" / "truth", out, policy, now=now))
    for seed in flow.train.seeds:
        settings = specs.read(model.ModelSpec, {**flow.train.model, "seed": seed}, where=str(path))
        network = step(
            f"model-{seed}",
            lambda out, settings=settings: model.train(timelines, out, settings, now=now, progress=progress),
        )
        step(
            f"report-{seed}",
            lambda out, network=network: validation.validate(
                out, base / flow.tasks, model=network, timelines=timelines, truth=truth, now=now, progress=progress
            ),
        )
    return Made(flow, base, made)


def _make(make: Callable[[Path], Manifest], out: Path) -> Manifest:
    """Make a folder; where it holds the result of other inputs or settings, set that aside first."""
    try:
        return make(out)
    except StaleError:
        aside = out.parent / ".replaced" / out.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        out.rename(aside)
        return make(out)
