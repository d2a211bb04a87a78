"""In: the truth of a simulated hospital, by source id. Out: the same under pseudonyms, times shifted."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from residency.contract import specs
from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of
from residency.contract.lineage import Manifest, Rows, Step
from residency.deid import pseudonyms
from residency.deid.keys import fingerprint, read_key
from residency.deid.people import NO_EVENTS, people_of
from residency.deid.policy import Policy

_KEYS: Final = ("source_id", "site")
_FILES: Final = ("file", "study_uid", "series_uid")


def rekey(truth: Path, out: Path, policy: Policy, *, now: datetime) -> Manifest:
    """Re-key the truth of a simulation.

    A table with columns `source_id` and `site` gets `subject_id` in place of `source_id`, its times and dates
    move with the patient's, and `source` becomes the pseudonym that it is in the records. Columns that name
    files go. Of spans in texts only the facts stay, without their places: the texts are others now. A table
    with neither column, and a JSON file, hold nothing of a patient and are copied.

    Args:
        truth: folder of parquet and JSON files.
        out: the folder to write.
        policy: the policy that the records were de-identified with.
        now: the run's start, aware.

    Raises:
        IdentityError: the key is missing, wrong or misplaced.
        InputError: the folder has no tables, one has only one of the two columns, or a JSON file names a
            patient.
    """
    key = read_key(policy, (truth, out))
    tables = sorted(truth.rglob("*.parquet"))
    files = sorted([*tables, *truth.rglob("*.json")])
    if not tables:
        raise InputError("no parquet files", where=str(truth))
    settings = {**specs.plain(policy), "key_file": "", "key_fingerprint": fingerprint(key)}
    del settings["risk"]["officers"]
    with Step(out, name="rekey", inputs=files, spec=settings, now=now) as step:
        if step.manifest is not None:
            return step.manifest
        made = [
            step.file(path.relative_to(truth).as_posix(), make=_maker(path, tables, policy, key))
            for path in files
        ]
        n = sum(shard.rows for shard in made)
        return step.finish(rows=Rows(read=n, kept=n))


def _maker(path: Path, tables: list[Path], policy: Policy, key: bytes) -> Callable[[Path], int]:
    return partial(_write, path, policy, key) if path in tables else partial(_copy, path, tables)


def _copy(path: Path, tables: list[Path], out: Path) -> int:
    """Copy a file that names no patient."""
    body = path.read_text("utf-8")
    words = set(re.findall(r"[\w.-]+", body))
    for table in tables:
        if "source_id" in pl.read_parquet_schema(table) and not words.isdisjoint(
            pl.read_parquet(table, columns=["source_id"])["source_id"].cast(pl.String)
        ):
            raise InputError("a file beside the tables names a patient", where=str(path))
    out.write_text(body, "utf-8")
    return 0


def _write(path: Path, policy: Policy, key: bytes, out: Path) -> int:
    table = pl.read_parquet(path)
    if sum(name in table.columns for name in _KEYS) == 1:
        raise InputError("a table has only one of source_id and site", where=str(path))
    hidden = _rekeyed(table, policy, key) if "source_id" in table.columns else table
    hidden.write_parquet(out, compression="zstd")
    return len(hidden)


def _rekeyed(table: pl.DataFrame, policy: Policy, key: bytes) -> pl.DataFrame:
    if {"what", "start", "end"} <= set(table.columns):
        table = table.filter(pl.col("what") != "identifier").drop("start", "end")
    table = table.drop(*_FILES, strict=False)
    known = table.select(_KEYS).unique().drop_nulls()
    ids = [subject_id_of(str(source), str(site)) for source, site in known.iter_rows()]
    people = people_of(np.array(sorted(ids), np.int64), NO_EVENTS, policy, key)
    links = known.with_columns(ingest_id=pl.Series(ids, dtype=pl.Int64)).join(
        people.select(ingest_id="subject_id", subject_id="pseudonym", shift="shift"), on="ingest_id"
    )
    joined = table.join(links, on=list(_KEYS), how="left", maintain_order="left")
    times = [name for name, kind in table.schema.items() if isinstance(kind, pl.Datetime | pl.Date)]
    moved = joined.with_columns(pl.col(name) + pl.duration(microseconds="shift") for name in times)
    site = pseudonyms.sites(table["site"], key) if policy.sites == "pseudonym" else table["site"]
    if "source" in table.columns:
        source = pseudonyms.references(table["source"], key, policy.reference_kinds)
        moved = moved.with_columns(source=source)
    order = ["subject_id", *(name for name in table.columns if name != "source_id")]
    return moved.with_columns(site=site).select(order).sort(order)
