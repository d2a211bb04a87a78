"""In: scores of a good time and scores since. Out: alarms that something shifted."""

from pathlib import Path
from typing import Annotated

import typer

from residency.cli.show import Json, close, now
from residency.contract import specs
from residency.validation.drifting import DriftSpec, watch_drift


def drift(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    good: Annotated[Path, typer.Option(help="Scores with outcomes of a time that is known to be good.")],
    since: Annotated[Path, typer.Option(help="The same of the time that is watched.")],
    spec: Annotated[Path | None, typer.Option(help="How closely one watches, in TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Watch for shifts of calibration, inputs and groups; say after how many patients each watch sounded.

    Example: residency drift work/drift --good 2023.csv --since 2024.csv
    """
    settings = specs.load(DriftSpec, spec) if spec else DriftSpec()
    manifest = watch_drift(out, good, since, settings, now=now())
    close(manifest, as_json=as_json)
    if not as_json:
        typer.echo((out / "drift.md").read_text("utf-8"))
