"""In: patients and times to ask at. Out: the last moment known then, and the days since."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

from residency.contract.packed import DAY, STATIC, Packed
from residency.timeline.segments import search

NO_MOMENT: Final = -1


@dataclass(frozen=True)
class Index:
    """Who is asked about, and when.

    Attributes:
        patient: row of the patient in the packed timelines.
        as_of: only what was available by then is looked at; µs.
    """

    patient: Int64[np.ndarray, " index"]
    as_of: Int64[np.ndarray, " index"]

    def __len__(self) -> int:
        return len(self.patient)

    def take(self, rows: Bool[np.ndarray, " index"] | Int64[np.ndarray, " row"]) -> "Index":
        """Give some of the index times."""
        return Index(self.patient[rows], self.as_of[rows])


@dataclass(frozen=True)
class Place:
    """Where index times lie in the timelines.

    Attributes:
        moment: last moment available by then (a row of `Packed.moment_time`); `NO_MOMENT` where none.
        elapsed_days: from that moment to the index time; 0 where the moment has no time.
        n_moments: dated moments by then, the first (birth, static facts) apart.
    """

    moment: Int64[np.ndarray, " index"]
    elapsed_days: Float32[np.ndarray, " index"]
    n_moments: Int64[np.ndarray, " index"]

    def take(self, rows: Int64[np.ndarray, " row"]) -> "Place":
        """Give some of them."""
        return Place(self.moment[rows], self.elapsed_days[rows], self.n_moments[rows])

    @property
    def known(self) -> Bool[np.ndarray, " index"]:
        """Whether anything at all was available."""
        known: np.ndarray = self.moment != NO_MOMENT
        return known


def place(packed: Packed, index: Index) -> Place:
    """Find the last moment of each index time."""
    first, end = packed.moment_offset[index.patient], packed.moment_offset[index.patient + 1]
    after = search(packed.moment_time, (first, end), index.as_of, "right")
    some = (packed.event_offset[after] > packed.event_offset[first]) | (
        packed.attachment_offset[after] > packed.attachment_offset[first]
    )
    moment = np.where(some, after - 1, NO_MOMENT)
    time = packed.moment_time[np.maximum(moment, 0)] if packed.n_moments else np.zeros(len(index), np.int64)
    dated = some & (time != STATIC)
    elapsed = np.where(dated, index.as_of - np.where(dated, time, 0), 0) / DAY
    return Place(moment, elapsed.astype(np.float32), np.where(some, after - 1 - first, 0))
