"""In: models that answer over HTTP, timelines, tasks. Out: their scores of one's own patients, judged.

OUT holds `verdict.html`, `verdict.json` and the reports, as of any scores, and `sent/MODEL/TASK/*.parquet`:
one row a request, with its digest, size, how many records, what came of it. Like the predictions, that stays
inside.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from residency.contract import specs
from residency.contract.digests import digest_file
from residency.contract.errors import InputError, SpecError
from residency.contract.lineage import Manifest, Rows, Step, open_made
from residency.contract.progress import Progress, silent
from residency.timeline import Timelines
from residency.validation.calling import call_all
from residency.validation.cohort import Cohort, cohort_of
from residency.validation.disclosure import FIELDS, Chart, body_of, chart_of
from residency.validation.endpoint_spec import EndpointSpec, endpoint_of
from residency.validation.examination import ValidationSpec
from residency.validation.judgement import Candidate, Docket, put_judgement
from residency.validation.landmarks import hashed
from residency.validation.scores import named, thresholds_of
from residency.validation.tasks import Task, load_tasks

_EVENTS_SHARE = 0.5  # of the index times that are drawn, at most so many with the outcome


@dataclass(frozen=True)
class Asking:
    """What is asked, about whom.

    Attributes:
        endpoints: URLs, or settings files in TOML.
        tasks: folder of task definitions.
        timelines: folder that building made.
        statements: what the vendors state, in TOML.
        simulated: whether the patients are.
    """

    endpoints: tuple[str, ...]
    tasks: Path
    timelines: Path
    statements: Path | None = None
    simulated: bool = False


def validate_endpoints(
    out: Path,
    asking: Asking,
    settings: ValidationSpec | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Ask models about the adopter's own patients, and judge what they answer.

    Patients who taught a model of our own are left out, so that it can be held against these.

    Args:
        out: the folder to write.
        asking: what is asked, about whom.
        settings: see `ValidationSpec`.
        now: the run's start, aware.
        progress: is told of the requests and of each task.

    Raises:
        SpecError: an endpoint's settings are wrong, or two have one name.
        InputError: nothing was answered.
    """
    settings, tasks = settings or ValidationSpec(), load_tasks(asking.tasks)
    specs_of = {named(one.called): one for one in map(endpoint_of, asking.endpoints)}
    if len(specs_of) < len(asking.endpoints):
        raise SpecError("two models have the same name", mend="give each a `name` in its settings file")
    spec = {
        **specs.plain(settings),
        "tasks": [specs.plain(task) for task in tasks],
        "endpoints": {name: specs.plain(one) for name, one in specs_of.items()},
    }
    also = [] if asking.statements is None else [digest_file(asking.statements)]
    with Step(out, name="validate", inputs=[asking.timelines, *also], spec=spec, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        timelines = Timelines.open(asking.timelines)
        cohorts = [(task, cohort_of(timelines, task, settings.seed)) for task in tasks]
        candidates = {}
        for name, one in specs_of.items():
            ward = Ward(timelines, one, settings.seed)
            candidates[name] = _candidate(step, ward, name, cohorts, progress)
        docket = Docket(
            tasks=thresholds_of(tasks, candidates),
            candidates=candidates,
            settings=settings,
            statements=asking.statements,
            about={
                "timelines": open_made(asking.timelines).digest,
                "simulated": "yes" if asking.simulated else "no",
            },
        )
        result = put_judgement(step, docket, progress)
        kept = sum(len(rows) for one in candidates.values() for rows in one.rows.values())
        return step.finish(rows=Rows(read=kept, kept=kept), result=result)


@dataclass(frozen=True)
class Ward:
    """Patients, and what of them a model may be sent."""

    timelines: Timelines
    spec: EndpointSpec
    seed: int

    def charts(self, cohort: Cohort) -> list[Chart]:
        """Take what is sent at each index time."""
        return [
            chart_of(self.timelines.shards[shard], self.timelines.vocabulary, patient, as_of, self.spec)
            for shard, patient, as_of in zip(
                cohort.shard.tolist(), cohort.patient.tolist(), cohort.as_of.tolist(), strict=True
            )
        ]


def _candidate(
    step: Step, ward: Ward, name: str, cohorts: list[tuple[Task, Cohort]], progress: Progress
) -> Candidate:
    rows, sent = {}, []
    for task, cohort in cohorts:
        some = draw(cohort.take(cohort.split != "train"), ward.spec.most, ward.seed)
        make = partial(_asked, ward, task, some, progress)
        key, place = f"sent~{name}~{task.name}", f"sent/{name}/{task.name}"
        shard = step.shard(key, place, suffix=".parquet", make=make)
        log = pl.read_parquet(step.out / shard.path)
        rows[task.name] = _rows(some, log)
        sent.append(log)
    return Candidate(rows=rows, left_out={}, sent=_said(pl.concat(sent), ward.spec), silences=_silences(sent))


def _asked(ward: Ward, task: Task, cohort: Cohort, progress: Progress, path: Path) -> int:
    charts = ward.charts(cohort)
    numbers = [f"{number:016x}" for number in hashed(cohort.subject, cohort.as_of, ward.seed + 1).tolist()]
    bodies = [(one, body_of(chart, task, ward.spec, one)) for one, chart in zip(numbers, charts, strict=True)]
    called = call_all(ward.spec, bodies, progress)
    if all(one.score is None for one in called):
        said = f"nothing was answered: {_counted(one.reason for one in called)}"
        raise InputError(said, where=f"task {task.name}", mend="see the endpoint's settings")
    pl.DataFrame(
        {
            "subject_id": cohort.subject,
            "prediction_time": cohort.as_of,
            "request": numbers,
            "score": pl.Series([one.score for one in called], dtype=pl.Float64),
            "reason": [one.reason for one in called],
            "seconds": [one.seconds for one in called],
            "bytes": [one.n_bytes for one in called],
            "sha256": [one.digest for one in called],
            "records": [len(chart.records) for chart in charts],
            "records_held_back": [chart.held_back for chart in charts],
        }
    ).with_columns(pl.col("prediction_time").cast(pl.Datetime("us"))).write_parquet(path, compression="zstd")
    return len(called)


def draw(cohort: Cohort, most: int, seed: int) -> Cohort:
    """Draw some index times, those with the outcome up to half; weights make up for it."""
    if len(cohort) <= most:
        return cohort
    n_events = min(int(cohort.label.sum()), int(most * _EVENTS_SHARE))
    wanted = {True: n_events, False: min(most - n_events, int((~cohort.label).sum()))}
    order = hashed(cohort.subject, cohort.as_of, seed + 2)
    kept, weight = np.zeros(len(cohort), dtype=bool), cohort.weight.copy()
    for label, n in wanted.items():
        rows = np.flatnonzero(cohort.label == label)
        some = rows[np.argsort(order[rows], kind="stable")[:n]]
        kept[some] = True
        weight[some] *= _total(cohort.weight, rows) / max(_total(cohort.weight, some), 1e-12)
    return _weighed(cohort, weight).take(kept)


def _total(weight: Float[np.ndarray, " row"], rows: Int64[np.ndarray, " some"]) -> float:
    return float(weight[rows].sum())


def _weighed(cohort: Cohort, weight: Float[np.ndarray, " row"]) -> Cohort:
    return Cohort(**{**vars(cohort), "weight": weight})


def _rows(cohort: Cohort, log: pl.DataFrame) -> pl.DataFrame:
    known: Bool[np.ndarray, " row"] = cohort.label
    moment = pl.Datetime("us")
    table = pl.DataFrame(
        {
            "subject_id": cohort.subject,
            "prediction_time": cohort.as_of,
            "event_time": np.where(known, cohort.event_time, 0),
            "label": known,
            "score": log["score"].fill_null(float("nan")),
            "weight": cohort.weight,
            "site": cohort.site.astype(str),
            "split": np.full(len(known), "held_out"),
            "censoring": cohort.censoring,
            **{name: value.astype(str) for name, value in cohort.columns.items()},
        }
    )
    typed = table.with_columns(
        pl.col("prediction_time").cast(moment),
        event_time=pl.when("label").then(pl.col("event_time").cast(moment)),
    )
    return typed.sort("subject_id", "prediction_time")


def _silences(logs: list[pl.DataFrame]) -> dict[str, int]:
    reasons = Counter(reason for log in logs for reason in log["reason"].to_list() if reason)
    return dict(sorted(reasons.items()))


def _counted(reasons: Iterable[str]) -> str:
    return "; ".join(f"{reason} {n:,}" for reason, n in sorted(Counter(reasons).items()))


def _said(log: pl.DataFrame, spec: EndpointSpec) -> str:
    n_sent, host = int((log["bytes"] > 0).sum()), urlsplit(spec.url).hostname
    size, held = int(log["bytes"].sum()), int(log["records_held_back"].sum())
    return (
        f"{n_sent:,} requests to {host}, {size / 1e6:.1f} MB: {', '.join(FIELDS)}. No identifier, no date, no"
        f" text. {held:,} records known at those times were held back. Each request is on record by its"
        " digest."
    )
