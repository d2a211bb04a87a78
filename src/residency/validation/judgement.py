"""In: candidates' scores of tasks. Out: each one's report, comparisons, and the page with the verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

import polars as pl

from residency.contract.errors import InputError
from residency.contract.lineage import Step
from residency.contract.progress import Progress
from residency.contract.verdict import Comparison, Verdict, Verdicts, write_verdicts
from residency.validation.comparing import compare, shared
from residency.validation.diligence import Found, evidence_of, read_statements
from residency.validation.examination import ValidationSpec, examined, headlines, put_report
from residency.validation.judging import Judged, judged_of
from residency.validation.leaf import Leaf, write_leaf
from residency.validation.measuring import Course, rules_of
from residency.validation.page import Examined
from residency.validation.tasks import Task
from residency.validation.verdicts import VerdictRules, cautions_of, verdict_of


@dataclass(frozen=True)
class Candidate:
    """One model's scores.

    Attributes:
        rows: of each task, sorted by patient and time; a NaN score is an abstention.
        left_out: rows that are in none of them, with the reason.
        source: of patients that are known by their line alone; empty where they have an identifier.
        has_times: whether it is known when each score was made.
        sent: what was sent to it, in words; None where nothing was.
        silences: why there was no answer, and how often.
    """

    rows: Mapping[str, pl.DataFrame]
    left_out: Mapping[str, int]
    source: str = ""
    has_times: bool = True
    sent: str | None = None
    silences: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Docket:
    """All that is judged.

    Attributes:
        tasks: each with a threshold.
        candidates: by name.
        settings: of the bootstrap.
        statements: of the vendors.
        about: digests, and whether the patients are simulated.
        bare: whether the outcome is only what a file states.
    """

    tasks: tuple[Task, ...]
    candidates: Mapping[str, Candidate]
    settings: ValidationSpec
    statements: Path | None
    about: dict[str, str]
    bare: bool = False


def put_judgement(step: Step, docket: Docket, progress: Progress) -> dict[str, object]:
    """Write everything but the manifest, and give what the manifest says."""
    said = read_statements(docket.statements, list(docket.candidates))
    _check(docket)
    rules, leaves, verdicts = VerdictRules(), list[Leaf](), Verdicts(verdicts=[], about=docket.about)
    total = len(docket.candidates) * len(docket.tasks)
    for name, one in docket.candidates.items():
        found = []
        for task in docket.tasks:
            progress("examining", len(leaves), total)
            part, judged = _examined(step, docket, (name, one), task)
            verdict = _verdict(judged, (name, one), task, part, rules)
            leaves.append(Leaf(verdict, one.rows[task.name], part))
            found.append(Found(verdict, part.slices, part.contrasts, one.has_times, one.sent))
        put_report(
            step, tuple(leaf.part for leaf in leaves[-len(found) :]), docket.about, _under(docket, name)
        )
        verdicts.verdicts.extend(one.verdict for one in found)
        verdicts.evidence[name] = evidence_of(found, said[name])
    verdicts.comparisons.extend(_comparisons(docket))
    progress("examining", total, total)
    step.file("verdict.json", make=partial(write_verdicts, verdicts))
    step.file("verdict.html", make=lambda path: write_leaf(path, tuple(leaves), verdicts, rules))
    return {
        "verdicts": {name: _words(verdicts.verdicts, name) for name in docket.candidates},
        "tasks": headlines(tuple(leaf.part for leaf in leaves)) if len(docket.candidates) == 1 else {},
    }


def _words(verdicts: list[Verdict], model: str) -> dict[str, str]:
    return {one.task: one.verdict for one in verdicts if one.model == model}


def _under(docket: Docket, model: str) -> str:
    return "" if len(docket.candidates) == 1 else f"models/{model}/"


def _course(docket: Docket) -> Course:
    return Course(docket.settings.n_draws, docket.settings.seed)


def _examined(
    step: Step, docket: Docket, candidate: tuple[str, Candidate], task: Task
) -> tuple[Examined, Judged]:
    name, one = candidate
    rows = one.rows[task.name]
    place = f"{_under(docket, name)}predictions/{task.name}"
    step.shard(f"{name}~{task.name}", place, suffix=".parquet", make=partial(_write, rows))
    part = examined(
        rows, task, docket.settings, {**one.left_out, "abstained": _silent(rows)}, bare=docket.bare
    )
    return part, judged_of(rows, rules_of(rows, task), _course(docket), f"{task.name}/{name}")


def _silent(rows: pl.DataFrame) -> int:
    return int(rows["score"].is_nan().sum())


def _verdict(
    judged: Judged, candidate: tuple[str, Candidate], task: Task, part: Examined, rules: VerdictRules
) -> Verdict:
    name, one = candidate
    cautions = cautions_of(judged, part.slices, part.contrasts, dict(one.left_out))
    if one.source:
        cautions.append("The file names no patients: each line counts as a patient of its own.")
    if one.silences:
        why = ", ".join(f"{reason} {n:,} times" for reason, n in one.silences.items())
        cautions.append(f"Why it gave no answer: {why}.")
    return verdict_of(judged, (name, task.name, task.title), cautions, dict(one.left_out), rules)


def _comparisons(docket: Docket) -> list[Comparison]:
    found: list[Comparison] = []
    for task in docket.tasks:
        rows = {name: one.rows[task.name] for name, one in docket.candidates.items()}
        if _alike(docket):
            some = next(iter(rows.values()))
            found += compare(rows, task.name, rules_of(some, task), _course(docket))
    return found


def _alike(docket: Docket) -> bool:
    """Whether patients are the same in all: those known by their line are so only within one file."""
    return len({one.source for one in docket.candidates.values()}) == 1


def _check(docket: Docket) -> None:
    for task in docket.tasks if _alike(docket) else ():
        for one, other in combinations(docket.candidates, 2):
            rows = docket.candidates[one].rows[task.name], docket.candidates[other].rows[task.name]
            _agree(*rows, (one, other))


def _agree(one: pl.DataFrame, other: pl.DataFrame, names: tuple[str, str]) -> None:
    """Refuse two files that say different things of one outcome."""
    theirs = other.rename({"score": "score_", "label": "said"})
    both = shared(one, other).join(
        theirs.select("subject_id", "prediction_time", "said"),
        on=["subject_id", "prediction_time"],
        nulls_equal=True,
    )
    differ = int((both["label"] != both["said"]).sum())
    if differ:
        raise InputError(
            f"{differ:,} predictions have different outcomes in {names[0]} and {names[1]}",
            mend="outcomes must be the same for every model",
        )


def _write(rows: pl.DataFrame, path: Path) -> int:
    rows.write_parquet(path, compression="zstd")
    return len(rows)
