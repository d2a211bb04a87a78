"""In: a folder of event tables. Out: some of its patients as our records, and as MEDS split by patient."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl

from residency.contract.identifiers import split_of
from residency.contract.lineage import Rows, Step

NOW = datetime(2024, 1, 1, tzinfo=UTC)
MEDS_COLUMNS = ("subject_id", "time", "code", "numeric_value", "text_value")


@dataclass(frozen=True)
class Cohort:
    """The same patients twice.

    Attributes:
        records: as ours.
        meds: as any MEDS tool has them.
        n_patients: how many there are.
        n_events: of all of them.
        n_train_events: of those who teach.
    """

    records: Path
    meds: Path
    n_patients: int
    n_events: int
    n_train_events: int


def cohort(source: Path, out: Path, n_patients: int, site: str) -> Cohort:
    """Write the first patients of a site, by their numbers, which are hashes."""
    subjects = pl.read_parquet(source / "metadata/subjects.parquet")
    subjects = subjects.filter(pl.col("site") == site) if site else subjects
    subjects = subjects.sort("subject_id").head(n_patients)
    split = subjects.select(
        "subject_id", pl.col("split_bucket").map_elements(split_of, return_dtype=pl.String).alias("split")
    )
    found = {
        name: pl.concat([pl.read_parquet(path) for path in sorted((source / name).glob("*.parquet"))]).join(
            subjects.select("subject_id"), on="subject_id", how="semi"
        )
        for name in ("data", "observation")
    }
    events = found["data"].sort("subject_id", "time", "available", "code", nulls_last=False)
    _write_records(out / "records", source, subjects, events, found["observation"])
    _write_meds(out / "meds", source, events, split)
    taught = split.filter(pl.col("split") == "train")
    n_taught = len(events.join(taught, on="subject_id", how="semi"))
    return Cohort(out / "records", out / "meds", len(subjects), len(events), n_taught)


def _write_records(
    out: Path, source: Path, subjects: pl.DataFrame, events: pl.DataFrame, seen: pl.DataFrame
) -> None:
    with Step(out, name="ingest", inputs=["0" * 64], spec={}, now=NOW) as step:
        if step.manifest is not None:
            return
        codes = pl.read_parquet(source / "metadata/codes.parquet")
        step.shard("0", "data", suffix=".parquet", make=partial(_write, events))
        step.file("metadata/subjects.parquet", make=partial(_write, subjects))
        step.file("metadata/codes.parquet", make=partial(_write, codes))
        step.shard("0", "observation", suffix=".parquet", make=partial(_write, seen))
        step.finish(rows=Rows())


def _write_meds(out: Path, source: Path, events: pl.DataFrame, split: pl.DataFrame) -> None:
    (out / "metadata").mkdir(parents=True, exist_ok=True)
    split.write_parquet(out / "metadata/subject_splits.parquet")
    codes = pl.read_parquet(source / "metadata/codes.parquet").select("code", "description", "parent_codes")
    codes.write_parquet(out / "metadata/codes.parquet")
    (out / "metadata/dataset.json").write_text("{}", "utf-8")
    for name in ("train", "tuning", "held_out"):
        folder = out / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        part = events.join(split.filter(pl.col("split") == name), on="subject_id", how="semi")
        part.select(MEDS_COLUMNS).write_parquet(folder / "0.parquet")


def _write(table: pl.DataFrame, path: Path) -> int:
    table.write_parquet(path)
    return len(table)
