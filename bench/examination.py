"""How long an examination's figures take: 20,000 patients, several tasks, 1,000 draws of patients.

Invented scores of a model and a baseline, one index time a patient, two sexes and three age bands. Loading,
training and the page are not in it.

    nice .venv/bin/python bench/examination.py --tasks 10
"""

import argparse
import time

import numpy as np
import polars as pl

from residency.contract.specs import read
from residency.validation import Task, ValidationSpec
from residency.validation.examination import examined


def predictions(patients: int, seed: int) -> pl.DataFrame:
    """Invent scores of two models, and outcomes."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-3, 1.3, patients)
    label = rng.random(patients) < 1 / (1 + np.exp(-truth))
    moment = pl.Datetime("us")
    frame = pl.DataFrame(
        {
            "subject_id": np.arange(patients),
            "prediction_time": rng.integers(0, 10**15, patients),
            "site": np.full(patients, "here"),
            "split": np.full(patients, "held_out"),
            "label": label,
            "weight": np.ones(patients),
            "score": 1 / (1 + np.exp(-(truth + rng.normal(0, 0.5, patients)))),
            "baseline": 1 / (1 + np.exp(-(truth + rng.normal(0, 1, patients)))),
            "group_sex": rng.choice(["female", "male"], patients),
            "group_age": rng.choice(["under_50", "50-64", "65_and_over"], patients),
        }
    )
    frame = frame.with_columns(event_time=pl.col("prediction_time") + 10 * 86_400_000_000)
    return frame.with_columns(pl.col("prediction_time", "event_time").cast(moment))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--draws", type=int, default=1_000)
    given = parser.parse_args()
    landmark, outcome = {"kind": "every_moment"}, {"codes": ["X"]}
    basis = {"title": "t", "landmark": landmark, "outcome": outcome, "horizon_days": 30.0}
    settings = ValidationSpec(n_draws=given.draws)
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(given.tasks):
        task = read(Task, {"name": f"task{number}", **basis})
        examined(predictions(given.patients, number), task, settings, {})
        spent = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"{number + 1} tasks: {spent[0]:.1f} s by the wall clock, {spent[1]:.1f} CPU-seconds", flush=True
        )


if __name__ == "__main__":
    main()
