from itertools import product

import numpy as np
import polars as pl
import pytest

from residency.validation.bounds import bounds, extreme_auroc, extreme_ratio
from residency.validation.tally import Scored, exact, resampled_apart


def rows_of(seed: int, n: int = 9) -> tuple[Scored, np.ndarray]:
    """Invent a few rows of different scores, and what censoring multiplies each weight by."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3 == 0
    times = 1 + 3 * rng.random(n) * (rng.random(n) < 0.8)
    return Scored(np.arange(n), label, rng.permutation(n) / n + 0.05, times), times


def auroc(scored: Scored, weight: np.ndarray) -> float:
    more = scored.score[scored.label][:, None] > scored.score[~scored.label][None, :]
    pairs = weight[scored.label][:, None] * weight[~scored.label][None, :]
    return float((more * pairs).sum() / pairs.sum())


def ratio(scored: Scored, weight: np.ndarray) -> float:
    return float((weight * scored.label).sum() / (weight * scored.score).sum())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("extreme", "plain"), [(extreme_auroc, auroc), (extreme_ratio, ratio)])
def test_no_weights_within_the_factor_go_beyond_the_ends_and_some_reach_them(seed, extreme, plain) -> None:
    scored, times = rows_of(seed)
    parts = (np.ones(len(times)), times - 1)
    once = np.ones((len(times), 1), np.uint8)
    kept, lost = resampled_apart(scored, parts, once, max_groups=100)
    at_ends = [
        plain(scored, 1 + (times - 1) * np.array(factors))
        for factors in product((0.5, 2.0), repeat=len(times))
    ]
    assert extreme(kept, lost, 2.0, True)[0] == pytest.approx(max(at_ends), abs=1e-6)
    assert extreme(kept, lost, 2.0, False)[0] == pytest.approx(min(at_ends), abs=1e-6)


def test_with_a_factor_of_1_both_ends_are_the_figure_itself() -> None:
    scored, times = rows_of(0)
    once = np.ones((len(times), 1), np.uint8)
    kept, lost = resampled_apart(scored, (np.ones(len(times)), times - 1), once, max_groups=100)
    whole = exact(scored)
    for extreme, plain in ((extreme_auroc, auroc), (extreme_ratio, ratio)):
        for high in (True, False):
            assert extreme(kept, lost, 1.0, high)[0] == pytest.approx(plain(scored, times), abs=1e-6)
    assert len(whole.score) == len(times)


def table(n: int, *, lost: bool) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(1)
    score = rng.random(n) * 0.6
    times = 1 + 2 * rng.random(n) if lost else np.ones(n)
    rows = pl.DataFrame(
        {
            "subject_id": np.arange(n),
            "label": rng.random(n) < score,
            "score": score,
            "weight": times,
            "censoring": times,
        }
    )
    counts = rng.poisson(1, (n, 50)).astype(np.uint8)
    return rows, counts


def test_the_bounds_widen_with_the_factor_and_hold_their_intervals() -> None:
    points = bounds(*table(400, lost=True))
    widths = [p.figures["auroc_highest"].value - p.figures["auroc_lowest"].value for p in points]
    assert widths == sorted(widths)
    assert widths[0] > 0
    for point in points:
        for figure in point.figures.values():
            assert figure.low < figure.value < figure.high


def test_without_anybody_lost_there_is_nothing_to_bound() -> None:
    assert bounds(*table(100, lost=False)) == ()
    rows, counts = table(100, lost=True)
    assert bounds(rows.drop("censoring"), counts) == ()
