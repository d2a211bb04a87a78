"""In: index times of a task. Out: what came of each: the outcome or not, when, or not known."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from residency.contract.codes import DEATH
from residency.contract.errors import SpecError
from residency.contract.packed import DAY, UNKNOWN, Packed
from residency.reasoning.index import Place, place
from residency.reasoning.outcomes import Family
from residency.timeline import Vocabulary, moment_of_event
from residency.validation.landmarks import Landmarks, spans_of
from residency.validation.tasks import CodedOutcome, LabelledOutcome, Task

NEVER: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Fates:
    """What came of index times.

    Attributes:
        at_risk: the index time belongs to the task: washout kept, no outcome in the gap or under way.
        label: the outcome came within the horizon.
        had: the outcome was on record by the index time.
        known: `label` is known: the outcome or death came, or the patient was seen to the horizon.
        event_time: of the outcome, µs; `NEVER` where it did not come within the horizon.
        followed_days: to the outcome, death, the end of observation, or the horizon: whichever is first.
    """

    at_risk: Bool[np.ndarray, " index"]
    label: Bool[np.ndarray, " index"]
    had: Bool[np.ndarray, " index"]
    known: Bool[np.ndarray, " index"]
    event_time: Int64[np.ndarray, " index"]
    followed_days: Float[np.ndarray, " index"]


def fates(packed: Packed, vocabulary: Vocabulary, found: Landmarks, task: Task) -> Fates:
    """Find out what came of each index time."""
    if isinstance(task.outcome, LabelledOutcome):
        return _of_labels(packed, found, task.outcome, task.horizon_days)
    return _of_codes(packed, vocabulary, found, task, task.outcome)


def _of_labels(packed: Packed, found: Landmarks, outcome: LabelledOutcome, horizon_days: float) -> Fates:
    value = np.asarray(packed.label_value[found.label])
    label = value > 0.5
    rows = pl.DataFrame({"patient": found.index.patient, "time": np.where(label, found.index.as_of, NEVER)})
    first = rows.select(pl.col("time").min().over("patient")).to_numpy()[:, 0]
    onset = np.where(label, first + round(outcome.onset_after_days * DAY), NEVER)
    everybody = np.ones(len(label), dtype=bool)
    known, days = ~np.isnan(value), np.full(len(label), horizon_days)
    return Fates(everybody, label, np.zeros_like(label), known, onset, days)


@dataclass(frozen=True)
class _Records:
    """Moments that hold the outcome, rising, and when it happened (the last time, of several in a moment)."""

    moment: Int64[np.ndarray, " occurrence"]
    happened: Int64[np.ndarray, " occurrence"]

    def next(
        self, packed: Packed, at: Place, patient: Int64[np.ndarray, " index"]
    ) -> Int64[np.ndarray, " index"]:
        """Give the first of them after each place, of the same patient; −1 where there is none."""
        following = np.searchsorted(self.moment, at.moment, "right")
        held = np.append(self.moment, NEVER)[following]
        return np.where(held < packed.moment_offset[patient + 1], following, -1)

    def time(self, packed: Packed, which: Int64[np.ndarray, " index"]) -> Int64[np.ndarray, " index"]:
        """Give when it became known; `NEVER` for −1."""
        if not len(self.moment):
            return np.full(len(which), NEVER)
        return np.where(which >= 0, packed.moment_time[self.moment[np.maximum(which, 0)]], NEVER)


def _records(packed: Packed, vocabulary: Vocabulary, codes: tuple[str, ...]) -> _Records:
    family = Family(vocabulary, ())
    known = [vocabulary.index_of(code) for code in codes if vocabulary.index_of(code) != UNKNOWN]
    wanted = np.zeros(len(vocabulary), dtype=bool)
    for code in known:
        wanted[family.below(code)] = True
    events = np.flatnonzero(wanted[packed.event_code])
    moment = moment_of_event(packed)[events]
    distinct, first = np.unique(moment, return_index=True)
    happened = np.maximum.reduceat(packed.event_time[events], first) if len(events) else distinct
    return _Records(distinct, happened)


def _of_codes(
    packed: Packed, vocabulary: Vocabulary, found: Landmarks, task: Task, outcome: CodedOutcome
) -> Fates:
    if not any(vocabulary.index_of(code) for code in outcome.codes):
        raise SpecError(
            "no train patient has any of the outcome's codes", where=f"task {task.name}: outcome.codes"
        )
    index, at = found.index, place(packed, found.index)
    records = _records(packed, vocabulary, outcome.codes)
    coming = records.next(packed, at, index.patient)
    event = records.time(packed, coming)
    death = _records(packed, vocabulary, (DEATH,))
    died = death.time(packed, death.next(packed, at, index.patient))
    spans = spans_of(packed)
    seen_to = spans.end[np.maximum(spans.at(index), 0)] if len(spans.end) else index.as_of
    horizon = index.as_of + round(task.horizon_days * DAY)
    label = (event <= horizon) & (event <= seen_to) & (event <= died)
    ended = np.minimum(np.minimum(event, died), np.minimum(seen_to, horizon))
    alive = ~_dead(packed, death, at, index.patient)
    last = np.searchsorted(records.moment, at.moment, "right")
    return Fates(
        had=last > np.searchsorted(records.moment, packed.moment_offset[index.patient]),
        at_risk=alive
        & _clear(packed, records, coming, found, task)
        & (event > index.as_of + round(task.gap_days * DAY)),
        label=label,
        known=label | (died <= np.minimum(horizon, seen_to)) | (seen_to >= horizon),
        event_time=np.where(label, event, NEVER),
        followed_days=(ended - index.as_of) / DAY,
    )


def _dead(
    packed: Packed, death: _Records, at: Place, patient: Int64[np.ndarray, " index"]
) -> Bool[np.ndarray, " index"]:
    first = packed.moment_offset[patient]
    dead: np.ndarray = np.searchsorted(death.moment, at.moment, "right") > np.searchsorted(
        death.moment, first
    )
    return dead


def _clear(
    packed: Packed, records: _Records, coming: Int64[np.ndarray, " index"], found: Landmarks, task: Task
) -> Bool[np.ndarray, " index"]:
    """Whether the occurrence that the task asks about can still come.

    An outcome that happened by the index time and was not yet on record then is undiagnosed: the business of
    a differential, not of a forecast.
    """
    index = found.index
    first = np.searchsorted(records.moment, packed.moment_offset[index.patient])
    last = np.searchsorted(records.moment, place(packed, index).moment, "right") - 1
    had = last >= first
    if task.occurrence == "incident" and task.population.washout_days is not None and len(records.moment):
        since = index.as_of - packed.moment_time[records.moment[np.maximum(last, 0)]]
        had &= since <= task.population.washout_days * DAY
    undiagnosed = (
        (coming >= 0) & (records.happened[np.maximum(coming, 0)] <= index.as_of)
        if len(records.moment)
        else had
    )
    right = {"incident": ~had, "recurrent": had, "any": np.ones_like(had)}[task.occurrence]
    clear: np.ndarray = right & ~undiagnosed
    return clear
