"""In: windows of timelines. Out: instants in them, to learn from and to calibrate by.

Nothing that comes after an instant has a say in whether it is drawn. Were instants shared out by patient or
by window, those of a patient who soon dies, or whose moments soon crowd, would be drawn more often, or weigh
more, than those of another with the same record, and what comes soon would be learned too likely (an
immortal-time bias: Suissa, 2008).

Half follow moments, the less densely the more of them the patient has behind them, for instants of one
patient repeat each other; half lie evenly over time, as they are asked who come back after long silence.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from residency.contract.packed import DAY, STATIC, Packed
from residency.model.inputs import Windows, whole
from residency.model.outcomes import Index, observed
from residency.timeline import Timelines
from residency.timeline.segments import search

_MANY: Final = 64.0  # moments behind a patient at which those to come are drawn half as densely
_ROWS_PER_INDEX: Final = 8
_LEAST: Final = 4.0  # instants of a patient, in the mean
_MINUTE: Final = DAY // 1440
_LONGEST: Final = 525_960  # minutes from a moment to an instant drawn after it


@dataclass(frozen=True)
class Density:
    """How densely instants are drawn, in the mean.

    Attributes:
        after: for each moment of a patient who has none behind them.
        over: for each day.
    """

    after: float
    over: float

    @classmethod
    def of(cls, data: Timelines, each: float | None = None) -> "Density":
        """Draw so many instants of a train patient in the mean, as many after moments as over time.

        Args:
            data: the timelines.
            each: instants; where None, one of eight moments, and four or more.
        """
        n_patients, n_moments, moments, days = 0, 0, 0.0, 0.0
        for shard, packed in enumerate(data.shards):
            windows = _read(packed, np.flatnonzero(data.split(shard) == "train"))
            n_patients += len(windows.patient)
            n_moments += int((windows.high - windows.low).sum())
            moments += float(np.diff(_moments(packed, windows), axis=0).sum())
            days += float(np.diff(_times(packed, windows), axis=0).sum()) / DAY
        wanted = max(_LEAST * n_patients, n_moments / _ROWS_PER_INDEX) if each is None else each * n_patients
        return cls(wanted / 2 / max(moments, 1.0), wanted / 2 / max(days, 1.0))

    def draw(self, packed: Packed, windows: Windows, rng: np.random.Generator) -> Index:
        """Draw instants of windows, rising by moment: those at which the patient was observed and alive."""
        drawn = after_moments(packed, windows, self.after, rng), over_time(packed, windows, self.over, rng)
        both = [np.concatenate(pair) for pair in zip(*(vars(one).values() for one in drawn), strict=True)]
        return Index(*both).take(np.argsort(both[1], kind="stable"))

    def draw_whole(self, packed: Packed, rng: np.random.Generator) -> Index:
        """Draw instants of every patient's whole record."""
        return self.draw(packed, _read(packed, np.arange(packed.n_patients)), rng)


def after_moments(packed: Packed, windows: Windows, density: float, rng: np.random.Generator) -> Index:
    """Draw instants after moments: half at once, half some time later, if nothing new came until then.

    Args:
        packed: the timelines.
        windows: with dated moments.
        density: for each moment of a patient who has none behind them.
        rng: for moments and for the time after them.
    """
    begin, end = _moments(packed, windows)
    window, measure = _spread(begin, end, density, rng)
    low, high = windows.low[window], windows.high[window]
    patient = windows.patient[window]
    behind = np.floor(_MANY * np.expm1(measure / _MANY)).astype(np.int64)
    moment = np.clip(packed.moment_offset[patient] + 1 + behind, low, high - 1)
    at_once = rng.random(len(moment)) < 0.5
    # even in log(1 + minutes): most lie soon after the moment
    later = (np.expm1(rng.random(len(moment)) * np.log1p(_LONGEST)) * _MINUTE).astype(np.int64)
    elapsed = np.where(at_once, 0, later)
    last = moment + 1 >= packed.moment_offset[patient + 1]
    following = np.array(packed.moment_time[np.minimum(moment + 1, packed.n_moments - 1)])
    silent = last | (np.array(packed.moment_time[moment]) + elapsed < following)
    return observed(packed, patient[silent], moment[silent], elapsed[silent])


def over_time(packed: Packed, windows: Windows, density: float, rng: np.random.Generator) -> Index:
    """Draw instants evenly over the time of windows, as they are asked who come back after long silence.

    Drawn after moments alone, one in fifty would lie more than half a day after a moment: moments crowd in
    stays.

    Args:
        packed: the timelines.
        windows: with dated moments.
        density: for each day.
        rng: for the instants.
    """
    begin, end = _times(packed, windows)
    window, time = _spread(begin.astype(np.float64), end.astype(np.float64), density / DAY, rng)
    instant = np.clip(time.astype(np.int64), begin[window], end[window])
    bounds = windows.low[window], windows.high[window]
    moment = search(np.asarray(packed.moment_time), bounds, instant, "right") - 1
    elapsed = instant - np.array(packed.moment_time[moment])
    return observed(packed, windows.patient[window], moment, elapsed)


def _read(packed: Packed, patient: Int64[np.ndarray, " patient"]) -> Windows:
    """Give the whole records of patients who have a dated moment."""
    return whole(packed, patient[np.diff(packed.moment_offset)[patient] > 1])


def _spread(
    begin: Float64[np.ndarray, " segment"],
    end: Float64[np.ndarray, " segment"],
    density: float,
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, " point"], Float64[np.ndarray, " point"]]:
    """Draw a point from each of as many even parts of segments laid end to end; each with its segment."""
    ends = np.cumsum(end - begin)
    n_points = int(np.ceil(ends[-1] * density)) if len(ends) else 0
    point = (np.arange(n_points) + rng.random(n_points)) / density
    segment = np.searchsorted(ends, point, "right")
    inside = segment < len(ends)
    point, segment = point[inside], segment[inside]
    return segment, end[segment] - (ends[segment] - point)


def _moments(packed: Packed, windows: Windows) -> Float64[np.ndarray, "2 window"]:
    """Give where windows begin and end in moments, counted the less the more the patient has behind them."""
    first = packed.moment_offset[windows.patient] + 1
    behind = np.stack([windows.low - first, windows.high - first])
    result: np.ndarray = _MANY * np.log1p(behind / _MANY)
    return result


def _times(packed: Packed, windows: Windows) -> Int64[np.ndarray, "2 window"]:
    """Give when windows begin and end, µs: each lasts until the next one's first moment, or for good."""
    last = windows.high >= packed.moment_offset[windows.patient + 1]
    following = np.array(packed.moment_time[np.minimum(windows.high, packed.n_moments - 1)])
    begin = np.array(packed.moment_time[windows.low])
    end = np.where(last, _final_time(packed)[windows.patient], following)
    return np.stack([begin, np.maximum(begin, end)])


def _final_time(packed: Packed) -> Int64[np.ndarray, " patient"]:
    """Give the end of each patient's last observation, or their last moment where that is later."""
    last_moment = np.array(packed.moment_time[packed.moment_offset[1:] - 1])
    n = np.diff(packed.observation_offset)
    ends = np.full(packed.n_patients, STATIC, np.int64)
    ends[n > 0] = packed.observation_end[packed.observation_offset[1:][n > 0] - 1]
    final: np.ndarray = np.maximum(ends, last_moment)
    return final
