"""In: notes, images and genomes of identified records. Out: the same without identities."""

import hmac
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from residency.contract import schema
from residency.contract.lineage import Step
from residency.contract.processes import spread
from residency.contract.progress import Progress
from residency.deid.documents import HiddenRows
from residency.deid.images import hide_images
from residency.deid.notes import PART, hide_notes
from residency.deid.pixels import FILE_BYTES, as_row, hide_pixels, read_arrays, write_store
from residency.deid.policy import Policy
from residency.deid.shown import Shown
from residency.deid.variants import counted, hide_variants, rare_variants
from residency.deid.work import CODES, Work

FOLDERS: Final = (schema.NOTES_FOLDER, schema.IMAGES_FOLDER, schema.VARIANTS_FOLDER)
_MANY: Final = 6  # parts of notes from which on other processes pay
_COUNTED: Final = "variant-counts"
_ROWS: Final = "rows"
_MAP: Final = {"before": pl.String(), "pixels": pl.String(), "n_bytes": pl.Int64()}
_Hide = Callable[[pl.DataFrame, pl.DataFrame], HiddenRows]


def left_out(policy: Policy) -> list[str]:
    """Name the folders that a policy leaves out."""
    handling = (policy.notes.handling, policy.images.handling, policy.variants.handling)
    return [folder for folder, one in zip(FOLDERS, handling, strict=True) if one == "out"]


def spool(work: Work, progress: Progress) -> None:
    """Take the identities out of every note, image and genome that may pass."""
    limits = work.limits()
    out = left_out(work.policy)
    if schema.NOTES_FOLDER not in out:
        _spool_each(work, schema.NOTES_FOLDER, partial(_hide_notes, work), limits, progress)
    if schema.VARIANTS_FOLDER not in out:
        rare = _rare(work)
        hide = partial(hide_variants, policy=work.policy, key=work.key, rare=rare)
        _spool_each(work, schema.VARIANTS_FOLDER, hide, limits, progress)
    if schema.IMAGES_FOLDER not in out:
        _spool_pixels(work, limits, progress)
        hide = partial(_hide_images, work, _pixel_map(work))
        _spool_each(work, schema.IMAGES_FOLDER, hide, limits, progress)


def _spool_each(work: Work, folder: str, hide: _Hide, limits: pl.DataFrame, progress: Progress) -> None:
    files = work.files.get(folder, [])
    for place, path in enumerate(files):
        progress(f"{folder}: taking identities out", place, len(files))
        if work.spool.has(folder, place):
            continue
        table = _frame(work.read(path, folder))
        done = hide(table, _people(work, table, limits))
        counts = {"rows": 0, "dropped": done.dropped, "changed": done.changed}
        work.spool.write(folder, place, {_ROWS: done.table.sort("subject_id")}, counts)


def _people(work: Work, table: pl.DataFrame, limits: pl.DataFrame) -> pl.DataFrame:
    return work.people(table["subject_id"].unique().sort().to_numpy(), limits)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


def _hide_notes(work: Work, table: pl.DataFrame, people: pl.DataFrame) -> HiddenRows:
    path = work.records / schema.IDENTIFIERS_FILE
    known = _frame(schema.IDENTIFIERS.empty_table())
    if path.exists():
        known = (
            pl.scan_parquet(path)
            .join(people.lazy().select("subject_id"), on="subject_id", how="semi")
            .collect()
        )
    over = spread if len(table) > _MANY * PART else map
    return hide_notes(table, people, known, work.policy, work.key, over=over)


def shown(work: Work) -> Shown:
    """Say which of a source's own codes, and which variants, enough patients have to be shown."""
    counts = work.spool.tables(_COUNTED, "counts")
    return Shown.of(work.spool.tables(CODES, CODES), counts, work.policy)


def _rare(work: Work) -> pl.DataFrame | None:
    files = work.files.get(schema.VARIANTS_FOLDER, [])
    for place, path in enumerate(files):
        if not work.spool.has(_COUNTED, place):
            found = counted(_frame(work.read(path, schema.VARIANTS_FOLDER)), work.policy)
            work.spool.write(_COUNTED, place, {"counts": found}, _NOTHING)
    return rare_variants(work.spool.tables(_COUNTED, "counts"), work.policy) if files else None


def _spool_pixels(work: Work, limits: pl.DataFrame, progress: Progress) -> None:
    """Cover the writing in every array that a row which passes names; other arrays stay behind."""
    files = work.files.get(schema.PIXELS_FOLDER, [])
    if all(work.spool.has(schema.PIXELS_FOLDER, place) for place in range(len(files))):
        return
    fill = partial(_spool_array, work, _wanted(work, limits))
    n_threads = 1 if work.policy.images.burned_in == "ocr" else os.cpu_count()
    with ThreadPoolExecutor(n_threads) as pool:  # NumPy works on arrays beside the interpreter's lock
        for place, _ in enumerate(pool.map(fill, range(len(files)), files)):
            progress("images: looking for writing", place, len(files))


def _spool_array(work: Work, wanted: frozenset[str], place: int, path: Path) -> None:
    if not work.spool.has(schema.PIXELS_FOLDER, place):
        work.spool.fill(schema.PIXELS_FOLDER, place, partial(_fill_pixels, work, path, wanted))


def _wanted(work: Work, limits: pl.DataFrame) -> frozenset[str]:
    found: set[str] = set()
    for path in work.files.get(schema.IMAGES_FOLDER, []):
        table = _frame(work.read(path, schema.IMAGES_FOLDER))
        kept = hide_images(table, _people(work, table, limits), work.policy, work.key).table
        found.update(kept["pixels"].drop_nulls())
    return frozenset(found)


def _fill_pixels(work: Work, path: Path, wanted: frozenset[str], making: Path) -> dict[str, Any]:
    named: list[tuple[str, str, int]] = []
    n_covered = n_images = 0
    with pq.ParquetWriter(making / f"{_ROWS}.parquet", schema.PIXELS, compression="zstd") as writer:
        for stored in read_arrays(path, wanted):
            hidden, n_places = hide_pixels(stored, work.policy.images)
            n_covered += n_places
            n_images += n_places > 0
            writer.write_table(as_row(hidden))
            named.append((_veiled(work, stored.digest), hidden.digest, hidden.voxels.nbytes))
    pl.DataFrame(named, schema=_MAP, orient="row").write_parquet(making / "map.parquet")
    changed = {"images with writing covered": n_images, "places covered in images": n_covered}
    return {"rows": 0, "dropped": {}, "changed": changed}


def _veiled(work: Work, digest: str) -> str:
    """Name an array so that nobody without the key links it to the identified store."""
    return hmac.digest(work.key, b"pixels" + digest.encode(), "sha256").hex()


def _pixel_map(work: Work) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=_MAP), *work.spool.tables(schema.PIXELS_FOLDER, "map")])


def _hide_images(
    work: Work, pixel_map: pl.DataFrame, table: pl.DataFrame, people: pl.DataFrame
) -> HiddenRows:
    """Hide rows, and let each name its array by the digest that it has now."""
    done = hide_images(table, people, work.policy, work.key)
    names = dict(pixel_map.select("before", "pixels").iter_rows())
    new = [names.get(_veiled(work, one)) if one is not None else None for one in done.table["pixels"]]
    renamed = done.table.with_columns(pixels=pl.Series(new, dtype=pl.String))
    kept = renamed.filter(pl.col("pixels").is_not_null())
    dropped = done.dropped | {"images: no pixels": len(renamed) - len(kept)}
    return HiddenRows(kept, done.rows.filter(renamed["pixels"].is_not_null()), dropped, done.changed)


def write_pixels(step: Step, work: Work, lost: frozenset[int]) -> None:
    """Write the pixel store: each array once, by digest; none that only lost patients have."""
    if schema.IMAGES_FOLDER in left_out(work.policy):
        return
    files = work.spool.files(schema.PIXELS_FOLDER, _ROWS)
    tables = work.spool.tables(schema.PIXELS_FOLDER, "map")
    placed = [
        one.select("pixels", "n_bytes", place=pl.lit(place), group=pl.int_range(pl.len()))
        for place, one in enumerate(tables)
    ]
    if not placed:
        return
    images = work.spool.tables(schema.IMAGES_FOLDER, _ROWS)
    named = {
        one
        for table in images
        for s, one in table.select("subject_id", "pixels").iter_rows()
        if s not in lost
    }
    stored = pl.concat(placed).filter(
        pl.col("pixels").is_in(pl.Series(sorted(named), dtype=pl.String).implode())
    )
    every = stored.unique("pixels", keep="first", maintain_order=True).sort("pixels")
    part = (every["n_bytes"].cum_sum().to_numpy() - every["n_bytes"].to_numpy()) // FILE_BYTES
    for number in np.unique(part):
        chosen = every.filter(pl.Series(part == number))
        make = partial(_write_part, files, chosen)
        step.shard(f"{int(number):05d}", schema.PIXELS_FOLDER, suffix=".parquet", make=make)


def _write_part(files: list[Path], chosen: pl.DataFrame, path: Path) -> int:
    def rows() -> Iterator[pa.Table]:
        opened = {place: pq.ParquetFile(files[place]) for place in chosen["place"].unique()}
        for place, group in chosen.select("place", "group").iter_rows():
            yield opened[place].read_row_group(group)

    return write_store(rows(), path)


_NOTHING: Final[dict[str, Any]] = {"rows": 0, "dropped": {}, "changed": {}}
