"""In: a vocabulary, and the codes of a panel. Out: where codes and values lie in the embedding table."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int64

from residency.timeline import Vocabulary
from residency.timeline.segments import ranges

KNOTS: Final = 17


@dataclass(frozen=True)
class Layout:
    """Where codes and values lie in the embedding table: a row a code, then a row a knot of valued codes.

    Attributes:
        value_row: first knot's row of each code; -1 for a code without values.
        slot: place of each code in the panel; -1 outside it.
        n_rows: of the table.
        panel: codes of the panel, those with values first.
        n_valued: of them with values.
        place_offset: where the places that each code's events have in the panel begin.
        place: its own, and those of the codes without values above it.
    """

    value_row: Int64[np.ndarray, " code"]
    slot: Int64[np.ndarray, " code"]
    n_rows: int
    panel: Int64[np.ndarray, " panel"]
    n_valued: int
    place_offset: Int64[np.ndarray, " code_and_1"]
    place: Int64[np.ndarray, " place"]

    @property
    def size(self) -> tuple[int, int]:
        """Codes of the panel, and how many of them have values."""
        return len(self.panel), self.n_valued

    def places(
        self, code: Int64[np.ndarray, " event"]
    ) -> tuple[Int64[np.ndarray, " held"], Int64[np.ndarray, " held"]]:
        """Give the places of events in the panel: which event, and where; an event may have several."""
        begin = self.place_offset[code]
        count = self.place_offset[code + 1] - begin
        return np.repeat(np.arange(len(code)), count), self.place[ranges(begin, count)]


def layout(vocabulary: Vocabulary, panel: Int64[np.ndarray, " panel"]) -> Layout:
    """Lay out the embedding table of a vocabulary, and a panel of some of its codes."""
    valued = np.diff(vocabulary.knot_offset) > 0
    panel = panel[np.argsort(~valued[panel], kind="stable")]
    n_codes = len(vocabulary)
    row = np.where(valued, n_codes + KNOTS * (np.cumsum(valued) - 1), -1).astype(np.int64)
    slot = np.full(n_codes, -1, np.int64)
    slot[panel] = np.arange(len(panel))
    offset, kin = vocabulary.ancestor_offset, vocabulary.ancestor_index.astype(np.int64)
    owner = np.repeat(np.arange(n_codes), np.diff(offset))
    above = (slot[kin] >= 0) & ~valued[kin]
    code = np.concatenate([np.flatnonzero(slot >= 0), owner[above]])
    order = np.argsort(code, kind="stable")
    place = np.concatenate([slot[slot >= 0], slot[kin[above]]])[order]
    place_offset = np.searchsorted(code[order], np.arange(n_codes + 1))
    n_rows = n_codes + KNOTS * int(valued.sum())
    return Layout(row, slot, n_rows, panel, int(valued[panel].sum()), place_offset, place)
