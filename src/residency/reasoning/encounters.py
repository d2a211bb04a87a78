"""In: a chart. Out: one of its visits: what kind, from when to when."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int64

from residency.contract.errors import NotFoundError
from residency.contract.packed import DAY
from residency.reasoning.chart import Chart, Rows, day_of

_KINDS: Final = {"AMB": "an office visit", "EMER": "an emergency visit", "IMP": "a stay in hospital"}
_MARGIN: Final = DAY // 4  # results are taken a little before a contact begins, and come after it ended


@dataclass(frozen=True)
class Stay:
    """A visit of any kind; `row` is −1 where there is none."""

    row: int
    kind: str
    start: int
    end: int

    @property
    def says(self) -> str:
        """What kind it is, for a reader."""
        return _KINDS.get(self.kind, "a visit")

    @property
    def dates(self) -> str:
        """From when to when."""
        first, last = day_of(self.start), day_of(self.end)
        return f"on {first}" if first == last else f"from {first} to {last}"

    def holds(self, chart: Chart, rows: Rows) -> Int64[np.ndarray, " held"]:
        """Give those of some events that belong to it."""
        time = chart.time[rows]
        mine: Int64[np.ndarray, " held"] = rows[(time >= self.start - _MARGIN) & (time <= self.end + _MARGIN)]
        return mine


NO_VISIT: Final = Stay(-1, "", 0, -1)


def visit_of(chart: Chart, reference: str | None, *, stay: bool = False) -> Stay:
    """Find a visit.

    Args:
        chart: of the patient.
        reference: of the visit's record; None for the last one.
        stay: only stays in hospital count, where no reference is given.

    Raises:
        NotFoundError: no visit of that reference is on record.
    """
    rows = chart.visits
    if reference is not None:
        rows = np.array([row for row in rows.tolist() if chart.sources[row] == reference], np.int64)
        if not len(rows):
            raise NotFoundError("no such visit is on record at that time", where="visit")
    elif stay:
        rows = np.array([row for row in rows.tolist() if chart.named(row).name == "VISIT/IMP"], np.int64)
    if not len(rows):
        return NO_VISIT
    row = int(rows[-1])
    kind = chart.named(row).name.partition("/")[2]
    return Stay(row, kind, int(chart.time[row]), _end(chart, row, kind))


def _end(chart: Chart, row: int, kind: str) -> int:
    """Give when it ended: its end on record, else a day later or now."""
    start = int(chart.time[row])
    ends = chart.prefixed(f"VISIT_END/{kind}")
    later = sorted(int(one) for one in chart.time[ends] if one >= start)
    following = [int(one) for one in chart.time[chart.visits] if one > start]
    limit = min([*following, chart.as_of])
    return later[0] if later else min(start + DAY, limit)
