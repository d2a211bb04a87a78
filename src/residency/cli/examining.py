"""In: a model, or anybody's scores. Out: a report, and of anybody's scores one page with the verdict."""

from pathlib import Path
from typing import Annotated

import typer

from residency import validation
from residency.cli.show import Json, close, now, progress
from residency.contract.lineage import Manifest

Out = Annotated[Path, typer.Argument(help="Folder to write.")]


def validate(  # noqa: PLR0913 - two kinds of scores, and what they are held against
    out: Out,
    tasks: Annotated[
        Path | None, typer.Option(help="Folder of task files, in TOML; needed with --model.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder that train made; with --timelines.")] = None,
    timelines: Annotated[Path | None, typer.Option(help="Folder that build made.")] = None,
    predictions: Annotated[
        list[str] | None, typer.Option(help="Anybody's scores instead: FILE or NAME=FILE; may be repeated.")
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
    """Examine a model beside the baseline; or anybody's scores: verdict.html, report.html, and both as JSON.

    Example: residency validate work/verdict --predictions vendor.csv --threshold 0.1
    """
    with progress() as show:
        if predictions and model is None and timelines is None and truth is None:
            offer = validation.Offer(tuple(predictions), tasks, threshold, title, statements, leave_out)
            manifest = validation.validate_scores(out, offer, now=now(), progress=show)
        elif model is not None and timelines is not None and tasks is not None and not predictions:
            manifest = validation.validate(out, tasks, model, timelines, truth, now=now(), progress=show)
        else:
            raise typer.BadParameter("give --model, --timelines and --tasks, or --predictions alone")
    close(manifest, as_json=as_json)
    if not as_json and predictions:
        _say(manifest, out)


def _say(manifest: Manifest, out: Path) -> None:
    for model, words in manifest.result["verdicts"].items():
        for task, word in words.items():
            typer.echo(f"{model}, {task}: {word}")
    typer.echo(f"the page: {out / 'verdict.html'}")
