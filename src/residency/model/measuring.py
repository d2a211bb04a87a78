"""In: what the generative head says of a result. Out: its distribution if the test is done, in its unit."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from residency.model.generative import VALUE_BINS
from residency.timeline import Vocabulary

_DISCRETE: Final = 8  # knots at most: values that come alone, such as doses


@dataclass(frozen=True)
class Measured:
    """What a test would give if it were done, and gave a value.

    Attributes:
        code: of the test.
        unit: of its values.
        edges: values that bound the bins, never falling; tails beyond the outermost are not told apart.
        middle: a value inside each bin.
        share: chance of each bin.
    """

    code: str
    unit: str | None
    edges: Float32[np.ndarray, " bin_and_1"]
    middle: Float32[np.ndarray, " bin"]
    share: Float32[np.ndarray, "index bin"]

    def above(self, value: float) -> Float32[np.ndarray, " index"]:
        """Give the chance of a result above a value; even within a bin."""
        part = inside(self.edges, value, np.inf).astype(np.float32)
        result: np.ndarray = np.clip(self.share @ part, 0.0, 1.0)
        return result

    def quantile(self, level: float) -> Float32[np.ndarray, " index"]:
        """Give the value that results stay at or below with a chance of `level`."""
        upto = np.concatenate([np.zeros((len(self.share), 1)), np.cumsum(self.share, axis=1)], axis=1)
        found = [np.interp(level, row / row[-1], self.edges) for row in upto]
        return np.array(found, np.float32)


def values_at(
    vocabulary: Vocabulary, code: Int64[np.ndarray, " result"], place: Float64[np.ndarray, " result"]
) -> Float32[np.ndarray, " result"]:
    """Give values at places among the train values, spread as the network reads them (0 to 1).

    Example:
        The middle, 0.5, is the median.
    """
    result = np.empty(len(code), np.float32)
    level = (1.0 - np.cos(np.pi * place)) / 2
    for one in np.unique(code):
        mine = code == one
        held = slice(vocabulary.knot_offset[one], vocabulary.knot_offset[one + 1])
        knots, levels = vocabulary.knots[held], vocabulary.levels[held]
        found = np.interp(level[mine], levels, knots)
        if len(knots) <= _DISCRETE:
            found = knots[np.abs(found[:, None] - knots).argmin(axis=1)]
        result[mine] = found
    return result


def inside(
    edges: Float32[np.ndarray, " bin_and_1"], above: float, below: float
) -> Float64[np.ndarray, " bin"]:
    """Give the part of each bin that lies above one value and below another; even within a bin.

    Example:
        >>> inside(np.array([0, 2, 2, 4], np.float32), 1.0, 3.0).tolist()
        [0.5, 1.0, 0.5]
    """
    low, high = edges[:-1].astype(np.float64), edges[1:].astype(np.float64)
    covered = np.clip(np.minimum(high, below) - np.maximum(low, above), 0.0, None)
    whole = (above < low) & (high < below)
    part: np.ndarray = np.where(whole, 1.0, np.minimum(covered / np.maximum(high - low, 1e-30), 1.0))
    return part


def edges_of(vocabulary: Vocabulary, code: int) -> Float32[np.ndarray, " place"]:
    """Give the values that bound the bins of a code, and in between those in the middle of each."""
    place = np.arange(2 * VALUE_BINS + 1) / (2 * VALUE_BINS)
    return values_at(vocabulary, np.full(len(place), code, np.int64), place)


def measured_of(vocabulary: Vocabulary, code: int, share: Float32[np.ndarray, "index bin"]) -> Measured:
    """Put a distribution over bins into the unit of a code."""
    value = edges_of(vocabulary, code)
    return Measured(vocabulary.codes[code], vocabulary.units[code], value[::2], value[1::2], share)
