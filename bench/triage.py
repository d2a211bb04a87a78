"""How many patients a second a panel is ranked: `bench/triage.py FOLDER`; seconds of CPU, so of one core."""

import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from invented import CODES, Invented

from residency.contract.questions import AnyQuestion, Changes, Differential, Forecast, Outcome
from residency.reasoning import Triage
from residency.reasoning.answers import instant


def main(folder: Path) -> None:
    """Print a table."""
    of = Invented(folder)
    outcomes = tuple(Outcome(name=name, codes=codes) for name, codes in CODES.items())
    latest = max(int(np.max(packed.moment_time)) for packed in of.timelines.shards)
    questions: dict[str, AnyQuestion] = {
        "forecast, one outcome": Forecast(outcomes=outcomes[:1], horizons_days=(365.25,)),
        "forecast, nine outcomes, two horizons": Forecast(outcomes=outcomes, horizons_days=(90.0, 365.25)),
        "differential": Differential(),
        "changes with open loops": Changes(since=instant(latest) - timedelta(days=365)),
    }
    n_moments = sum(packed.n_moments for packed in of.timelines.shards)
    print(f"{of.timelines.n_patients} patients, {n_moments} moments; model of size {of.model.spec.size}")
    print("| question | patients a second of CPU |")
    print("|---|---|")
    for name, question in questions.items():
        start = time.process_time()
        as_of = latest if isinstance(question, Changes) else None
        found = Triage(of.model, of.timelines, question, as_of).first(20)
        assert len(found) == 20
        print(f"| {name} | {of.timelines.n_patients / (time.process_time() - start):.0f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
