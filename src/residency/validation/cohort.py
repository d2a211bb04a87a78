"""In: timelines and a task. Out: its index times, each with outcome, weight, split, site and groups."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int64

from residency.contract.packed import UNKNOWN, Packed
from residency.reasoning import Index
from residency.timeline import Timelines, Vocabulary, moment_of_event
from residency.validation import censoring
from residency.validation.fates import fates
from residency.validation.landmarks import Landmarks, age_years, at_times, drawn, landmarks
from residency.validation.tasks import Groups, Task

UNSTATED = "unstated"


@dataclass(frozen=True)
class Cohort:
    """Index times of one task, by shard, patient and time.

    Attributes:
        shard: of the timelines.
        patient: row in the shard.
        subject: of the patient.
        as_of: index time, µs.
        label: whether the outcome came.
        event_time: of the outcome, µs.
        weight: of sampling, and of censoring.
        split: train, tuning, held_out or external.
        site: of the patient.
        groups: for each name the value of each row.
        counts: index times left out, with the reason.
    """

    shard: Int64[np.ndarray, " row"]
    patient: Int64[np.ndarray, " row"]
    subject: Int64[np.ndarray, " row"]
    as_of: Int64[np.ndarray, " row"]
    label: Bool[np.ndarray, " row"]
    event_time: Int64[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]
    split: np.ndarray
    site: np.ndarray
    groups: Mapping[str, np.ndarray]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.as_of)

    def take(self, rows: Bool[np.ndarray, " row"]) -> "Cohort":
        """Give some of the index times."""
        kept = {
            f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("groups", "counts")
        }
        return Cohort(
            **kept, groups={name: value[rows] for name, value in self.groups.items()}, counts=self.counts
        )

    def of_shard(self, shard: int) -> Index:
        """Give who is asked about in a shard, and when."""
        mine = self.shard == shard
        return Index(self.patient[mine], self.as_of[mine])


def cohort_of(timelines: Timelines, task: Task, seed: int) -> Cohort:
    """Find the index times of a task and what came of them.

    Args:
        timelines: all patients.
        task: what is examined.
        seed: of the draw of index times.
    """
    return _joined([_of_shard(timelines, number, task, seed) for number in range(len(timelines.shards))])


def cohort_at(
    timelines: Timelines, task: Task, subject: Int64[np.ndarray, " row"], as_of: Int64[np.ndarray, " row"]
) -> Cohort:
    """Find what came of index times that somebody else chose; every one of a patient weighs the same.

    Args:
        timelines: all patients.
        task: what is examined.
        subject: of each index time.
        as_of: of each, µs.

    Returns:
        Those that belong to the task and whose outcome is known; `counts` has the others.
    """
    parts, found_patients = [], 0
    for number, packed in enumerate(timelines.shards):
        known = np.isin(subject, packed.subject)
        found_patients += int(known.sum())
        index = Index(np.searchsorted(packed.subject, subject[known]), as_of[known])
        order = np.lexsort((index.as_of, index.patient))
        given = at_times(packed, timelines.labels, task, index.take(order))
        part = _of_landmarks(timelines, number, task, given, None)
        part.counts["outside the task"] = int(known.sum()) - len(given.index)
        parts.append(part)
    whole = _joined(parts)
    whole.counts["no such patient"] = len(subject) - found_patients
    return whole


def _joined(parts: list[Cohort]) -> Cohort:
    whole = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(Cohort)
        if f.name not in ("groups", "counts")
    }
    names = sorted({name for part in parts for name in part.groups})
    reasons = sorted({reason for part in parts for reason in part.counts})
    return Cohort(
        **whole,
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in names},
        counts={reason: sum(part.counts.get(reason, 0) for part in parts) for reason in reasons},
    )


def _of_shard(timelines: Timelines, number: int, task: Task, seed: int) -> Cohort:
    packed, vocabulary = timelines.shards[number], timelines.vocabulary
    found = landmarks(packed, vocabulary, timelines.labels, task, seed)
    return _of_landmarks(timelines, number, task, found, seed)


def _of_landmarks(
    timelines: Timelines, number: int, task: Task, found: Landmarks, seed: int | None
) -> Cohort:
    """Find out what came of index times; without a seed all are kept."""
    packed, vocabulary = timelines.shards[number], timelines.vocabulary
    fate = fates(packed, vocabulary, found, task)
    if seed is None:
        kept, sampled = fate.at_risk, _evenly(found.index.patient, fate.at_risk)
    else:
        kept, sampled = drawn(packed, found, fate.at_risk, task, seed)
    index, split = found.index, timelines.split(number)[found.index.patient]
    site = timelines.site(number)[index.patient]
    weight, unit = np.zeros(len(index)), np.char.add(split, site) if len(index) else split
    for one in np.unique(unit):
        mine = (unit == one) & kept
        weight[mine] = censoring.weights(fate.followed_days[mine], fate.known[mine], sampled[mine])
    return Cohort(
        shard=np.full(len(index), number, dtype=np.int64),
        patient=index.patient,
        subject=np.asarray(packed.subject[index.patient]),
        as_of=index.as_of,
        label=fate.label,
        event_time=fate.event_time,
        weight=weight,
        split=split,
        site=site,
        groups=groups_of(packed, vocabulary, index, task.groups),
        counts={
            "not at risk": int((~fate.at_risk).sum()),
            "censored": int((kept & ~fate.known).sum()),
        },
    ).take(kept & fate.known)


def _evenly(patient: Int64[np.ndarray, " row"], kept: Bool[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Weigh rows so that each patient's sum to 1."""
    n = np.bincount(patient[kept], minlength=int(patient.max(initial=0)) + 1)
    return np.where(kept, 1 / np.maximum(n[patient], 1), 0.0)


def groups_of(packed: Packed, vocabulary: Vocabulary, index: Index, groups: Groups) -> dict[str, np.ndarray]:
    """Give each index time's value of each group."""
    found = {name: _by_code(packed, vocabulary, index, values) for name, values in groups.by_code.items()}
    if groups.age_bands:
        age = age_years(packed, index)
        if groups.age_code is not None:
            age = np.where(np.isnan(age), _static_value(packed, vocabulary, index, groups.age_code), age)
        found["age"] = _bands(age, groups.age_bands)
    return found


def _by_code(packed: Packed, vocabulary: Vocabulary, index: Index, values: Mapping[str, str]) -> np.ndarray:
    """Give the value whose code is among a patient's first facts."""
    result = np.full(packed.n_patients, UNSTATED, dtype=object)
    for value, code in values.items():
        result[_with_first_fact(packed, vocabulary.index_of(code))[0]] = value
    of_index: np.ndarray = result[index.patient].astype(str)
    return of_index


def _static_value(
    packed: Packed, vocabulary: Vocabulary, index: Index, code: str
) -> Float[np.ndarray, " index"]:
    result = np.full(packed.n_patients, np.nan)
    patients, events = _with_first_fact(packed, vocabulary.index_of(code))
    result[patients] = packed.event_value[events]
    value: np.ndarray = result[index.patient]
    return value


def _with_first_fact(
    packed: Packed, code: int
) -> tuple[Int64[np.ndarray, " event"], Int64[np.ndarray, " event"]]:
    """Give the patients whose first moment holds a code, and the events."""
    events = np.flatnonzero(packed.event_code == code) if code != UNKNOWN else np.zeros(0, np.int64)
    moment = moment_of_event(packed)[events]
    patient = np.searchsorted(packed.moment_offset, moment, "right") - 1
    first = np.asarray(packed.moment_offset)[patient] == moment
    return patient[first], events[first]


def _bands(age: Float[np.ndarray, " index"], begins: tuple[float, ...]) -> np.ndarray:
    """Name the band of each age, for example `40-64`."""
    edges = sorted(begins)
    names = [f"under_{edges[0]:g}"]
    names += [f"{low:g}-{high - 1:g}" for low, high in pairwise(edges)]
    names += [f"{edges[-1]:g}_and_over"]
    band = np.array(names)[np.searchsorted(edges, np.nan_to_num(age), "right")]
    return np.where(np.isnan(age), UNSTATED, band)
