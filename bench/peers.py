"""How fast, and how good, beside meds-eic-ar 0.5.1 and everyquery 0.7.0: same patients, machine, threads.

    python bench/peers.py --install          # once: an environment for each, about 1.7 GB each
    python bench/peers.py --dense work/cinc2019/deidentified --sparse work/records --tokenise 20336

Seconds are of the processor, one thread; tokenising is a command, its start included. Each is trained for as
many seconds, ours for its passes where they take fewer. What one did in a run is kept in its folder and not
done again.
The outcome: a code (whatever its value) within a horizon of the middle of each held-out patient's record.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "beside"))

from cohort import Cohort, cohort  # noqa: E402 - it lies beside
from judging import asked_of, judged  # noqa: E402

from residency.contract.questions import Forecast, Outcome  # noqa: E402
from residency.model import Model, ModelSpec, train  # noqa: E402
from residency.reasoning import Index, ask  # noqa: E402
from residency.timeline import Timelines  # noqa: E402

PEERS = {"meds-eic-ar": "0.5.1", "everyquery": "0.7.0"}
COMMANDS = {"meds-eic-ar": "MEICAR_process_data", "everyquery": "EQ_process_data"}
LEAST_PATIENTS = 11  # train patients that a code needs, for all three


@dataclass(frozen=True)
class Setting:
    """One data set and what is asked of it.

    Attributes:
        name: for the table.
        site: whose patients; empty for all.
        patients: how many teach and are judged.
        code: the outcome.
        days: the horizon.
        tokens: that hold as much of the future, for rollouts.
    """

    name: str
    site: str
    patients: int
    code: str
    days: float
    tokens: int


SETTINGS = {
    "dense": Setting("dense: ICU hours, CinC 2019", "A", 1500, "LOINC/2019-8", 0.25, 64),
    "sparse": Setting("sparse: simulated hospital", "", 1600, "LOINC/4548-4", 30.0, 128),
}


@dataclass(frozen=True)
class Case:
    """What all are given.

    Attributes:
        setting: the data set and the question.
        patients: who teaches and who is held out.
        truth: whom is asked about, when, and what came.
        asked: the command line.
    """

    setting: Setting
    patients: Cohort
    truth: pl.DataFrame
    asked: argparse.Namespace


def install(environments: Path) -> None:
    """Make an environment for each peer, with the same torch as ours."""
    environments.mkdir(parents=True, exist_ok=True)
    constraint = environments / "torch.txt"
    constraint.write_text("torch==2.13.0\n", "utf-8")
    for name, version in PEERS.items():
        subprocess.run([sys.executable, "-m", "venv", environments / name], check=True)
        pip = [environments / name / "bin/pip", "install", "--quiet", "--constraint", constraint]
        subprocess.run([*pip, f"{name}=={version}"], check=True)


def cpu_seconds(command: list[str], environment: Path, source: str = "") -> float:
    """Run a command of an environment on one thread; give seconds of the processor."""
    paths = {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": source}
    limits = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    thresholds = {"MIN_SUBJECTS_PER_CODE": str(LEAST_PATIENTS), "MIN_EVENTS_PER_SUBJECT": "10"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        env={**os.environ, **paths, **limits, **thresholds},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def kept(path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do something once; what it found lies in a file."""
    if not path.exists():
        found = work()
        path.write_text(json.dumps(found), "utf-8")
    return dict(json.loads(path.read_text("utf-8")))


def tokenised(name: str, patients: Cohort, out: Path, environments: Path) -> dict[str, float]:
    """Let one of the three tokenise the patients, by its command."""
    if name == "ours":
        (out / "build.toml").write_text(f"min_patients = {LEAST_PATIENTS}\n", "utf-8")
        command = ["python", "-m", "residency", "build", str(patients.records), str(out / "timelines")]
        command += ["--spec", str(out / "build.toml")]
        return {"seconds": cpu_seconds(command, Path(sys.prefix), str(HERE.parent / "src"))}
    folders = [f"intermediate_dir={out / 'events'}", f"output_dir={out / 'cohort'}"]
    command = [COMMANDS[name], f"input_dir={patients.meds}", *folders]
    return {"seconds": cpu_seconds(command, environments / name)}


def ours(case: Case, out: Path) -> dict[str, float]:
    """Train, ask for every code at every horizon, and for the outcome."""
    spec = ModelSpec(size=case.asked.size, passes=case.asked.passes, threads=1)
    began = time.process_time()
    manifest = train(out / "timelines", out / "model", spec, now=datetime.now(UTC))
    trained = time.process_time()
    model, data = Model.open(out / "model"), Timelines.open(out / "timelines")
    horizons = tuple(float(edge) for edge in model.edges_days[1:])
    codes = [Outcome(name=f"{n}", codes=(code,)) for n, code in enumerate(model.targets[1:])]
    everything = Forecast(outcomes=tuple(codes), horizons_days=horizons)
    outcome = Outcome(name="it", codes=(case.setting.code,))
    one = Forecast(outcomes=(outcome,), horizons_days=(case.setting.days,))
    packed, index = _index(data, case.truth)
    asking = time.process_time()
    ask(model, packed, [everything], index)
    answered = time.process_time()
    risk = ask(model, packed, [one], index).risk[:, 0]
    case.truth.select("subject_id", probability=pl.Series(risk)).write_parquet(out / "said.parquet")
    return {
        "train_seconds": trained - began,
        "events": float(case.patients.n_train_events * case.asked.passes),
        "parameters": manifest.result["parameters"],
        "ask_seconds": answered - asking,
        "asked": len(case.truth),
        "codes": len(codes),
        "horizons": len(horizons),
    }


def _index(data: Timelines, truth: pl.DataFrame) -> tuple[object, Index]:
    """Find the asked patients in the one shard that there is."""
    (packed,) = data.shards
    row = {int(subject): n for n, subject in enumerate(packed.subject)}
    as_of = truth["prediction_time"].dt.timestamp("us").to_numpy()
    return packed, Index(np.array([row[int(one)] for one in truth["subject_id"]]), as_of)


def eic_ar(case: Case, out: Path) -> dict[str, float]:
    """Train meds-eic-ar, roll futures out, and count those with the outcome."""
    (out / "task").mkdir(exist_ok=True)
    case.truth.head(case.asked.rolled).write_parquet(out / "task/0.parquet")
    given = {"cohort": out / "cohort", "task": out / "task", "out": out / "run"}
    numbers = {"seconds": case.asked.seconds, "tokens": case.setting.tokens, "rollouts": 20}
    flags = [f"--{name}={value}" for name, value in {**given, **numbers}.items()]
    if not (out / "run/found.json").exists():
        script = str(HERE / "beside/eic_ar.py")
        cpu_seconds(["python", script, *flags], case.asked.environments / "meds-eic-ar")
    futures = pl.concat(
        [pl.read_parquet(out / f"run/future-{n}.parquet").with_columns(future=pl.lit(n)) for n in range(20)]
    )
    ahead = pl.col("time") - pl.col("prediction_time")
    within = (ahead > timedelta()) & (ahead <= timedelta(days=case.setting.days))
    with_it = futures.filter(pl.col("code").str.starts_with(case.setting.code) & within)
    share = with_it.group_by("subject_id").agg(probability=pl.col("future").n_unique() / 20)
    said = futures.select(pl.col("subject_id").unique()).join(share, on="subject_id", how="left")
    said.with_columns(pl.col("probability").fill_null(0.0)).write_parquet(out / "said.parquet")
    return dict(json.loads((out / "run/found.json").read_text("utf-8")))


def every_query(case: Case, out: Path) -> dict[str, float]:
    """Train everyquery, one query a pass, and ask for every bin of the outcome's values."""
    environment, days = case.asked.environments / "everyquery", case.setting.days
    if not (out / "tasks").exists():
        cpu_seconds(
            [
                "EQ_generate_training_tasks",
                f"data_dir={out / 'events'}",
                f"out_dir={out / 'tasks'}",
                f"query_codes={out / 'cohort'}",
                "split=train",
                "min_prediction_times_per_subject=5",
                "num_queries=4096",
                "max_workers=1",
                f"min_duration={days / 5}",
                f"max_duration={days * 4}",
            ],
            environment,
        )
    codes = pl.read_parquet(out / "cohort/metadata/codes.parquet")["code"]
    bins = pl.DataFrame({"query": codes.filter(codes.str.starts_with(case.setting.code))})
    (out / "queries").mkdir(exist_ok=True)
    queries = case.truth.join(bins, how="cross").with_columns(duration_days=pl.lit(days, pl.Float32))
    queries.write_parquet(out / "queries/0.parquet")
    given = {"cohort": out / "cohort", "tasks": out / "tasks", "queries": out / "queries", "out": out / "run"}
    flags = [f"--{name}={value}" for name, value in {**given, "seconds": case.asked.seconds}.items()]
    if not (out / "run/found.json").exists():
        cpu_seconds(["python", str(HERE / "beside/one_query.py"), *flags], environment)
    said = pl.read_parquet(out / "run/said.parquet")
    whole = said.group_by("subject_id").agg(probability=1.0 - (1.0 - pl.col("probability")).product())
    whole.write_parquet(out / "said.parquet")
    events, tokens = _counts(out)
    found = json.loads((out / "run/found.json").read_text("utf-8"))
    return {**found, "events": found["tokens"] * events / tokens}


def _counts(out: Path) -> tuple[int, int]:
    """Give events and tokens of the train patients: tokens of time are no events."""
    codes = pl.read_parquet(out / "cohort/metadata/codes.parquet").select("code", "code/n_occurrences")
    time_of = pl.col("code").str.starts_with("TIMELINE")
    total = int(codes["code/n_occurrences"].cast(pl.Int64).sum())
    return total - int(codes.filter(time_of)["code/n_occurrences"].cast(pl.Int64).sum()), total


ALL = {"ours": ours, "everyquery": every_query, "meds-eic-ar": eic_ar}


def tokenising(key: str, source: Path, n: int, asked: argparse.Namespace) -> tuple[Cohort, dict[str, float]]:
    """Let all three tokenise some patients; give their seconds."""
    out = asked.work / key / f"{n}"
    patients = cohort(source, out, n, SETTINGS[key].site)
    seconds = {}
    for name in ALL:
        (folder := out / name).mkdir(exist_ok=True)
        work = partial(tokenised, name, patients, folder, asked.environments)
        seconds[name] = kept(folder / "tokenised.json", work)["seconds"]
    return patients, seconds


def compared(key: str, patients: Cohort, asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Train all three and ask them of the same patients."""
    setting = SETTINGS[key]
    out = asked.work / key / f"{setting.patients}"
    truth = asked_of(patients, setting.code, setting.days, asked.judges)
    case = Case(setting, patients, truth, asked)
    found = {
        name: kept(out / name / "trained.json", partial(work, case, out / name)) for name, work in ALL.items()
    }
    said = {name: pl.read_parquet(out / name / "said.parquet") for name in ALL}
    return {name: {**found[name], **judged(truth, said["ours"], said[name])} for name in ALL}


def risk_seconds(name: str, found: dict[str, dict[str, Any]]) -> float:
    """Give seconds a patient for the risk of every code at every horizon."""
    one, us = found[name], found["ours"]
    if name == "ours":
        return float(us["ask_seconds"] / us["asked"])
    if name == "meds-eic-ar":
        return float(20.0 * one["rollout_seconds"] / one["rollouts"])
    return float(us["codes"] * us["horizons"] * one["query_seconds"] / one["queries"])


def tokens_table(rows: list[tuple[Cohort, dict[str, float]]]) -> str:
    """Lay the three's tokenising beside each other, by the number of patients."""
    lines = [
        f"| patients | events | {' | '.join(f'{name}, s' for name in ALL)} |",
        "|---" * (2 + len(ALL)) + "|",
    ]
    for patients, seconds in rows:
        cells = [
            f"{one:.1f}" + (f" ({one / seconds['ours']:.1f} times)" if name != "ours" else "")
            for name, one in seconds.items()
        ]
        lines.append(f"| {patients.n_patients:,} | {patients.n_events:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Lay the three's training and answers beside each other."""
    us = found["ours"]
    lines = [
        f"{us['codes']} codes at {us['horizons']} horizons",
        "| | parameters | trained for, s | events/s | judged by; outcome | AUROC (95%) | ours less it (95%) |"
        " all risks, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ALL:
        one = found[name]
        rate, base = (who["events"] / who["train_seconds"] for who in (one, us))
        each, least = risk_seconds(name, found), risk_seconds("ours", found)
        slower, less, dearer = "", "", ""
        if name != "ours":
            slower, less, dearer = (
                f" (1/{base / rate:.1f})",
                "{:+.3f} ({:+.3f} to {:+.3f})".format(*one["less"]),
                f" ({each / least:,.0f} times)",
            )
        area = "{:.3f} ({:.3f} to {:.3f})".format(*one["auroc"])
        lines.append(
            f"| {name} | {one['parameters']:,.0f} | {one['train_seconds']:.0f} | {rate:,.0f}{slower} |"
            f" {one['patients']}; {one['with_outcome']} | {area} | {less} | {each:.3g}{dearer} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Compare on whatever data and peers there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dense", type=Path, default=Path("work/cinc2019/deidentified"))
    parser.add_argument("--sparse", type=Path, default=Path("work/records"))
    parser.add_argument("--environments", type=Path, default=Path("runs/peers"))
    parser.add_argument("--work", type=Path, default=Path("runs/peers-work"))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--size", default="small")
    parser.add_argument("--tokenise", type=int, nargs="*", default=[], help="further numbers of patients")
    for name, value in (("seconds", 120), ("judges", 250), ("rolled", 250), ("passes", 6)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    asked.environments, asked.work = asked.environments.absolute(), asked.work.absolute()
    if asked.install:
        install(asked.environments)
        return
    if missing := [name for name in PEERS if not (asked.environments / name).is_dir()]:
        print(f"no environment of {', '.join(missing)} under {asked.environments}: --install makes them")
        return
    for key, setting in SETTINGS.items():
        source: Path = getattr(asked, key)
        if not source.is_dir():
            print(f"{key}: no data at {source}: not measured")
            continue
        sizes = (setting.patients, *asked.tokenise)
        rows = [tokenising(key, source.absolute(), n, asked) for n in sizes]
        print(f"### {json.dumps(asdict(setting))}\n{tokens_table(rows)}", flush=True)
        found = compared(key, rows[0][0], asked)
        (asked.work / key / "found.json").write_text(json.dumps(found, indent=1), "utf-8")
        print(table(found), flush=True)


if __name__ == "__main__":
    main()
