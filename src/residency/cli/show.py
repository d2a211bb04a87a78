"""In: progress and manifests. Out: a bar where someone looks on, and one closing summary."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from residency.contract.lineage import Manifest
from residency.contract.progress import Progress as Show

if TYPE_CHECKING:
    from residency.deid import Fate

Json = Annotated[bool, typer.Option("--json", help="Print the closing summary as JSON, for machines.")]
SECONDS_BETWEEN_LINES = 10.0


def now() -> datetime:
    """The one clock that is read: commands pass it on."""
    return datetime.now(UTC)


@contextmanager
def progress() -> Iterator[Show]:
    """Show progress on standard error: bars on a terminal, else a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with bars:
        tasks: dict[str, int] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield show


def _lines() -> Show:
    shown: dict[str, float] = {}

    def show(what: str, done: int, total: int | None) -> None:
        clock = time.monotonic()
        finished = total is not None and done >= total
        if what in shown and not finished and clock - shown[what] < SECONDS_BETWEEN_LINES:
            return
        shown[what] = clock
        count = f" {done:,} of {total:,}" if total is not None else (f" {done:,}" if done else "")
        sys.stderr.write(f"{what}{count}\n")

    return show


def close(manifest: Manifest, *, as_json: bool) -> None:
    """Print the closing summary of one step."""
    typer.echo(msgspec.json.encode(manifest).decode() if as_json else manifest.summary())


def fates(found: Sequence["Fate"], *, as_json: bool) -> None:
    """Print what would happen to each column."""
    if as_json:
        typer.echo(msgspec.json.encode([asdict(one) for one in found]).decode())
        return
    for one in found:
        typer.echo(f"{one.table:32} {one.column:18} {one.rows:>12,}  {one.done}")
