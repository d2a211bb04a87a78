"""In: a folder of event tables. Out: packed timelines, splits, and the vocabulary of the train patients."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from residency.contract import approval, specs
from residency.contract.errors import SpecError
from residency.contract.identifiers import N_BUCKETS, split_of
from residency.contract.lineage import Manifest, Rows, Shard, Step, open_made
from residency.contract.progress import Progress, silent
from residency.contract.schema import (
    CODES_FILE,
    DATA,
    IMAGES_FOLDER,
    LABELS_FOLDER,
    NOTES_FOLDER,
    OBSERVATION_FOLDER,
    PIXELS_FOLDER,
    SHOWN_FILE,
    SUBJECTS_FILE,
    VARIANTS_FOLDER,
)
from residency.contract.specs import spec
from residency.timeline import shards
from residency.timeline.ancestry import ancestry_of
from residency.timeline.attachments import Attachments
from residency.timeline.fitting import Tally, tally, vocabulary_of
from residency.timeline.packing import COLUMNS, DROPPED, Packing, packing_of
from residency.timeline.pixels import PixelStore
from residency.timeline.vocabulary import VALUES_FILE, VOCABULARY_FILE, Vocabulary

LABELS_FILE: Final = "metadata/labels.json"
SOURCE_FILE: Final = "source.parquet"
PIXELS: Final = "pixels"  # the pixel store, at the top of the folder
_ATTACHED: Final = ("notes", "images", "genomes")


@spec
class BuildSpec:
    """How timelines are built.

    Attributes:
        min_patients: train patients that a code, or an ancestor of codes, needs to enter the vocabulary.
        knots: quantile knots of a code's values.
        held_out_sites: sites that are examined and never trained on: their patients are `external`.
    """

    min_patients: int = 11
    knots: int = 17
    held_out_sites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.min_patients < 1:
            raise ValueError("min_patients must be 1 or more")
        if self.knots < 2:
            raise ValueError("knots must be 2 or more")


@dataclass(frozen=True)
class _Records:
    """A folder of event tables, as its manifest lists it; shards in the order of their patients."""

    folder: Path
    manifest: Manifest

    def _files(self, folder: str) -> list[Path]:
        return [self.folder / shard.path for shard in self.manifest.shards if _is_in(shard, folder)]

    @cached_property
    def events(self) -> list[Path]:
        return shards.in_order(self._files(DATA))

    @cached_property
    def tasks(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        for path in self._files(LABELS_FOLDER):
            files.setdefault(path.parent.name, []).append(path)
        return dict(sorted(files.items()))

    @cached_property
    def observation(self) -> list[Path]:
        return self._files(OBSERVATION_FOLDER)

    @cached_property
    def documents(self) -> dict[str, list[Path]]:
        """Files of notes, images and variants, by the name of the table."""
        names = {"notes": NOTES_FOLDER, "images": IMAGES_FOLDER, "variants": VARIANTS_FOLDER}
        return {
            name: [path for path in self._files(folder) if path not in self.pixels]
            for name, folder in names.items()
        }

    @cached_property
    def pixels(self) -> list[Path]:
        return self._files(PIXELS_FOLDER)

    @cached_property
    def store(self) -> PixelStore:
        return PixelStore(self.pixels)

    @cached_property
    def codes(self) -> pl.DataFrame:
        return shards.read(self.folder / CODES_FILE)


def _is_in(shard: Shard, folder: str) -> bool:
    return PurePosixPath(shard.path).is_relative_to(folder)


def build(
    records: Path, out: Path, settings: BuildSpec | None = None, *, now: datetime, progress: Progress = silent
) -> Manifest:
    """Build packed timelines.

    Args:
        records: what `ingest` or `deidentify` made.
        out: the folder to write.
        settings: see `BuildSpec`.
        now: the run's start, aware.
        progress: is told of each shard.

    Raises:
        LineageError: `records` is not finished, or `out` holds something else.
        GateError: the policy of the records asks for a privacy officer's signature, and there is none.
        SignatureError: there is one, and it does not hold.
        SpecError: a held-out site is not in the data.
        InputError: a file is damaged, or a patient is not listed or may be in two shards.
    """
    settings = settings or BuildSpec()
    source = _Records(records, open_made(records))
    approval.refuse_unsigned(records, source.manifest)
    with Step(out, name="build", inputs=[records], spec=specs.plain(settings), now=now) as step:
        if step.manifest is not None:
            return step.manifest
        events = source.events  # refused, if at all, before anything is written
        subjects = _split(shards.read(records / SUBJECTS_FILE), settings.held_out_sites)
        step.file(SUBJECTS_FILE, make=lambda path: _write(subjects, path))
        step.file(LABELS_FILE, make=lambda path: _write_names(list(source.tasks), path))
        if (shown := records / SHOWN_FILE).exists():  # for requests, by way of the model
            step.file(SHOWN_FILE, make=partial(_copy, shown))
        vocabulary = _fit(step, source, subjects, settings, progress)
        listed = subjects["subject_id"].to_numpy()
        for path in source.pixels:
            step.file(f"{PIXELS}/{path.name}", make=partial(_link, path))
        packed = [
            step.shard(
                f"{place:05d}", DATA, make=partial(_pack, _Part(path, *span), source, vocabulary, listed)
            )
            for (place, path), span in zip(
                _told(events, "packing timelines", progress), shards.reaches(events), strict=True
            )
        ]
        return step.finish(rows=_rows(packed), result=_result(packed, subjects, vocabulary))


def _told(paths: list[Path], what: str, progress: Progress) -> Iterable[tuple[int, Path]]:
    for place, path in enumerate(paths):
        progress(what, place, len(paths))
        yield place, path
    progress(what, len(paths), len(paths))


def _write(table: pl.DataFrame, path: Path) -> int:
    table.write_parquet(path, compression="zstd")
    return len(table)


def _write_names(names: list[str], path: Path) -> int:
    path.write_text(json.dumps(names), "utf-8")
    return len(names)


def _split(subjects: pl.DataFrame, held_out_sites: tuple[str, ...]) -> pl.DataFrame:
    """Give each patient's split: by bucket; those of a held-out site are all `external`."""
    if absent := sorted(set(held_out_sites) - set(subjects["site"])):
        raise SpecError("held_out_sites names sites that the data lack", where=", ".join(absent))
    splits = pl.DataFrame(
        {"split_bucket": range(N_BUCKETS), "split": [split_of(bucket) for bucket in range(N_BUCKETS)]},
        schema={"split_bucket": pl.Int16, "split": pl.String},
    )
    external = pl.col("site").is_in(list(held_out_sites))
    return (
        subjects.join(splits, on="split_bucket", how="left", maintain_order="left")
        .select("subject_id", "site", split=pl.when(external).then(pl.lit("external")).otherwise("split"))
        .sort("subject_id")
    )


def _fit(
    step: Step, source: _Records, subjects: pl.DataFrame, settings: BuildSpec, progress: Progress
) -> Vocabulary:
    """Give the vocabulary; count only the shards that were not counted before a kill."""
    if not ((step.out / VOCABULARY_FILE).exists() and (step.out / VALUES_FILE).exists()):
        train = subjects.filter(pl.col("split") == "train")["subject_id"]
        ancestry = ancestry_of(source.codes)
        total = Tally.empty()
        for place, events in _told(source.events, "counting train patients", progress):
            counted = step.work / f"tally-{place:05d}"
            if not counted.exists():
                tally(events, train, ancestry).write(counted)
            total = total.plus(Tally.read(counted))
        fitted = vocabulary_of(
            total, source.codes, min_patients=settings.min_patients, n_knots=settings.knots
        )
        step.file(VOCABULARY_FILE, make=fitted.write_codes)
        step.file(VALUES_FILE, make=fitted.write_values)
    return Vocabulary.open(step.out)


def _copy(path: Path, out: Path) -> int:
    shutil.copyfile(path, out)
    return 0


def _link(path: Path, out: Path) -> int:
    """Give a file a second name; copy it where that cannot be, or where it could not be flushed to disk."""
    try:
        if not os.access(path, os.W_OK):
            raise PermissionError
        out.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, out)
    return pq.ParquetFile(out).metadata.num_rows  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Part:
    """One events shard, and the span of patients that it stands for."""

    events: Path
    low: int
    high: int

    def attachments(self, source: _Records) -> Attachments:
        tables = {
            name: shards.between(paths, self.low, self.high)
            for name, paths in source.documents.items()
            if paths
        }
        return Attachments.of(**tables, pixels=source.store)


def _pack(
    part: _Part, source: _Records, vocabulary: Vocabulary, listed: np.ndarray, out: Path
) -> dict[str, int]:
    """Pack one shard into a folder; give its counts."""
    events = part.events
    low, high = shards.subject_range(events)
    packing = packing_of(
        shards.read(events, COLUMNS),
        vocabulary,
        observation=shards.between(source.observation, low, high) if source.observation else None,
        labels={task: shards.between(paths, low, high) for task, paths in source.tasks.items()},
        attachments=part.attachments(source),
    )
    shards.refuse_strangers(packing.packed.subject, listed, events)
    packing.packed.write(out)
    packing.attachments.write(out)
    shards.read(events, ["source"]).write_parquet(out / SOURCE_FILE, compression="zstd")
    return {
        "rows": packing.packed.n_events,
        "patients": packing.packed.n_patients,
        "moments": packing.packed.n_moments,
        "labels": len(packing.packed.label_time),
        **packing.counts,
        **_attached(packing),
    }


def _attached(packing: Packing) -> dict[str, int]:
    """Count the attachments, and those left out; nothing is said of what is not there."""
    n = np.bincount(packing.packed.attachment_kind, minlength=len(_ATTACHED))
    counts = {**dict(zip(_ATTACHED, n.tolist(), strict=True)), **packing.dropped}
    return {name: number for name, number in counts.items() if number}


def _rows(packed: list[Shard]) -> Rows:
    reasons = ("before birth", *DROPPED)
    dropped = {name: sum(shard.counts.get(name, 0) for shard in packed) for name in reasons}
    kept = sum(shard.rows + sum(shard.counts.get(name, 0) for name in _ATTACHED) for shard in packed)
    return Rows(read=kept + sum(dropped.values()), kept=kept, dropped={k: n for k, n in dropped.items() if n})


def _result(packed: list[Shard], subjects: pl.DataFrame, vocabulary: Vocabulary) -> dict[str, object]:
    names = (
        "patients",
        "moments",
        "labels",
        "code read as its ancestor",
        "code unknown",
        "value in another unit",
    )
    attached = {name: sum(shard.counts.get(name, 0) for shard in packed) for name in _ATTACHED}
    return {
        **{name: sum(shard.counts[name] for shard in packed) for name in names},
        **{name: n for name, n in attached.items() if n},
        "codes": len(vocabulary),
        "splits": dict(sorted(subjects.group_by("split").len().iter_rows())),
    }
