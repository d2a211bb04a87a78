"""In: spooled instances of some patients. Out: rows of images, their arrays stored, and what was left out.

One series is held in memory at a time. Instances with a position are slices of a volume; each of the others
is an image by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract import schema
from residency.contract.digests import digest_of_voxels
from residency.records import series
from residency.records.draft import Ints
from residency.records.frames import Place, read_frame
from residency.records.links import Links, key_of
from residency.records.pixels import stacked
from residency.records.runs import Run
from residency.records.shards import Range
from residency.records.side_tables import batch

Store = Callable[[str, np.ndarray], None]
AGAIN: Final = "image: the same instance twice"
ANOTHERS: Final = "image: of another patient than its study"
TIMELESS: Final = "image: no time"
LARGE: Final = "series: larger than 1 GiB"
MOST_BYTES: Final = 1 << 30
_TOLD: Final = ("time", "available", "visit_id", "source")
_KEY: Final = ("subject_id", "study", "series", "instance")


@dataclass(frozen=True)
class Assembled:
    """Images of some patients.

    Attributes:
        rows: of the images table.
        dropped: instances left out, by reason.
        at_detector: images whose spacing is the detector's.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    at_detector: int = 0


def assemble(runs: Sequence[Run], part: Range, known: Ints, links: Links, store: Store) -> Assembled:
    """Put the instances of a range of patients together.

    Args:
        runs: spooled instances.
        part: the patients.
        known: patients of the folder.
        links: whose studies are.
        store: takes an array by its digest, once or more often.
    """
    dropped: Counter[str] = Counter()
    frame = _linked(_instances(runs, part, known), links)
    frame = _without(frame, ~pl.struct(_KEY).is_first_distinct(), AGAIN, dropped)
    frame = _without(frame, pl.col("is_anothers"), ANOTHERS, dropped)
    frame = _without(frame, pl.col("time").is_null(), TIMELESS, dropped)
    rows: list[dict[str, Any]] = []
    n_detector = 0
    for group in frame.partition_by(_KEY[:3], maintain_order=True):
        for instances in _images(group):
            made = _image(instances, runs[0].path.parent.parent, store)
            if isinstance(made, str):
                dropped[made] += len(instances)
            else:
                rows.append(made)
                n_detector += bool(instances[0]["at_detector"])
    return Assembled(rows, dropped, n_detector)


def _instances(runs: Sequence[Run], part: Range, known: Ints) -> pl.DataFrame:
    """Give what is known of the instances, in an order that the order of files does not change."""
    frames = [
        pl.DataFrame(pl.from_arrow(run.between(part.low, part.high))).with_columns(
            folder=pl.lit(run.path.parent.name)
        )
        for run in runs
    ]
    frame = pl.concat(frames).filter(pl.col("subject_id").is_in(known))
    return frame.sort([*_KEY, "folder"], nulls_last=False, maintain_order=True)


def _linked(frame: pl.DataFrame, links: Links) -> pl.DataFrame:
    """Put beside each instance what its study's record says: whose it is, when, in which visit."""
    keys = [None if uid is None else key_of(uid) for uid in frame["study"].to_list()]
    placed = frame.with_columns(key=pl.Series(keys, dtype=pl.Int64))
    told = links.studies.with_columns(is_own=pl.lit(value=True))
    found = placed.join(told, on=["key", "subject_id"], how="left", suffix="_of_study", maintain_order="left")
    someones = pl.col("key").is_in(links.studies["key"].unique().to_list()).fill_null(value=False)
    return found.with_columns(
        *(pl.coalesce(name, f"{name}_of_study").alias(name) for name in _TOLD),
        is_anothers=someones & pl.col("is_own").is_null(),
    )


def _without(frame: pl.DataFrame, out: pl.Expr, reason: str, dropped: Counter[str]) -> pl.DataFrame:
    kept = frame.filter(~out)
    if n := frame.height - kept.height:
        dropped[reason] += n
    return kept


def _images(group: pl.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """Divide a series into images: all its slices together, or each instance by itself."""
    rows = group.to_dicts()
    if any(row["positions"] for row in rows):
        yield rows
    else:
        yield from ([row] for row in rows)


def _image(rows: list[dict[str, Any]], spool: Path, store: Store) -> dict[str, Any] | str:
    """Make one image of instances, or say why they are none."""
    if sum(row["place"]["n_bytes"] for row in rows) > MOST_BYTES:
        return LARGE
    placed = _placed(rows)
    if isinstance(placed, str):
        return placed
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    voxels = stacked([_frames(row, spool) for row in rows], low, high)
    if isinstance(voxels, str):
        return voxels
    voxels = np.ascontiguousarray(voxels[placed.order])
    digest = digest_of_voxels(voxels)
    store(digest, voxels)
    return _columns(rows, placed, digest)


def _frames(row: dict[str, Any], spool: Path) -> np.ndarray:
    body = read_frame(spool / row["folder"], Place(**row["place"]))
    return np.frombuffer(body, row["dtype"]).reshape(row["shape"])


def _placed(rows: list[dict[str, Any]]) -> series.Stack | str:
    """Order the frames of instances."""
    positions = [row["positions"] for row in rows]
    if not any(positions):
        n = sum(row["shape"][0] for row in rows)
        return series.Stack(np.arange(n, dtype=np.int64), rows[0]["spacing_mm"][0])
    if not all(positions):
        return series.PLACELESS
    cosines = np.array([row["orientation"] for row in rows], np.float64)
    shapes = [tuple(row["shape"][1:]) for row in rows]
    spacings = np.array([row["spacing_mm"][1:] for row in rows], np.float64)
    if (wrong := series.differs(shapes, cosines, spacings)) is not None:
        return wrong
    return series.stack(np.concatenate([np.reshape(one, (-1, 3)) for one in positions]), cosines[0])


def _columns(rows: list[dict[str, Any]], placed: series.Stack, digest: str) -> dict[str, Any]:
    first = rows[0]
    windows = np.array([row["window"] for row in rows if row["window"]], np.float64)
    center, width = np.median(windows, axis=0).tolist() if len(windows) else (None, None)
    known_as = first["series"] if first["positions"] else first["instance"]
    return {
        "subject_id": first["subject_id"],
        "time": min(row["time"] for row in rows),
        "available": max(row["available"] for row in rows),
        "visit_id": first["visit_id"],
        "site": first["site"],
        "source": first["source"] or f"ImagingStudy/{known_as}",
        "modality": first["modality"],
        "body_site": first["body_site"],
        "pixels": digest,
        "spacing_mm": [placed.slice_mm, *first["spacing_mm"][1:]],
        "orientation": first["orientation"] or [],
        "window_center": center,
        "window_width": width,
    }


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Give rows as a table."""
    return pa.Table.from_batches([batch(rows, schema.IMAGES)])
