"""In: a source's files and a mapping. Out: identified event tables, labels, observation and metadata.

The input is read chunk by chunk into a spool under the folder, which survives a kill; then ranges of
patients are picked out of the spool, sorted, and written as shards.
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from residency.contract import schema, specs
from residency.contract.errors import ResidencyError
from residency.contract.lineage import Manifest, Step
from residency.contract.lineage import Rows as RowCounts
from residency.contract.plugins import SOURCES, Dropped, RecordSource, Rows
from residency.contract.progress import Progress, silent
from residency.records import metadata, observed, shards
from residency.records.documents import Document, chunks
from residency.records.gathering import Gathering, gather
from residency.records.runs import Chunks
from residency.records.settings import Settings, shared
from residency.records.shards import Range
from residency.records.spool import spool_chunk


@runtime_checkable
class DocumentSource(Protocol):
    """A source that can read part of its files, so that a kill costs one chunk and not all."""

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read."""
        ...

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files."""
        ...


def ingest(
    out: Path,
    source: str,
    paths: list[Path],
    mapping: Path | None = None,
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Read records into event tables.

    Args:
        out: the folder to write.
        source: name of a record source (`fhir`, `table`, `meds`, or one that is installed).
        paths: files and folders to read.
        mapping: TOML file that says how; some sources need none.
        now: when the run starts, aware.
        progress: is told how far it is.

    Raises:
        InputError: a file is not what it should be; nothing that was there is touched.
        LineageError: `out` holds something else.
        PluginError: no source has that name.
        SpecError: the mapping is wrong.
    """
    reader = SOURCES.get(source)
    settings = {} if mapping is None else specs.load_toml(mapping)
    common = shared(settings)
    pieces = _pieces(reader, tuple(paths), settings)
    step = Step(out, name="ingest", inputs=paths, spec={"source": source, "mapping": settings}, now=now)
    with step:
        if step.manifest is not None:
            return step.manifest
        spool = step.work / "spool"
        try:
            found = gather(_spooled(spool, reader, pieces, settings, progress), common)
        except ResidencyError:
            shutil.rmtree(spool, ignore_errors=True)  # the input will be another when it is mended
            raise
        _write_tables(step, found, common, progress)
        _write_metadata(step, found, common)
        return step.finish(
            rows=RowCounts(read=found.counts.read, kept=found.counts.kept, dropped=found.counts.dropped),
            result=found.result(),
        )


def _pieces(reader: RecordSource, paths: tuple[Path, ...], mapping: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Cut the input into chunks: of documents where the source can, else one a path."""
    if isinstance(reader, DocumentSource):
        return list(chunks(reader.documents(paths, mapping)))
    return [(path,) for path in paths]


def _spooled(
    spool: Path,
    reader: RecordSource,
    pieces: list[tuple[Any, ...]],
    mapping: dict[str, Any],
    progress: Progress,
) -> Chunks:
    folders = [spool / f"{number:06}" for number in range(len(pieces))]
    for done, (folder, piece) in enumerate(zip(folders, pieces, strict=True)):
        progress("reading", done, len(pieces))
        read = reader.read_documents if isinstance(reader, DocumentSource) else reader.read
        spool_chunk(folder, _lazily(read, piece, mapping))
    progress("reading", len(pieces), len(pieces))
    return Chunks(tuple(folders))


def _lazily(read: Any, piece: tuple[Any, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
    yield from read(piece, mapping)


def _write_tables(step: Step, found: Gathering, common: Settings, progress: Progress) -> None:
    for done, part in enumerate(found.ranges):
        progress("writing", done, len(found.ranges))
        for folder, make in _tables(found, part, common).items():
            step.shard(part.key, folder, suffix=".parquet", make=partial(_write, make))
    progress("writing", len(found.ranges), len(found.ranges))


def _write(make: Callable[[], pa.Table], path: Path) -> int:
    return shards.write(make(), path)


def _tables(found: Gathering, part: Range, common: Settings) -> dict[str, Callable[[], pa.Table]]:
    """Give what makes each table of a range of patients; events are gathered once, where needed."""
    events = cache(lambda: shards.events(found.events, part, found.writing))

    def observation() -> pa.Table:
        if found.observation:
            return observed.observation(found.observation, part, None)
        contact = observed.by_contact(events(), found.writing, common.observation, found.counts.latest)
        return observed.observation((), part, contact)

    tables: dict[str, Callable[[], pa.Table]] = {
        schema.DATA: lambda: shards.events_table(events(), found.writing),
        schema.OBSERVATION_FOLDER: observation,
    }
    for task, runs in found.labels.items():
        tables[f"{schema.LABELS_FOLDER}/{task}"] = partial(shards.labels, runs, part)
    return tables


def _write_metadata(step: Step, found: Gathering, common: Settings) -> None:
    step.file(schema.CODES_FILE, make=lambda path: shards.write(metadata.codes_table(found), path))
    step.file(
        schema.SUBJECTS_FILE, make=lambda path: shards.write(metadata.subjects_table(found, common), path)
    )
    step.file(schema.DATASET_FILE, make=lambda path: metadata.write_dataset(found, common, path))
