"""In: a ladder, its law and advice. Out: the plot as SVG: loss over events, and over what is paid."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from residency.model.planning.advice import Advice, Means
from residency.model.planning.ladder import Rung
from residency.model.planning.law import Law

COLOURS: Final = ("#14508c", "#b4581a", "#2f7d4f", "#7a3b8f", "#8a6d1d")
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "residency",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BAND: Final = (0.05, 0.95)


def draw(
    path: Path, rungs: Sequence[Rung], laws: tuple[Law, Sequence[Law]], said: tuple[Advice, Means]
) -> None:
    """Write the plot.

    Args:
        path: file to write.
        rungs: what was tried.
        laws: the law, and its bootstrap draws.
        said: the advice, and what there is to spend.
    """
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(10.4, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _over_events(left, rungs, laws, said[1])
        _over_hours(right, rungs, laws, said)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    path.write_text(buffer.getvalue(), "utf-8")


def _band(axes: Any, x: np.ndarray, lines: Sequence[np.ndarray], colour: str) -> None:
    low, high = np.quantile(np.stack(lines), _BAND, axis=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _over_events(axes: Any, rungs: Sequence[Rung], laws: tuple[Law, Sequence[Law]], means: Means) -> None:
    law, draws = laws
    most = 8 * max(rung.events for rung in rungs)
    x = np.geomspace(min(rung.events for rung in rungs), most, 80)
    for colour, size in zip(COLOURS, dict.fromkeys(rung.size for rung in rungs), strict=False):
        mine = [rung for rung in rungs if rung.size == size]
        dense = float(mine[0].dense)
        axes.plot([r.events for r in mine], [r.loss for r in mine], "o", color=colour, markersize=4)
        axes.plot(
            x, law.loss(np.array(dense), x), color=colour, linewidth=1.2, label=f"{size} ({dense:,.0f})"
        )
        _band(axes, x, [draw.loss(np.array(dense), x) for draw in draws], colour)
    axes.axvline(means.events, color="#cccccc", linewidth=0.8)
    axes.set(
        xscale="log", title="Loss by size and events", xlabel="train events", ylabel="loss, tuning patients"
    )
    axes.legend(frameon=False, title="size (parameters of the trunk)")


def _over_hours(
    axes: Any, rungs: Sequence[Rung], laws: tuple[Law, Sequence[Law]], said: tuple[Advice, Means]
) -> None:
    (law, draws), (advice, means) = laws, said
    tried = [means.hours(float(rung.dense), float(rung.events)) for rung in rungs]
    axes.plot(tried, [rung.loss for rung in rungs], "o", color="#999999", markersize=4, label="tried")
    x = np.geomspace(min(tried), max(10 * max(tried), 3 * means.gpu_hours), 60)
    axes.plot(
        x, [_frontier(law, means, hours) for hours in x], color=COLOURS[0], label="size and events in balance"
    )
    _band(axes, x, [np.array([_frontier(one, means, hours) for hours in x]) for one in draws], COLOURS[0])
    here, best = advice.here, advice.budget
    axes.plot([here.gpu_hours], [here.loss.value], "s", color=COLOURS[1], label=f"these events: {here.size}")
    axes.plot([best.gpu_hours], [best.loss.value], "D", color=COLOURS[2], label=f"the budget: {best.size}")
    axes.set(xscale="log", title="Loss by what is paid", xlabel="GPU-hours", ylabel="loss, tuning patients")
    axes.legend(frameon=False)


def _frontier(law: Law, means: Means, hours: float) -> float:
    """Give the lowest loss for so many hours."""
    product = hours * 3600.0 * means.gpu_flops / means.per_event
    sizes = np.geomspace(min(means.dial.values()) / 100, 1e12, 200)
    return float(law.loss(sizes, np.maximum(product / sizes, 1.0)).min())
