"""In: a flow file. Out: every step done, a table of what was found, and, where the flow says so, the page."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

import residency
from residency.cli.serving_page import serve_release
from residency.cli.show import Json, now, progress
from residency.contract.lineage import Manifest


def run(
    flow: Annotated[Path, typer.Argument(help="Flow file, in TOML.")],
    serve: Annotated[
        bool, typer.Option(help="Serve the release when all is done, where the flow has a port.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Do all of a flow: from records to a signed release, and its page. What is done is not done again.

    Example: residency run examples/hospital/flow.toml
    """
    started = time.monotonic()
    with progress() as show:
        made = residency.run(flow, now=now(), progress=show)
    if as_json:
        typer.echo(msgspec.json.encode({name: item.digest for name, item in made.manifests.items()}).decode())
    else:
        for name, manifest in made.manifests.items():
            typer.echo(f"{name:<14} {_seconds(manifest):>8}  {manifest.summary()}")
        typer.echo(f"\n{made.table}\n")
        typer.echo(f"all of it: {time.monotonic() - started:.1f} s this time, in {made.work}")
    if serve and made.bundle is not None and made.spec.serve is not None:
        serve_release(made.bundle, port=made.spec.serve.port, panel=made.work / "records")


def _seconds(manifest: Manifest) -> str:
    return f"{manifest.run.get('seconds', 0.0):.1f} s"
