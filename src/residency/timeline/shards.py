"""In: parquet files of a data folder. Out: their rows; a damaged file is refused."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.errors import InputError


def read(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a file.

    Raises:
        InputError: it cannot be read, or lacks a column.
    """
    try:
        return pl.read_parquet(path, columns=list(columns) if columns else None)
    except pl.exceptions.ColumnNotFoundError:
        wanted = ", ".join(columns or ())
        raise InputError(f"a file lacks one of the columns {wanted}", where=str(path)) from None
    except (OSError, pl.exceptions.PolarsError):
        raise InputError("a file cannot be read: absent, cut short or altered", where=str(path)) from None


def between(paths: Sequence[Path], low: int, high: int) -> pl.DataFrame:
    """Read the rows of some patients from files.

    Raises:
        InputError: a file cannot be read.
    """
    chosen = pl.col("subject_id").is_between(low, high)
    try:
        return pl.scan_parquet(list(paths)).filter(chosen).collect()
    except (OSError, pl.exceptions.PolarsError):
        raise InputError(
            "a file cannot be read: absent, cut short or altered", where=str(paths[0].parent)
        ) from None


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Give events shards in the order of their patients.

    Raises:
        InputError: a shard has no rows or cannot be read, or a patient may be in two of them.
    """
    spans = sorted((*subject_range(path), path) for path in paths)
    for (_, high, _), (low, _, path) in pairwise(spans):
        if low <= high:
            raise InputError("two events shards overlap: a patient must be in one", where=str(path))
    return [path for _, _, path in spans]


def reaches(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Give the span of patients that each shard, in order, stands for: together, every patient there can be.

    Raises:
        InputError: a shard has no rows or cannot be read.
    """
    lows = [np.iinfo(np.int64).min, *(subject_range(path)[0] for path in paths[1:])]
    return [(low, high - 1) for low, high in pairwise([*map(int, lows), np.iinfo(np.int64).max])]


def subject_range(path: Path) -> tuple[int, int]:
    """Give the lowest and the highest `subject_id` of a file.

    Raises:
        InputError: it has no rows, or cannot be read.
    """
    subject = read(path, ["subject_id"])["subject_id"].to_numpy()
    if len(subject) == 0:
        raise InputError("an events shard has no rows", where=str(path))
    return int(subject.min()), int(subject.max())


def refuse_strangers(
    subject: Int64[np.ndarray, " patient"], listed: Int64[np.ndarray, " listed"], path: Path
) -> None:
    """See that all patients of a shard are listed.

    Raises:
        InputError: some are not.
    """
    if n := int((~np.isin(subject, listed)).sum()):
        raise InputError(f"{n} patients of an events shard are not in subjects.parquet", where=str(path))
