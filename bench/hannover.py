"""In: radiographs, laboratory values and outcomes of 71 patients. Out: what an image adds, in Markdown.

Each patient is asked about once, at the first radiograph; left out is who was in intensive care on an earlier
day. The outcome is intensive care or death on that day or within the days after it. Folds are of patients;
nobody is scored by what learned from them: vocabulary, image encoder, network and regressions are made anew.

    python bench/hannover.py work/hannover --folds 5 --repeats 1
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from modalities import Bench, figure, told
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from residency.contract.lineage import Step, open_made
from residency.contract.packed import ATTACHMENT_KINDS
from residency.contract.questions import Modality
from residency.contract.schema import DATA, LABELS, LABELS_FOLDER, SUBJECTS_FILE
from residency.deid import deidentify, load_policy, new_key
from residency.model import Model, ModelSpec, train
from residency.reasoning import Limits, ask
from residency.records import Feed, ingest
from residency.timeline import BuildSpec, Timelines, build
from residency.validation import Task
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.measuring import Course, Figure
from residency.validation.tasks import AtLabels, LabelledOutcome

ROOT = Path(__file__).parents[1]
ARCHIVE = ROOT.parent / "shared/data/hannover_covid19_cxr.tar"
MAPPING = ROOT / "examples/hannover/mapping.toml"
PROJECTION = "LOCAL/PROJECTION="  # ap: mostly at the bedside; no network and no regression is told
LABEL = "icu_or_death"
TASK = Task(
    name=LABEL,
    title="Intensive care or death",
    landmark=AtLabels(kind="labels"),
    outcome=LabelledOutcome(label=LABEL),
    horizon_days=14.5,
)
BUCKETS = {"train": 0, "tuning": 70, "held_out": 80}
ALL: tuple[Modality, ...] = ("codes", "notes", "images", "variants")
FLOOR = "sex and device, network"
NAMES = {
    "projection": "ap, mostly at the bedside, above pa: nothing is learned",
    FLOOR: "network asked without image, values taken away",
    "labs, logistic": "L2 logistic regression on last values, which are missing, sex",
    "labs, network": "network trained without images",
    "image, logistic": "L2 logistic regression on the frozen encoder's vector",
    "image, network": "network trained without values",
    "both, logistic": "mean log-odds of the two regressions",
    "both, network, image withheld": 'one sequence, asked with `modalities = ("codes",)`',
    "both, network": "one sequence",
}
PAIRS = (
    ("both, network", "labs, network"),
    ("both, network", "image, network"),
    ("both, network", "both, logistic"),
    ("both, network", "both, network, image withheld"),
)
Scores = dict[str, np.ndarray]


@dataclass(frozen=True)
class Study:
    """The records, who is asked about, and how the networks are trained.

    Attributes:
        work: where everything is made.
        records: de-identified.
        events: coded events of everybody.
        asked: subject_id, index (time of the first radiograph), label; by subject_id.
        spec: of the networks.
        now: start of the run.
    """

    work: Path
    records: Path
    events: pl.DataFrame
    asked: pl.DataFrame
    spec: ModelSpec
    now: datetime


def known(work: Path, now: datetime) -> Path:
    """Ingest and de-identify."""
    work.mkdir(parents=True, exist_ok=True)
    policy = work / "policy.toml"
    if not policy.exists():
        new_key(work / "deid.key")
        policy.write_text('key_file = "deid.key"\n', "utf-8")
    ingest(work / "records", [Feed("table", [ARCHIVE], MAPPING)], now=now)
    deidentify(work / "records", work / "deidentified", load_policy(policy), now=now)
    return work / "deidentified"


def events_of(records: Path) -> pl.DataFrame:
    """Read all coded events."""
    shards = [one.path for one in open_made(records).shards if one.path.startswith(f"{DATA}/")]
    columns = ["subject_id", "time", "code", "numeric_value"]
    return pl.concat([pl.read_parquet(records / path, columns=columns) for path in shards])


def asked_of(events: pl.DataFrame, days: float) -> pl.DataFrame:
    """Give who is asked about, when, and what came of it within some days."""

    def first(name: str, *codes: str) -> pl.DataFrame:
        mine = events.filter(pl.any_horizontal(pl.col("code").str.starts_with(code) for code in codes))
        return mine.group_by("subject_id").agg(pl.col("time").min().alias(name))

    rows = first("index", "DICOM/")
    for name, code in (("icu", "LOCAL/ICU_ADMISSION"), ("death", "MEDS_DEATH")):
        rows = rows.join(first(name, code), on="subject_id", how="left")
    soonest = pl.min_horizontal("icu", "death") - pl.col("index")
    rows = rows.with_columns(label=(soonest <= pl.duration(hours=24 * days)).fill_null(value=False))
    at_risk = pl.col("icu").is_null() | (pl.col("icu") > pl.col("index"))
    return rows.filter(at_risk).select("subject_id", "index", "label").sort("subject_id")


def counted(study: Study) -> Iterator[str]:
    """Say how many there are of everything."""
    n, n_events = len(study.asked), int(study.asked["label"].sum())
    same_day = int(asked_of(study.events, 0.5)["label"].sum())
    by_then = study.events.join(study.asked, on="subject_id").filter(pl.col("time") <= pl.col("index"))
    n_labs = by_then.filter(pl.col("numeric_value").is_not_null())["subject_id"].n_unique()
    yield (
        f"{study.events['subject_id'].n_unique()} patients, {n} asked about; {n_events} with the outcome, "
        f"of whom {same_day} on the day of the radiograph; {n_labs} with a laboratory value by then."
    )


def fold_of(study: Study, out: Path, splits: pl.DataFrame, *, labs: bool) -> Path:
    """Give the records with other splits, the label, and the laboratory values or not."""
    settings = {"splits": splits.rows(), "labs": labs}
    with Step(out, name="fold", inputs=[study.records], spec=settings, now=study.now) as step:
        if step.manifest is None:
            for shard in open_made(study.records).shards:
                step.file(
                    shard.path, make=partial(_copied, study.records / shard.path, shard.path, splits, labs)
                )
            step.file(f"{LABELS_FOLDER}/{LABEL}/all.parquet", make=partial(_labels, study.asked))
            step.finish(rows=open_made(study.records).rows)
    return out


def _copied(source: Path, name: str, splits: pl.DataFrame, labs: bool, out: Path) -> int:
    if name == SUBJECTS_FILE:
        rows = pl.read_parquet(source).drop("split_bucket").join(splits, on="subject_id", how="left")
        rows.with_columns(pl.col("split_bucket").cast(pl.Int16)).write_parquet(out)
    elif name.startswith(f"{DATA}/"):
        kept = pl.lit(labs) | pl.col("numeric_value").is_null()
        told_apart = pl.col("code").str.starts_with(PROJECTION)
        pl.read_parquet(source).filter(kept & ~told_apart).write_parquet(out)
    else:
        out.write_bytes(source.read_bytes())
    return 0


def _labels(asked: pl.DataFrame, out: Path) -> int:
    rows = asked.select("subject_id", prediction_time="index", boolean_value="label").to_arrow()
    empty = pl.from_arrow(LABELS.empty_table())
    pl.concat([pl.DataFrame(empty), pl.DataFrame(rows)], how="diagonal_relaxed").write_parquet(out)
    return len(asked)


def splits_of(study: Study, folds: int, seed: int) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Give each fold's buckets, and who of those asked about is held out; an eighth of the others tunes."""
    label, subject = study.asked["label"].to_numpy(), study.asked["subject_id"].to_numpy()
    everybody = study.events.select(pl.col("subject_id").unique().sort())
    for rest, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(subject, label):
        _, tuning = next(StratifiedKFold(8, shuffle=True, random_state=seed).split(rest, label[rest]))
        split = pl.lit(BUCKETS["train"])
        for name, rows in (("held_out", held), ("tuning", rest[tuning])):
            chosen = pl.col("subject_id").is_in(subject[rows].tolist())
            split = pl.when(chosen).then(BUCKETS[name]).otherwise(split)
        yield everybody.with_columns(split_bucket=split), held


def answered(
    data: Timelines, model: Model, cohort: Cohort, modalities: tuple[Modality, ...] = ALL
) -> np.ndarray:
    """Give a network's risk of each of a cohort."""
    question = msgspec.structs.replace(TASK.question, interval=False, modalities=modalities)
    risk = np.full(len(cohort), np.nan)
    for n, packed in enumerate(data.shards):
        found = ask(
            model,
            packed,
            [question],
            cohort.of_shard(n),
            attachments=data.attachments(n),
            limits=Limits(min_moments=0),
        )
        risk[cohort.shard == n] = found.risk[:, -1]
        if (
            model.kinds
            and "images" in modalities
            and not found.used[:, 0, ATTACHMENT_KINDS.index("image")].all()
        ):
            raise RuntimeError("an answer does not rest on the image")
    return risk


def networks(study: Study, home: Path, splits: pl.DataFrame) -> tuple[Scores, np.ndarray, Cohort]:
    """Train the three networks of a fold; give risks of all who are asked about, and the images' vectors."""
    data, models = {}, {}
    for labs, name in ((True, "labs"), (False, "image"), (True, "both")):
        made = "with" if labs else "without"
        records = fold_of(study, home / f"records-{made}", splits, labs=labs)
        timelines = home / f"timelines-{made}"
        build(records, timelines, BuildSpec(min_patients=5), now=study.now)
        spec = study.spec if name != "labs" else replace(study.spec, image_encoder="")
        train(timelines, home / name, spec, now=study.now)
        data[name], models[name] = Timelines.open(timelines), Model.open(home / name)
    cohorts = {name: cohort_of(one, TASK, 0) for name, one in data.items()}
    found = {f"{name}, network": answered(data[name], models[name], cohorts[name]) for name in data}
    found["both, network, image withheld"] = answered(
        data["both"], models["both"], cohorts["both"], ("codes",)
    )
    found[FLOOR] = answered(data["image"], models["image"], cohorts["image"], ("codes",))
    bench = Bench(data["image"], models["labs"], models["image"], Path(), 0)
    vector = bench.known(cohorts["image"], bench.nothing_gone, "image")
    return found, vector[:, vector.shape[1] // 2 :], cohorts["both"]


def values_of(study: Study) -> np.ndarray:
    """Give each patient's last laboratory values by the index time (log; NaN where none), and the sex."""
    by_then = study.events.join(study.asked, on="subject_id").filter(
        pl.col("time").is_null() | (pl.col("time") <= pl.col("index"))
    )
    labs = by_then.filter(pl.col("numeric_value").is_not_null()).sort("time")
    wide = labs.with_columns(pl.col("numeric_value").log1p()).pivot(
        "code", index="subject_id", values="numeric_value", aggregate_function="last", sort_columns=True
    )
    men = by_then.filter(pl.col("code") == "DEMOGRAPHIC/SEX=male").select("subject_id").unique()
    rows = study.asked.select("subject_id").join(wide, on="subject_id", how="left", maintain_order="left")
    male = study.asked["subject_id"].is_in(men["subject_id"].to_list()).to_numpy()
    return np.column_stack([rows.drop("subject_id").to_numpy(), male.astype(float)])


def bedside_of(study: Study) -> np.ndarray:
    """Say who was filmed from the front, as at the bedside."""
    ap = study.events.filter(pl.col("code") == f"{PROJECTION}ap").join(study.asked, on="subject_id")
    ap = ap.filter(pl.col("time") == pl.col("index"))
    return study.asked["subject_id"].is_in(ap["subject_id"].to_list()).to_numpy().astype(float)


def regression(strength: float) -> Pipeline:
    """Give a regression that says what is missing, and draws its weights to zero."""
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(fill, StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def regressions(features: dict[str, np.ndarray], label: np.ndarray, held: np.ndarray) -> Scores:
    """Fit on everybody else; give log-odds of those held out."""
    rest = np.setdiff1d(np.arange(len(label)), held)
    found = {}
    for name, strength in (("labs", 0.1), ("image", 0.01)):
        fitted = regression(strength).fit(features[name][rest], label[rest])
        found[f"{name}, logistic"] = fitted.decision_function(features[name][held])
    return found | {"both, logistic": (found["labs, logistic"] + found["image, logistic"]) / 2}


def examined(study: Study, folds: int, repeats: int) -> tuple[Cohort, Scores]:
    """Give out-of-fold scores of everybody, a mean over repeats."""
    label, values = study.asked["label"].to_numpy(), values_of(study)
    total = {name: np.zeros(len(label)) for name in NAMES}
    cohort = None
    for repeat in range(repeats):
        for n, (splits, held) in enumerate(splits_of(study, folds, repeat)):
            began = time.process_time()
            risk, vector, cohort = networks(study, study.work / f"fold-{repeat}-{n}", splits)
            if not np.array_equal(cohort.subject, study.asked["subject_id"].to_numpy()):
                raise RuntimeError("the timelines ask about others")
            scores = {name: _odds(found[held]) for name, found in risk.items()}
            scores |= regressions({"labs": values, "image": vector}, label, held)
            for name, score in scores.items():
                total[name][held] += score / repeats
            print(f"fold {repeat}-{n}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    if cohort is None:
        raise ValueError("repeats must be 1 or more")
    return cohort, total | {"projection": bedside_of(study)}


def _odds(risk: np.ndarray) -> np.ndarray:
    inside = np.clip(risk, 1e-6, 1 - 1e-6)
    odds: np.ndarray = np.log(inside / (1 - inside))
    return odds


def table(cohort: Cohort, scores: Scores, course: Course) -> Iterator[str]:
    """Give the lines of the tables."""
    found = {name: figure(cohort, score, course) for name, score in scores.items()}
    yield "\n| what is looked at | AUROC (95% interval) | how |\n|---|---|---|"
    yield from (f"| {name} | {told(found[name])} | {how} |" for name, how in NAMES.items())
    yield "\n| difference | AUROC (95% interval) |\n|---|---|"
    for one, other in PAIRS:
        left, right = found[one], found[other]
        yield f"| {one} − {other} | {told(Figure(left.value - right.value, left.draws - right.draws))} |"


def main() -> None:
    """Examine, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--days", type=float, default=14.5)
    parser.add_argument("--passes", type=int, default=60)
    parser.add_argument("--draws", type=int, default=2000)
    given = parser.parse_args()
    now = datetime.now(UTC)
    records = known(given.work, now)
    events = events_of(records)
    spec = ModelSpec(size="tiny", passes=given.passes, min_patients=5, threads=1)
    study = Study(given.work, records, events, asked_of(events, given.days), spec, now)
    lines = [*counted(study), f"{given.folds} folds, {given.repeats} times, {given.passes} passes."]
    lines += table(*examined(study, given.folds, given.repeats), Course(given.draws, 1))
    (given.work / "hannover.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
