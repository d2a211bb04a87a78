"""In: tables of one shard after another. Out: files that survive a kill, and any range's rows."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

SHARD_EVENTS: Final = 2_000_000
_ROW_GROUP: Final = 65_536  # small, so that a range is picked out without reading the rest


@dataclass(frozen=True)
class Range:
    """Patients from `low` up to, not including, `high`."""

    key: str
    low: int
    high: int


@dataclass(frozen=True)
class Spool:
    """Spooled tables; each shard's appear whole or not at all."""

    folder: Path

    def _place(self, folder: str, place: int) -> Path:
        return self.folder / folder.replace("/", "~") / f"{place:06d}"

    def has(self, folder: str, place: int) -> bool:
        """Tell whether a shard was spooled."""
        return self._place(folder, place).is_dir()

    def write(self, folder: str, place: int, tables: dict[str, pl.DataFrame], counts: dict[str, Any]) -> None:
        """Spool the tables of one shard."""

        def fill(making: Path) -> dict[str, Any]:
            for name, table in tables.items():
                table.write_parquet(making / f"{name}.parquet", row_group_size=_ROW_GROUP)
            return counts

        self.fill(folder, place, fill)

    def fill(self, folder: str, place: int, fill: Callable[[Path], dict[str, Any]]) -> None:
        """Spool what a function writes into the folder it is given; it returns the counts."""
        final = self._place(folder, place)
        making = final.with_suffix(".tmp")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        (making / "counts.json").write_bytes(msgspec.json.encode(fill(making)))
        making.rename(final)

    def files(self, folder: str, name: str) -> list[Path]:
        """List one table of all shards."""
        return sorted(self._place(folder, 0).parent.glob(f"*[0-9]/{name}.parquet"))

    def tables(self, folder: str, name: str) -> list[pl.DataFrame]:
        """Read one table of all shards."""
        return [pl.read_parquet(path) for path in self.files(folder, name)]

    def counts(self) -> list[dict[str, Any]]:
        """Read the counts of everything spooled."""
        return [
            msgspec.json.decode(path.read_bytes())
            for path in sorted(self.folder.glob("*/*[0-9]/counts.json"))
        ]


def ranges(files: list[Path]) -> list[Range]:
    """Cut the patients of all files into ranges of about two million rows."""
    if not files:
        return []
    counted = pl.scan_parquet(files).group_by("subject_id").len().collect().sort("subject_id")
    shard = (counted["len"].cum_sum().to_numpy().astype(np.int64) - 1) // SHARD_EVENTS
    subject = counted["subject_id"].to_numpy()
    lows = [0, *(int(subject[at]) for at in np.flatnonzero(np.diff(shard)) + 1)]
    highs = [*lows[1:], int(np.iinfo(np.int64).max)]
    return [
        Range(f"{place:05d}", low, high) for place, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]


def rows_between(files: list[Path], part: Range) -> pl.LazyFrame:
    """Give the rows of a range of patients from all files."""
    return pl.scan_parquet(files).filter(pl.col("subject_id").is_between(part.low, part.high, closed="left"))
