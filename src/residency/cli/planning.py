"""In: timelines, perhaps a budget. Out: what a training will take, and which one the budget deserves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from residency.cli.show import Json, close, now, progress
from residency.contract import specs
from residency.model import planning

if TYPE_CHECKING:
    from residency.model.planning import Estimate, Plan


def plan(
    timelines: Annotated[Path, typer.Argument(help="Folder that build made.")],
    out: Annotated[Path | None, typer.Argument(help="Folder to write; without, the estimate alone.")] = None,
    spec: Annotated[Path | None, typer.Option(help="Settings of the ladder and the budget, in TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a training will take; with OUT, hold a ladder of small ones and advise on size and events.

    Example: residency plan work/timelines work/plan --spec plan.toml
    """
    settings = specs.load(planning.PlanSpec, spec) if spec else planning.PlanSpec()
    if out is None:
        found = planning.estimate(timelines, settings.model)
        typer.echo(msgspec.json.encode(found).decode() if as_json else estimates_text(found))
        return
    with progress() as show:
        manifest = planning.make_plan(timelines, out, settings, now=now(), progress=show)
    if not as_json:
        typer.echo(_words(planning.read_plan(out)))
    close(manifest, as_json=as_json)


def estimates_text(found: "tuple[Estimate, ...]") -> str:
    """Lay out what each size takes."""
    lines = [f"{'size':6} {'parameters':>13} {'steps':>8} {'time':>9} {'memory':>9} {'disk':>9}"]
    lines += [
        f"{one.size:6} {one.parameters:13,} {one.steps:8,} {_span(one.seconds):>9} {_bytes(one.memory):>9}"
        f" {_bytes(one.disk):>9}{'  <- by steps that were timed' if one.timed else ''}"
        for one in found
    ]
    return "\n".join([*lines, "(this machine, coded events alone; other sizes by their multiplications)"])


def _words(found: "Plan") -> str:
    advice = found.advice
    here, best = advice.here, advice.budget
    lines = [
        estimates_text(found.estimates),
        f"the law misses the ladder by {found.missed:.1%} of the loss",
        f"on these {here.events.value:,.0f} events: size {here.size}, about {here.parameters.value:,.0f}"
        f" parameters (90%: {here.parameters.low:,.0f} to {here.parameters.high:,.0f}),"
        f" {here.gpu_hours:.3g} GPU-hours; held back by: {advice.short_of}",
        f"  twice the events: loss {-advice.twice_the_events.value:+.4f}"
        f" (90%: {-advice.twice_the_events.high:+.4f} to {-advice.twice_the_events.low:+.4f});"
        f" twice the size: {-advice.twice_the_size.value:+.4f}",
        f"for {found.gpu_hours:g} GPU-hours: {best.parameters.value:.2g} parameters"
        f" (90%: {best.parameters.low:.2g} to {best.parameters.high:.2g}; nearest: {best.size})"
        f" on {best.events.value:.2g} events (90%: {best.events.low:.2g} to {best.events.high:.2g})",
    ]
    far = ["a choice lies more than ten times beyond what was tried: a guess"] if advice.far else []
    return "\n".join(lines + far)


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
