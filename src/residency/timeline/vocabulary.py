"""In: `vocabulary.parquet`, `values.parquet`. Out: indices of codes, their ancestors, and values as ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32, Int32, Int64

from residency.contract.codes import UNKNOWN_CODE, built_in_parents
from residency.contract.errors import LineageError
from residency.contract.packed import UNKNOWN
from residency.timeline.segments import offsets, search

VOCABULARY_FILE: Final = "vocabulary.parquet"
VALUES_FILE: Final = "values.parquet"

_VOCABULARY: Final = pl.Schema(
    {
        "index": pl.Int32(),
        "code": pl.String(),
        "description": pl.String(),
        "unit": pl.String(),
        "ancestors": pl.List(pl.Int32),
        "n_patients": pl.Int64(),
        "n_events": pl.Int64(),
        "also": pl.List(pl.String),
    }
)
_VALUES: Final = pl.Schema({"index": pl.Int32(), "knots": pl.List(pl.Float32), "levels": pl.List(pl.Float32)})


@dataclass(frozen=True)
class Reading:
    """How a code is read: as an index, and whether that is its own (then its value counts too)."""

    index: int
    exact: bool


@dataclass(frozen=True)
class Vocabulary:
    """The codes that a model knows, with what train patients tell of them.

    Attributes:
        codes: by index; index 0 is `UNKNOWN`.
        descriptions: of each code; empty where its source gave none.
        units: of each code's values; None where they have none.
        n_patients: train patients with the code or one below it.
        n_events: their events.
        ancestor_offset: where each code's ancestors begin.
        ancestor_index: ancestors, nearest first; never the code itself.
        knot_offset: where each code's quantile knots begin; none for a code without values.
        knots: values, rising within a code.
        levels: the share of train values at or below each knot, rising with it, in [0, 1].
        also: codes too rare for an index, and the index of the nearest ancestor that they are read as.
    """

    codes: tuple[str, ...]
    descriptions: tuple[str, ...]
    units: tuple[str | None, ...]
    n_patients: Int64[np.ndarray, " code"]
    n_events: Int64[np.ndarray, " code"]
    ancestor_offset: Int64[np.ndarray, " code_and_1"]
    ancestor_index: Int32[np.ndarray, " ancestor"]
    knot_offset: Int64[np.ndarray, " code_and_1"]
    knots: Float32[np.ndarray, " knot"]
    levels: Float32[np.ndarray, " knot"]
    also: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {code: index for index, code in enumerate(self.codes)}

    def index_of(self, code: str) -> int:
        """Give a code's own index; `UNKNOWN` (0) where it has none."""
        return self._index.get(code, UNKNOWN)

    def reading_of(self, code: str) -> Reading:
        """Give how a code is read: its own index, else that of its nearest known ancestor, else `UNKNOWN`."""
        if code in self._index:
            return Reading(self._index[code], code != UNKNOWN_CODE)
        if code in self.also:
            return Reading(self.also[code], False)
        above = built_in_parents(code)
        while above and above[0] not in self._index:
            above = built_in_parents(above[0])
        return Reading(self._index[above[0]] if above else UNKNOWN, False)

    def ancestors_of(self, index: int) -> Int32[np.ndarray, " ancestor"]:
        """Give the indices of a code's ancestors, nearest first."""
        return self.ancestor_index[self.ancestor_offset[index] : self.ancestor_offset[index + 1]]

    def rank(
        self, event_code: Int32[np.ndarray, " event"], event_value: Float32[np.ndarray, " event"]
    ) -> Float32[np.ndarray, " event"]:
        """Give where values lie among the train values of their code.

        Returns:
            0 to 1, linear between knots, level outside; NaN where there is no value or its code has no knots.
        """
        result = np.full(len(event_value), np.nan, np.float32)
        begin, end = self.knot_offset[event_code], self.knot_offset[event_code + 1]
        rows = np.flatnonzero(np.isfinite(event_value) & (end > begin))
        if len(rows) == 0:
            return result
        begin, end, value = begin[rows], end[rows], event_value[rows]
        above = search(self.knots, (begin, end), value, "right")
        low, high = np.maximum(above - 1, begin), np.minimum(above, end - 1)
        width = self.knots[high] - self.knots[low]
        share = np.divide(value - self.knots[low], width, out=np.zeros_like(value), where=width > 0)
        share = np.clip(share, 0.0, 1.0)
        result[rows] = self.levels[low] + share * (self.levels[high] - self.levels[low])
        return result

    @classmethod
    def open(cls, folder: Path) -> "Vocabulary":
        """Read the two files of a folder.

        Raises:
            LineageError: a file is missing or is not what it should be.
        """
        try:
            rows = pl.read_parquet(folder / VOCABULARY_FILE).select(_VOCABULARY.names()).cast(_VOCABULARY)
            values = pl.read_parquet(folder / VALUES_FILE).select(_VALUES.names()).cast(_VALUES)
        except (OSError, pl.exceptions.PolarsError):
            raise LineageError("the vocabulary is missing or cannot be read", where=str(folder)) from None
        per_code = rows.select("index").join(values, on="index", how="left", maintain_order="left")
        ancestor_offset, ancestor_index = _flat(rows["ancestors"])
        knot_offset, knots = _flat(per_code["knots"])
        _, levels = _flat(per_code["levels"])
        also = rows.select("index", "also").explode("also").drop_nulls()
        return cls(
            codes=tuple(rows["code"]),
            descriptions=tuple(rows["description"].fill_null("")),
            units=tuple(rows["unit"]),
            n_patients=rows["n_patients"].to_numpy(),
            n_events=rows["n_events"].to_numpy(),
            ancestor_offset=ancestor_offset,
            ancestor_index=ancestor_index,
            knot_offset=knot_offset,
            knots=knots,
            levels=levels,
            also=dict(zip(also["also"], also["index"], strict=True)),
        )

    def write_codes(self, path: Path) -> int:
        """Write `vocabulary.parquet`; give its rows."""
        also: dict[int, list[str]] = {}
        for code, index in sorted(self.also.items()):
            also.setdefault(index, []).append(code)
        rows = pl.DataFrame(
            {
                "index": np.arange(len(self), dtype=np.int32),
                "code": self.codes,
                "description": self.descriptions,
                "unit": self.units,
                "ancestors": [self.ancestors_of(index).tolist() for index in range(len(self))],
                "n_patients": self.n_patients,
                "n_events": self.n_events,
                "also": [also.get(index, []) for index in range(len(self))],
            },
            schema=_VOCABULARY,
        )
        rows.write_parquet(path, compression="zstd")
        return len(rows)

    def write_values(self, path: Path) -> int:
        """Write `values.parquet`; give its rows."""
        begin, end = self.knot_offset[:-1], self.knot_offset[1:]
        held = [int(index) for index in np.flatnonzero(end > begin)]
        rows = pl.DataFrame(
            {
                "index": held,
                "knots": [self.knots[begin[i] : end[i]].tolist() for i in held],
                "levels": [self.levels[begin[i] : end[i]].tolist() for i in held],
            },
            schema=_VALUES,
        )
        rows.write_parquet(path, compression="zstd")
        return len(rows)

    def write(self, folder: Path) -> None:
        """Write the two files that `open` reads."""
        self.write_codes(folder / VOCABULARY_FILE)
        self.write_values(folder / VALUES_FILE)


def _flat(lists: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Give lists as offsets and items; a null list is an empty one."""
    length = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    items = lists.explode(empty_as_null=False, keep_nulls=False).to_numpy()
    return offsets(length), items
