"""In: index rows of a batch. Out: what came next: the next routine moment, and the next results."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Int64

from residency.contract.packed import Packed
from residency.model.generative import Coming, Results
from residency.model.layout import Layout
from residency.model.outcomes import ABSENT, HOUR, Followed, Index, Targets, days_between, interval_of
from residency.model.queries import Queried
from residency.model.querying import First, bins_of, later_of, sets_of
from residency.model.routine import Routine, lead_of, present_in, slots_of
from residency.timeline import Vocabulary, moment_of_event
from residency.timeline.segments import ranges

RESULTS: Final = 128  # at most, that are learned from in a batch


def valued_codes(vocabulary: Vocabulary) -> Int64[np.ndarray, " valued"]:
    """Give the codes whose train values are known."""
    return np.flatnonzero(np.diff(vocabulary.knot_offset) > 0).astype(np.int64)


@dataclass(frozen=True)
class Watch:
    """Finds what came next.

    Attributes:
        vocabulary: ranks of values.
        layout: places in the panel.
        targets: with hazards.
        slot: of each code of the vocabulary among the routine ones.
        n_routine: how many there are.
        valued: place of each code among those with values.
    """

    vocabulary: Vocabulary
    layout: Layout
    targets: Targets
    slot: Int64[np.ndarray, " code"]
    n_routine: int
    valued: Int64[np.ndarray, " code"]

    @classmethod
    def of(cls, vocabulary: Vocabulary, layout: Layout, targets: Targets, routine: Routine) -> "Watch":
        """Put together what is looked for."""
        n = len(vocabulary)
        valued = slots_of(valued_codes(vocabulary), n)
        return cls(vocabulary, layout, targets, slots_of(routine.code, n), len(routine.code), valued)

    def look(self, packed: Packed, followed: Followed, rng: np.random.Generator) -> tuple[Coming, Queried]:
        """Give what came after some instants, and what that tells of sets and of thresholds.

        Args:
            packed: the timelines.
            followed: the instants, and the next occurrences of the targets.
            rng: which results are looked at, where there are many.
        """
        moment, wait = self._next(packed, followed.index)
        row = np.flatnonzero(wait <= followed.index.follow_up)
        edges = self.targets.edges
        days = days_between(0, np.minimum(wait, followed.index.follow_up), edges)
        present = present_in(packed, moment[row], self.slot, self.n_routine)
        tensor = torch.from_numpy
        first = self._first(packed, followed, rng)
        results = self._results(packed, followed, first)
        coming = Coming(
            at=tensor(row),
            interval=tensor(interval_of(wait[row], edges)),
            days=tensor(days),
            hours=tensor((wait[row] / HOUR).astype(np.float32)),
            present=tensor(present),
            lead=tensor(lead_of(present)),
            measured=results,
        )
        own = rng.spawn(1)[0]  # what else is drawn from `rng` stays what it is
        sets = sets_of(packed, followed, self.targets, own)
        return coming, Queried(
            sets, later_of(packed, followed, (first, results, self.vocabulary), edges, own)
        )

    def _next(
        self, packed: Packed, index: Index
    ) -> tuple[Int64[np.ndarray, " index"], Int64[np.ndarray, " index"]]:
        """Give the next routine moment after each instant, and the wait; a wait for ever where none comes."""
        holds = np.zeros(packed.n_moments, bool)
        holds[moment_of_event(packed)[self.slot[np.asarray(packed.event_code)] >= 0]] = True
        moments = np.flatnonzero(holds)
        after = np.searchsorted(moments, index.moment, "right")
        found = np.append(moments, packed.n_moments)[after]
        there = found < packed.moment_offset[index.patient + 1]
        moment = np.where(there, found, 0)
        as_of = np.asarray(packed.moment_time[index.moment]) + index.elapsed
        wait = np.where(there, np.asarray(packed.moment_time[moment]) - as_of, np.iinfo(np.int64).max)
        return moment, wait

    def _first(self, packed: Packed, followed: Followed, rng: np.random.Generator) -> First:
        """Choose some of the next results of codes with values."""
        code = self.targets.code[followed.target]
        some = np.flatnonzero(np.where(code >= 0, self.valued[code], ABSENT) >= 0)
        if len(some) > RESULTS:
            some = np.sort(rng.choice(some, RESULTS, replace=False))
        event = _events(packed, _moments(packed, followed, some), code[some])
        some, event = some[event >= 0], event[event >= 0]  # an ancestor's value is none of its children's
        return First(some, event, code[some])

    def _results(self, packed: Packed, followed: Followed, first: First) -> Results:
        code, some = first.code, first.some
        rank = self.vocabulary.rank(code.astype(np.int32), np.asarray(packed.event_value[first.event]))
        tensor = torch.from_numpy
        return Results(
            row=tensor(followed.row[some]),
            hours=tensor((followed.wait[some] / HOUR).astype(np.float32)),
            code=tensor(self.valued[code]),
            slot=tensor(self.layout.slot[code]),
            what=tensor(bins_of(rank)),
        )


def _moments(packed: Packed, followed: Followed, some: Int64[np.ndarray, " some"]) -> np.ndarray:
    """Give the moments of some of the next occurrences."""
    index, row = followed.index, followed.row[some]
    as_of = np.asarray(packed.moment_time[index.moment[row]]) + index.elapsed[row]
    at = followed.found.around(index.patient[row], followed.target[some], as_of).following
    moment: np.ndarray = followed.found.moment[at]
    return moment


def _events(packed: Packed, moment: np.ndarray, code: np.ndarray) -> Int64[np.ndarray, " some"]:
    """Give the last event with a code in each moment; −1 where there is none."""
    begin = packed.event_offset[moment]
    count = packed.event_offset[moment + 1] - begin
    owner, event = np.repeat(np.arange(len(moment)), count), ranges(begin, count)
    mine = np.asarray(packed.event_code[event]) == code[owner]
    result = np.full(len(moment), ABSENT, np.int64)
    result[owner[mine]] = event[mine]  # the last of equal rows stays
    return result
