"""In: a step at work and its spooled instances. Out: the images tables and the pixel store, range by range.

A range is put together whole or not at all, and what was left out is kept with it: a kill costs one range.
"""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from residency.contract import schema
from residency.contract.lineage import Step
from residency.records import attachments, images, shards
from residency.records.gathering import Gathering
from residency.records.pixels import write_pixels
from residency.records.shards import Range
from residency.records.spool import flush_to_disk

_ROWS: Final = "images.parquet"
_TOLD: Final = "told.json"


class Told(msgspec.Struct):
    """What became of instances: those left out by reason, and images whose spacing is the detector's."""

    dropped: dict[str, int] = {}
    at_detector: int = 0


def write_images(step: Step, found: Gathering, part: Range) -> Told:
    """Write the images of a range of patients."""
    if not found.slices:
        return Told()
    folder = step.work / "images" / part.key
    if not folder.is_dir():
        _assemble(step, found, part, folder)
    table = pl.read_parquet(folder / _ROWS)
    if table.height:
        make = partial(_write, folder / _ROWS)
        step.shard(part.key, schema.IMAGES_FOLDER, suffix=".parquet", make=make)
    return msgspec.json.decode((folder / _TOLD).read_bytes(), type=Told)


def _assemble(step: Step, found: Gathering, part: Range, folder: Path) -> None:
    def store(digest: str, voxels: np.ndarray) -> None:
        path = f"{schema.PIXELS_FOLDER}/{digest}.parquet"
        step.file(path, make=partial(write_pixels, voxels, digest))

    made = images.assemble(found.slices, part, found.known, found.links, store)
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    shards.write(images.table(made.rows), making / _ROWS)
    told = Told(dict(sorted(made.dropped.items())), made.at_detector)
    (making / _TOLD).write_bytes(msgspec.json.encode(told))
    flush_to_disk(making)
    making.rename(folder)


def _write(rows: Path, path: Path) -> int:
    return shards.write(attachments.in_order(pl.read_parquet(rows), schema.IMAGES), path)


def together(told: list[Told]) -> Told:
    """Add up what became of the instances of all ranges."""
    dropped: Counter[str] = Counter()
    for one in told:
        dropped.update(one.dropped)
    return Told(dict(dropped), sum(one.at_detector for one in told))
