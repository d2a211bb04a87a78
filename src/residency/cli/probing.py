"""In: timelines, tasks, perhaps a model. Out: leaks and shortcuts that figures may hang on."""

from pathlib import Path
from typing import Annotated

import typer

from residency import validation
from residency.cli.show import Json, close, now, progress


def probe(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    tasks: Annotated[Path, typer.Option(help="Folder of task files, in TOML.")],
    timelines: Annotated[Path, typer.Option(help="Folder that build made.")],
    model: Annotated[Path | None, typer.Option(help="Folder that train made.")] = None,
    records: Annotated[
        Path | None, typer.Option(help="What the timelines were built from: it knows the eras.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for leaks and shortcuts: codes that solve a task, time against random split, sites, controls.

    Example: residency probe work/leaks --tasks examples/hospital/tasks --timelines work/timelines
    """
    with progress() as show:
        suspect = validation.Suspect(tasks, timelines, model, records)
        manifest = validation.look_for_leaks(out, suspect, now=now(), progress=show)
    close(manifest, as_json=as_json)
    if not as_json:
        typer.echo(f"the page: {out / 'leakage.html'}")
