"""In: packed timelines and index times. Out: one row of plain features for each, for the baseline.

Every feature looks at moments up to the index time and no further. For each of the commonest codes: how often
so far and days since the last; where it has values the last and its change over the shortest window, else
how often in each window; and for the few codes with most values a patient, mean, lowest and highest of two
windows. Age, and the number of moments, come on top.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float32, Int64

from residency.contract.packed import DAY, Packed
from residency.model.panel import common
from residency.reasoning import Index
from residency.reasoning.index import NO_MOMENT, Place, place
from residency.reasoning.outcomes import Family
from residency.timeline import Timelines, Vocabulary, moment_of_event
from residency.validation.landmarks import age_years

DENSE_DAYS: Final = (0.25, 0.5, 1.0)  # windows where a patient has several moments a day
SPARSE_DAYS: Final = (90.0, 365.25, 1826.25)
N_DENSE: Final = 12  # codes with most values a patient

Kind = Literal["plain", "valued", "dense"]


@dataclass(frozen=True)
class Layout:
    """Which features there are; fitted on train patients.

    Attributes:
        codes: indices in the vocabulary; a code stands for those below it too.
        kinds: what is made of each.
        windows_days: rising.
    """

    codes: tuple[int, ...]
    kinds: tuple[Kind, ...]
    windows_days: tuple[float, ...]

    @property
    def n_features(self) -> int:
        """Columns of a row."""
        columns = {"plain": 2 + len(self.windows_days), "valued": 4, "dense": 10}
        return 2 + sum(columns[kind] for kind in self.kinds)


def windows_for(timelines: Timelines) -> tuple[float, ...]:
    """Choose windows by the train patients' density: hours where gaps are mostly under a day, else months."""
    gaps = []
    for number, packed in enumerate(timelines.shards):
        inner = _inner(packed)
        owner = np.searchsorted(packed.moment_offset, inner, "right") - 1
        gaps.append(np.diff(packed.moment_time)[inner[timelines.split(number)[owner] == "train"]])
    typical = float(np.median(np.concatenate(gaps))) if gaps and sum(map(len, gaps)) else float(DAY)
    return DENSE_DAYS if typical < DAY else SPARSE_DAYS


def _inner(packed: Packed) -> Int64[np.ndarray, " gap"]:
    """Gaps between two dated moments of one patient, as places in the differences of moment times."""
    inner = np.ones(packed.n_moments, dtype=bool)
    first = np.asarray(packed.moment_offset[:-1])
    inner[first] = False
    inner[np.minimum(first + 1, packed.n_moments - 1)] = False
    return np.flatnonzero(inner) - 1


def layout_of(vocabulary: Vocabulary, windows_days: tuple[float, ...], max_codes: int) -> Layout:
    """Take the codes that most train patients have."""
    chosen = common(vocabulary, max_codes).tolist()
    return Layout(tuple(chosen), _kinds(vocabulary, chosen), windows_days)


def _kinds(vocabulary: Vocabulary, codes: list[int]) -> tuple[Kind, ...]:
    valued = [code for code in codes if vocabulary.knot_offset[code + 1] > vocabulary.knot_offset[code]]
    often = sorted(valued, key=lambda code: (-vocabulary.n_events[code] / vocabulary.n_patients[code], code))
    dense = set(often[:N_DENSE])
    return tuple("dense" if code in dense else "valued" if code in valued else "plain" for code in codes)


@dataclass(frozen=True)
class _Reach:
    """Index times as moments: the patient's first, the last known, and the last before each window."""

    first: Int64[np.ndarray, " row"]
    now: Int64[np.ndarray, " row"]
    before: tuple[Int64[np.ndarray, " row"], ...]
    as_of: Int64[np.ndarray, " row"]


def features(
    packed: Packed, vocabulary: Vocabulary, layout: Layout, index: Index
) -> Float32[np.ndarray, "row feature"]:
    """Make the features of index times; NaN where there is nothing to say."""
    at = place(packed, index)
    reach = _reach(packed, layout, index, at)
    result = np.empty((layout.n_features, len(index)), dtype=np.float32)
    result[0] = age_years(packed, index)
    result[1] = at.n_moments
    moment, family = moment_of_event(packed), Family(vocabulary, ())
    spot = 2
    for code, kind in zip(layout.codes, layout.kinds, strict=True):
        events = np.flatnonzero(np.isin(packed.event_code, family.below(code)))
        made = _of_code(packed, _Course(moment[events], packed.event_value[events]), reach, kind)
        result[spot : spot + len(made)] = made
        spot += len(made)
    return result.T


def _reach(packed: Packed, layout: Layout, index: Index, at: Place) -> _Reach:
    first = np.asarray(packed.moment_offset[index.patient])
    before = []
    for days in layout.windows_days:
        earlier = place(packed, Index(index.patient, index.as_of - round(days * DAY))).moment
        before.append(np.where(earlier == NO_MOMENT, first - 1, earlier))
    return _Reach(first, np.where(at.known, at.moment, first - 1), tuple(before), index.as_of)


@dataclass(frozen=True)
class _Course:
    """All records of one code, in order."""

    moment: Int64[np.ndarray, " record"]
    value: Float32[np.ndarray, " record"]

    def upto(self, moment: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, " row"]:
        """How many records lie at or before each moment, of all patients."""
        return np.searchsorted(self.moment, moment, "right")

    def held(self) -> "_Course":
        """Give the records with a value."""
        some = np.isfinite(self.value)
        return _Course(self.moment[some], self.value[some])


def _of_code(packed: Packed, course: _Course, reach: _Reach, kind: Kind) -> list[np.ndarray]:
    begin, end = course.upto(reach.first - 1), course.upto(reach.now)
    last = course.moment[np.maximum(end - 1, 0)] if len(course.moment) else reach.first
    since = (reach.as_of - packed.moment_time[last]) / DAY
    dated = (end > begin) & (last > reach.first)
    made = [end - begin, np.where(dated, since, np.nan)]
    if kind == "plain":
        return [*made, *(end - course.upto(before) for before in reach.before)]
    return [*made, *_of_values(course.held(), reach, windows=2 if kind == "dense" else 0)]


def _of_values(course: _Course, reach: _Reach, windows: int) -> list[np.ndarray]:
    """Last value, its change over the shortest window, and mean, lowest and highest of some windows."""
    begin, end = course.upto(reach.first - 1), course.upto(reach.now)
    last = _value(course, end, begin)
    made = [last, last - _value(course, course.upto(reach.before[0]), begin)]
    total = np.concatenate(([0.0], np.cumsum(course.value, dtype=np.float64)))
    for before in reach.before[:windows]:
        start = np.maximum(course.upto(before), begin)
        mean = np.full(len(end), np.nan)
        np.divide(total[end] - total[start], end - start, out=mean, where=end > start)
        made += [mean, *(_extreme(course.value, start, end, sign) for sign in (-1, 1))]
    return made


def _value(
    course: _Course, end: Int64[np.ndarray, " row"], begin: Int64[np.ndarray, " row"]
) -> Float32[np.ndarray, " row"]:
    """Give the last value before `end`; NaN where the patient has none."""
    if not len(course.value):
        return np.full(len(end), np.nan, dtype=np.float32)
    return np.where(end > begin, course.value[np.maximum(end - 1, 0)], np.float32(np.nan))


def _extreme(
    value: Float32[np.ndarray, " record"],
    start: Int64[np.ndarray, " row"],
    end: Int64[np.ndarray, " row"],
    sign: int,
) -> Float32[np.ndarray, " row"]:
    """Give the highest (sign 1) or lowest (−1) of `value[start:end]`; NaN where it is empty.

    A sparse table: the best of each run of 2^k records, so that any range is the better of two runs.
    """
    length = end - start
    result = np.full(len(start), np.nan, dtype=np.float32)
    best = value * np.float32(sign)
    for level in range(int(length.max(initial=0)).bit_length()):
        run = 1 << level
        rows = np.flatnonzero((length >= run) & (length < 2 * run))
        result[rows] = sign * np.maximum(best[start[rows]], best[end[rows] - run])
        best = np.maximum(best[:-run], best[run:])
    return result
