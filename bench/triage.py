"""How many patients a second a panel is ranked: `bench/triage.py [FOLDER] [PATIENTS] [SEED]`.

By one process, in seconds of CPU; by all cores, by the clock, their start included.
"""

import os
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from invented import CODES, hospital, made

from residency.contract.processes import spread
from residency.contract.questions import AnyQuestion, Changes, Differential, Forecast, Outcome
from residency.reasoning import Triage
from residency.reasoning.answers import instant


def main(folder: Path, n_patients: int = 1000, seed: int = 11) -> None:
    """Print a table."""
    of = made(folder, hospital(n_patients, seed))
    torch.set_num_threads(1)
    outcomes = tuple(Outcome(name=name, codes=codes) for name, codes in CODES.items())
    latest = max(int(np.max(packed.moment_time)) for packed in of.timelines.shards)
    questions: dict[str, AnyQuestion] = {
        "forecast, one outcome": Forecast(outcomes=outcomes[:1], horizons_days=(365.25,)),
        "forecast, nine outcomes, two horizons": Forecast(outcomes=outcomes, horizons_days=(90.0, 365.25)),
        "differential": Differential(),
        "changes with open loops": Changes(since=instant(latest) - timedelta(days=365)),
    }
    n, n_moments = of.timelines.n_patients, sum(packed.n_moments for packed in of.timelines.shards)
    print(f"{n} patients, {n_moments} moments; model of size {of.model.spec.size}")
    print(f"| question | patients a second of CPU, one process | a second, {os.cpu_count()} processes |")
    print("|---|---|---|")
    for name, question in questions.items():
        as_of = latest if isinstance(question, Changes) else None
        panel = Triage(of.model, of.timelines, question, as_of)
        cpu = time.process_time()
        alone = panel.first(20)
        cpu = time.process_time() - cpu
        wall = time.perf_counter()
        assert panel.first(20, over=spread) == alone
        print(f"| {name} | {n / cpu:.0f} | {n / (time.perf_counter() - wall):.0f} |", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(words[0]) if words else Path(temporary), *map(int, words[1:]))
