"""In: verdicts with their figures. Out: `verdict.html`: a page a model in plain words; due diligence."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure as Drawing

from residency.contract.report import Point
from residency.contract.verdict import Verdict, Verdicts
from residency.validation.page import Examined, pages
from residency.validation.plots import STYLE, svg_of, tally_of, tenths
from residency.validation.recalibrating import COLUMN, recalibrate
from residency.validation.verdicts import VerdictRules
from residency.validation.words import interval, per_100

MEANING: Final[Mapping[str, str]] = {
    "use": "Its risks may be shown as they are, for the decision and the patients above.",
    "recalibrate": "Do not show its risks as they are. Put them through the correction below first.",
    "do not use": "It does not help these patients at this decision.",
    "cannot tell": "Nothing here says that it is good, nor that it is bad. Do not use it on this ground.",
}
_AS_IS, _AFTER, _GREY = "#14508c", "#b4581a", "#8a8a8a"


@dataclass(frozen=True)
class Leaf:
    """One model at one task: its verdict, its rows, and all that was measured."""

    verdict: Verdict
    rows: pl.DataFrame
    part: Examined

    @property
    def plot(self) -> str:
        """Inline SVG: calibration and decision curve; empty without an outcome."""
        held = self.rows.filter(pl.col("score").is_not_nan())
        if not held["label"].any() or held["label"].all():
            return ""
        with mpl.rc_context(STYLE):  # type: ignore[arg-type]
            figure = Drawing(figsize=(8.2, 2.9))
            left, right = figure.subplots(1, 2)
            figure.subplots_adjust(left=0.075, right=0.99, bottom=0.17, top=0.9, wspace=0.22)
            _calibration(left, held)
            _decision(right, self.part.whole.decision, self.verdict.threshold)
            return svg_of(figure)


def write_leaf(path: Path, leaves: tuple[Leaf, ...], verdicts: Verdicts, rules: VerdictRules) -> None:
    """Write the page."""
    environment = pages()
    environment.filters |= {"interval": interval, "per_100": per_100}
    page = environment.get_template("verdict.html").render(
        leaves=leaves, verdicts=verdicts, rules=rules, meaning=MEANING, people=people
    )
    path.write_text(page, "utf-8")


def people(verdict: Verdict, size: int = 1000) -> dict[str, int] | None:
    """Say what acting comes to, of so many patients: how many it flags, rightly and wrongly, and misses."""
    wanted = [verdict.figures.get(name) for name in ("flagged_share", "ppv", "sensitivity")]
    values = [one.value for one in wanted if one is not None and one.value]
    if len(values) < 3:
        return None
    share, right, sensitivity = values
    flagged, found = round(size * share), round(size * share * right)
    ill = round(size * share * right / sensitivity)
    return {
        "size": size,
        "ill": ill,
        "flagged": flagged,
        "found": found,
        "false": flagged - found,
        "missed": ill - found,
    }


def _calibration(axes: Any, rows: pl.DataFrame) -> None:
    found = recalibrate(rows, seed=0)
    shown = {"as it is": (rows, "score", _AS_IS)}
    if found is not None:
        shown["recalibrated"] = (found.rows, COLUMN, _AFTER)
    top = 0.0
    for name, (held, column, colour) in shown.items():
        said, came = tenths(tally_of(held, column))
        axes.plot(said, came, "o-", color=colour, label=name, markersize=3.5, linewidth=1)
        top = max(top, float(said.max()), float(came.max()))
    axes.plot([0, top], [0, top], "--", color=_GREY, linewidth=0.8)
    axes.set(title="Do its risks come true?", xlabel="what it says", ylabel="what happened")
    axes.legend(frameon=False)


def _decision(axes: Any, points: list[Point], threshold: float) -> None:
    told = [one for one in points if "model" in one.figures and one.figures["model"].value is not None]
    if not told:
        axes.set_axis_off()
        return
    at = np.array([one.at for one in told])
    model = np.array([1000 * (one.figures["model"].value or 0) for one in told])
    low = np.array([1000 * _or(one.figures["model"].low, np.nan) for one in told])
    high = np.array([1000 * _or(one.figures["model"].high, np.nan) for one in told])
    everybody = np.array([1000 * _or(one.figures["everybody"].value, np.nan) for one in told])
    axes.fill_between(at, low, high, color=_AS_IS, alpha=0.15, linewidth=0)
    axes.plot(at, model, "o-", color=_AS_IS, markersize=3.5, linewidth=1, label="by this model")
    axes.plot(at, everybody, ":", color=_GREY, linewidth=1.2, label="on everybody")
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.axvline(threshold, color="#cccccc", linewidth=0.8)
    axes.set(
        title="Is it worth acting on?", xlabel="risk at which one would act", ylabel="net right in 1,000"
    )
    axes.set_ylim(bottom=min(-0.15 * float(np.nanmax(model)), float(np.nanmin(low)), 0))
    axes.legend(frameon=False)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
