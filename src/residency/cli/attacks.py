"""In: timelines, a model's settings. Out: what such a model would give away of a patient who taught it."""

from pathlib import Path
from typing import Annotated

import typer

from residency.cli.show import Json, close, now, progress
from residency.contract import specs
from residency.validation.attacking import AttackSpec, attack_model


def attack(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    timelines: Annotated[Path, typer.Option(help="Folder that build made.")],
    spec: Annotated[Path, typer.Option(help="The model's settings and the attack's, in TOML.")],
    report: Annotated[
        Path | None, typer.Option(help="Folder of an examination, whose counts are attacked too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Attack a model's recipe: membership, planted secrets, reconstruction, attributes, small counts.

    Example: residency attack work/attack --timelines work/timelines --spec examples/attacks/too_few.toml
    """
    with progress() as show:
        settings = specs.load(AttackSpec, spec)
        manifest = attack_model(out, timelines, settings, report, now=now(), progress=show)
    close(manifest, as_json=as_json)
    if not as_json:
        typer.echo((out / "attacks.md").read_text("utf-8"))
