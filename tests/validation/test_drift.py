import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from residency.validation.drift import Quiet, Watchman, cusum, watch, watchman_of

QUIET = Quiet(patients=1_000, false=0.05)


def ward_of(
    seed: int, n: int, *, odds: float = 1.0, raised: float = 0.0
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Patients as they come: a skewed laboratory value, a risk that hangs on it, and the outcome."""
    rng = np.random.default_rng(seed)
    value = rng.lognormal(0, 0.5, n)
    score = 1 / (1 + np.exp(-(value - 3)))
    value = np.where(rng.random(n) < 0.2, np.nan, value + raised)
    true = odds * score / (1 - score + odds * score)
    return score, rng.random(n) < true, {"creatinine": value}


@pytest.fixture(scope="module")
def watchman() -> Watchman:
    score, _, inputs = ward_of(0, 20_000)
    return watchman_of(score, inputs, QUIET)


def rate(watchman: Watchman, **shift: float) -> tuple[float, float]:
    """Share of 200 runs of 1,000 patients in which anything sounds, and after how many patients (median)."""
    after = []
    for seed in range(1, 201):
        sounded = [one.sounded_after for one in watch(watchman, *ward_of(seed, 1_000, **shift))]
        after.append(min((one for one in sounded if one is not None), default=None))
    heard = [one for one in after if one is not None]
    return len(heard) / len(after), float(np.median(heard)) if heard else float("nan")


def test_without_a_shift_the_watches_stay_quiet(watchman: Watchman) -> None:
    share, _ = rate(watchman)
    assert share <= 0.09  # 5% is allowed; of 200 runs


@pytest.mark.parametrize(
    ("shift", "within"), [({"odds": 2.0}, 400), ({"odds": 0.4}, 500), ({"raised": 0.5}, 100)], ids=str
)
def test_a_planted_shift_sounds_within_a_stated_number_of_patients(
    watchman: Watchman, shift: dict[str, float], within: int
) -> None:
    share, after = rate(watchman, **shift)
    assert share >= 0.95
    assert after <= within


def test_the_watch_that_sounds_is_the_one_of_what_has_shifted(watchman: Watchman) -> None:
    found = {one.watch: one.sounded_after for one in watch(watchman, *ward_of(5, 3_000, raised=0.5))}
    assert found["creatinine higher than before"] is not None
    assert found["creatinine lower than before"] is None
    more = {one.watch: one.sounded_after for one in watch(watchman, *ward_of(5, 3_000, odds=3.0))}
    assert more["more outcomes than foretold"] is not None
    assert more["fewer outcomes than foretold"] is None


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50))
def test_the_sum_is_the_one_that_never_falls_below_0(steps: list[float]) -> None:
    total, expected = 0.0, []
    for step in steps:
        total = max(0.0, total + step)
        expected.append(total)
    np.testing.assert_allclose(cusum(np.array([steps]))[0], expected, atol=1e-9)


def test_what_comes_later_changes_no_alarm_before(watchman: Watchman) -> None:
    score, label, inputs = ward_of(3, 2_000, odds=3.0)
    whole = watch(watchman, score, label, inputs)
    part = watch(watchman, score[:900], label[:900], {name: value[:900] for name, value in inputs.items()})
    for one, other in zip(whole, part, strict=True):
        if one.sounded_after is not None and one.sounded_after <= 900:
            assert other.sounded_after == one.sounded_after
