"""How soon drift sounds: runs of 1,000 invented patients, with and without a planted shift.

nice .venv/bin/python bench/drift.py --runs 200
"""

import argparse

import numpy as np

from residency.validation.drift import Quiet, watch, watchman_of

SHIFTS: dict[str, dict[str, float]] = {
    "none": {},
    "outcome 1.5 times as likely (odds)": {"odds": 1.5},
    "outcome twice as likely": {"odds": 2.0},
    "outcome half as likely": {"odds": 0.5},
    "an input higher by a quarter of a spread": {"raised": 0.15},
    "an input higher by a spread": {"raised": 0.6},
}


def patients(seed: int, n: int, odds: float = 1.0, raised: float = 0.0) -> tuple[np.ndarray, ...]:
    """Invent patients as they come: a skewed laboratory value, a risk that hangs on it, the outcome."""
    rng = np.random.default_rng(seed)
    value = rng.lognormal(0, 0.5, n)
    score = 1 / (1 + np.exp(-(value - 3)))
    seen = np.where(rng.random(n) < 0.2, np.nan, value + raised)
    true = odds * score / (1 - score + odds * score)
    return score, rng.random(n) < true, seen


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    score, _, value = patients(0, 20_000)
    watchman = watchman_of(score, {"creatinine": value}, Quiet(patients=1_000, false=0.05))
    print("| planted | runs that sound within 1,000 patients | patients until then, median (9 of 10 by) |")
    print("|---|---|---|")
    for name, shift in SHIFTS.items():
        after = []
        for seed in range(1, given.runs + 1):
            score, label, value = patients(seed, 1_000, **shift)
            heard = [one.sounded_after for one in watch(watchman, score, label, {"creatinine": value})]
            after.append(min((one for one in heard if one is not None), default=None))
        some = [one for one in after if one is not None]
        told = f"{np.median(some):.0f} ({np.quantile(some, 0.9):.0f})" if some else "–"
        print(f"| {name} | {len(some) / given.runs:.0%} | {told} |", flush=True)


if __name__ == "__main__":
    main()
