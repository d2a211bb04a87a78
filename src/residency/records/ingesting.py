"""In: a source's files and a mapping. Out: identified event tables, labels, observation and metadata.

The input is read chunk by chunk into a spool under the folder, which survives a kill; then ranges of
patients are picked out of the spool, sorted, and written as shards.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import pyarrow as pa

from residency.contract import schema
from residency.contract.errors import ResidencyError
from residency.contract.lineage import Manifest, Step
from residency.contract.lineage import Rows as RowCounts
from residency.contract.progress import Progress, silent
from residency.records import attachments, metadata, observed, shards
from residency.records.attachments import split
from residency.records.feeds import Feed, OpenFeed, common_settings, open_feeds, told
from residency.records.gathering import Gathering, SpooledFeed, gather, left_out
from residency.records.imaging import Told, together, write_images
from residency.records.runs import Chunks
from residency.records.settings import Settings
from residency.records.shards import Range
from residency.records.spool import spool_chunk


def ingest(
    out: Path,
    feeds: Sequence[Feed],
    *,
    now: datetime,
    progress: Progress = silent,
) -> Manifest:
    """Read records into tables.

    Args:
        out: the folder to write.
        feeds: what to read; the first one's mapping holds for the others where theirs say nothing.
        now: when the run starts, aware.
        progress: is told how far it is.

    Raises:
        InputError: a file is not what it should be; nothing that was there is touched.
        LineageError: `out` holds something else.
        PluginError: no source has that name.
        SpecError: a mapping is wrong.
    """
    opened = open_feeds(feeds)
    common = common_settings(opened)
    paths = [path for feed in feeds for path in feed.paths]
    step = Step(out, name="ingest", inputs=paths, spec={"feeds": told(feeds, opened)}, now=now)
    with step:
        if step.manifest is not None:
            return step.manifest
        spool = step.work / "spool"
        try:
            found = gather(_spooled(spool, opened, progress), common)
        except ResidencyError:
            shutil.rmtree(spool, ignore_errors=True)  # the input will be another when it is mended
            raise
        images = _write_tables(step, found, common, progress)
        _write_metadata(step, found, common)
        counts = found.counts
        for reason, n in images.dropped.items():
            counts = left_out(counts, reason, n)
        result = {"images_with_spacing_at_detector": images.at_detector} if found.slices else {}
        return step.finish(
            rows=RowCounts(read=counts.read, kept=counts.kept, dropped=counts.dropped),
            result=found.result() | result,
        )


def _spooled(spool: Path, feeds: Sequence[OpenFeed], progress: Progress) -> list[SpooledFeed]:
    """Read every feed's chunks that are not there yet."""
    total, done = sum(len(feed.pieces) for feed in feeds), 0
    found = []
    for feed in feeds:
        folders = []
        for piece in feed.pieces:
            progress("reading", done, total)
            folders.append(spool / f"{done:06}")
            spool_chunk(folders[-1], feed.read(piece))
            done += 1
        found.append(SpooledFeed(Chunks(tuple(folders)), feed.settings.max_bad_share))
    progress("reading", total, total)
    return found


def _write_tables(step: Step, found: Gathering, common: Settings, progress: Progress) -> Told:
    """Write every table of every range; tell what became of images."""
    told = []
    for done, part in enumerate(found.ranges):
        progress("writing", done, len(found.ranges))
        for folder, make in _tables(found, part, common).items():
            step.shard(part.key, folder, suffix=".parquet", make=partial(_write, make))
        for folder, piece, make in _attached(found, part):
            step.shard(piece.key, folder, suffix=".parquet", make=partial(_write, make))
        told.append(write_images(step, found, part))
    progress("writing", len(found.ranges), len(found.ranges))
    return together(told)


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


def _attached(found: Gathering, part: Range) -> Iterator[tuple[str, Range, Callable[[], pa.Table]]]:
    """Give what makes the tables of notes and variants of a range, in pieces that fit in memory."""
    for piece in split(found.notes, part, found.known, attachments.NOTE_BYTES):
        yield schema.NOTES_FOLDER, piece, partial(attachments.notes, found.notes, piece, found.known)
    for piece in split(found.variants, part, found.known, attachments.VARIANT_ROWS):
        make = partial(attachments.variants, found.variants, piece, found.known, found.links)
        yield schema.VARIANTS_FOLDER, piece, make


def _write_metadata(step: Step, found: Gathering, common: Settings) -> None:
    step.file(schema.CODES_FILE, make=lambda path: shards.write(metadata.codes_table(found), path))
    step.file(
        schema.SUBJECTS_FILE, make=lambda path: shards.write(metadata.subjects_table(found, common), path)
    )
    if found.identifiers:
        step.file(schema.IDENTIFIERS_FILE, make=lambda path: metadata.write_identifiers(found, path))
    step.file(schema.DATASET_FILE, make=lambda path: metadata.write_dataset(found, common, path))
