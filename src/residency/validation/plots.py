"""In: predictions of one task. Out: its plots as inline SVG: calibration, decision curve, ROC."""

import io
from collections.abc import Mapping
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from residency.contract.report import Metric, Slice
from residency.validation import metrics
from residency.validation.figures import SCORES, Rules
from residency.validation.tally import Scored, Tally, exact

COLOURS: Final = {"model": "#14508c", "baseline": "#b4581a", "best_possible": "#5a5a5a"}
NAMES: Final = {
    "model": "network",
    "baseline": "LightGBM",
    "clinical": "clinical score",
    "stack": "both, stacked",
    "best_possible": "best possible",
}
STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "residency",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BINS: Final = 10


def plots(predictions: pl.DataFrame, rules: Rules, whole: Slice, called: str) -> str:
    """Draw the held-out patients' calibration, decision curve, ROC and alert burden; empty with no event.

    Args:
        predictions: with outcomes.
        rules: threshold and burden.
        whole: what was measured of them.
        called: the model.
    """
    held = predictions.filter(pl.col("split") == "held_out")
    if not held["label"].any() or held["label"].all():
        return ""
    tallies = {name: tally_of(held, column) for name, column in SCORES.items() if column in held.columns}
    shown = {name: tally for name, tally in tallies.items() if name in COLOURS and len(tally.score)}
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(10.4, 6.4))
        (left, right), (below, last) = figure.subplots(2, 2)
        figure.subplots_adjust(left=0.06, right=0.99, bottom=0.07, top=0.96, wspace=0.16, hspace=0.32)
        _calibration(left, shown, called)
        _decision(right, shown, (rules, whole), called)
        _roc(below, shown, called)
        _burden(last, whole)
        return svg_of(figure)


def tally_of(rows: pl.DataFrame, column: str) -> Tally:
    """Tally the rows that have a score."""
    score = rows[column].to_numpy().astype(np.float64)
    kept = ~np.isnan(score)
    patient = np.zeros(int(kept.sum()), dtype=np.int64)
    label, weight = rows["label"].to_numpy()[kept], rows["weight"].to_numpy()[kept]
    return exact(Scored(patient, label, score[kept], weight))


def tenths(tally: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Give the mean score and the share with the outcome of each tenth of the weight."""
    rate = tally.events[:, 0] + tally.others[:, 0]
    share = (np.cumsum(rate) - rate / 2) / rate.sum()
    bins = np.minimum((share * _BINS).astype(int), _BINS - 1)
    weight = np.bincount(bins, rate, _BINS)
    held = weight > 0
    said = (np.bincount(bins, rate * tally.score, _BINS) / np.maximum(weight, 1e-12))[held]
    came = (np.bincount(bins, tally.events[:, 0], _BINS) / np.maximum(weight, 1e-12))[held]
    return said, came


def _named(name: str, called: str) -> str:
    return called if name == "model" else NAMES[name]


def _calibration(axes: Any, tallies: Mapping[str, Tally], called: str) -> None:
    top = 0.0
    for name, tally in tallies.items():
        if name == "best_possible":
            continue
        said, came = tenths(tally)
        axes.plot(
            said, came, "o-", color=COLOURS[name], label=_named(name, called), markersize=4, linewidth=1
        )
        top = max(top, float(said.max()), float(came.max()))
    axes.plot([0, top], [0, top], "--", color="#999999", linewidth=1)
    axes.set(
        title="Calibration (tenths of the index times)", xlabel="predicted risk", ylabel="observed share"
    )
    axes.legend(frameon=False)


def _decision(axes: Any, tallies: Mapping[str, Tally], fixed: tuple[Rules, Slice], called: str) -> None:
    rules, whole = fixed
    thresholds = np.linspace(rules.threshold / 5, min(rules.threshold * 4, 0.95), 60)
    for name, tally in tallies.items():
        benefit = [float(metrics.net_benefit(tally, threshold)[0]) for threshold in thresholds]
        axes.plot(thresholds, benefit, color=COLOURS[name], label=_named(name, called), linewidth=1.2)
    any_tally = next(iter(tallies.values()))
    share = float(any_tally.events.sum() / (any_tally.events.sum() + any_tally.others.sum()))
    everybody = share - (1 - share) * thresholds / (1 - thresholds)
    _band(axes, [(one.at, one.figures.get("model")) for one in whole.decision])
    axes.plot(thresholds, everybody, ":", color="#999999", label="act on everybody", linewidth=1)
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.axvline(rules.threshold, color="#cccccc", linewidth=0.8)
    axes.set(title="Decision curve", xlabel="risk at which one would act", ylabel="net benefit")
    axes.set_ylim(bottom=-0.1 * share)
    axes.legend(frameon=False)


def _band(axes: Any, points: list[tuple[float, Metric | None]]) -> None:
    """Shade the network's interval."""
    told = [(at, one.low, one.high) for at, one in points if one is not None and one.low is not None]
    if told:
        at, low, high = zip(*told, strict=True)
        axes.fill_between(at, low, high, color=COLOURS["model"], alpha=0.15, linewidth=0)


def _burden(axes: Any, whole: Slice) -> None:
    """Draw what alerts find against how many are made, with the lead time at each."""
    found = [(one.at, one.figures.get("sensitivity_at_alerts")) for one in whole.burden]
    told = [(at, one.value) for at, one in found if one is not None and one.value is not None]
    if not told:
        axes.set_axis_off()
        return
    _band(axes, found)
    at, share = zip(*told, strict=True)
    axes.plot(at, share, "o-", color=COLOURS["model"], markersize=4, linewidth=1.2)
    lead = {one.at: one.figures.get("lead_time_days") for one in whole.burden}
    for place, value in told:
        days = lead[place]
        if days is not None and days.value is not None:
            text = f"{days.value:.0f} d" if days.value >= 3 else f"{24 * days.value:.0f} h"
            axes.annotate(text, (place, value), xytext=(4, -11), textcoords="offset points", fontsize=7.5)
    axes.set_xscale("log")
    axes.set_xticks(at, [f"{one:g}" for one in at])
    axes.minorticks_off()
    axes.set(
        title="Alerts (median lead time beside each point)",
        xlabel="alerts per 100 patient-days",
        ylabel="share of patients found",
    )
    axes.set_ylim(0, 1.02)


def _roc(axes: Any, tallies: Mapping[str, Tally], called: str) -> None:
    for name, tally in tallies.items():
        coarse = tally.coarse(300)
        found = np.cumsum(coarse.events[::-1, 0]) / coarse.events.sum()
        false = np.cumsum(coarse.others[::-1, 0]) / coarse.others.sum()
        ends = ([0.0], found), ([0.0], false)
        axes.plot(
            np.concatenate(ends[1]),
            np.concatenate(ends[0]),
            color=COLOURS[name],
            label=_named(name, called),
            linewidth=1.2,
        )
    axes.plot([0, 1], [0, 1], "--", color="#999999", linewidth=0.8)
    axes.set(title="ROC", xlabel="share of false alarms", ylabel="share of outcomes found")
    axes.legend(frameon=False)


def svg_of(figure: Figure) -> str:
    """Give a drawing as SVG, the same bytes each time."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
