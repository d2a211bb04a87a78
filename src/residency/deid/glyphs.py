"""In: a mask of one slice. Out: its connected pieces as boxes, and the lines of writing that they make."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

_LOWEST: Final = 5  # pixels that a letter is high, at least
_HIGHEST: Final = 0.12  # of the image
_TALLEST: Final = 160


@dataclass(frozen=True)
class Box:
    """Rows `top` up to, not including, `bottom`; columns likewise."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left


def pieces(
    mask: Bool[np.ndarray, "row column"],
) -> tuple[list[Box], Int64[np.ndarray, " piece"], Int64[np.ndarray, " piece"]]:
    """Give a mask's connected pieces (eight neighbours): boxes, numbers of pixels, and of runs along rows."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)
    end = np.nonzero(change == -1)[1]
    if not len(row):
        return [], np.zeros(0, np.int64), np.zeros(0, np.int64)
    group = _joined(row, start, end, mask.shape[1])
    number, place = np.unique(group, return_inverse=True)
    top, bottom = np.full(len(number), mask.shape[0]), np.zeros(len(number), np.int64)
    left, right = np.full(len(number), mask.shape[1]), np.zeros(len(number), np.int64)
    np.minimum.at(top, place, row)
    np.maximum.at(bottom, place, row + 1)
    np.minimum.at(left, place, start)
    np.maximum.at(right, place, end)
    size = np.bincount(place, weights=end - start).astype(np.int64)
    edges = zip(top.tolist(), bottom.tolist(), left.tolist(), right.tolist(), strict=True)
    return [Box(*edge) for edge in edges], size, np.bincount(place).astype(np.int64)


def _joined(
    row: Int64[np.ndarray, " run"],
    start: Int64[np.ndarray, " run"],
    end: Int64[np.ndarray, " run"],
    width: int,
) -> Int64[np.ndarray, " run"]:
    """Number runs so that those that touch, above or below, have one number."""
    key = row * (width + 2)
    first = np.searchsorted(key + end, key - (width + 2) + start, side="left")
    last = np.searchsorted(key + start, key - (width + 2) + end, side="right")
    n = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(row)), n)
    above = np.repeat(first, n) + np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    group = np.arange(len(row))
    while True:
        least = np.minimum(group[below], group[above])
        new = group.copy()
        np.minimum.at(new, group[below], least)
        np.minimum.at(new, group[above], least)
        while not np.array_equal(new, new[new]):
            new = new[new]
        if np.array_equal(new, group):
            return group
        group = new


def lines(mask: Bool[np.ndarray, "row column"], least: int, *, joined: bool = True) -> list[Box]:
    """Give the lines of writing in a mask.

    Args:
        mask: where the ink could be.
        least: how many letters a line has at least.
        joined: whether letters may touch.
    """
    boxes, size, runs = pieces(mask)
    tallest = min(_TALLEST, max(12, round(_HIGHEST * mask.shape[0])))
    letters = [
        (box, count)
        for box, n, n_runs in zip(boxes, size.tolist(), runs.tolist(), strict=True)
        if _LOWEST <= box.height <= tallest and (count := _letters(box, n, n_runs, joined=joined))
    ]
    count_of = dict(letters)
    ordered = sorted(count_of, key=lambda box: (box.left, box.top))
    return [
        _around(line)
        for line in _lined_up(ordered)
        if sum(count_of[box] for box in line) >= least and _is_even(line)
    ]


def _letters(box: Box, n: int, n_runs: int, *, joined: bool) -> int:
    """Say how many letters a piece holds: one, several that touch, or none."""
    if n < _LOWEST or n < 0.1 * box.height * box.width:
        return 0
    if box.width <= 2.5 * box.height + 4:
        return 1
    if not joined:
        return 0
    strokes = n_runs / box.height  # in a row: about one and a half a letter; an edge or a rib has one
    return (
        round(strokes / 1.5)
        if strokes >= 0.7 * box.width / box.height and n < 0.8 * box.height * box.width
        else 0
    )


def _lined_up(letters: list[Box]) -> list[list[Box]]:
    """Put letters into lines: each beside the one before, and about as high."""
    open_lines: list[list[Box]] = []
    for box in letters:
        best = None
        for line in open_lines:
            last = line[-1]
            tall = max(last.height, box.height, max(one.height for one in line[-3:]))
            gap = box.left - max(one.right for one in line[-3:])
            overlap = min(last.bottom, box.bottom) - max(last.top, box.top)
            alike = min(last.height, box.height) * 2.6 >= max(last.height, box.height)
            if -0.5 * tall <= gap <= 1.6 * tall and overlap >= 0.4 * min(last.height, box.height) and alike:
                best = line
                break
        if best is None:
            open_lines.append([box])
        else:
            best.append(box)
    return open_lines


def _is_even(line: list[Box]) -> bool:
    """Tell writing from specks: most letters stand on one line and are of like height."""
    height = float(np.median([box.height for box in line]))
    feet = np.array([box.bottom for box in line])
    heights = np.array([box.height for box in line])
    on_line = np.abs(feet - np.median(feet)) <= max(1.5, 0.22 * height)
    alike = np.abs(heights - height) <= max(1.5, 0.35 * height)
    return bool((on_line & alike).mean() >= 0.6)


def _around(line: list[Box]) -> Box:
    return Box(
        min(box.top for box in line),
        max(box.bottom for box in line),
        min(box.left for box in line),
        max(box.right for box in line),
    )
