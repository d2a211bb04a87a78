"""In: paths. Out: one folder made from others; one command a step of the flow."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

import residency
from residency import deid
from residency.cli.show import Json, close, fates, now, progress
from residency.contract import specs
from residency.contract.lineage import Manifest
from residency.contract.progress import Progress
from residency.model import together as together_room

Out = Annotated[Path, typer.Argument(help="Folder to write.")]
Spec = Annotated[Path | None, typer.Option(help="Settings, in TOML.")]
_KEEP = """Keep a second copy where only those who may re-identify reach it, and name it in the policy.
A lost key cannot be made again: nothing can be added to what was made with it, nobody who withdraws can be
found, and all of it is to be made anew. Whoever has it can tell who is who."""


def simulate(
    out: Out,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    as_json: Json = False,
) -> None:
    """Invent a teaching hospital, as FHIR R4 NDJSON, with its truth beside.

    Example: residency simulate work/hospital --patients 1000 --seed 1
    """
    spec = residency.HospitalSpec(n_patients=patients, seed=seed)
    with progress() as show:
        manifest = residency.simulate(out, spec, now=now(), progress=show)
    close(manifest, as_json=as_json)


def ingest(  # noqa: PLR0913 - one feed, and others
    out: Out,
    paths: Annotated[list[Path], typer.Argument(help="Files or folders to read.")],
    source: Annotated[
        str, typer.Option(help="What they are: fhir, table, meds, dicom, vcf, or a plugin's name.")
    ],
    mapping: Annotated[Path | None, typer.Option(help="Mapping file, in TOML.")] = None,
    also: Annotated[list[str] | None, typer.Option(help="A further feed, as NAME=PATH; repeatable.")] = None,
    also_mapping: Annotated[
        list[str] | None, typer.Option(help="Mapping file of a further feed, as NAME=FILE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read records of any kind into identified tables; further feeds are of the same patients.

    Example: residency ingest work/records work/hospital/fhir --source fhir --also dicom=work/hospital/dicom
    """
    feeds = [residency.Feed(source, paths, mapping), *_further(also or [], also_mapping or [])]
    with progress() as show:
        manifest = residency.ingest(out, feeds, now=now(), progress=show)
    close(manifest, as_json=as_json)


def _further(also: list[str], mappings: list[str]) -> list[residency.Feed]:
    """Read NAME=PATH; paths of one name are one feed."""
    paths: dict[str, list[Path]] = {}
    for name, path in map(_named, also):
        paths.setdefault(name, []).append(path)
    mapping = dict(map(_named, mappings))
    if strange := sorted(set(mapping) - set(paths)):
        raise typer.BadParameter(f"--also-mapping without --also: {', '.join(strange)}")
    return [residency.Feed(name, found, mapping.get(name)) for name, found in paths.items()]


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise typer.BadParameter("write NAME=PATH, for example dicom=work/hospital/dicom")
    return name, Path(path)


def deidentify(
    records: Annotated[Path, typer.Argument(help="Folder of identified event tables.")],
    out: Out,
    policy: Annotated[Path, typer.Option(help="De-identification policy, in TOML.")],
    dry_run: Annotated[
        bool, typer.Option(help="Say what would happen to each column; write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take the identities out of events, notes, images and genomes.

    Example: residency deidentify work/records work/deidentified --policy examples/policy.toml
    """
    if dry_run:
        fates(deid.plan(records, deid.load_policy(policy)), as_json=as_json)
        return
    with progress() as show:
        manifest = residency.deidentify(records, out, deid.load_policy(policy), now=now(), progress=show)
    close(manifest, as_json=as_json)


def key(
    path: Annotated[Path, typer.Argument(help="File to make, outside every data folder.")],
    as_json: Json = False,
) -> None:
    """Make a de-identification key, readable by you alone, and say its fingerprint; lost, it is lost.

    Example: residency key ~/secrets/deid.key
    """
    fingerprint = deid.new_key(path)
    typer.echo(_KEEP, err=True)
    typer.echo(
        msgspec.json.encode({"fingerprint": fingerprint}).decode()
        if as_json
        else f"fingerprint: {fingerprint}"
    )


def build(
    records: Annotated[Path, typer.Argument(help="Folder of de-identified event tables.")],
    out: Out,
    spec: Spec = None,
    as_json: Json = False,
) -> None:
    """Pack event tables into timelines: splits, vocabulary, moments.

    Example: residency build work/deidentified work/timelines
    """
    settings = specs.load(residency.BuildSpec, spec) if spec else residency.BuildSpec()
    with progress() as show:
        manifest = residency.build(records, out, settings, now=now(), progress=show)
    close(manifest, as_json=as_json)


def train(
    timelines: Annotated[Path, typer.Argument(help="Folder that build made.")],
    out: Out,
    spec: Spec = None,
    together: Annotated[
        int,
        typer.Option(min=0, help="Batches of a step, shared by the processes that torchrun or Ray started."),
    ] = 0,
    ray: Annotated[
        int, typer.Option(min=0, help="Processes that Ray starts for it, here or on its cluster.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Train one network over all that the timelines hold. Run again to go on after an interruption.

    Example: residency train work/timelines work/model
    """
    settings = specs.load(residency.ModelSpec, spec) if spec else residency.ModelSpec()
    with progress() as show:
        manifest: Manifest | None
        if ray:
            manifest = together_room.train_on_ray(
                timelines, out, settings, workers=ray, pieces=together or ray, now=now()
            )
        elif together:
            manifest = _together(timelines, out, settings, together, show)
        else:
            manifest = residency.train(timelines, out, settings, now=now(), progress=show)
    if manifest is not None:
        close(manifest, as_json=as_json)


def _together(
    timelines: Path, out: Path, settings: "residency.ModelSpec", pieces: int, show: Progress
) -> Manifest | None:
    """Train as one of several processes; the leading one has the manifest."""
    with together_room.crew(settings.device) as crew:
        return together_room.train_together(
            timelines, out, settings, crew, pieces=pieces, now=now(), progress=show
        )
