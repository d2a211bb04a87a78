"""In: a flow file. Out: every folder from the hospital's records to a signed release, made once.

    simulate → ingest → deidentify → build → train → validate → release

Each step reads folders and writes one; a step whose inputs and settings are those of last time is not done
again. Where they differ, the old folder is set aside in `.replaced` and the step is done anew.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from residency import deid, model, records, release, simulation, timeline, validation
from residency.contract import specs
from residency.contract.errors import StaleError
from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.contract.report import write_report
from residency.contract.specs import spec

T = TypeVar("T")


@spec
class FeedSpec:
    """One feed of records.

    Attributes:
        source: a record source's name.
        paths: files or folders; empty for the simulated hospital's folder of the source's name.
        mapping: mapping file, in TOML.
    """

    source: str
    paths: tuple[Path, ...] = ()
    mapping: Path | None = None

    def feed(self, base: Path, hospital: Path) -> records.Feed:
        """Give the feed, its paths relative to `base`."""
        paths = [base / path for path in self.paths] or [hospital / self.source]
        return records.Feed(self.source, paths, base / self.mapping if self.mapping else None)


@spec
class IngestSpec(FeedSpec):
    """Where the records come from: one feed, and others of the same patients.

    Attributes:
        source: a record source's name.
        paths: files or folders; empty for the simulated hospital's folder of the source's name.
        mapping: mapping file, in TOML; what it says of sites holds for the other feeds too.
        also: further feeds, for example `[{ source = "dicom" }, { source = "vcf" }]`.
    """

    also: tuple[FeedSpec, ...] = ()


@spec
class TrainSpec:
    """One model a seed, with the settings of `model.ModelSpec`; the first is the one to be released."""

    seeds: tuple[int, ...] = (1,)
    model: dict[str, Any] = field(default_factory=dict)


@spec
class ReleaseSpec:
    """How the release is governed.

    Attributes:
        policy: gates and signers, in TOML.
        demo_signers: make two keys labelled DEMO and sign with them; such a release serves on loopback only.
            Without it the flow stops at the proposal: people sign.
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
    """What a flow made.

    Attributes:
        spec: the flow.
        work: the folder that holds every step's result.
        manifests: of each step, by its folder's name, in order.
        table: what the examination found, the mean over seeds, in Markdown.
        bundle: the release; None where the flow makes none.
    """

    spec: FlowSpec
    work: Path
    manifests: dict[str, Manifest]
    table: str
    bundle: Path | None = None


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
    work, policy_file = base / flow.work, base / flow.policy
    made: dict[str, Manifest] = {}

    def step(name: str, make: Callable[[Path], Manifest]) -> Path:
        progress(f"step {name}", 0, None)
        made[name] = _fresh(make, work / name)
        return work / name

    if (hospital := flow.simulate) is not None:
        step("hospital", lambda out: simulation.simulate(out, hospital, now=now, progress=progress))
    feeds = [feed.feed(base, work / "hospital") for feed in (flow.ingest, *flow.ingest.also)]
    identified = step("records", lambda out: records.ingest(out, feeds, now=now, progress=progress))
    policy = deid.load_policy(policy_file)
    pseudonymous = step(
        "deidentified", lambda out: deid.deidentify(identified, out, policy, now=now, progress=progress)
    )
    timelines = step(
        "timelines", lambda out: timeline.build(pseudonymous, out, flow.build, now=now, progress=progress)
    )
    truth = None
    if hospital is not None:
        truth = step("truth", lambda out: deid.rekey(work / "hospital" / "truth", out, policy, now=now))
    for seed in flow.train.seeds:
        settings = specs.read(model.ModelSpec, {**flow.train.model, "seed": seed}, where=str(path))
        _examine(step, timelines, base / flow.tasks, truth, settings, now=now, progress=progress)
    reports = [work / f"report-{seed}" for seed in flow.train.seeds]
    summary = step("summary", lambda out: _summarise(out, reports, now))
    bundle = None
    if flow.release is not None:
        bundle = _release(flow.release, base, work, flow.train.seeds[0], policy_file, now)
    return Made(flow, work, made, (summary / "seeds.md").read_text("utf-8"), bundle)


def _examine(  # noqa: PLR0913 - what a model is trained and examined with
    step: Callable[[str, Callable[[Path], Manifest]], Path],
    timelines: Path,
    tasks: Path,
    truth: Path | None,
    settings: model.ModelSpec,
    *,
    now: datetime,
    progress: Progress,
) -> None:
    """Train and examine one model."""
    network = step(
        f"model-{settings.seed}",
        lambda out: model.train(timelines, out, settings, now=now, progress=progress),
    )
    step(
        f"report-{settings.seed}",
        lambda out: validation.validate(out, tasks, network, timelines, truth, now=now, progress=progress),
    )


def _summarise(out: Path, reports: list[Path], now: datetime) -> Manifest:
    """Average the seeds' reports."""
    with Step(out, name="summarise", inputs=reports, spec={}, now=now) as doing:
        if doing.manifest is not None:
            return doing.manifest
        summary = validation.summarise(reports)
        doing.file("seeds.json", make=lambda path: write_report(summary.report, path))
        doing.file("seeds.md", make=lambda path: _write(summary.table(), path))
        return doing.finish(rows=Rows())


def _write(text: str, path: Path) -> None:
    path.write_text(text, "utf-8")


def _release(spec: ReleaseSpec, base: Path, work: Path, seed: int, deid_policy: Path, now: datetime) -> Path:
    """Propose a model; in a demo, its two people sign it up to the institution's own clinicians."""
    demo = release.make_demo_keys(work / "keys", base / spec.policy) if spec.demo_signers else None
    bundle = _fresh(
        lambda out: release.propose(
            work / f"model-{seed}",
            work / f"report-{seed}",
            out,
            demo.policy if demo else base / spec.policy,
            now=now,
            deid=deid_policy,
        ),
        work / "release",
    )
    while demo and (state := release.verify(bundle).state) != release.State.INTERNAL:
        for signer in demo.signers:
            release.sign(bundle, signer.key, signer.name, signer.role, now=now)
        release.promote(bundle, str(release.next_up(state)))
    return bundle


def _fresh(make: Callable[[Path], T], out: Path) -> T:
    """Make a folder; where it holds the result of other inputs or settings, set that aside first."""
    try:
        return make(out)
    except StaleError:
        aside = out.parent / ".replaced" / out.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        out.rename(aside)
        return make(out)
