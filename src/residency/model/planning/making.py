"""In: timelines and a plan's settings. Out: a folder with the ladder, its law, the plot and the advice."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from residency.contract.lineage import Manifest, Rows, Step
from residency.contract.progress import Progress, silent
from residency.contract.specs import plain
from residency.model.attachments import reading
from residency.model.fitting import setup
from residency.model.marginals import Marginals, marginals
from residency.model.planning.advice import Advice, Bounds, Means, advise, bounds, dial_of
from residency.model.planning.cost import Estimate, bare_network, dense_of, estimates, train_events
from residency.model.planning.ladder import Asked, Rung, climb, rungs_of
from residency.model.planning.law import Law, Tried, bootstrap_laws, fit_law
from residency.model.planning.spec import PlanSpec
from residency.model.spec import SIZES, ModelSpec
from residency.timeline import Timelines

PLAN_FILE: Final = "plan.json"
PLOT_FILE: Final = "plan.svg"
LADDER_FILE: Final = "ladder.parquet"
_NAMES: Final = ("A", "B", "E", "alpha", "beta")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan.json` holds.

    Attributes:
        format: of the file.
        estimates: what a training of each size takes on this machine.
        law: A, B, E, alpha, beta of L = E + A (unit size / N)^alpha + B (unit events / D)^beta.
        unit: of size and events.
        missed: mean difference between the law and the ladder, as a share of the loss.
        flops_per_event: a parameter of the trunk, all passes together.
        advice: size and events for the budget.
        gpu_hours: the budget.
        gpu_flops: what a GPU was taken to do.
    """

    format: int
    estimates: tuple[Estimate, ...]
    law: dict[str, Bounds]
    unit: tuple[float, float]
    missed: float
    flops_per_event: float
    advice: Advice
    gpu_hours: float
    gpu_flops: float


def estimate(timelines: Path, spec: ModelSpec) -> tuple[Estimate, ...]:
    """Say before any training what each size takes on this machine: time, memory, disk.

    Raises:
        LineageError: `timelines` is not finished.
        TrainingError: there is no train patient.
    """
    return estimates(Timelines.open(timelines), spec)


def make_plan(
    timelines: Path, out: Path, spec: PlanSpec, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Hold the ladder of small trainings, fit the law, advise; a killed one goes on where it stopped.

    Args:
        timelines: what `timeline.build` made.
        out: folder to write.
        spec: which trainings, which budget.
        now: start of the run, aware.
        progress: told of each training.

    Raises:
        LineageError: `timelines` is not finished, or `out` holds something else.
        TrainingError: no train patient, or too little for a law.
    """
    with Step(out, name="plan", inputs=[timelines], spec=plain(spec), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        data = reading(Timelines.open(timelines), ())
        sized = spec.model.sized(train_events(data))
        found = marginals(data, sized)
        rungs = _ladder(step, data, found, spec, progress)
        step.file(LADDER_FILE, make=lambda path: _write_ladder(path, rungs))
        costs = estimates(data, sized)
        tried = _tried(rungs)
        law = fit_law(tried)
        draws = bootstrap_laws(tried, law, spec.n_draws, np.random.default_rng(spec.seed))
        means = _means(data, found, spec, rungs, costs)
        advice = advise(law, draws, means)
        plan = _plan(spec, costs, (law, draws), tried, (advice, means))
        step.file(PLAN_FILE, make=partial(_write_json, plan=plan))
        from residency.model.planning.drawing import draw  # matplotlib is of an extra

        step.file(PLOT_FILE, make=lambda path: draw(path, rungs, (law, draws), (advice, means)))
        result = {"size": advice.here.size, "short_of": advice.short_of, "rungs": len(rungs)}
        return step.finish(rows=Rows(read=data.n_patients, kept=rungs[-1].patients), result=result)


def _ladder(
    step: Step, data: Timelines, found: Marginals, spec: PlanSpec, progress: Progress
) -> tuple[Rung, ...]:
    """Hold every training that was not held before a kill."""
    asked = list(rungs_of(spec))
    for number, one in enumerate(asked):
        progress("training the ladder", number, len(asked))
        step.file(f"rungs/{one.name}.json", make=partial(_climb, step, data, found, spec.model, one))
    progress("training the ladder", len(asked), len(asked))
    files = [step.out / f"rungs/{one.name}.json" for one in asked]
    return tuple(msgspec.json.decode(path.read_bytes(), type=Rung) for path in files)


def _climb(step: Step, data: Timelines, found: Marginals, model: ModelSpec, asked: Asked, path: Path) -> None:
    rung = climb(data, found, asked, model, step.work / f"rung-{asked.name}", silent)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rung), indent=1))


def _tried(rungs: Sequence[Rung]) -> Tried:
    columns = [(float(rung.dense), float(rung.events), rung.loss) for rung in rungs]
    size, events, loss = np.array(columns, np.float64).T
    return Tried(size, events, loss)


def _means(
    data: Timelines, found: Marginals, spec: PlanSpec, rungs: Sequence[Rung], costs: Sequence[Estimate]
) -> Means:
    dial = {size: dense_of(bare_network(setup(data, ModelSpec(size=size), found))) for size in SIZES}
    timed = next(cost for cost in costs if cost.timed)
    return Means(
        gpu_hours=spec.gpu_hours,
        gpu_flops=spec.gpu_flops,
        per_event=timed.flops / timed.events / timed.dense,
        events=float(timed.events),
        tried=(max(float(rung.dense) for rung in rungs), max(float(rung.events) for rung in rungs)),
        dial=dial_of(dial),
    )


def _plan(
    spec: PlanSpec,
    costs: tuple[Estimate, ...],
    laws: tuple[Law, Sequence[Law]],
    tried: Tried,
    said: tuple[Advice, Means],
) -> Plan:
    law, draws = laws
    plain_law = [_plain(one) for one in (law, *draws)]
    numbers = {
        name: bounds(plain_law[0][at], [one[at] for one in plain_law[1:]]) for at, name in enumerate(_NAMES)
    }
    missed = float(np.abs(np.log(law.loss(tried.size, tried.events) / tried.loss)).mean())
    advice, means = said
    return Plan(
        format=1,
        estimates=costs,
        law=numbers,
        unit=law.unit,
        missed=missed,
        flops_per_event=means.per_event,
        advice=advice,
        gpu_hours=spec.gpu_hours,
        gpu_flops=spec.gpu_flops,
    )


def _plain(law: Law) -> tuple[float, ...]:
    """Give A, B, E, alpha, beta."""
    a, b, e, alpha, beta = law.numbers
    return float(np.exp(a)), float(np.exp(b)), float(np.exp(e)), alpha, beta


def _write_json(path: Path, plan: Plan) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1))


def _write_ladder(path: Path, rungs: Sequence[Rung]) -> int:
    rows = pl.DataFrame([msgspec.to_builtins(rung) for rung in rungs])
    rows.write_parquet(path, compression="zstd")
    return len(rows)


def read_plan(folder: Path) -> Plan:
    """Read the plan of a finished folder."""
    return msgspec.json.decode((folder / PLAN_FILE).read_bytes(), type=Plan)
