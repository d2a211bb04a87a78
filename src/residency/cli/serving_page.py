"""In: a release. Out: its HTTP API and its page, until stopped."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import tomli_w
import typer

from residency import release, serving, workspace
from residency.cli.show import now
from residency.contract.errors import GateError
from residency.serving.doors import place_of
from residency.serving.grants import digest_of_key

LOOPBACK = "127.0.0.1"
CLINICAL_CARE = "DUO:0000043"
PAGE_QUOTA = 1_000_000


def serve(
    bundle: Annotated[Path, typer.Argument(help="Folder of the release.")],
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on, as far as earned.")] = LOOPBACK,
    panel: Annotated[Path | None, typer.Option(help="Identified records, inside the institution.")] = None,
    grants: Annotated[
        Path | None, typer.Option(help="Who may ask, in TOML; else this machine alone.")
    ] = None,
    trusted: Annotated[Path | None, typer.Option(help="Public keys that may put a policy in force.")] = None,
) -> None:
    """Serve a signed release: an OpenAI-compatible API, our own, and the page.

    The audit is kept in `audit.db` beside the bundle.

    Example: residency serve work/release --port 8000 --panel work/records
    """
    serve_release(bundle, port=port, host=host, panel=panel, grants=grants, trusted=trusted)


def serve_release(
    bundle: Path,
    *,
    port: int,
    host: str = LOOPBACK,
    panel: Path | None = None,
    grants: Path | None = None,
    trusted: Path | None = None,
) -> None:
    """Verify a release and serve it; without grants, a key for this run alone opens the page and the API."""
    opened = release.open_bundle(bundle, place_of(host), trusted=trusted)
    audit = f"sqlite:///{bundle.absolute().parent / 'audit.db'}"
    with tempfile.TemporaryDirectory() as folder:
        key = None
        if grants is None:
            key, grants = _own_grant(Path(folder), opened.place)
            typer.echo(f"key of this run, for the API: {key}")
        app = serving.create_app(opened, grants, audit, panel, clock=now)
        workspace.attach(app, f"http://{host}:{port}", key)
        typer.echo(f"serving at http://{host}:{port} (stop with Ctrl-C)")
        serving.serve(app, host=host, port=port)


def _own_grant(folder: Path, place: release.Place) -> tuple[str, Path]:
    """Grant this run's own page everything, on this machine."""
    if place != "loopback":
        raise GateError("serving beyond this machine needs grants", mend="give --grants FILE")
    key = serving.make_api_key()
    grant = {
        "name": "this machine",
        "key": digest_of_key(key),
        "purpose": CLINICAL_CARE,
        "until": f"{now() + timedelta(days=365):%Y-%m-%d}",
        "quota_per_day": PAGE_QUOTA,
        "panel": True,
    }
    path = folder / "grants.toml"
    path.write_text(tomli_w.dumps({"grant": [grant]}), "utf-8")
    return key, path
