"""In: a model, timelines and a question. Out: the panel's most urgent patients, and all answers in a file."""

import heapq
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
import typer

import residency
from residency.cli.asking import read_file
from residency.cli.show import Json, progress
from residency.contract.processes import spread
from residency.model import adaptation
from residency.reasoning import Triage, Urgent
from residency.reasoning.answers import microseconds

_MANY: Final = 2_000  # patients from which on other processes pay


def triage(  # noqa: PLR0913 - what the command line has
    model: Annotated[Path, typer.Argument(help="Folder that train made.")],
    timelines: Annotated[Path, typer.Argument(help="Folder that build made.")],
    question: Annotated[Path, typer.Option(help="A forecast, a differential or changes, in TOML or JSON.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(help="Only what was available by then is looked at; else each patient's latest moment."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many to print.", min=1)] = 20,
    out: Annotated[Path | None, typer.Option(help="File for all answers, one JSON a line.")] = None,
    as_json: Json = False,
) -> None:
    """Ask the same question about everybody, and print the most urgent.

    Example: residency triage work/model work/timelines --question question.toml --top 20 --out answers.jsonl
    """
    opened = residency.Model.open(model)
    packed = adaptation.in_words_of(residency.Timelines.open(timelines), opened)
    time = None if as_of is None else microseconds(as_of)
    panel = Triage(opened, packed, read_file(question), time)
    over = spread if packed.n_patients > _MANY else map
    with progress() as show, out.open("wb") if out is not None else nullcontext() as file:
        found = heapq.nlargest(
            top, _written(panel.patients(show, over), file), key=lambda one: (one.urgency, -one.subject)
        )
    for urgent in found:
        line = f"{urgent.urgency:8.4g}  {urgent.subject}"
        typer.echo(msgspec.json.encode(urgent.answer).decode() if as_json else line)
    typer.echo(f"{packed.n_patients:,} patients asked about", err=as_json)


def _written(found: Iterator[Urgent], file: IO[bytes] | None) -> Iterator[Urgent]:
    """Pass answers on, each written down as it comes."""
    for one in found:
        if file is not None:
            file.write(msgspec.json.encode(one.answer) + b"\n")
        yield one
