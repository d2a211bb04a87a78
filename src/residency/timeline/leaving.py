"""In: a packed shard and patients who leave. Out: the shard as though they had not been there."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int64

from residency.contract.packed import ATTACHMENT_KINDS, Packed
from residency.timeline.attachments import FILES, Attachments
from residency.timeline.building import SOURCE_FILE
from residency.timeline.cut import take
from residency.timeline.pixels import NO_PIXELS
from residency.timeline.shards import read

_Rows = Bool[np.ndarray, " row"]


def holds(folder: Path, subjects: Iterable[int]) -> bool:
    """Tell whether a packed shard has any of some patients."""
    return bool(np.isin(Packed.open(folder).subject, list(subjects)).any())


def leave_out(folder: Path, subjects: Iterable[int], out: Path) -> dict[str, int]:
    """Write a packed shard without some patients; vocabulary and everybody else stay as they are.

    Args:
        folder: a shard that `build` made.
        subjects: who leaves.
        out: the folder to write.

    Returns:
        What is left: `rows` (events), `patients`, `moments`, `labels`, and attachments by kind.
    """
    packed, wanted = Packed.open(folder), list(subjects)
    stays = ~np.isin(packed.subject, wanted)
    left = take(packed, np.flatnonzero(stays).astype(np.int64))
    source = read(folder / SOURCE_FILE)
    rows = _rows_left(packed, stays, len(source))
    attached = Attachments.open(folder, NO_PIXELS)
    kept = [~table["subject_id"].is_in(wanted).to_numpy() for table in attached.tables]
    left = left.with_arrays(
        event_ref=_moved(left.event_ref, rows), attachment_ref=_attached(left, [_places(one) for one in kept])
    )
    left.write(out)
    source.filter(pl.Series(rows)).write_parquet(out / SOURCE_FILE, compression="zstd")
    for table, mine, name in zip(attached.tables, kept, FILES, strict=True):
        if mine.any():
            table.filter(pl.Series(mine)).write_parquet(out / name, compression="zstd")
    return _counts(left)


def _rows_left(packed: Packed, stays: Bool[np.ndarray, " patient"], n_rows: int) -> _Rows:
    """Say which rows of the events shard stay: patients lie one after another, so whoever leaves has a span.

    Rows at its ends that no event was packed from go too: nothing points at them.
    """
    first = packed.event_offset[packed.moment_offset]
    owner = np.repeat(np.arange(packed.n_patients), np.diff(first))
    rows = np.ones(n_rows, bool)
    for patient in np.flatnonzero(~stays):
        before, after = packed.event_ref[owner < patient], packed.event_ref[owner > patient]
        low = int(before.max()) + 1 if len(before) else 0
        high = int(after.min()) if len(after) else n_rows
        rows[low:high] = False
    return rows


def _places(kept: _Rows) -> Int64[np.ndarray, " row"]:
    return np.cumsum(kept, dtype=np.int64) - 1


def _moved(refs: Int64[np.ndarray, " event"], rows: _Rows) -> Int64[np.ndarray, " event"]:
    moved: np.ndarray = _places(rows)[refs] if len(refs) else refs
    return moved


def _attached(left: Packed, places: list[Int64[np.ndarray, " _"]]) -> Int64[np.ndarray, " attachment"]:
    refs = np.array(left.attachment_ref)
    for kind, place in enumerate(places):
        mine = left.attachment_kind == kind
        refs[mine] = place[refs[mine]]
    return refs


def _counts(left: Packed) -> dict[str, int]:
    n = np.bincount(left.attachment_kind, minlength=len(ATTACHMENT_KINDS)).tolist()
    return {
        "rows": left.n_events,
        "patients": left.n_patients,
        "moments": left.n_moments,
        "labels": len(left.label_time),
        **dict(zip(("notes", "images", "genomes"), n, strict=True)),
    }
