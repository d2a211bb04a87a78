"""In: a finished flow with its key. Out: how far the bedside's view of each patient is from the batch's.

    nice python bench/parity.py work/hospital examples/hospital/policy.toml --patients 1500 --out parity.json

Every patient of the identified records goes through the transform in memory, as a request does, and is
packed; beside it stands the same patient as the de-identified timelines have them. Both are asked the
examined questions half way through the record, and at its last moment. Encodings are kept in a copy of
the timelines' own store, so that a note is encoded once.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from residency import reasoning, timeline
from residency.contract.packed import ATTACHMENT_KINDS, STATIC, Packed
from residency.contract.questions import Forecast
from residency.contract.schema import EVENTS, SHOWN_FILE
from residency.deid import Shown, load_policy, read_key
from residency.deid.people import people_of
from residency.model import Model
from residency.release.allow_list import ExaminedTask
from residency.serving.attached import Folder
from residency.serving.veil import Veil
from residency.timeline import Attachments
from residency.timeline.timelines import ENCODINGS

CHUNK = 50


def asked_of(report: Path) -> list[Forecast]:
    """Give the examined questions."""
    tasks = msgspec.json.decode((report / "tasks.json").read_bytes(), type=list[ExaminedTask])
    return [
        Forecast(outcomes=(one.outcome,), horizons_days=one.horizons_days, occurrence=one.occurrence)
        for one in tasks
    ]


@dataclass(frozen=True)
class View:
    """One patient, packed one way or the other."""

    packed: Packed
    attachments: Attachments

    def parts(self) -> dict[str, object]:
        """Give what a model could see, times apart."""
        packed, kinds = self.packed, np.asarray(self.packed.attachment_kind)
        held = {
            name: self.attachments.digests(kind, np.asarray(packed.attachment_ref)[kinds == kind])
            for kind, name in enumerate(ATTACHMENT_KINDS)
        }
        arrays = ("event_code", "event_value", "event_offset", "attachment_offset")
        first = packed.moment_time[packed.moment_time != STATIC][:1]
        return {
            **{name: np.asarray(getattr(packed, name)).tobytes() for name in arrays},
            "intervals": (packed.moment_time - first).tobytes(),
            **held,
        }


def times_of(packed: Packed) -> np.ndarray:
    """Give the two times that are asked about: half way through the record, and its last moment."""
    times = packed.moment_time[packed.moment_time != STATIC]
    return np.array([times[len(times) // 2], times[-1]], np.int64)


@dataclass
class Tally:
    """What was found."""

    difference: list[float] = field(default_factory=list)
    who: list[int] = field(default_factory=list)
    causes: list[tuple[str, ...]] = field(default_factory=list)
    seconds: float = 0.0
    other_reasons: int = 0

    def report(self) -> dict[str, object]:
        """Put it together."""
        difference = np.array(self.difference)
        by_cause: dict[str, float] = {}
        for cause, one in zip(self.causes, self.difference, strict=True):
            name = ", ".join(cause) or "same view"
            by_cause[name] = max(by_cause.get(name, 0.0), one)
        return {
            "patients": len(difference),
            "largest_difference": float(difference.max()),
            "patients_over_1e-6": int((difference > 1e-6).sum()),
            "answers_refused_by_one_view_alone": self.other_reasons,
            "patients_by_what_differs": dict(Counter(", ".join(one) or "nothing" for one in self.causes)),
            "largest_difference_by_what_differs": by_cause,
            "differing": [who for who, cause in zip(self.who, self.causes, strict=True) if cause],
            "seconds_a_patient_transform": round(self.seconds / len(difference), 4),
        }


def served(veil: Veil, records: Folder, events: pl.DataFrame, vocabulary: timeline.Vocabulary) -> View:
    """Give a patient as a request would be seen."""
    subject = int(events["subject_id"][0])
    hidden = veil.over(events.to_arrow().cast(EVENTS), records.documents_of(subject))
    now = hidden.documents
    attachments = Attachments.of(notes=now.notes, images=now.images, variants=now.variants, pixels=now.pixels)
    packing = timeline.packing_of(hidden.events, vocabulary, attachments=attachments)
    return View(packing.packed, packing.attachments)


def _veil(options: argparse.Namespace) -> Veil:
    """Give what a release of this flow does to a request."""
    policy, path = load_policy(options.policy), options.work / options.model / SHOWN_FILE
    return Veil(policy, read_key(policy), None if options.blind else Shown.read(path))


def compare(options: argparse.Namespace, home: Path) -> Tally:
    """Compare both views of every patient."""
    policy = load_policy(options.policy)
    key = read_key(policy)
    shared, model = (
        timeline.Timelines.open(options.work / "timelines"),
        Model.open(options.work / options.model),
    )
    questions, records, veil = (
        asked_of(options.work / options.report),
        Folder(options.work / "records"),
        _veil(options),
    )
    every = pl.read_parquet(sorted((options.work / "records" / "data").glob("*.parquet")))
    subjects = every["subject_id"].unique().sort().to_numpy()
    chosen = np.arange(len(subjects))[: options.patients]
    if options.only:
        chosen = np.array(json.loads(options.only.read_text())["differing"], np.int64)
    subjects = subjects[chosen]
    people = dict(people_of(subjects, every, policy, key).select("subject_id", "pseudonym").iter_rows())
    tally = Tally()
    for start in range(0, len(subjects), CHUNK):
        for subject in subjects[start : start + CHUNK]:
            began = time.perf_counter()
            mine = served(veil, records, every.filter(pl.col("subject_id") == subject), shared.vocabulary)
            tally.seconds += time.perf_counter() - began
            shard, row = shared.locate(people[int(subject)])
            batch = View(timeline.take(shared.shards[shard], np.array([row])), shared.attachments(shard))
            told = list(_asked(model, questions, (batch, mine), home))
            one, other = (np.nan_to_num(np.asarray(answers.risk, np.float64), nan=-1.0) for answers in told)
            lone = (one < 0) != (other < 0)
            tally.other_reasons += int(lone.sum())
            tally.difference.append(float(np.abs(np.where(lone, 0, one - other)).max()))
            seen = batch.parts(), mine.parts()
            tally.who.append(int(chosen[np.searchsorted(subjects, subject)]))
            tally.causes.append(tuple(name for name in seen[0] if seen[0][name] != seen[1][name]))
        print(min(start + CHUNK, len(subjects)), f"largest {max(tally.difference):.2e}", flush=True)
    return tally


def _asked(
    model: Model, questions: list[Forecast], views: tuple[View, View], home: Path
) -> Iterator[reasoning.Answers]:
    for view in views:
        index = reasoning.Index(np.zeros(2, np.int64), times_of(view.packed))
        yield reasoning.ask(
            model, view.packed, questions, index, attachments=replace(view.attachments, home=home)
        )


def main() -> None:
    """Compare, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("policy", type=Path)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--model", default="model-1")
    parser.add_argument("--report", default="report-1")
    parser.add_argument("--blind", action="store_true", help="without what the data set shows")
    parser.add_argument("--only", type=Path, help="report of another run: only the patients that differed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / ENCODINGS
        if (options.work / "timelines" / ENCODINGS).exists():
            shutil.copytree(options.work / "timelines" / ENCODINGS, home)
        found = compare(options, home).report()
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
