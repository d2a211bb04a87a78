"""In: packed timelines, and the targets that each code counts for. Out: when each patient had each target."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from residency.contract.packed import Packed
from residency.timeline.events import moment_of_event, patient_of_moment
from residency.timeline.segments import offsets, ranges, search


class Around(NamedTuple):
    """The occurrences around an instant, as rows of `Occurrences`; −1 where there is none."""

    previous: Int64[np.ndarray, " query"]
    following: Int64[np.ndarray, " query"]


@dataclass(frozen=True)
class Occurrences:
    """When patients had targets: each (patient, target, moment) once, in that order.

    Attributes:
        target: the target.
        patient: row of the patient.
        moment: row in `Packed.moment_time`.
        time: of the moment, µs (when it became known).
        previous: the patient's moment with the same target just before; −1 where none.
        pair: patient × n_targets + target of each patient and target that occur together, rising.
        pair_offset: where the occurrences of each such pair lie.
        n_targets: how many targets there are.
    """

    target: Int32[np.ndarray, " occurrence"]
    patient: Int64[np.ndarray, " occurrence"]
    moment: Int64[np.ndarray, " occurrence"]
    time: Int64[np.ndarray, " occurrence"]
    previous: Int64[np.ndarray, " occurrence"]
    pair: Int64[np.ndarray, " pair"]
    pair_offset: Int64[np.ndarray, " pair_and_1"]
    n_targets: int

    def __len__(self) -> int:
        return len(self.target)

    def around(
        self,
        patient: Int64[np.ndarray, " query"],
        target: Int32[np.ndarray, " query"] | Int64[np.ndarray, " query"],
        as_of: Int64[np.ndarray, " query"],
    ) -> Around:
        """Find the last occurrence known at `as_of`, and the first one after it.

        Args:
            patient: rows of patients.
            target: the target asked about.
            as_of: µs.
        """
        pair = patient.astype(np.int64) * self.n_targets + target
        at = np.searchsorted(self.pair, pair)
        found = np.append(self.pair, -1)[at] == pair
        at = np.where(found, at, 0)
        begin = np.where(found, self.pair_offset[at], 0)
        end = np.where(found, self.pair_offset[np.minimum(at + 1, len(self.pair))], 0)
        after = search(self.time, (begin, end), as_of, "right")
        return Around(np.where(after > begin, after - 1, -1), np.where(after < end, after, -1))


def occurrences(
    packed: Packed,
    target_offset: Int64[np.ndarray, " code_and_1"],
    target_index: Int32[np.ndarray, " link"],
    n_targets: int,
) -> Occurrences:
    """Find every occurrence of every target.

    Args:
        packed: the timelines.
        target_offset: where the targets of each code of the vocabulary begin.
        target_index: the targets that a code counts for (itself and ancestors, where they are targets).
        n_targets: how many targets there are.
    """
    code = np.asarray(packed.event_code)
    n_links = np.diff(target_offset)[code]
    events = np.flatnonzero(n_links)
    links = ranges(target_offset[code[events]], n_links[events])
    moment = np.repeat(moment_of_event(packed)[events], n_links[events])
    patient = patient_of_moment(packed)[moment]
    pair = patient * n_targets + target_index[links]
    longest = int(np.diff(packed.moment_offset).max(initial=0)) + 1
    keys = np.unique(pair * longest + (moment - packed.moment_offset[patient]))
    pair, place = keys // longest, keys % longest
    patient = pair // n_targets
    moment = packed.moment_offset[patient] + place
    same = np.append(False, pair[1:] == pair[:-1])[: len(pair)]
    distinct, n_each = np.unique(pair, return_counts=True)
    return Occurrences(
        target=(pair % n_targets).astype(np.int32),
        patient=patient,
        moment=moment,
        time=np.asarray(packed.moment_time[moment]),
        previous=np.where(same, np.roll(moment, 1), -1),
        pair=distinct,
        pair_offset=offsets(n_each),
        n_targets=n_targets,
    )
