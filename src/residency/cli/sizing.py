"""In: what is expected of a model or a pilot. Out: how many patients it takes."""

from dataclasses import asdict
from typing import Annotated

import msgspec
import typer

from residency.cli.show import Json
from residency.validation import sample_size
from residency.validation.sample_size import SampleSize

app = typer.Typer(
    help="Say how many patients it takes to develop a model, examine it, or hold a pilot.",
    no_args_is_help=True,
)

Prevalence = Annotated[float, typer.Option(help="Expected share with the outcome.")]
Control = Annotated[float, typer.Option(help="Expected share with the outcome without the model in use.")]
Treated = Annotated[float, typer.Option(help="Expected share with it in use.")]


@app.command()
def develop(
    parameters: Annotated[int, typer.Option(min=1, help="Candidate predictor parameters.")],
    prevalence: Prevalence,
    r2: Annotated[float | None, typer.Option(help="Expected Cox-Snell R2, adjusted.")] = None,
    auroc: Annotated[float | None, typer.Option(help="Expected AUROC, where R2 is not known.")] = None,
    shrinkage: Annotated[float, typer.Option(help="Shrinkage aimed at.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Say how many patients it takes to develop a model of a binary outcome (the criteria of pmsampsize).

    Example: residency sample-size develop --parameters 24 --prevalence 0.174 --auroc 0.89
    """
    found = sample_size.to_develop(parameters, prevalence, r2=r2, auroc=auroc, shrinkage=shrinkage)
    _show(found, as_json=as_json)


@app.command()
def examine(
    prevalence: Prevalence,
    auroc: Annotated[float, typer.Option(help="Expected AUROC.")],
    oe_width: Annotated[float, typer.Option(help="Width of the 95% interval of O:E.")] = 0.2,
    slope_width: Annotated[float, typer.Option(help="Width of that of the calibration slope.")] = 0.2,
    auroc_width: Annotated[float, typer.Option(help="Width of that of the AUROC.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Say how many patients it takes to examine a model (the criteria of pmvalsampsize).

    Example: residency sample-size examine --prevalence 0.1 --auroc 0.75
    """
    found = sample_size.to_examine(
        prevalence, auroc, oe_width=oe_width, slope_width=slope_width, auroc_width=auroc_width
    )
    _show(found, as_json=as_json)


@app.command()
def pilot(
    control: Control,
    treated: Treated,
    power: Annotated[float, typer.Option(help="Power aimed at, at the 5% level.")] = 0.8,
    as_json: Json = False,
) -> None:
    """Say how many patients each arm of a randomised pilot needs.

    Example: residency sample-size pilot --control 0.10 --treated 0.07
    """
    n = sample_size.two_arms(control, treated, power=power)
    typer.echo(msgspec.json.encode({"each_arm": n}).decode() if as_json else f"{n:,} patients in each arm")


@app.command(name="stepped-wedge")
def stepped_wedge(  # noqa: PLR0913 - what the power hangs on
    control: Control,
    treated: Treated,
    wards: Annotated[int, typer.Option(min=2, help="Wards; one starts at each step.")],
    patients: Annotated[int, typer.Option(min=1, help="Patients of each ward in each period.")],
    spread: Annotated[float, typer.Option(help="Standard deviation of the share between wards.")],
    power: Annotated[float, typer.Option(help="Power aimed at, at the 5% level.")] = 0.8,
    as_json: Json = False,
) -> None:
    """Say what power a stepped wedge has in which one ward a step starts to use the model.

    Example: residency sample-size stepped-wedge --control .1 --treated .07 --wards 8 --patients 99
    --spread .02
    """
    found, enough = sample_size.stepped_wedge(
        control, treated, clusters=wards, patients=patients, spread=spread, power=power
    )
    if as_json:
        typer.echo(msgspec.json.encode({"power": found, "enough": enough}).decode())
    else:
        typer.echo(f"power {found:.2f}: {'enough' if enough else 'not enough'}")


def _show(found: SampleSize, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({"n": found.n, "events": found.events, **asdict(found)}).decode())
        return
    for one in found.criteria:
        typer.echo(f"{one.n:>10,}  {one.wants}")
    typer.echo(f"{found.n:>10,}  patients, {found.events:,} of them with the outcome")
