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
from residency.reasoning.abstaining import REASONS
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
    causes: list[tuple[str, ...]] = field(default_factory=list)
    seconds: float = 0.0
    other_reasons: Counter[str] = field(default_factory=Counter)

    def report(self) -> dict[str, object]:
        """Put it together."""
        difference = np.array(self.difference)
        by_cause: dict[str, float] = {}
        for cause, one in zip(self.causes, self.difference, strict=True):
            name = ", ".join(cause) or "same view"
            by_cause[name] = float(np.nanmax([by_cause.get(name, 0.0), one]))
        return {
            "patients": len(difference),
            "asked": int((~np.isnan(difference)).sum()),
            "largest_difference": float(np.nanmax(difference)),
            "patients_over_1e-6": int((difference > 1e-6).sum()),
            "answers_refused_by_one_view_alone": dict(self.other_reasons),
            "patients_by_what_differs": dict(Counter(", ".join(one) or "nothing" for one in self.causes)),
            "largest_difference_by_what_differs": by_cause,
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


@dataclass
class Comparison:
    """A finished flow, asked through both views.

    Attributes:
        work: folder of the flow.
        policy: of its de-identification.
        model: name of the model's folder.
        report: name of the folder with the examined questions.
        home: where encodings are kept.
    """

    work: Path
    policy: Path
    model: str
    report: str
    home: Path

    def __post_init__(self) -> None:
        self.rules = load_policy(self.policy)
        self.key = read_key(self.rules)
        self.timelines = timeline.Timelines.open(self.work / "timelines")
        self.network = Model.open(self.work / self.model)
        self.questions = asked_of(self.work / self.report)
        self.records = Folder(self.work / "records")
        shown = Shown.read(self.work / self.model / SHOWN_FILE)
        self.veils = {"blind": Veil(self.rules, self.key), "shown": Veil(self.rules, self.key, shown)}
        self.tallies = {name: Tally() for name in self.veils}
        self.events = pl.read_parquet(sorted((self.work / "records" / "data").glob("*.parquet")))
        self.subjects = self.events["subject_id"].unique().sort().to_numpy()

    def run(self, n_patients: int, n_asked: int, out: Path | None) -> None:
        """Compare patient by patient; what is found so far is written after each fifty."""
        chosen = self.subjects[:n_patients]
        people = people_of(chosen, self.events, self.rules, self.key)
        pseudonym = dict(people.select("subject_id", "pseudonym").iter_rows())
        for n, subject in enumerate(chosen, start=1):
            self._one(int(subject), pseudonym[int(subject)], must_ask=n <= n_asked)
            if n % CHUNK == 0 or n == len(chosen):
                found = {name: tally.report() for name, tally in self.tallies.items()}
                print(n, {name: one["largest_difference"] for name, one in found.items()}, flush=True)
                if out:
                    out.write_text(json.dumps(found, indent=1))

    def _one(self, subject: int, pseudonym: int, *, must_ask: bool) -> None:
        events = self.events.filter(pl.col("subject_id") == subject)
        shard, row = self.timelines.locate(pseudonym)
        packed = timeline.take(self.timelines.shards[shard], np.array([row]))
        batch = View(packed, self.timelines.attachments(shard))
        part: tuple[tuple[str, ...], float, Counter[str]] | None = None
        for name, veil in self.veils.items():
            tally = self.tallies[name]
            if name == "blind" or part is None or part[0]:  # what is the same without, is the same with
                began = time.perf_counter()
                mine = served(veil, self.records, events, self.timelines.vocabulary)
                tally.seconds += time.perf_counter() - began
                part = self._compared(batch, mine, must_ask=must_ask)
            tally.causes.append(part[0])
            tally.difference.append(part[1])
            tally.other_reasons.update(part[2])

    def _compared(
        self, batch: View, mine: View, *, must_ask: bool
    ) -> tuple[tuple[str, ...], float, Counter[str]]:
        """Give what differs, the largest difference of a probability, and answers that one view refuses."""
        one, other = batch.parts(), mine.parts()
        cause = tuple(name for name in one if one[name] != other[name])
        if not (must_ask or cause):
            return cause, np.nan, Counter()
        told = [self._asked(view) for view in (batch, mine)]
        risks = [np.nan_to_num(np.asarray(answers.risk, np.float64), nan=-1.0) for answers in told]
        lone = (risks[0] < 0) != (risks[1] < 0)
        reasons = Counter(
            f"{view} alone: {REASONS[reason]}"
            for view, answers in zip(("batch", "bedside"), told, strict=True)
            for reason in np.asarray(answers.reason)[lone]
            if reason >= 0
        )
        return cause, float(np.abs(np.where(lone, 0, risks[0] - risks[1])).max()), reasons

    def _asked(self, view: View) -> reasoning.Answers:
        index = reasoning.Index(np.zeros(2, np.int64), times_of(view.packed))
        attachments = replace(view.attachments, home=self.home)
        return reasoning.ask(self.network, view.packed, self.questions, index, attachments=attachments)


def main() -> None:
    """Compare, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("policy", type=Path)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--model", default="model-1")
    parser.add_argument("--report", default="report-1")
    parser.add_argument(
        "--asked", type=int, default=1_000_000, help="ask about so many, and about all whose views differ"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / ENCODINGS
        if (options.work / "timelines" / ENCODINGS).exists():
            shutil.copytree(options.work / "timelines" / ENCODINGS, home)
        comparison = Comparison(options.work, options.policy, options.model, options.report, home)
        comparison.run(options.patients, options.asked, options.out)
    print(json.dumps({name: tally.report() for name, tally in comparison.tallies.items()}, indent=1))


if __name__ == "__main__":
    main()
