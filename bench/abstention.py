"""Does it pay not to answer? `bench/abstention.py FOLDER [PATIENTS] [SEED]`: table, and a plot. Simulated.

An answer's error is how far it lies from the chance that the simulation knows (the divergence of Kullback and
Leibler). A third of the moments are spoilt: most codes unknown, nothing new for 2.5 years, one visit.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import polars as pl
from invented import CODES, Invented, hospital, made

from residency import Index, ask
from residency.contract.packed import DAY, UNKNOWN, Packed
from residency.contract.questions import Forecast, Outcome
from residency.reasoning.abstaining import ANSWERED, REASONS, Limits
from residency.timeline import concatenate, take, until

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PLOT = Path(__file__).parents[1] / "docs" / "images" / "reasoning" / "abstention.png"
DISEASES = ("type_2_diabetes", "chronic_kidney_disease", "heart_failure", "lung_cancer")
HORIZON = 365.0
QUESTION = Forecast(
    outcomes=tuple(Outcome(name=name, codes=CODES[name]) for name in DISEASES),
    horizons_days=(HORIZON,),
    occurrence="incident",
)
SPOILT = ("as recorded", "codes unknown", "nothing new for 2.5 years", "one visit")
EVERYTHING = Limits(min_moments=0, stale_days=1e9, max_unknown_share=1.0)


@dataclass(frozen=True)
class Asked:
    """Patients cut at their moments, how each was spoilt, and the truth."""

    packed: Packed
    as_of: np.ndarray
    spoilt: np.ndarray
    truth: np.ndarray


def moments(of: Invented, seed: int, per_patient: int = 3) -> Asked:
    """Draw moments of held-out patients at which the truth is told."""
    rng = np.random.default_rng(seed)
    table = of.truth("risk").filter(pl.col("horizon_days") == HORIZON, pl.col("outcome").is_in(DISEASES))
    told = {
        (subject, time): dict(zip(names, chances, strict=True))
        for subject, time, names, chances in table.group_by("subject_id", pl.col("time").cast(pl.Int64))
        .agg("outcome", "probability")
        .iter_rows()
    }
    times: dict[int, list[int]] = {}
    for subject, time in told:
        times.setdefault(subject, []).append(time)
    parts, as_of, spoilt, truth = [], [], [], []
    for shard, packed in enumerate(of.timelines.shards):
        for row in of.judges(shard).tolist():
            subject = int(packed.subject[row])
            known = sorted(times.get(subject, []))
            for at in (
                rng.choice(known, min(per_patient, len(known)), replace=False).tolist() if known else []
            ):
                how = int(rng.choice(4, p=[2 / 3, 1 / 9, 1 / 9, 1 / 9]))
                parts.append(_spoil(packed, row, at, how, rng))
                as_of.append(at)
                spoilt.append(how)
                truth.append([told[subject, at].get(name, np.nan) for name in DISEASES])
    return Asked(concatenate(parts), np.array(as_of), np.array(spoilt), np.array(truth))


def _spoil(packed: Packed, row: int, at: int, how: int, rng: np.random.Generator) -> Packed:
    cut = until(take(packed, np.array([row])), at)
    if how == 1:
        code = np.where(rng.random(cut.n_events) < 0.7, UNKNOWN, cut.event_code).astype(np.int32)
        return cut.with_arrays(event_code=code)
    if how == 2:
        return until(cut, at - 913 * DAY)
    if how == 3 and cut.n_moments > 2:
        return until(cut, int(cut.moment_time[1]))
    return cut


def divergence(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Give the divergence from the truth, in thousandths of a nat."""
    p, q = np.clip(truth, 1e-6, 1 - 1e-6), np.clip(guess, 1e-6, 1 - 1e-6)
    return 1000 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def drawn(values: np.ndarray, rng: np.random.Generator) -> str:
    """Write a mean with its 90% interval."""
    means = values[rng.integers(len(values), size=(500, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def main(folder: Path, n_patients: int = 4000, seed: int = 11) -> None:
    """Print the tables and draw the plot."""
    of, rng = made(folder, hospital(n_patients, seed)), np.random.default_rng(0)
    asked = moments(of, 1)
    index = Index(np.arange(asked.packed.n_patients), asked.as_of)
    free = ask(of.model, asked.packed, [QUESTION], index, limits=EVERYTHING)
    kept = ask(of.model, asked.packed, [QUESTION], index)
    error = divergence(asked.truth, free.risk.astype(float))
    told = np.isfinite(error) & (free.reason == ANSWERED)
    answered = kept.reason == ANSWERED
    print("| records | answers | withheld | error of those given, ‰ nat | of those withheld |")
    print("|---|---|---|---|---|")
    for how, name in (*enumerate(SPOILT), (-1, "all")):
        mine = told & ((asked.spoilt == how) | (how < 0))[:, None]
        cells = [
            drawn(error[mine & which], rng) if (mine & which).sum() > 20 else ""
            for which in (answered, ~answered)
        ]
        print(
            f"| {name} | {int(mine.sum())} | {(mine & ~answered).sum() / mine.sum():.0%} |"
            f" {' | '.join(cells)} |"
        )
    names, counts = np.unique(kept.reason[told & ~answered], return_counts=True)
    print("\nwithheld for: " + ", ".join(f"{REASONS[n]} {c}" for n, c in zip(names, counts, strict=True)))
    width = np.log(free.high / (1 - free.high)) - np.log(free.low / (1 - free.low))
    doubt = np.where(answered, width, 100 + width)[told]
    plot(error[told], doubt, float((told & answered).sum() / told.sum()), rng)


def plot(error: np.ndarray, doubt: np.ndarray, at: float, rng: np.random.Generator) -> None:
    """Draw mean error against the share answered, the surest first, beside a random order; print it too."""
    order = np.argsort(doubt, kind="stable")
    share = np.arange(1, len(error) + 1) / len(error)
    curve = np.cumsum(error[order]) / np.arange(1, len(error) + 1)
    best = np.cumsum(np.sort(error)) / np.arange(1, len(error) + 1)
    print("\n| answered | " + " | ".join(f"{c:.0%}" for c in (1.0, at, 0.8, 0.6, 0.4, 0.2)) + " |")
    print("|---" * 7 + "|")
    print(
        "| error, ‰ nat | "
        + " | ".join(drawn(error[order[: int(c * len(error))]], rng) for c in (1.0, at, 0.8, 0.6, 0.4, 0.2))
        + " |"
    )
    figure, axes = plt.subplots(figsize=(6, 3.6), constrained_layout=True)
    axes.plot(share, curve, label="withheld by the rules, then by width of the interval", color="#1f5f8b")
    axes.plot(share, np.full(len(share), error.mean()), "--", label="at random", color="#888888")
    axes.plot(share, best, ":", label="by the error itself (out of reach)", color="#888888")
    axes.axvline(at, color="#b5542b", linewidth=1)
    axes.text(at, axes.get_ylim()[1] * 0.3, "what the rules answer ", color="#b5542b", va="top", ha="right")
    axes.set(
        xlabel="share answered",
        ylabel="divergence from the true chance, ‰ nat",
        xlim=(0.05, 1),
        ylim=(0, None),
    )
    axes.legend(frameon=False, fontsize=8)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=110)


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
