"""In: spooled chunks. Out: any range of patients from all of them, and what they know together."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from residency.records.draft import Ints
from residency.records.spool import BATCH_ROWS, Counts


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


@dataclass(frozen=True)
class Run:
    """Rows of one table, sorted by patient, on disk.

    Attributes:
        path: the file.
        chunk: the chunk it belongs to.
        subject: patients in it, ascending.
        offset: first row of each, and the number of rows at the end.
        weight: how heavy each one's rows are: bytes of notes, else their number.
    """

    path: Path
    chunk: int
    subject: Ints
    offset: Ints
    weight: Ints

    @classmethod
    def open(cls, path: Path, chunk: int) -> "Run":
        """Open a run that was written whole."""
        patients = _read(path.with_suffix(".patients"))
        n = patients.column("n").to_numpy()
        offset = np.concatenate([[0], np.cumsum(n)])
        subject, weight = (patients.column(name).to_numpy() for name in ("subject_id", "weight"))
        return cls(path, chunk, subject, offset, weight)

    def between(self, low: int, high: int) -> pa.Table:
        """Give the rows of patients from `low` to `high`, both included."""
        start = int(self.offset[np.searchsorted(self.subject, low)])
        stop = int(self.offset[np.searchsorted(self.subject, high, side="right")])
        with pa.memory_map(str(self.path)) as source:
            reader = pa.ipc.open_file(source)
            if stop <= start:
                return reader.schema.empty_table()
            first, last = start // BATCH_ROWS, (stop - 1) // BATCH_ROWS
            table = pa.Table.from_batches([reader.get_batch(i) for i in range(first, last + 1)])
        return table.slice(start - first * BATCH_ROWS, stop - start)

    def sites(self, names: list[str]) -> pl.DataFrame:
        """Give how many rows each patient has at each site, by name.

        Args:
            names: of the chunk's sites, for tables that hold their numbers.
        """
        frame = pl.DataFrame(pl.from_arrow(_read(self.path.with_suffix(".sites"))))
        name = pl.col("site")
        if frame.schema["site"].is_integer():
            name = name.replace_strict(dict(enumerate(names)), return_dtype=pl.String)
        return frame.select("subject_id", pl.col("n").cast(pl.Int64), name=name)


@dataclass(frozen=True)
class Chunks:
    """All spooled chunks of a step."""

    folders: tuple[Path, ...]

    def runs(self, table: str) -> tuple[Run, ...]:
        """Open every run of a table, in the order of the chunks."""
        return tuple(
            Run.open(path, number)
            for number, folder in enumerate(self.folders)
            for path in sorted(folder.glob(f"{table}-*.run"))
        )

    def tasks(self) -> tuple[str, ...]:
        """Name the labels."""
        return tuple(
            sorted(
                {
                    path.name.removeprefix("labels~")[:-10]
                    for f in self.folders
                    for path in f.glob("labels~*.run")
                }
            )
        )

    def each(self, name: str) -> list[pa.Table]:
        """Read a small table of every chunk that has it."""
        return [_read(path) for folder in self.folders if (path := folder / f"{name}.arrow").is_file()]

    def table(self, name: str) -> pa.Table | None:
        """Put a small table of all chunks together; None where none has it."""
        found = self.each(name)
        return pa.concat_tables(found) if found else None

    def sites(self) -> list[list[str]]:
        """Name the sites of each chunk, in its own order."""
        return [table.column("site").to_pylist() for table in self.each("sites")]

    def counts(self) -> Counts:
        """Add up what was counted."""
        total, dropped = Counts(), Counter[str]()
        for folder in self.folders:
            one = msgspec.json.decode((folder / "counts.json").read_bytes(), type=Counts)
            total.kept += one.kept
            total.bad += one.bad
            total.first_bad = total.first_bad or one.first_bad
            dropped.update(one.dropped)
            for site, moment in one.latest.items():
                total.latest[site] = max(moment, total.latest.get(site, moment))
        total.dropped = dict(sorted(dropped.items()))
        return total
