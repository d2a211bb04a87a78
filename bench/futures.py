"""In: a model, timelines. Out: how often simulated futures hold an event, beside the risk that hazards give.

python bench/futures.py MODEL TIMELINES --patients 20 --draws 40 --days 30

Held-out patients, asked in the middle of their record. Of each code: to how many it came, the mean forecast,
the mean share of futures that hold it (± what chance does to so many draws, 90%), and of how many patients it
lies in the forecast's 90% interval, widened by what chance does to so few draws. A code's first occurrence
should agree by construction, drawn moment by moment or not.

Then events a future, those of the same patients in the same days beside them: nothing holds later occurrences
to anything, so this says how far they can be trusted.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from residency.contract.packed import DAY, Packed
from residency.contract.questions import Forecast, Outcome
from residency.model import Asked, Futures, Model, RolloutSpec, rollouts
from residency.reasoning import Index, Limits, ask
from residency.reasoning.outcomes import Family
from residency.timeline import Timelines, moment_of_event

OPEN = Limits(min_moments=0, stale_days=1e9, max_unknown_share=1.0)
REACH = 1.645  # standard errors on either side


def chosen(model: Model, n: int) -> list[int]:
    """Give the most frequent codes of each kind: routine ones, then those ruled by hazards."""
    known = [code for code in map(model.vocabulary.index_of, model.targets) if code]
    frequent = sorted(known, key=lambda code: -int(model.vocabulary.n_events[code]))
    routine = set(model.routine.tolist())
    return [c for c in frequent if c in routine][:n] + [c for c in frequent if c not in routine][:n]


def line(
    name: str, kind: str, share: np.ndarray, bounds: tuple[np.ndarray, np.ndarray, np.ndarray], draws: int
) -> str:
    """Give one row of the table."""
    risk, low, high = bounds
    slack = REACH * np.sqrt(np.maximum(risk * (1 - risk), 0.25 / draws) / draws)
    inside = (share >= low - slack) & (share <= high + slack)
    error = REACH * np.sqrt((share * (1 - share) / draws).sum()) / len(share)
    told = f"{risk.mean():.3f} | {share.mean():.3f} ± {error:.3f} | {inside.sum()} of {len(share)}"
    return f"| {name} | {kind} | {told} |"


def what_came(packed: Packed, found: tuple[Futures, ...], asked: Asked) -> list[np.ndarray]:
    """Give the codes of the events that came to each patient within the futures' horizon."""
    time = np.asarray(packed.moment_time)[moment_of_event(packed)]
    came = []
    for patient, one in zip(asked.patient, found, strict=True):
        bounds = packed.event_offset[packed.moment_offset[patient : patient + 2]]
        mine = slice(int(bounds[0]), int(bounds[1]))
        late = (time[mine] > one.as_of) & (time[mine] <= one.as_of + round(one.horizon_days * DAY))
        came.append(np.asarray(packed.event_code[mine])[late])
    return came


def table(
    model: Model, found: tuple[Futures, ...], answers: object, codes: list[int], came: list[np.ndarray]
) -> list[str]:
    """Give the rows of the table."""
    family, rows, routine = Family(model.vocabulary, model.targets), [], set(model.routine.tolist())
    for column, code in enumerate(codes):
        bounds = tuple(getattr(answers, part)[:, column] for part in ("risk", "low", "high"))
        share = np.array([one.had(family.below(code)).mean() for one in found])
        kind = "moment by moment" if code in routine else "shared out"
        n = sum(bool(np.isin(one, family.below(code)).any()) for one in came)
        rows.append(line(f"{model.vocabulary.codes[code]} | {n}", kind, share, bounds, found[0].draws))
    return rows


def volume(model: Model, found: tuple[Futures, ...], came: list[np.ndarray]) -> str:
    """Say how many events a patient had, and a future has, routine ones and others."""
    said = []
    for name, wanted in (("routine", True), ("other", False)):
        real = np.mean([(np.isin(one, model.routine) == wanted).sum() for one in came])
        drawn = np.mean([(np.isin(one.code, model.routine) == wanted).sum() / one.draws for one in found])
        said.append(f"{name} events: {real:.1f} a patient, {drawn:.1f} a future")
    return "; ".join(said)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("timelines", type=Path)
    for name, default in (("patients", 20), ("draws", 40), ("days", 30), ("codes", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    model, data = Model.open(args.model), Timelines.open(args.timelines)
    packed = data.shards[0]
    patient = np.flatnonzero(data.split(0) == "held_out")[: args.patients]
    middle = (packed.moment_offset[patient] + packed.moment_offset[patient + 1]) // 2
    as_of = np.asarray(packed.moment_time[middle])
    begun = time.process_time()
    spec = RolloutSpec(horizon_days=float(args.days), draws=args.draws)
    asked = Asked(patient, as_of)
    found = rollouts(model, packed, asked, spec)
    spent, events = time.process_time() - begun, sum(len(one.time) for one in found)
    print(f"{len(patient)} patients, {args.draws} futures each of {args.days} days:", end=" ")
    print(f"{events} events, {spent:.1f} CPU seconds\n")
    print("| code | came | drawn | forecast | futures | patients inside |")
    print("|---|---|---|---|---|---|")
    codes = chosen(model, args.codes)
    outcomes = tuple(Outcome(name=f"{code}", codes=(model.vocabulary.codes[code],)) for code in codes)
    question = Forecast(outcomes=outcomes, horizons_days=(float(args.days),))
    answers = ask(model, packed, [question], Index(patient, as_of), limits=OPEN)
    came = what_came(packed, found, asked)
    print("\n".join(table(model, found, answers, codes, came)))
    print(f"\n{volume(model, found, came)}")


if __name__ == "__main__":
    main()
