"""In: timelines and a task. Out: its index times, each with outcome, weight, split, site and groups."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int64

from residency.reasoning import Index
from residency.reasoning.censoring import eras, weights
from residency.timeline import Timelines
from residency.validation.fates import Fates, fates
from residency.validation.groups import apart_of, groups_of, records_in, thirds
from residency.validation.landmarks import Landmarks, at_times, drawn, landmarks
from residency.validation.tasks import CodedOutcome, Task

_BY_NAME: Final = ("groups", "apart", "counts")


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
        censoring: what the censoring multiplies the weight by; 1 where nobody was censored.
        records: known in the days before the index time that the task's `apart` states.
        split: train, tuning, held_out or external.
        site: of the patient.
        groups: for each name the value of each row.
        apart: the same, of what only the report shows apart.
        counts: index times left out, with the reason.
    """

    shard: Int64[np.ndarray, " row"]
    patient: Int64[np.ndarray, " row"]
    subject: Int64[np.ndarray, " row"]
    as_of: Int64[np.ndarray, " row"]
    label: Bool[np.ndarray, " row"]
    event_time: Int64[np.ndarray, " row"]
    weight: Float[np.ndarray, " row"]
    censoring: Float[np.ndarray, " row"]
    records: Int64[np.ndarray, " row"]
    split: np.ndarray
    site: np.ndarray
    groups: Mapping[str, np.ndarray]
    apart: Mapping[str, np.ndarray]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.as_of)

    def take(self, rows: Bool[np.ndarray, " row"]) -> "Cohort":
        """Give some of the index times."""
        kept = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in _BY_NAME}
        groups, apart = (
            {name: value[rows] for name, value in held.items()} for held in (self.groups, self.apart)
        )
        return Cohort(**kept, groups=groups, apart=apart, counts=self.counts)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Groups as tables of predictions name them."""
        return {f"group_{name}": value for name, value in self.groups.items()} | {
            f"apart_{name}": value for name, value in self.apart.items()
        }

    def of_shard(self, shard: int) -> Index:
        """Give who is asked about in a shard, and when."""
        mine = self.shard == shard
        return Index(self.patient[mine], self.as_of[mine])


@dataclass(frozen=True)
class _Part:
    """Index times of a shard, each with the weight of its sampling, the censored among them."""

    rows: Cohort
    known: Bool[np.ndarray, " row"]
    followed_days: Float[np.ndarray, " row"]


def cohort_of(timelines: Timelines, task: Task, seed: int) -> Cohort:
    """Find the index times of a task and what came of them.

    Args:
        timelines: all patients.
        task: what is examined.
        seed: of the draw of index times.
    """
    parts = [_of_shard(timelines, number, task, seed) for number in range(len(timelines.shards))]
    return _joined(parts, task)


def cohort_at(
    timelines: Timelines, task: Task, subject: Int64[np.ndarray, " row"], as_of: Int64[np.ndarray, " row"]
) -> Cohort:
    """Find what came of index times that somebody else chose; every one weighs the same.

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
        part.rows.counts["outside the task"] = int(known.sum()) - len(given.index)
        parts.append(part)
    whole = _joined(parts, task)
    whole.counts["no such patient"] = len(subject) - found_patients
    return whole


def _joined(parts: list[_Part], task: Task) -> Cohort:
    shards = [part.rows for part in parts]
    whole = {
        f.name: np.concatenate([getattr(part, f.name) for part in shards])
        for f in fields(Cohort)
        if f.name not in _BY_NAME
    }
    reasons = sorted({reason for part in shards for reason in part.counts})
    joined = Cohort(
        **whole,
        groups=_named([part.groups for part in shards]),
        apart=_named([part.apart for part in shards]),
        counts={reason: sum(part.counts.get(reason, 0) for part in shards) for reason in reasons},
    )
    known, days = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("known", "followed_days")
    )
    weighed = _weighed(joined, known, days, task.horizon_days)
    return replace(weighed, apart=_apart(weighed, task))


def _weighed(
    rows: Cohort, known: Bool[np.ndarray, " row"], days: Float[np.ndarray, " row"], horizon_days: float
) -> Cohort:
    """Keep the index times whose outcome is known, where it could be known; weigh them for the others."""
    weight, held = np.zeros(len(rows)), np.ones(len(rows), dtype=bool)
    unit = np.char.add(rows.split, rows.site) if len(rows) else rows.split
    for one in np.unique(unit):
        mine = unit == one
        era = eras(rows.subject[mine], rows.as_of[mine])
        weight[mine], held[mine] = weights(days[mine], known[mine], rows.weight[mine], era, horizon_days)
    times = np.divide(weight, rows.weight, out=np.ones_like(weight), where=(rows.weight > 0) & (weight > 0))
    lost = {"censored": int((held & ~known).sum()), "too late to follow": int((~held).sum())}
    return replace(rows, weight=weight, censoring=times, counts=rows.counts | lost).take(known & held)


def _named(parts: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in sorted(parts[0])}


def _apart(whole: Cohort, task: Task) -> dict[str, np.ndarray]:
    """Add thirds of what was recorded, and leave out what is the same for everybody."""
    found = dict(whole.apart)
    if task.apart.measured_days and (named := thirds(whole.records, whole.split == "train")) is not None:
        found["measured"] = named
    return {name: value for name, value in sorted(found.items()) if len(np.unique(value)) > 1}


def _of_shard(timelines: Timelines, number: int, task: Task, seed: int) -> _Part:
    packed, vocabulary = timelines.shards[number], timelines.vocabulary
    found = landmarks(packed, vocabulary, timelines.labels, task, seed)
    return _of_landmarks(timelines, number, task, found, seed)


def _of_landmarks(timelines: Timelines, number: int, task: Task, found: Landmarks, seed: int | None) -> _Part:
    """Find out what came of index times; without a seed all are kept."""
    packed, vocabulary = timelines.shards[number], timelines.vocabulary
    fate = fates(packed, vocabulary, found, task)
    if seed is None:
        kept, sampled = fate.at_risk, fate.at_risk.astype(np.float64)
    else:
        kept, sampled = drawn(packed, found, fate.at_risk, task, seed)
    index, days = found.index, task.apart.measured_days
    apart = apart_of(packed, vocabulary, index, task.apart) | _occurrence(fate, task)
    rows = Cohort(
        shard=np.full(len(index), number, dtype=np.int64),
        patient=index.patient,
        subject=np.asarray(packed.subject[index.patient]),
        as_of=index.as_of,
        label=fate.label,
        event_time=fate.event_time,
        weight=sampled,
        censoring=np.ones(len(index)),
        records=records_in(packed, index, days) if days else np.zeros(len(index), np.int64),
        split=timelines.split(number)[index.patient],
        site=timelines.site(number)[index.patient],
        groups=groups_of(packed, vocabulary, index, task.groups),
        apart=apart,
        counts={"not at risk": int((~fate.at_risk).sum())},
    )
    return _Part(rows.take(kept), fate.known[kept], fate.followed_days[kept])


def _occurrence(fate: Fates, task: Task) -> dict[str, np.ndarray]:
    """Tell a first record of the outcome from a later one, where a task asks about both."""
    if not isinstance(task.outcome, CodedOutcome) or task.occurrence != "any":
        return {}
    return {"occurrence": np.where(fate.had, "again", "first")}
