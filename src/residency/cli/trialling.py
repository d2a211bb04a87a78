"""In: a model, a ward's timelines, a plan. Out: scores stored blind, their report, a pilot's plan, arms."""

from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl
import typer

from residency.cli.show import Json, close, now, progress
from residency.contract import specs
from residency.validation import pilot as piloting
from residency.validation import silent
from residency.validation.measuring import Course
from residency.validation.words import interval

app = typer.Typer(
    help="Try a model unseen as care goes on, plan a pilot, and keep a comparison that nothing influenced.",
    no_args_is_help=True,
)
Out = Annotated[Path, typer.Argument(help="Folder to write.")]


@app.command()
def replay(
    out: Out,
    model: Annotated[Path, typer.Option(help="Folder that train made.")],
    timelines: Annotated[Path, typer.Option(help="Folder that build made of identified records.")],
    tasks: Annotated[Path, typer.Option(help="Folder of task files, in TOML.")],
    plan: Annotated[Path, typer.Option(help="When and how, in TOML.")],
    as_json: Json = False,
) -> None:
    """Store scores blind, date by date; alert thresholds are fixed first, from a run-in without outcomes.

    Example: residency silent replay work/silent --model work/model --timelines work/timelines --tasks tasks
    --plan examples/silent.toml
    """
    trial = silent.Trial(model, timelines, tasks)
    with progress() as show:
        manifest = silent.replay(out, trial, specs.load(silent.SilentSpec, plan), now=now(), progress=show)
    close(manifest, as_json=as_json)


@app.command()
def report(
    out: Out,
    trial: Annotated[Path, typer.Option(help="Folder that replay made.")],
    timelines: Annotated[Path, typer.Option(help="Folder that build made once the outcomes are known.")],
    as_json: Json = False,
) -> None:
    """Join stored scores with what came, and report as of any examination.

    Example: residency silent report work/silent-report --trial work/silent --timelines work/timelines
    """
    with progress() as show:
        manifest = silent.report(out, trial, timelines, now=now(), progress=show)
    close(manifest, as_json=as_json)


@app.command()
def pilot(
    out: Out,
    report: Annotated[Path, typer.Option(help="Folder of the silent trial's report.")],
    spec: Annotated[Path | None, typer.Option(help="Assumptions and wards, in TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Plan a randomised or stepped-wedge pilot by what the silent trial found, with its sample size.

    Example: residency silent pilot work/pilot --report work/silent-report
    """
    settings = specs.load(piloting.PilotSpec, spec) if spec else piloting.PilotSpec()
    manifest = piloting.plan_pilot(out, report, settings, now=now())
    close(manifest, as_json=as_json)
    if not as_json:
        typer.echo((out / "pilot.md").read_text("utf-8"))


@app.command()
def arms(
    report: Annotated[Path, typer.Argument(help="Folder of a report with arms.")],
    draws: Annotated[int, typer.Option(min=10, help="Draws of patients.")] = 1000,
    as_json: Json = False,
) -> None:
    """Hold patients who are shown alerts against those held back, whom nothing influenced.

    Example: residency silent arms work/silent-report
    """
    found = {}
    for path in sorted((report / "predictions").glob("*/*.parquet")):
        rows = pl.read_parquet(path).sort("subject_id", "prediction_time")
        found[path.parent.name] = piloting.compare_arms(rows, Course(draws, 0))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    for task, one in found.items():
        if one is None:
            typer.echo(f"{task}: a single arm")
            continue
        each = ", ".join(
            f"{arm} {interval(share, 3)} of {one.patients[arm]:,}" for arm, share in one.share.items()
        )
        typer.echo(f"{task}: {each}; difference {interval(one.difference, 3)}")
