"""In: rows and drops as a source gives them. Out: sorted runs on disk, and what was counted.

A chunk of the input becomes one folder, written beside and renamed when whole. Within it, events lie in runs
of about a million, sorted by patient, so memory does not grow with the chunk; later a range of patients is
picked out of every run.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from residency.contract.errors import SchemaError
from residency.contract.plugins import Dropped, Rows
from residency.contract.schema import CODES, EVENTS, IDENTIFIERS, LABELS, NOTES, OBSERVATION, VARIANTS
from residency.records.draft import DECLARED, LINKS, SLICES, Ints
from residency.records.frames import FrameWriter, Place

RUN_EVENTS: Final = 1_000_000
RUN_BYTES: Final = 64 << 20
BATCH_ROWS: Final = 1 << 16
NO_VALUE: Final = "\x00"
"""The unit of a row without a number, where a number without a unit has none."""


class Counts(msgspec.Struct):
    """What a chunk held.

    Attributes:
        kept: source rows that something came from.
        dropped: source rows left out, by reason.
        bad: how many of the dropped held what cannot be, and where the first stood.
        latest: the last time seen, by site, in microseconds.
    """

    kept: int = 0
    dropped: dict[str, int] = {}
    bad: int = 0
    first_bad: str = ""
    latest: dict[str, int] = {}

    @property
    def read(self) -> int:
        """Source rows read."""
        return self.kept + sum(self.dropped.values())

    def told(self) -> str:
        """Say what was read and left out, for an error."""
        reasons = ", ".join(f"{reason}: {n}" for reason, n in self.dropped.items())
        return f"{self.read} rows read; left out: {reasons or 'none'}"


class _Names:
    """Numbers for names, in the order of meeting."""

    def __init__(self) -> None:
        self.numbers: dict[str | None, int] = {}

    def encode(self, column: pa.ChunkedArray) -> Ints:
        """Give the number of each row's name; -1 for null."""
        encoded = (
            column.combine_chunks().dictionary_encode() if not pa.types.is_dictionary(column.type) else None
        )
        joined = encoded if encoded is not None else column.unify_dictionaries().combine_chunks()
        joined = joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined
        names = joined.dictionary.to_pylist()
        numbers = np.array(
            [self.numbers.setdefault(name, len(self.numbers)) for name in names] + [-1], np.int64
        )
        indices = joined.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
        found: Ints = numbers[indices]
        return found


class Spool:
    """One chunk's rows, on their way to disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts = Counts()
        self._dropped: Counter[str] = Counter()
        self._codes, self._units, self._sites = _Names(), _Names(), _Names()
        self._pairs: dict[tuple[int, int], int] = {}
        self._values: Counter[int] = Counter()
        self._events: list[pa.RecordBatch] = []
        self._n_events = self._n_runs = 0
        self._others: dict[str, list[pa.RecordBatch]] = {}
        self._runs: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._frames = FrameWriter(folder)

    def add(self, item: Rows | Dropped) -> None:
        """Take what a source gives."""
        if isinstance(item, Dropped):
            self._drop(item)
            return
        self._counts.kept += item.batch.num_rows if item.n is None else item.n
        if not item.batch.num_rows:
            return
        if item.table != "events":
            self._add_other(item)
            return
        self._events.append(item.batch)
        self._n_events += item.batch.num_rows
        if self._n_events >= RUN_EVENTS:
            self._flush()

    def _add_other(self, item: Rows) -> None:
        name = f"labels~{item.task}" if item.table == "labels" else item.table
        batch = _fit(item.batch, _SCHEMAS[item.table], item.table)
        if item.table == "slices":
            batch = self._without_frames(batch)
        self._others.setdefault(name, []).append(batch)
        self._bytes[name] += batch.nbytes
        if self._bytes[name] >= RUN_BYTES and name not in _SMALL:
            self._flush_other(name)

    def _without_frames(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Write frames to a file of their own, and say where each lies."""
        places = [self._frames.add(data) for data in batch.column("data")]
        where = pa.StructArray.from_arrays(
            [pa.array(column, pa.int64()) for column in zip(*places, strict=True)], names=Place._fields
        )
        return batch.drop_columns(["data"]).append_column("place", where)

    def _flush_other(self, name: str) -> None:
        table = pa.Table.from_batches(self._others.pop(name))
        write_run(self._folder / f"{name}-{self._runs[name]:05}", table)
        self._runs[name] += 1
        self._bytes[name] = 0

    def _drop(self, item: Dropped) -> None:
        self._dropped[item.reason] += item.n
        if item.bad:
            self._counts.bad += item.n
            self._counts.first_bad = self._counts.first_bad or item.where

    def _flush(self) -> None:
        if not self._events:
            return
        table = pa.concat_tables(
            [pa.Table.from_batches([batch]) for batch in self._events], promote_options="permissive"
        )
        self._events, self._n_events = [], 0
        write_run(self._folder / f"events-{self._n_runs:05}", self._numbered(table))
        self._n_runs += 1

    def _numbered(self, table: pa.Table) -> pa.Table:
        """Replace codes, units and sites by numbers, and note how often each unit comes with each code."""
        missing = [name for name in EVENTS.names if name not in table.column_names]
        if missing:
            raise SchemaError(f"a source gave events without: {', '.join(missing)}")
        value = table.column("numeric_value").cast(pa.float64())
        valued = value.is_valid().to_numpy()
        unit = self._units.encode(table.column("unit"))
        none = self._units.numbers.setdefault(None, len(self._units.numbers))
        bare = self._units.numbers.setdefault(NO_VALUE, len(self._units.numbers))
        unit = np.where(valued, np.where(unit < 0, none, unit), bare)
        key, at = np.unique((self._codes.encode(table.column("code")) << 32) | unit, return_inverse=True)
        numbers = np.array(
            [self._pairs.setdefault((int(k) >> 32, int(k) & 0xFFFFFFFF), len(self._pairs)) for k in key],
            np.int32,
        )
        self._values.update(
            dict(zip(numbers.tolist(), np.bincount(at, minlength=len(key)).tolist(), strict=True))
        )
        site = self._sites.encode(table.column("site"))
        self._note_latest(site, table.column("available"))
        return pa.table(
            {
                "subject_id": table.column("subject_id"),
                "time": table.column("time").cast(pa.timestamp("us")),
                "available": table.column("available").cast(pa.timestamp("us")),
                "pair": numbers[at],
                "value": value,
                "text": table.column("text_value").cast(pa.large_string()),
                "visit_id": table.column("visit_id"),
                "site": site.astype(np.int32),
                "source": table.column("source").cast(pa.string()),
            }
        )

    def _note_latest(self, site: Ints, available: pa.ChunkedArray) -> None:
        moments = (
            available.cast(pa.timestamp("us")).cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
        )
        for name, number in self._sites.numbers.items():
            found = moments[site == number]
            if len(found) and name is not None:
                self._counts.latest[name] = max(
                    self._counts.latest.get(name, int(found.max())), int(found.max())
                )

    def close(self) -> None:
        """Write what is left, and what was counted."""
        self._flush()
        for name in list(self._others):
            if name in _SMALL:
                _write_table(self._folder / f"{name}.arrow", pa.Table.from_batches(self._others.pop(name)))
            else:
                self._flush_other(name)
        codes, units, sites = (list(names.numbers) for names in (self._codes, self._units, self._sites))
        pairs = sorted(self._pairs.items(), key=lambda item: item[1])
        _write_table(
            self._folder / "pairs.arrow",
            pa.table(
                {
                    "code": pa.array([codes[code] for (code, _), _ in pairs], pa.string()),
                    "unit": pa.array([units[unit] for (_, unit), _ in pairs], pa.string()),
                    "n": pa.array([self._values[number] for _, number in pairs], pa.int64()),
                }
            ),
        )
        _write_table(self._folder / "sites.arrow", pa.table({"site": pa.array(sites, pa.string())}))
        self._counts.dropped = dict(sorted(self._dropped.items()))
        (self._folder / "counts.json").write_bytes(msgspec.json.encode(self._counts))


_SCHEMAS: Final = {
    "labels": LABELS,
    "observation": OBSERVATION,
    "codes": CODES,
    "subjects": DECLARED,
    "notes": NOTES,
    "slices": SLICES,
    "variants": VARIANTS,
    "identifiers": IDENTIFIERS,
    "links": LINKS,
}
_SMALL: Final = ("codes", "subjects", "links")
"""Tables that are looked at whole."""


def _fit(batch: pa.RecordBatch, schema: pa.Schema, name: str) -> pa.RecordBatch:
    missing = [column for column in schema.names if column not in batch.schema.names]
    if missing:
        raise SchemaError(f"a source gave {name} without: {', '.join(missing)}")
    return batch.select(schema.names).cast(schema)


def _write_table(path: Path, table: pa.Table) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)


def write_run(stem: Path, table: pa.Table) -> None:
    """Write rows sorted by patient, and beside them how many each patient has, how heavy, at which sites."""
    subject = table.column("subject_id").to_numpy()
    order = np.argsort(subject, kind="stable")
    table = table.take(order).combine_chunks()
    found, n = np.unique(subject[order], return_counts=True)
    _write_table(stem.with_name(f"{stem.name}.run"), table)
    weight = _weights(table, np.repeat(np.arange(len(found)), n), n)
    patients = pa.table({"subject_id": found, "n": n, "weight": weight})
    _write_table(stem.with_name(f"{stem.name}.patients"), patients)
    if "site" in table.column_names:
        _write_table(stem.with_name(f"{stem.name}.sites"), _at_sites(table))


def _weights(table: pa.Table, at: Ints, n: Ints) -> Ints:
    """Weigh each patient's rows: notes by their bytes, all else by its number."""
    if "kind" not in table.column_names or "text" not in table.column_names:
        return n.astype(np.int64)
    size = pc.fill_null(pc.binary_length(table.column("text")), 0).to_numpy()
    return np.bincount(at, weights=size, minlength=len(n)).astype(np.int64)


def _at_sites(table: pa.Table) -> pa.Table:
    """Count each patient's rows at each site."""
    return (
        table.group_by(["subject_id", "site"])
        .aggregate([([], "count_all")])
        .rename_columns(["subject_id", "site", "n"])
    )


def spool_chunk(folder: Path, rows: Iterable[Rows | Dropped]) -> None:
    """Write one chunk, whole or not at all; one that is there already stays.

    Args:
        folder: where it goes.
        rows: what the source gives; not looked at where the chunk is there.
    """
    if folder.is_dir():
        return
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    spool = Spool(making)
    for item in rows:
        spool.add(item)
    spool.close()
    flush_to_disk(making)
    making.rename(folder)
    flush_to_disk(folder.parent)


def flush_to_disk(folder: Path) -> None:
    """See that a folder and its files outlast a power cut."""
    for path in [*folder.iterdir(), folder]:
        if path.is_file() or path == folder:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
