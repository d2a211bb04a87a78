"""In: a finished flow with its key. Out: how far the bedside's view of each patient is from the batch's.

    nice python bench/parity.py work/hospital examples/hospital/policy.toml --out parity.json

Every patient of the identified records goes through the transform in memory, as a request does; beside it
stands the same patient as the de-identified timelines have them. What a model could see of either is compared
byte by byte, and both are asked the examined questions, everybody, half way through the record and at its
last moment. Many are asked at once, which moves no answer, and what an encoder made of the same text or
pixels is kept in a copy of the timelines' own store. Intervals of observation, which only the batch has, are
put aside, or the batch would answer only for whom it was observing. The cache of arrays that the veil keeps
is a digest each, in memory, as in a server.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import ChainMap, Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from residency import reasoning, timeline
from residency.contract.packed import ATTACHMENT_KINDS, STATIC, Packed
from residency.contract.questions import Forecast
from residency.contract.schema import EVENTS, SHOWN_FILE
from residency.deid import Shown, load_policy, read_key
from residency.deid.people import people_of
from residency.model import Model
from residency.reasoning.abstaining import REASONS
from residency.release.allow_list import ExaminedTask
from residency.serving.attached import Folder
from residency.serving.veil import Veil, Veiled
from residency.timeline import Attachments
from residency.timeline.timelines import ENCODINGS

SAME = 1e-6


def asked_of(report: Path) -> list[Forecast]:
    """Give the examined questions."""
    tasks = msgspec.json.decode((report / "tasks.json").read_bytes(), type=list[ExaminedTask])
    return [
        Forecast(outcomes=(one.outcome,), horizons_days=one.horizons_days, occurrence=one.occurrence)
        for one in tasks
    ]


@dataclass(frozen=True)
class View:
    """Some patients, packed one way or the other."""

    packed: Packed
    attachments: Attachments

    def parts(self, row: int) -> dict[str, object]:
        """Give what a model could see of one patient: times from the first on, attachments as digests."""
        packed = timeline.take(self.packed, np.array([row]))
        kinds = np.asarray(packed.attachment_kind)
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

    def index(self) -> reasoning.Index:
        """Ask about everybody half way through the record, and at its last moment."""
        times = []
        for row in range(self.packed.n_patients):
            mine = self.packed.moment_time[slice(*self.packed.moment_offset[row : row + 2])]
            dated = mine[mine != STATIC]
            times += [dated[len(dated) // 2], dated[-1]]
        return reasoning.Index(np.repeat(np.arange(self.packed.n_patients), 2), np.array(times, np.int64))

    def unobserved(self) -> "View":
        """Give the same without intervals of observation."""
        nothing = np.zeros(0, np.int64)
        offset = np.zeros(self.packed.n_patients + 1, np.int64)
        parts = {"observation_offset": offset, "observation_start": nothing, "observation_end": nothing}
        return replace(self, packed=self.packed.with_arrays(**parts))


@dataclass
class Tally:
    """What was found."""

    difference: list[float] = field(default_factory=list)  # a patient; NaN where no view gave a number
    causes: list[str] = field(default_factory=list)
    n_compared: int = 0
    attached: Counter[str] = field(default_factory=Counter)
    lone: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def report(self) -> dict[str, object]:
        """Put it together."""
        difference = np.array(self.difference)
        causes = np.array(self.causes)
        return {
            "patients": len(difference),
            "patients_with_probabilities": int((~np.isnan(difference)).sum()),
            "probabilities_compared": self.n_compared,
            "attachments": dict(self.attached),
            "largest_difference": float(np.nanmax(difference)),
            f"patients_over_{SAME:g}": int((difference > SAME).sum()),
            "answers_refused_by_one_view_alone": dict(self.lone),
            "patients_by_what_differs": dict(Counter(self.causes)),
            "largest_difference_by_what_differs": {
                cause: float(np.nanmax(difference[causes == cause])) for cause in sorted(set(self.causes))
            },
            "cpu_seconds": {what: round(one, 1) for what, one in self.seconds.items()},
        }


@dataclass
class Comparison:
    """A finished flow, asked through both views.

    Attributes:
        work: folder of the flow.
        policy: of its de-identification.
        model: name of the model's folder.
        report: folder with the examined questions.
        home: where encodings are kept.
    """

    work: Path
    policy: Path
    model: str
    report: Path
    home: Path

    def __post_init__(self) -> None:
        self.rules = load_policy(self.policy)
        self.key = read_key(self.rules)
        self.timelines = timeline.Timelines.open(self.work / "timelines")
        self.network = Model.open(self.work / self.model)
        self.questions = asked_of(self.report)
        self.records = Folder(self.work / "records")
        self.veil = Veil(self.rules, self.key, Shown.read(self.work / self.model / SHOWN_FILE))
        events = pl.read_parquet(sorted((self.work / "records" / "data").glob("*.parquet")))
        subjects = events["subject_id"].unique().sort().to_numpy()
        people = people_of(subjects, events, self.rules, self.key)
        self.subject = {new: old for old, new in people.select("subject_id", "pseudonym").iter_rows()}
        self.events = {one: rows for (one,), rows in events.partition_by("subject_id", as_dict=True).items()}
        self.tally = Tally()

    def run(self, n_patients: int, n_at_once: int, out: Path | None) -> None:
        """Compare; what is found so far is written after each batch."""
        for view in self._batches(n_patients, n_at_once):
            began = time.process_time()
            mine = self._served(view.packed.subject)
            self.tally.seconds["transform"] += time.process_time() - began
            self._compare(view, mine)
            found = self.tally.report()
            print(found["patients"], found["largest_difference"], found["cpu_seconds"], flush=True)
            if out:
                out.write_text(json.dumps(found, indent=1))

    def _batches(self, n_patients: int, n_at_once: int) -> Iterator[View]:
        """Give patients as the de-identified timelines have them."""
        left = n_patients
        for number, shard in enumerate(self.timelines.shards):
            attachments = replace(self.timelines.attachments(number), home=self.home)
            for first in range(0, min(shard.n_patients, left), n_at_once):
                rows = np.arange(first, min(first + n_at_once, shard.n_patients, left))
                yield View(timeline.take(shard, rows), attachments).unobserved()
            left -= min(shard.n_patients, left)

    def _served(self, pseudonyms: np.ndarray) -> View:
        """Give patients as requests are seen: each veiled alone, in memory; then packed."""
        veiled = [self._veiled(self.subject[int(one)]) for one in pseudonyms]
        tables = {
            name: pa.concat_tables([getattr(one.documents, name) for one in veiled])
            for name in ("notes", "images", "variants")
        }
        pixels = ChainMap(*(one.documents.pixels for one in veiled))
        attachments = Attachments.of(**tables, pixels=pixels)
        events = pa.concat_tables([one.events for one in veiled])
        packing = timeline.packing_of(events, self.timelines.vocabulary, attachments=attachments)
        return View(packing.packed, replace(packing.attachments, home=self.home))

    def _veiled(self, subject: int) -> Veiled:
        events = self.events[subject].to_arrow().cast(EVENTS)
        return self.veil.over(events, self.records.documents_of(subject))

    def _compare(self, batch: View, mine: View) -> None:
        np.testing.assert_array_equal(batch.packed.subject, mine.packed.subject)
        for row in range(batch.packed.n_patients):
            one, other = batch.parts(row), mine.parts(row)
            differing = ", ".join(name for name in one if one[name] != other[name])
            self.tally.causes.append(differing or "nothing")
            self.tally.attached.update({name: len(other[name]) for name in ATTACHMENT_KINDS})  # type: ignore[arg-type]
        answers = [self._asked(view) for view in (batch, mine)]
        risks = [np.asarray(one.risk, np.float64) for one in answers]
        told = [~np.isnan(one) for one in risks]
        lone = told[0] != told[1]
        for name, one in zip(("batch", "bedside"), answers, strict=True):
            reasons = np.asarray(one.reason)[lone]
            self.tally.lone.update(f"{name} alone: {REASONS[reason]}" for reason in reasons if reason >= 0)
        both = told[0] & told[1]
        self.tally.n_compared += int(both.sum())
        away = np.where(both, np.abs(risks[0] - risks[1]), -1.0).reshape(batch.packed.n_patients, -1).max(1)
        self.tally.difference += [float(one) if one >= 0 else np.nan for one in away]

    def _asked(self, view: View) -> reasoning.Answers:
        began = time.process_time()
        answers = reasoning.ask(
            self.network, view.packed, self.questions, view.index(), attachments=view.attachments
        )
        self.tally.seconds["ask"] += time.process_time() - began
        return answers


def main() -> None:
    """Compare, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("policy", type=Path)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--at-once", type=int, default=100, help="patients asked together")
    parser.add_argument("--model", default="model-1")
    parser.add_argument("--report", type=Path, help="folder with the examined questions; WORK/report-1")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / ENCODINGS
        if (options.work / "timelines" / ENCODINGS).exists():
            shutil.copytree(options.work / "timelines" / ENCODINGS, home)
        report = options.report or options.work / "report-1"
        comparison = Comparison(options.work, options.policy, options.model, report, home)
        comparison.run(options.patients, options.at_once, options.out)
    print(json.dumps(comparison.tally.report(), indent=1))


if __name__ == "__main__":
    main()
