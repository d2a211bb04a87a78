"""In: rows weighed for censoring, draws of patients. Out: how far figures could be off, were it informative.

The weights take it that whoever was lost is like whoever stayed. The marginal sensitivity model (Zhao, Small
and Bhattacharya 2019) lets the odds of being lost be wrong by a factor, another one for every index time, as
bad as it can be: a weight of w then lies between 1 + (w − 1)/factor and 1 + (w − 1)·factor. Each figure gets
the lowest and the highest value that such weights can give it.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float, UInt

from residency.contract.report import Point
from residency.validation.figures import SCORES, Figure, held_of
from residency.validation.tally import Tally, resampled_apart

FACTORS: Final = (1.5, 2.0, 3.0)
CENSORING: Final = "censoring"  # the column: what the censoring multiplies a weight by
_GROUPS: Final = 512
_ROUNDS: Final = 8

Extreme = Callable[[Tally, Tally, float, bool], Float[np.ndarray, " draw"]]


def bounds(rows: pl.DataFrame, counts: UInt[np.ndarray, "patient draw"]) -> tuple[Point, ...]:
    """Give lowest and highest AUROC and O:E at each factor; nothing where nobody was lost."""
    held = held_of(rows, SCORES["model"], counts)
    if held is None or CENSORING not in held.rows.columns or not held.scored.label.any():
        return ()
    times = held.rows[CENSORING].cast(pl.Float64).to_numpy()
    if times.max() <= 1 + 1e-6:
        return ()
    kept = held.scored.weight / times
    parts = (kept, held.scored.weight - kept)
    once = np.ones((len(held.counts), 1), dtype=np.uint8)
    of_all, of_all_lost = resampled_apart(held.scored, parts, once, max_groups=len(times))
    drawn, drawn_lost = resampled_apart(held.scored, parts, held.counts, max_groups=_GROUPS)
    found = []
    for factor in FACTORS:
        figures = {}
        for name, give in {"auroc": extreme_auroc, "observed_expected": extreme_ratio}.items():
            for word, high in (("lowest", False), ("highest", True)):
                value = float(give(of_all, of_all_lost, factor, high)[0])
                figures[f"{name}_{word}"] = Figure(value, give(drawn, drawn_lost, factor, high)).metric
        found.append(Point(factor, figures))
    return tuple(found)


def _span(factor: float, high: bool) -> tuple[float, float]:
    """Give by how much the weight of the lost is multiplied: where that helps, and where it does not."""
    return (factor, 1 / factor) if high else (1 / factor, factor)


def extreme_auroc(kept: Tally, lost: Tally, factor: float, high: bool) -> Float[np.ndarray, " draw"]:
    """Give the highest or lowest AUROC that weights within the factor can give.

    Of events, those ranked above a share of the others that is itself the AUROC should weigh more, and of
    the others those below such a share of the events: a step in each, found in turns.
    """
    helps, hurts = _span(factor, high)
    events, others = kept.events + lost.events, kept.others + lost.others
    for _ in range(_ROUNDS):
        below = _ratio(np.cumsum(others, axis=0) - others / 2, others.sum(axis=0))
        value = _ratio((events * below).sum(axis=0), events.sum(axis=0))
        events = kept.events + lost.events * np.where(below > value, helps, hurts)
        above = 1 - _ratio(np.cumsum(events, axis=0) - events / 2, events.sum(axis=0))
        value = _ratio((others * above).sum(axis=0), others.sum(axis=0))
        others = kept.others + lost.others * np.where(above > value, helps, hurts)
    below = _ratio(np.cumsum(others, axis=0) - others / 2, others.sum(axis=0))
    return _ratio((events * below).sum(axis=0), events.sum(axis=0))


def extreme_ratio(kept: Tally, lost: Tally, factor: float, high: bool) -> Float[np.ndarray, " draw"]:
    """Give the highest or lowest O:E that weights within the factor can give."""
    helps, hurts = _span(factor, high)
    others = kept.others + lost.others * hurts
    score, events = kept.score[:, None], kept.events + lost.events * helps
    for _ in range(_ROUNDS):
        ratio = _ratio(events.sum(axis=0), ((events + others) * score).sum(axis=0))
        events = kept.events + lost.events * np.where(ratio * score < 1, helps, hurts)
    return _ratio(events.sum(axis=0), ((events + others) * score).sum(axis=0))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    whole = np.broadcast_to(below, above.shape)
    result: np.ndarray = np.divide(above, whole, out=np.full(above.shape, np.nan), where=whole > 0)
    return result
