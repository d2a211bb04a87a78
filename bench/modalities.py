"""In: a simulated hospital. Out: one sequence against siloed models, whatever is missing, in Markdown.

Three ways to use codes, notes, images and genomes, on the same patients and index times:

- `codes`: the network on codes alone.
- `late fusion`: that network, and for each other kind a logistic regression on the frozen encoder's vectors
  (train patients), put together by a logistic regression on tuning patients that is told what is missing;
  where these are few it leans on adding the parts' log-odds up.
- `one sequence`: the network over everything.

Each is asked with each kind missing for a share of patients, at random or not (who has few events lacks it),
and judged by AUROC, 95% intervals by draws of patients, paired differences, the best possible from the truth.

    python bench/modalities.py work/modalities --patients 2500 --passes 3
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from residency.contract.identifiers import subject_id_of
from residency.contract.packed import ATTACHMENT_KINDS, Packed
from residency.model import Model, ModelSpec, train
from residency.model.attachments import without_kinds
from residency.reasoning import Limits, ask
from residency.records import Feed, ingest
from residency.simulation import HospitalSpec, simulate
from residency.simulation.spec import Variant
from residency.timeline import Timelines, build, take, without
from residency.timeline.segments import offsets
from residency.validation import Task, load_tasks
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.measuring import Course, Figure
from residency.validation.metrics import auroc
from residency.validation.tally import Scored, exact, resampled
from residency.validation.truth import RISK_FILE, best_possible

ROOT = Path(__file__).parents[1]
SHARES = (0.0, 0.3, 0.6)
PULL = 10.0  # as that many rows
WAYS = ("codes", "late fusion", "one sequence")
Gone = dict[int, np.ndarray]  # of each shard: [patient, kind]


@dataclass(frozen=True)
class Bench:
    """The patients and both networks."""

    data: Timelines
    codes: Model
    unified: Model
    truth: Path
    seed: int

    def cohort(self, task: Task) -> Cohort:
        """Give a task's index times of train, tuning and held-out patients, the truth known."""
        cohort = cohort_of(self.data, task, self.seed)
        return cohort.take(np.isin(cohort.split, ("train", "tuning", "held_out")))

    @cached_property
    def nothing_gone(self) -> Gone:
        """Take nothing away."""
        shards = enumerate(self.data.shards)
        return {n: np.zeros((packed.n_patients, len(ATTACHMENT_KINDS)), bool) for n, packed in shards}

    def gone(self, kind: str, share: float, *, at_random: bool) -> Gone:
        """Take a kind away from a share of patients; not at random: the fewer events, the likelier."""
        found = {n: lacking.copy() for n, lacking in self.nothing_gone.items()}
        for n, packed in enumerate(self.data.shards):
            rng = np.random.default_rng([self.seed, n, ATTACHMENT_KINDS.index(kind)])
            events = np.diff(packed.event_offset[packed.moment_offset])
            rank = np.argsort(np.argsort(events)) / max(len(events) - 1, 1)
            chance = np.full(len(events), share) if at_random else np.minimum(2 * share * (1 - rank), 1.0)
            found[n][:, ATTACHMENT_KINDS.index(kind)] = rng.random(len(events)) < chance
        return found

    def asked(self, model: Model, task: Task, cohort: Cohort, gone: Gone) -> np.ndarray:
        """Give a network's risk at each index time; NaN where it abstains."""
        risk = np.full(len(cohort), np.nan)
        question = msgspec.structs.replace(task.question, interval=False)
        for n, packed in enumerate(self.data.shards):
            left, _ = without(packed, gone[n])
            index = cohort.of_shard(n)
            answers = ask(
                model,
                left,
                [question],
                index,
                attachments=self.data.attachments(n),
                limits=Limits(min_moments=0),
            )
            risk[cohort.shard == n] = answers.risk[:, -1]
        return risk

    def known(self, cohort: Cohort, gone: Gone, kind: str) -> np.ndarray:
        """Give what the frozen encoder made of a kind by each index time: mean, newest; NaN where nothing."""
        width = len(self.unified.attaching.scales[kind].mean)
        found = np.full((len(cohort), 2 * width), np.nan, np.float32)
        for n, packed in enumerate(self.data.shards):
            mine = np.flatnonzero(cohort.shard == n)
            patients = np.unique(cohort.patient[mine])
            left = without_kinds(take(without(packed, gone[n])[0], patients), (kind,))
            encoded = self.unified.attaching.encoded(self.data.attachments(n), left, (kind,))[kind]
            row = np.searchsorted(patients, cohort.patient[mine])
            for at, patient, as_of in zip(mine, row, cohort.as_of[mine], strict=True):
                vectors = encoded.vector[_upto(left, int(patient), int(as_of), encoded.begin, encoded.count)]
                if len(vectors):
                    found[at] = np.concatenate([vectors.astype(np.float32).mean(axis=0), vectors[-1]])
        return found


def _upto(packed: Packed, patient: int, as_of: int, begin: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Give the vectors of a patient's attachments available by then."""
    moments = packed.moments_of(patient)
    last = moments.start + np.searchsorted(packed.moment_time[moments], as_of, "right")
    refs = packed.attachment_ref[packed.attachment_offset[moments.start] : packed.attachment_offset[last]]
    rows = [np.arange(begin[ref], begin[ref] + count[ref]) for ref in refs]
    return np.concatenate(rows).astype(np.int64) if rows else offsets(np.zeros(0, np.int64))[:0]


@dataclass(frozen=True)
class Fusion:
    """Frozen parts, and the regression that puts them together."""

    parts: dict[str, LogisticRegression]
    top: np.ndarray  # an intercept, then a weight a column of `said`

    @classmethod
    def fit(cls, bench: Bench, cohort: Cohort, codes: np.ndarray) -> "Fusion | None":
        """Fit the parts on train patients, the top on tuning patients; None with too few events."""
        taught, tuned = cohort.split == "train", (cohort.split == "tuning") & np.isfinite(codes)
        if min(cohort.label[tuned].sum(), (~cohort.label[tuned]).sum()) < 5:
            return None
        known = {kind: bench.known(cohort, bench.nothing_gone, kind) for kind in bench.unified.kinds}
        parts = {}
        for kind, features in known.items():
            rows = taught & np.isfinite(features[:, 0])
            if min(cohort.label[rows].sum(), (~cohort.label[rows]).sum()) >= 20:
                part = LogisticRegression(C=1e-3, max_iter=500)
                parts[kind] = part.fit(features[rows], cohort.label[rows], cohort.weight[rows])
        said = cls(parts, np.zeros(0)).said(codes, known)[tuned]
        return cls(parts, top_of(said, cohort.label[tuned], cohort.weight[tuned]))

    def said(self, codes: np.ndarray, known: dict[str, np.ndarray]) -> np.ndarray:
        """Give what the top looks at: log-odds of each part, 0 and an indicator where it is missing."""
        risk = np.clip(np.nan_to_num(codes, nan=0.5), 1e-5, 1 - 1e-5)
        columns = [np.log(risk / (1 - risk))]
        for kind, part in self.parts.items():
            has = np.isfinite(known[kind][:, 0])
            odds = np.zeros(len(has))
            if has.any():
                odds[has] = part.decision_function(known[kind][has]) - float(part.intercept_[0])
            columns += [odds, has.astype(float)]
        return np.stack(columns, axis=1)

    def risk(self, bench: Bench, cohort: Cohort, codes: np.ndarray, gone: Gone) -> np.ndarray:
        """Give the risk that all parts together see."""
        known = {kind: bench.known(cohort, gone, kind) for kind in self.parts}
        risk: np.ndarray = expit(self.top[0] + self.said(codes, known) @ self.top[1:])
        return risk


def top_of(said: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fit a logistic regression whose weights are drawn to 1 for log-odds and to 0 for indicators."""
    start = np.array([0.0, 1.0, *[1.0, 0.0] * ((said.shape[1] - 1) // 2)])
    weight = weight / weight.mean()

    def loss(top: np.ndarray) -> float:
        odds = top[0] + said @ top[1:]
        fit = weight * (np.logaddexp(0.0, odds) - label * odds)
        return float(fit.sum() + PULL * ((top[1:] - start[1:]) ** 2).sum())

    top: np.ndarray = minimize(loss, start).x
    return top


def figure(cohort: Cohort, score: np.ndarray, course: Course) -> Figure:
    """Give an AUROC with its draws."""
    _, patient = np.unique(cohort.subject, return_inverse=True)
    scored = Scored(patient, cohort.label, score, cohort.weight)
    counts = course.counts("all", int(patient.max()) + 1)
    return Figure(float(auroc(exact(scored))[0]), auroc(resampled(scored, counts)))


def told(one: Figure) -> str:
    """Write a figure with its interval."""
    metric = one.metric
    if metric.value is None or metric.low is None or metric.high is None:
        return "–"
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def conditions(bench: Bench) -> Iterator[tuple[str, Gone]]:
    """Give what is missing, in words and in arrays."""
    yield "nothing missing", bench.nothing_gone
    for kind in bench.unified.kinds:
        for share in SHARES[1:]:
            for at_random, how in ((True, "at random"), (False, "not at random")):
                yield f"{kind} missing for {share:.0%}, {how}", bench.gone(kind, share, at_random=at_random)
    yield "codes alone left", {n: np.ones_like(lacking) for n, lacking in bench.nothing_gone.items()}


def examine(bench: Bench, task: Task, draws: int) -> Iterator[str]:
    """Give the lines of one task's table."""
    cohort, course = bench.cohort(task), Course(draws, bench.seed)
    asked = cohort.split != "train"
    codes = np.full(len(cohort), np.nan)
    codes[asked] = bench.asked(bench.codes, task, cohort.take(asked), bench.nothing_gone)
    fusion = Fusion.fit(bench, cohort, codes)
    held = (cohort.split == "held_out") & np.isfinite(codes)
    rows, codes = cohort.take(held), codes[held]
    if not rows.label.any():
        yield f"\n### {task.title}\n\nNo held-out patient with the outcome was answered."
        return
    best = best_possible(bench.truth, rows, task)
    yield f"\n### {task.title}\n"
    n_patients, n_events = len(np.unique(rows.subject)), int(rows.label.sum())
    yield f"{n_patients} held-out patients, {n_events} of {len(rows)} index times with the outcome."
    if best is not None and np.isfinite(best).all():
        yield f"Best possible: {told(figure(rows, best, course))}.\n"
    yield f"\n| missing | {' | '.join(WAYS)} | one sequence − codes | one sequence − late fusion |"
    yield "|---|---|---|---|---|---|"
    for name, gone in conditions(bench):
        found = {"codes": figure(rows, codes, course)}
        if fusion is not None:
            found["late fusion"] = figure(rows, fusion.risk(bench, rows, codes, gone), course)
        found["one sequence"] = figure(rows, bench.asked(bench.unified, task, rows, gone), course)
        yield f"| {name} | {' | '.join(line(found))} |"


def line(found: dict[str, Figure]) -> Iterator[str]:
    """Give the cells of one condition."""
    yield from (told(found[way]) if way in found else "too few tuning events" for way in WAYS)
    one = found["one sequence"]
    for way in WAYS[:2]:
        other = found.get(way)
        yield "–" if other is None else told(Figure(one.value - other.value, one.draws - other.draws))


def made(work: Path, whom: HospitalSpec, spec: ModelSpec) -> Bench:
    """Make, or find made, the hospital, its timelines and both networks."""
    now = datetime.now(UTC)
    hospital = work / "hospital"
    simulate(hospital, whom, now=now)
    mapping = ROOT / "examples/hospital/mapping.toml"
    feeds = [Feed("fhir", [hospital / "fhir"], mapping)] + [Feed(n, [hospital / n]) for n in ("dicom", "vcf")]
    ingest(work / "records", feeds, now=now)
    build(work / "records", work / "timelines", now=now)
    alone = replace(spec, note_encoder="", image_encoder="", variants_encoder="")
    for name, one in (("codes", alone), ("unified", spec)):
        train(work / "timelines", work / name, one, now=now, progress=tell)
    data = Timelines.open(work / "timelines")
    models = (Model.open(work / name) for name in ("codes", "unified"))
    return Bench(data, *models, _truth(hospital / "truth", work / "truth"), whom.seed)


def _truth(truth: Path, out: Path) -> Path:
    """Give the true risks under the ids of the records, which are not de-identified here."""
    out.mkdir(exist_ok=True)
    risk = pl.read_parquet(truth / RISK_FILE)
    people = risk.select("source_id", "site").unique()
    ids = [subject_id_of(source_id, site) for source_id, site in people.iter_rows()]
    keyed = risk.join(people.with_columns(subject_id=pl.Series(ids)), on=["source_id", "site"])
    keyed.write_parquet(out / RISK_FILE)
    return out


def tell(what: str, done: int, total: int | None) -> None:
    """Say now and then how far it is."""
    if done % 100 == 0:
        print(f"{what} {done} of {total}", file=sys.stderr, flush=True)


def main() -> None:
    """Examine every task and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--patients", type=int, default=2500)
    parser.add_argument("--variant", choices=get_args(Variant), default="plain")
    parser.add_argument("--passes", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--tasks", type=Path, default=ROOT / "examples/hospital/tasks")
    given = parser.parse_args()
    spec = ModelSpec(passes=given.passes, threads=given.threads, seed=given.seed)
    whom = HospitalSpec(n_patients=given.patients, seed=given.seed, variant=given.variant)
    bench = made(given.work, whom, spec)
    size = bench.unified.spec.size
    lines = [f"{given.patients} simulated patients ({given.variant}), seed {given.seed}, {size} network."]
    for task in load_tasks(given.tasks):
        lines += examine(bench, task, given.draws)
        (given.work / "modalities.md").write_text("\n".join(lines) + "\n", "utf-8")
        tell(task.name, 0, None)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
