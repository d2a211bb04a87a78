"""In: a model, or anybody's scores. Out: a report, and of anybody's scores one page with the verdict."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from residency import validation
from residency.cli.show import Json, close, now, progress
from residency.contract.lineage import Manifest
from residency.timeline import Timelines
from residency.validation import counting

Out = Annotated[Path, typer.Argument(help="Folder to write.")]


def validate(  # noqa: PLR0913 - three kinds of scores, and what they are held against
    out: Out,
    tasks: Annotated[
        Path | None, typer.Option(help="Folder of task files, in TOML; needed with --model.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder that train made; with --timelines.")] = None,
    timelines: Annotated[
        Path | None, typer.Option(help="Folder that build made; gives --predictions without outcomes theirs.")
    ] = None,
    predictions: Annotated[
        list[str] | None, typer.Option(help="Anybody's scores instead: FILE or NAME=FILE; may be repeated.")
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="A model that answers over HTTP: its URL, or settings in TOML; with --timelines."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Risk at which one would act, for scores without --tasks.")
    ] = None,
    title: Annotated[
        str, typer.Option(help="What the outcome is, in words, for scores without --tasks.")
    ] = "The outcome in the file",
    statements: Annotated[Path | None, typer.Option(help="What vendors state, in TOML.")] = None,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Leave rows out that cannot be examined, and count them.")
    ] = False,
    truth: Annotated[Path | None, typer.Option(help="The simulation's truth, re-keyed.")] = None,
    as_json: Json = False,
) -> None:
    """Examine a model beside the baseline, anybody's scores, or a model that answers over HTTP.

    Example: residency validate work/verdict --predictions vendor.csv --threshold 0.1
    """
    with progress() as show:
        if endpoint and timelines is not None and tasks is not None and model is None and not predictions:
            asking = validation.Asking(tuple(endpoint), tasks, timelines, statements)
            manifest = validation.validate_endpoints(out, asking, now=now(), progress=show)
        elif predictions and not endpoint and model is None and truth is None:
            files = tuple(predictions)
            offer = validation.Offer(files, tasks, threshold, title, statements, leave_out, timelines)
            manifest = validation.validate_scores(out, offer, now=now(), progress=show)
        elif model and timelines and tasks and not predictions and not endpoint:
            manifest = validation.validate(out, tasks, model, timelines, truth, now=now(), progress=show)
        else:
            raise typer.BadParameter(
                "give --timelines and --tasks with --model or --endpoint; or --predictions"
            )
    close(manifest, as_json=as_json)
    if not as_json and (predictions or endpoint):
        _say(manifest, out)


def _say(manifest: Manifest, out: Path) -> None:
    for model, words in manifest.result["verdicts"].items():
        for task, word in words.items():
            typer.echo(f"{model}, {task}: {word}")
    typer.echo(f"the page: {out / 'verdict.html'}")


def tasks(
    folder: Annotated[Path, typer.Argument(help="Folder of task files, in TOML.")],
    timelines: Annotated[Path, typer.Argument(help="Folder that build made.")],
    as_json: Json = False,
) -> None:
    """Count tasks before they are used: whom each asks about, and how often the outcome came.

    Example: residency tasks examples/tasks work/timelines
    """
    opened = Timelines.open(timelines)
    found = [one for task in validation.load_tasks(folder) for one in counting.count(opened, task)]
    if as_json:
        typer.echo(msgspec.json.encode([asdict(one) for one in found]).decode())
        return
    typer.echo(f"{'task':34} {'split':9} {'patients':>9} {'with outcome':>13} {'index times':>12}")
    for one in found:
        told = one.cannot or ("" if one.can_tell or one.split in ("train", "tuning") else "cannot tell")
        counts = f"{one.patients:>9,} {one.events:>13,} {one.index_times:>12,}"
        typer.echo(f"{one.task:34} {one.split:9} {counts}  {told}".rstrip())
