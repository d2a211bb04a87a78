"""In: identified records, a policy, a key. Out: what a run of de-identification works with."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64

from residency.contract import schema
from residency.contract.errors import InputError
from residency.contract.lineage import Manifest
from residency.deid.people import NO_EVENTS, people_of, refuse_collisions
from residency.deid.policy import Policy
from residency.deid.register import mark_of
from residency.deid.spool import Spool

LIMITS: Final = "limits"
CODES: Final = "codes"
_SCHEMAS: Final = {
    schema.DATA: schema.EVENTS,
    schema.OBSERVATION_FOLDER: schema.OBSERVATION,
    schema.LABELS_FOLDER: schema.LABELS,
    schema.NOTES_FOLDER: schema.NOTES,
    schema.IMAGES_FOLDER: schema.IMAGES,
    schema.PIXELS_FOLDER: schema.PIXELS,
    schema.VARIANTS_FOLDER: schema.VARIANTS,
}
_KINDS: Final = {"pseudonym": pl.Int64(), "birth_shift": pl.Int64(), "limit": pl.Int64()}


def schema_of(folder: str) -> pa.Schema:
    """Give the schema of a folder's tables: of `data`, `labels/<task>`, `images/pixels`."""
    return _SCHEMAS.get(folder) or _SCHEMAS[folder.split("/")[0]]


@dataclass(frozen=True)
class Work:
    """What a run works with.

    Attributes:
        records: the identified folder.
        files: its tables by folder: `data`, `observation`, `labels/<task>`, `notes`, …
        policy: what may stay.
        key: the secret.
        spool: where shards without identities wait to be written.
        withdrawn: marks of those who withdrew (`register`).
    """

    records: Path
    files: dict[str, list[Path]]
    policy: Policy
    key: bytes
    spool: Spool
    withdrawn: frozenset[str] = frozenset()

    def read(self, path: Path, folder: str) -> pa.Table:
        """Read one table, without those who withdrew.

        Raises:
            InputError: it cannot be read.
            SchemaError: it is not what its folder's tables are.
        """
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException):
            raise InputError("a shard cannot be read", where=str(path)) from None
        return self.left(schema.check(table, schema_of(folder), str(path)))

    def left(self, table: pa.Table) -> pa.Table:
        """Give a table without those who withdrew."""
        if not self.withdrawn or "subject_id" not in table.column_names:
            return table
        everyone = table.column("subject_id").unique().to_pylist()
        gone = [one for one in everyone if mark_of(self.key, one) in self.withdrawn]
        chosen = pc.is_in(table.column("subject_id"), value_set=pa.array(gone, pa.int64()))
        return table.filter(pc.invert(chosen)) if gone else table

    def limits(self) -> pl.DataFrame:
        """Give, of each patient with events, how far the birth moves, and when a too high age would show."""
        limits = pl.concat([pl.DataFrame(schema=_KINDS), *self.spool.tables(schema.DATA, LIMITS)])
        refuse_collisions(limits["pseudonym"].to_numpy())
        return limits

    def people(self, subjects: Int64[np.ndarray, " patient"], limits: pl.DataFrame) -> pl.DataFrame:
        """Give what is done to those of the patients who have events: columns of `people.PEOPLE`."""
        everyone = people_of(subjects, NO_EVENTS, self.policy, self.key)
        return everyone.drop("limit", "birth_shift").join(limits, on="pseudonym")


def files_of(records: Path, manifest: Manifest) -> dict[str, list[Path]]:
    """List a folder's tables by folder."""
    found: dict[str, list[Path]] = {}
    for shard in manifest.shards:
        folder = PurePosixPath(shard.path).parent.as_posix()
        if folder.split("/")[0] in _SCHEMAS:
            found.setdefault(folder, []).append(records / shard.path)
    return found
