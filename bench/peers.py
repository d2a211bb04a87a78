"""How fast we are beside meds-eic-ar 0.5.1 and everyquery 0.7.0: same patients, machine, hour and threads.

    python bench/peers.py --install          # once: an environment for each, about 1.5 GB each
    python bench/peers.py --dense work/cinc2019/deidentified --sparse work/hospital/deidentified

Seconds are of the processor, one thread; tokenising is a command, its start included. What a peer did in a
run is kept in its folder and not done again.
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
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "beside"))

from cohort import Cohort, cohort  # noqa: E402 - it lies beside

from residency.contract.questions import Forecast, Outcome  # noqa: E402
from residency.model import Model, ModelSpec, train  # noqa: E402
from residency.reasoning import Index, ask  # noqa: E402
from residency.timeline import BuildSpec, Timelines, build  # noqa: E402

PEERS = {"meds-eic-ar": "0.5.1", "everyquery": "0.7.0"}
COMMANDS = {"meds-eic-ar": "MEICAR_process_data", "everyquery": "EQ_process_data"}
LEAST_PATIENTS = 11  # train patients that a code needs, for all three


@dataclass(frozen=True)
class Setting:
    """One data set and what is asked of it.

    Attributes:
        name: for the table.
        site: whose patients; empty for all.
        patients: how many.
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
    "sparse": Setting("sparse: simulated hospital", "", 400, "LOINC/4548-4", 90.0, 96),
}


def install(environments: Path) -> None:
    """Make an environment for each peer, with the same torch as ours."""
    environments.mkdir(parents=True, exist_ok=True)
    constraint = environments / "torch.txt"
    constraint.write_text("torch==2.13.0\n", "utf-8")
    for name, version in PEERS.items():
        subprocess.run([sys.executable, "-m", "venv", environments / name], check=True)
        pip = [environments / name / "bin/pip", "install", "--quiet", "--constraint", constraint]
        subprocess.run([*pip, f"{name}=={version}"], check=True)


def cpu_seconds(command: list[str], environment: Path) -> float:
    """Run a command of a peer's environment on one thread; give seconds of the processor."""
    paths = {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": ""}
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


def kept(path: Path, work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Do something once; what it found lies in a file."""
    if not path.exists():
        found = work()
        path.write_text(json.dumps(found), "utf-8")
    return dict(json.loads(path.read_text("utf-8")))


def asked_of(patients: Cohort, setting: Setting, n: int) -> pl.DataFrame:
    """Give the first held-out patients, the middle of each one's record, and whether the outcome came."""
    events = pl.read_parquet(patients.meds / "data/held_out/0.parquet")
    dated = events.filter(pl.col("time").is_not_null() & ~pl.col("code").str.starts_with("MEDS_"))
    times = dated.group_by("subject_id").agg(pl.col("time").unique().sort())
    middle = (
        times.select("subject_id", prediction_time=pl.col("time").list.get(pl.col("time").list.len() // 2))
        .sort("subject_id")
        .head(n)
    )
    after = pl.col("time") - pl.col("prediction_time")
    came = (
        dated.filter(pl.col("code") == setting.code)
        .join(middle, on="subject_id")
        .filter((after > timedelta()) & (after <= timedelta(days=setting.days)))["subject_id"]
    )
    return middle.with_columns(boolean_value=pl.col("subject_id").is_in(came.unique().implode()))


def auroc(truth: pl.DataFrame, said: pl.DataFrame) -> dict[str, float]:
    """Give the AUROC with a 95% interval from 1,000 draws of patients."""
    rows = truth.join(said, on="subject_id")
    label, score = rows["boolean_value"].to_numpy(), rows["probability"].to_numpy()
    rng, draws = np.random.default_rng(0), []
    while len(draws) < 1000:
        chosen = rng.integers(0, len(label), len(label))
        if 0 < label[chosen].sum() < len(chosen):
            draws.append(roc_auc_score(label[chosen], score[chosen]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"auroc": roc_auc_score(label, score), "low": low, "high": high, "patients": len(rows)}


def ours(
    patients: Cohort, setting: Setting, truth: pl.DataFrame, out: Path, asked: argparse.Namespace
) -> dict:
    """Build, train for about as long as the peers, and ask for every code at every horizon."""
    now = datetime.now(UTC)
    out.mkdir(parents=True, exist_ok=True)
    (out / "build.toml").write_text(f"min_patients = {LEAST_PATIENTS}\n", "utf-8")
    command = [sys.executable, "-m", "residency", "build", str(patients.records), str(out / "as-command")]
    as_command = cpu_seconds([*command, "--spec", str(out / "build.toml")], Path(sys.prefix))
    began = time.process_time()
    build(patients.records, out / "timelines", BuildSpec(min_patients=LEAST_PATIENTS), now=now)
    built = time.process_time()
    spec = ModelSpec(size=asked.size, passes=asked.passes, threads=1)
    manifest = train(out / "timelines", out / "model", spec, now=now)
    trained = time.process_time()
    model, data = Model.open(out / "model"), Timelines.open(out / "timelines")
    horizons = tuple(float(edge) for edge in model.edges_days[1:])
    codes = [Outcome(name=f"{n}", codes=(code,)) for n, code in enumerate(model.targets[1:])]
    everything = Forecast(outcomes=tuple(codes), horizons_days=horizons)
    one = Forecast(outcomes=(Outcome(name="it", codes=(setting.code,)),), horizons_days=(setting.days,))
    packed, index, who = _index(data, truth)
    asking = time.process_time()
    ask(model, packed, [everything], index)
    answered = time.process_time()
    risk = ask(model, packed, [one], index).risk[:, 0]
    said = pl.DataFrame({"subject_id": who, "probability": risk})
    return {
        "build_seconds": as_command,
        "build_seconds_in_process": built - began,
        "train_seconds": trained - built,
        "events": float(patients.n_train_events * asked.passes),
        "parameters": manifest.result["parameters"],
        "ask_seconds": answered - asking,
        "asked": len(who),
        "codes": len(codes),
        "horizons": len(horizons),
        **auroc(truth, said),
    }


def _index(data: Timelines, truth: pl.DataFrame) -> tuple[object, Index, np.ndarray]:
    """Find the asked patients in the one shard that there is."""
    (packed,) = data.shards
    row = {int(subject): n for n, subject in enumerate(packed.subject)}
    who = truth["subject_id"].to_numpy()
    as_of = truth["prediction_time"].dt.timestamp("us").to_numpy()
    return packed, Index(np.array([row[int(one)] for one in who]), as_of), who


def tokenised(name: str, patients: Cohort, out: Path, environments: Path) -> dict[str, float]:
    """Let a peer tokenise the patients."""
    folders = [f"intermediate_dir={out / 'events'}", f"output_dir={out / 'cohort'}"]
    seconds = cpu_seconds([COMMANDS[name], f"input_dir={patients.meds}", *folders], environments / name)
    return {"build_seconds": seconds}


def eic_ar(truth: pl.DataFrame, setting: Setting, out: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Train meds-eic-ar, roll futures out, and count those with the outcome."""
    (out / "task").mkdir(exist_ok=True)
    truth.write_parquet(out / "task/0.parquet")
    given = {"cohort": out / "cohort", "task": out / "task", "out": out / "run"}
    numbers = {"seconds": asked.seconds, "tokens": setting.tokens, "rollouts": 20}
    flags = [f"--{name}={value}" for name, value in {**given, **numbers}.items()]
    if not (out / "run/found.json").exists():
        cpu_seconds(["python", str(HERE / "beside/eic_ar.py"), *flags], asked.environments / "meds-eic-ar")
    futures = pl.concat(
        [pl.read_parquet(out / f"run/future-{n}.parquet").with_columns(future=pl.lit(n)) for n in range(20)]
    )
    within = (pl.col("time") - pl.col("prediction_time")) <= timedelta(days=setting.days)
    with_it = futures.filter(pl.col("code").str.starts_with(setting.code) & within)
    share = with_it.group_by("subject_id").agg(probability=pl.col("future").n_unique() / 20)
    said = truth.select("subject_id").join(share, on="subject_id", how="left")
    said = said.with_columns(pl.col("probability").fill_null(0.0))
    return {**json.loads((out / "run/found.json").read_text("utf-8")), **auroc(truth, said)}


def every_query(
    truth: pl.DataFrame, setting: Setting, out: Path, asked: argparse.Namespace
) -> dict[str, float]:
    """Train everyquery, one query a pass, and ask for every bin of the outcome's values."""
    environment = asked.environments / "everyquery"
    spans = [f"min_duration={setting.days / 5}", f"max_duration={setting.days * 4}"]
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
                *spans,
            ],
            environment,
        )
    codes = pl.read_parquet(out / "cohort/metadata/codes.parquet")["code"]
    bins = pl.DataFrame({"query": codes.filter(codes.str.starts_with(setting.code))})
    (out / "queries").mkdir(exist_ok=True)
    days = pl.lit(setting.days, pl.Float32)
    truth.join(bins, how="cross").with_columns(duration_days=days).write_parquet(out / "queries/0.parquet")
    given = {"cohort": out / "cohort", "tasks": out / "tasks", "queries": out / "queries", "out": out / "run"}
    flags = [f"--{name}={value}" for name, value in {**given, "seconds": asked.seconds}.items()]
    cpu_seconds(["python", str(HERE / "beside/one_query.py"), *flags], environment)
    said = pl.read_parquet(out / "run/said.parquet")
    whole = said.group_by("subject_id").agg(probability=1.0 - (1.0 - pl.col("probability")).product())
    events, tokens = _counts(out)
    found = json.loads((out / "run/found.json").read_text("utf-8"))
    return {**found, "events": found["tokens"] * events / tokens, **auroc(truth, whole)}


def _counts(out: Path) -> tuple[int, int]:
    """Give events and tokens of the train patients: tokens of time are no events."""
    codes = pl.read_parquet(out / "cohort/metadata/codes.parquet").select("code", "code/n_occurrences")
    time_of = pl.col("code").str.starts_with("TIMELINE")
    total = int(codes["code/n_occurrences"].cast(pl.Int64).sum())
    return total - int(codes.filter(time_of)["code/n_occurrences"].cast(pl.Int64).sum()), total


def compared(key: str, source: Path, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure all three on one data set."""
    setting, out = SETTINGS[key], asked.work / key
    patients = cohort(source, out, setting.patients, setting.site)
    truth = asked_of(patients, setting, asked.judges)
    found = {"ours": kept(out / "ours.json", lambda: ours(patients, setting, truth, out / "ours", asked))}
    for name, work in (("meds-eic-ar", eic_ar), ("everyquery", every_query)):
        folder = out / name
        folder.mkdir(exist_ok=True)
        built = kept(
            folder / "tokenised.json", lambda n=name, f=folder: tokenised(n, patients, f, asked.environments)
        )
        trained = kept(folder / "trained.json", lambda w=work, f=folder: w(truth, setting, f, asked))
        found[name] = built | trained
    found["data"] = {"events": float(patients.n_events), "prevalence": float(truth["boolean_value"].mean())}
    return found


def risk_seconds(name: str, found: dict[str, dict[str, float]]) -> float:
    """Give seconds a patient for the risk of every code at every horizon."""
    one, us = found[name], found["ours"]
    if name == "ours":
        return us["ask_seconds"] / us["asked"]
    if name == "meds-eic-ar":
        return 20.0 * one["rollout_seconds"] / one["rollouts"]
    return us["codes"] * us["horizons"] * one["query_seconds"] / one["queries"]


def table(key: str, found: dict[str, dict[str, float]]) -> str:
    """Lay the three beside each other."""
    us, data = found["ours"], found["data"]
    lines = [
        f"### {SETTINGS[key].name}: {data['events']:,.0f} events, outcome in {data['prevalence']:.0%}",
        "| | parameters | tokenising, events/s | training, events/s | AUROC (95%) | risks, s a patient |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("ours", *PEERS):
        one = found[name]
        rates = data["events"] / one["build_seconds"], one["events"] / one["train_seconds"]
        base = data["events"] / us["build_seconds"], us["events"] / us["train_seconds"]
        each = risk_seconds(name, found)
        times = [f" (1/{b / r:.1f})" if name != "ours" else "" for b, r in zip(base, rates, strict=True)]
        slower = f" ({each / risk_seconds('ours', found):,.0f} times)" if name != "ours" else ""
        lines.append(
            f"| {name} | {one['parameters']:,.0f} | {rates[0]:,.0f}{times[0]} | {rates[1]:,.0f}{times[1]} |"
            f" {one['auroc']:.3f} ({one['low']:.3f} to {one['high']:.3f}) | {each:.3g}{slower} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Compare on whatever data and peers there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dense", type=Path, default=Path("work/cinc2019/deidentified"))
    parser.add_argument("--sparse", type=Path, default=Path("work/hospital/deidentified"))
    parser.add_argument("--environments", type=Path, default=Path("runs/peers"))
    parser.add_argument("--work", type=Path, default=Path("runs/peers-work"))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--size", default="small")
    for name, value in (("seconds", 60), ("judges", 60), ("passes", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    asked.environments, asked.work = asked.environments.absolute(), asked.work.absolute()
    if asked.install:
        install(asked.environments)
        return
    if missing := [name for name in PEERS if not (asked.environments / name).is_dir()]:
        print(f"no environment of {', '.join(missing)} under {asked.environments}: --install makes them")
        return
    for key in SETTINGS:
        source: Path = getattr(asked, key)
        if not source.is_dir():
            print(f"{key}: no data at {source}: not measured")
            continue
        found = compared(key, source.absolute(), asked)
        (asked.work / key / "found.json").write_text(json.dumps(found, indent=1), "utf-8")
        print(f"{table(key, found)}\n{json.dumps({'settings': asdict(SETTINGS[key])})}", flush=True)


if __name__ == "__main__":
    main()
