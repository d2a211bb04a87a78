"""In: a model and a new site's timelines. Out: a small adapter beside the model, signed if a key is given."""

from pathlib import Path
from typing import Annotated

import typer

from residency.cli.show import Json, close, now, progress
from residency.contract import specs
from residency.model import adaptation


def adapt(
    model: Annotated[Path, typer.Argument(help="Folder that train made: the base, which stays as it is.")],
    timelines: Annotated[
        Path, typer.Argument(help="The site's timelines, in its own vocabulary or the base's.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write; ask and validate take it as a model.")],
    spec: Annotated[Path | None, typer.Option(help="Settings, in TOML.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private key (PEM) to sign OUT with, into OUT.sig.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Adapt a model to a new site: recalibrate it, and add thin matrices where they help. The base stays.

    Example: residency adapt work/model work/local/timelines work/adapter --key keys/board.pem
    """
    settings = specs.load(adaptation.AdaptSpec, spec) if spec else adaptation.AdaptSpec()
    with progress() as show:
        manifest = adaptation.adapt(model, timelines, out, settings, now=now(), progress=show)
    if key is not None:
        from residency.release.seal import seal  # an extra: only to sign

        seal(out, out.with_name(f"{out.name}.sig"), key=key)
    close(manifest, as_json=as_json)
