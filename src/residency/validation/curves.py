"""In: rows of a slice, draws of its patients. Out: decision curve and alert burden, with intervals."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import UInt

from residency.contract.report import Metric, Point
from residency.validation import metrics
from residency.validation.figures import SCORES, Figure, Rules, alerted, held_of
from residency.validation.tally import exact, resampled

RISKS: Final = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # times the stated threshold
BURDENS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0)
CURVED: Final = ("model", "baseline")


def decision(rows: pl.DataFrame, rules: Rules, counts: UInt[np.ndarray, "patient draw"]) -> tuple[Point, ...]:
    """Give the net benefit of each score, and of acting on everybody, around the stated threshold."""
    thresholds = [rules.threshold * times for times in RISKS if rules.threshold * times < 0.99]
    found: dict[float, dict[str, Metric]] = {threshold: {} for threshold in thresholds}
    for name in CURVED:
        for threshold, figures in _of_score(rows, SCORES[name], thresholds, counts).items():
            found[threshold][name] = figures[0].metric
            if name == "model":
                found[threshold]["everybody"] = figures[1].metric
                found[threshold]["less_better_default"] = figures[2].metric
    return tuple(Point(threshold, figures) for threshold, figures in found.items() if figures)


def _of_score(
    rows: pl.DataFrame, column: str, thresholds: Sequence[float], counts: UInt[np.ndarray, "patient draw"]
) -> dict[float, tuple[Figure, Figure, Figure]]:
    held = held_of(rows, column, counts)
    if held is None:
        return {}
    whole, drawn = exact(held.scored), resampled(held.scored, held.counts, cuts=thresholds)
    result = {}
    for threshold in thresholds:
        mine = Figure(float(metrics.net_benefit(whole, threshold)[0]), metrics.net_benefit(drawn, threshold))
        everybody = Figure(
            float(metrics.benefit_of_all(whole, threshold)[0]), metrics.benefit_of_all(drawn, threshold)
        )
        default = everybody if everybody.value > 0 else Figure(0.0, np.zeros_like(everybody.draws))
        result[threshold] = (mine, everybody, mine.less(default))
    return result


def burden(rows: pl.DataFrame, rules: Rules, counts: UInt[np.ndarray, "patient draw"]) -> tuple[Point, ...]:
    """Give what the model's alerts find at several burdens; nothing where times are not known."""
    held = held_of(rows, SCORES["model"], counts)
    if held is None or held.rows["prediction_time"].null_count():
        return ()
    burdens = sorted({*BURDENS, rules.alerts_per_100_days})
    return tuple(
        Point(per, {name: figure.metric for name, figure in alerted(held, per).items()}) for per in burdens
    )
