"""In: packed timelines and a task. Out: index times: who is asked about, and when."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64, UInt64

from residency.contract.errors import SpecError
from residency.contract.packed import DAY, STATIC, Packed
from residency.reasoning import Index
from residency.reasoning.abstaining import history_of
from residency.reasoning.index import place
from residency.timeline import Vocabulary, patient_of_moment
from residency.timeline.segments import offsets, ranges, search
from residency.validation.tasks import EveryMoment, LabelledOutcome, Regular, Task, Visits

YEAR_DAYS: Final = 365.25


@dataclass(frozen=True)
class Spans:
    """When patients would have been seen: at least one interval for each patient with a dated moment.

    Attributes:
        offset: intervals of each patient.
        start: µs.
        end: µs; the patient is censored here.
    """

    offset: Int64[np.ndarray, " patient_and_1"]
    start: Int64[np.ndarray, " span"]
    end: Int64[np.ndarray, " span"]

    def at(self, index: Index) -> Int64[np.ndarray, " index"]:
        """Give the interval that holds each index time; −1 where none does."""
        first, end = self.offset[index.patient], self.offset[index.patient + 1]
        after = search(self.start, (first, end), index.as_of, "right")
        inside = (
            (after > first) & (self.end[np.maximum(after - 1, 0)] >= index.as_of)
            if len(self.end)
            else after < 0
        )
        return np.where(inside, after - 1, -1)


def spans_of(packed: Packed) -> Spans:
    """Take the stated observation; where a patient has none, from the first dated moment to the last."""
    n_stated = np.diff(packed.observation_offset)
    first = np.asarray(packed.moment_offset[:-1])
    last = np.asarray(packed.moment_offset[1:]) - 1
    bare = np.flatnonzero((n_stated == 0) & (last > first))
    n_spans = n_stated.copy()
    n_spans[bare] = 1
    offset = offsets(n_spans)
    start, end = np.empty(offset[-1], np.int64), np.empty(offset[-1], np.int64)
    stated = ranges(offset[:-1], n_stated)
    start[stated], end[stated] = packed.observation_start, packed.observation_end
    start[offset[bare]] = packed.moment_time[first[bare] + 1]
    end[offset[bare]] = packed.moment_time[last[bare]]
    return Spans(offset, start, end)


@dataclass(frozen=True)
class Landmarks:
    """Index times of a task.

    Attributes:
        index: who and when, by patient and time.
        label: row in the packed labels, where the task is one; −1 elsewhere.
    """

    index: Index
    label: Int64[np.ndarray, " index"]

    def take(self, rows: Bool[np.ndarray, " index"]) -> "Landmarks":
        """Give some of them."""
        return Landmarks(self.index.take(rows), self.label[rows])


def landmarks(
    packed: Packed, vocabulary: Vocabulary, labels: tuple[str, ...], task: Task, seed: int
) -> Landmarks:
    """Find all index times that a task allows.

    Args:
        packed: timelines.
        vocabulary: of the codes.
        labels: names of the packed labels.
        task: what is examined.
        seed: of the phase, where the steps are regular.

    Raises:
        SpecError: the task names a label or codes that the data do not have.
    """
    found = _candidates(packed, vocabulary, labels, task, seed)
    return found.take(_eligible(packed, found.index, task))


def at_times(packed: Packed, labels: tuple[str, ...], task: Task, index: Index) -> Landmarks:
    """Keep those of some index times that a task allows; where it asks at labels, those that have one.

    Args:
        packed: timelines.
        labels: names of the packed labels.
        task: what is examined.
        index: by patient and time.
    """
    if not isinstance(task.outcome, LabelledOutcome):
        return _plain(index).take(_eligible(packed, index, task))
    given = _at_labels(packed, labels, task)
    keys = ("patient", "as_of")
    theirs = pl.DataFrame({name: getattr(given.index, name) for name in keys}).with_columns(label=given.label)
    ours = pl.DataFrame({name: getattr(index, name) for name in keys})
    found = ours.join(theirs, on=keys, how="inner").unique(keys, maintain_order=True, keep="first")
    place_of = Index(found["patient"].to_numpy(), found["as_of"].to_numpy())
    return Landmarks(place_of, found["label"].to_numpy()).take(_eligible(packed, place_of, task))


def _candidates(
    packed: Packed, vocabulary: Vocabulary, labels: tuple[str, ...], task: Task, seed: int
) -> Landmarks:
    if isinstance(task.landmark, EveryMoment):
        return _at_moments(packed, _dated(packed))
    if isinstance(task.landmark, Visits):
        prefix = task.landmark.codes
        codes = [number for number, code in enumerate(vocabulary.codes) if code.startswith(prefix)]
        if not codes:
            raise SpecError(f"no code begins with {prefix}", where=f"task {task.name}: landmark.codes")
        moments = history_of(packed, np.array(codes, np.int64)).moment
        return _at_moments(packed, moments[_dated(packed)[moments]])
    if isinstance(task.landmark, Regular):
        return _regular(packed, task.landmark.every_days, seed)
    return _at_labels(packed, labels, task)


def _dated(packed: Packed) -> Bool[np.ndarray, " moment"]:
    """Every moment but the first of each patient."""
    dated = np.ones(packed.n_moments, dtype=bool)
    dated[np.asarray(packed.moment_offset[:-1])[np.diff(packed.moment_offset) > 0]] = False
    return dated


def _plain(index: Index) -> Landmarks:
    return Landmarks(index, np.full(len(index), -1, np.int64))


def _at_moments(
    packed: Packed, moments: Bool[np.ndarray, " moment"] | Int64[np.ndarray, " chosen"]
) -> Landmarks:
    return _plain(Index(patient_of_moment(packed)[moments], np.asarray(packed.moment_time[moments])))


def _regular(packed: Packed, every_days: float, seed: int) -> Landmarks:
    spans, step = spans_of(packed), round(every_days * DAY)
    patient = np.repeat(np.arange(packed.n_patients), np.diff(spans.offset))
    phase = (hashed(packed.subject[patient], spans.start * 0, seed) % np.uint64(step)).astype(np.int64)
    first = spans.start + phase
    n_steps = np.maximum((spans.end - first) // step + 1, 0)
    number = ranges(np.zeros(len(first), np.int64), n_steps)
    return _plain(Index(np.repeat(patient, n_steps), np.repeat(first, n_steps) + number * step))


def _at_labels(packed: Packed, labels: tuple[str, ...], task: Task) -> Landmarks:
    if not isinstance(task.outcome, LabelledOutcome) or task.outcome.label not in labels:
        raise SpecError(
            "the data have no such label",
            where=f"task {task.name}: outcome.label",
            mend=f"labels: {', '.join(labels) or 'none'}",
        )
    rows = np.flatnonzero(packed.label_task == labels.index(task.outcome.label))
    patient = np.searchsorted(packed.label_offset, rows, "right") - 1
    return Landmarks(Index(patient, np.asarray(packed.label_time[rows])), rows)


def age_years(packed: Packed, index: Index) -> Float[np.ndarray, " index"]:
    """Give ages at index times; NaN where the birth is not known."""
    birth = np.asarray(packed.moment_time[packed.moment_offset[index.patient]])
    known = birth != STATIC
    return np.where(known, (index.as_of - np.where(known, birth, 0)) / (DAY * YEAR_DAYS), np.nan)


def _eligible(packed: Packed, index: Index, task: Task) -> Bool[np.ndarray, " index"]:
    people = task.population
    eligible = place(packed, index).n_moments >= people.min_moments
    if not isinstance(task.outcome, LabelledOutcome):
        spans = spans_of(packed)
        span = spans.at(index)
        start = spans.start[np.maximum(span, 0)] if len(spans.start) else index.as_of
        eligible &= (span >= 0) & (index.as_of - start >= people.min_history_days * DAY)
    if people.min_age_years > 0 or people.max_age_years < 150:
        age = age_years(packed, index)
        eligible &= (age >= people.min_age_years) & (age <= people.max_age_years)
    return eligible


def drawn(
    packed: Packed, found: Landmarks, at_risk: Bool[np.ndarray, " index"], task: Task, seed: int
) -> tuple[Bool[np.ndarray, " index"], Float[np.ndarray, " index"]]:
    """Draw a few index times of each patient, among those that are at risk, where the task wants a few.

    They are the first in the order of a hash of patient, time and seed, so another patient changes nothing.
    Each stands for as many as it was drawn from. Were patients to weigh the same instead, the ill would count
    too much: who falls ill is at risk at fewer times, so how many there are hangs on what came. A perfect
    forecast would then seem to expect too little.

    Returns:
        Which are kept, and the weight of each: those of a patient sum to the number at risk.
    """
    weight = np.ones(len(at_risk))
    if not isinstance(task.landmark, Visits | Regular) or not at_risk.any():
        return at_risk, weight
    rows = np.flatnonzero(at_risk)
    patient = found.index.patient[rows]
    order = np.lexsort((hashed(packed.subject[patient], found.index.as_of[rows], seed), patient))
    ordered = patient[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    length = np.diff(np.append(first, len(ordered)))
    rank = np.arange(len(ordered)) - np.repeat(first, length)
    kept = np.zeros(len(at_risk), dtype=bool)
    kept[rows[order]] = rank < task.landmark.per_patient
    weight[rows[order]] = np.repeat(length / np.minimum(length, task.landmark.per_patient), length)
    return kept, weight


def hashed(
    subject: Int64[np.ndarray, " index"], time: Int64[np.ndarray, " index"], seed: int
) -> UInt64[np.ndarray, " index"]:
    """Mix patient, time and seed into 64 even bits (splitmix64)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    mixed = np.full(len(subject), np.uint64(seed % (1 << 63)))
    for part in (subject, time):
        mixed = (mixed ^ part.astype(np.uint64)) + golden
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
