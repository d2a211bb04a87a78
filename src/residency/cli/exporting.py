"""In: a trained or adapted model. Out: a folder as other tools expect a model; not a release."""

from pathlib import Path
from typing import Annotated

import typer

from residency.cli.show import Json, close, now
from residency.model import exporting


def export(
    model: Annotated[Path, typer.Argument(help="Folder that train or adapt made.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    as_json: Json = False,
) -> None:
    """Write a model as a Hugging Face-style folder, for research; a release is `residency release export`.

    Example: residency export work/model work/exported
    """
    close(exporting.export_model(model, out, now=now()), as_json=as_json)
