"""In: what one feed says of records that another brings. Out: look-ups of studies and genomes, in columns.

A study's UID is kept as eight bytes of its SHA-256: ten million studies take under a gigabyte, and a
collision would at worst put one image in quarantine.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

_SCHEMA: Final[dict[str, Any]] = {
    "kind": pl.String,
    "key": pl.Int64,
    "subject_id": pl.Int64,
    "time": pl.Datetime("us"),
    "available": pl.Datetime("us"),
    "visit_id": pl.Int64,
    "source": pl.String,
}


@lru_cache(1 << 16)
def key_of(uid: str) -> int:
    """Give a UID as a number."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True)
class Links:
    """Whose studies and genomes are.

    Attributes:
        studies: `key`, `subject_id`, `time`, `available`, `visit_id`, `source`; one row a study and patient.
        genomes: the same without `key`: the first report of each patient's genome.
    """

    studies: pl.DataFrame
    genomes: pl.DataFrame


def links(tables: Sequence[pa.Table]) -> Links:
    """Put the links of all chunks together."""
    order = ["available", "time", "visit_id", "source"]
    frames = [_numbered(table) for table in tables]
    found = pl.concat(frames) if frames else pl.DataFrame(schema=_SCHEMA)
    found = found.sort("subject_id", "key", *order, nulls_last=True)
    study = pl.col("kind") == "study"
    return Links(
        studies=found.filter(study).drop("kind").unique(["key", "subject_id"], keep="first"),
        genomes=found.filter(~study)
        .drop("kind", "key")
        .unique(["subject_id"], keep="first", maintain_order=True),
    )


def _numbered(table: pa.Table) -> pl.DataFrame:
    keys = np.array([key_of(key) for key in table.column("key").to_pylist()], np.int64)
    frame = pl.DataFrame(pl.from_arrow(table)).with_columns(key=pl.Series(keys, dtype=pl.Int64))
    return frame.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items())
