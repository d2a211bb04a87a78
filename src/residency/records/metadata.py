"""In: what all chunks say together. Out: tables of codes and of patients, and the data set's description."""

from pathlib import Path
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from meds.schema import DatasetMetadataSchema

from residency import __version__
from residency.contract import codes, schema
from residency.contract.identifiers import bucket_of
from residency.records.gathering import POINTER, Gathering
from residency.records.settings import Settings
from residency.records.units import APART

MEDS_VERSION: Final = "0.4"


def codes_table(found: Gathering) -> pa.Table:
    """Give every code in use, everything above it, and what is known of each."""
    told = _told(found)
    unit = {reading.code: reading.unit for reading in found.readings.values() if reading.unit is not None}
    rows: dict[str, tuple[str | None, list[str]]] = {}
    waiting = list(found.writing.codes)
    while waiting:
        code = waiting.pop()
        if code in rows:
            continue
        base, apart, _ = code.partition(APART)
        description, parents = told.get(code, (None, set()))
        above = {*parents, *codes.built_in_parents(code), *([base] if apart else [])} - {code}
        rows[code] = (description or (told.get(base, (None, set()))[0] if apart else None), sorted(above))
        waiting += above
    names = sorted(rows)
    table = pa.table(
        {
            "code": pa.array(names, pa.string()),
            "description": pa.array([rows[name][0] for name in names], pa.string()),
            "parent_codes": pa.array([rows[name][1] for name in names], pa.list_(pa.string())),
            "unit": pa.array([unit.get(name) for name in names], pa.string()),
        }
    )
    return schema.check(table, schema.CODES)


def _told(found: Gathering) -> dict[str, tuple[str | None, set[str]]]:
    """Put together what chunks say of a code; of several descriptions the first by the alphabet stays."""
    told: dict[str, tuple[str | None, set[str]]] = {}
    if found.described is None:
        return told
    for row in found.described.to_pylist():
        if row["code"].startswith(POINTER):
            continue
        description, parents = told.get(row["code"], (None, set()))
        texts = [text for text in (description, row["description"]) if text]
        told[row["code"]] = (min(texts, default=None), parents.union(row["parent_codes"] or ()))
    return told


def subjects_table(found: Gathering, settings: Settings) -> pa.Table:
    """Give every patient's site (of most of their events, or of what else there is) and split bucket."""
    everyone = found.known
    frame = pl.DataFrame({"subject_id": everyone}).join(_sites(found), on="subject_id", how="left")
    table = pa.table(
        {
            "subject_id": pa.array(everyone),
            "site": frame.sort("subject_id")["site"]
            .fill_null(settings.default_site)
            .to_arrow()
            .cast(pa.string()),
            "split_bucket": pa.array(
                [bucket_of(int(one), settings.split_salt) for one in everyone], pa.int16()
            ),
        }
    )
    return schema.check(table, schema.SUBJECTS)


def _sites(found: Gathering) -> pl.DataFrame:
    counted = [
        run.sites(found.site_names[run.chunk]).with_columns(rank=pl.lit(rank))
        for rank, runs in enumerate((found.events, found.attached))
        for run in runs
    ]
    return (
        pl.concat(counted)
        .group_by("subject_id", "rank", "name")
        .agg(pl.col("n").sum())
        .sort("subject_id", "rank", -pl.col("n"), "name")
        .group_by("subject_id", maintain_order=True)
        .agg(site=pl.col("name").first())
    )


def write_identifiers(found: Gathering, path: Path) -> int:
    """Write who patients are, range by range, each thing once."""
    n = 0
    with pq.ParquetWriter(path, schema.IDENTIFIERS, compression="zstd") as writer:
        for part in found.ranges:
            rows = [run.between(part.low, part.high) for run in found.identifiers]
            frame = pl.DataFrame(pl.from_arrow(pa.concat_tables(rows)))
            frame = frame.filter(pl.col("subject_id").is_in(found.known)).unique().sort(pl.all())
            writer.write_table(frame.to_arrow().cast(schema.IDENTIFIERS))
            n += frame.height
    return n


def write_dataset(found: Gathering, settings: Settings, path: Path) -> int:
    """Describe the data set, as MEDS does and with what we add."""
    body = {
        "dataset_name": "residency ingest",
        "etl_name": "residency",
        "etl_version": __version__,
        "meds_version": MEDS_VERSION,
        "raw_source_id_columns": ["visit_id", "source"],
        "code_modifier_columns": ["unit"],
        "site_id_columns": ["site"],
        "other_extension_columns": ["available", "era"],
        "residency": {
            "format": schema.FORMAT,
            "time_zone": settings.time_zone or None,
            "sites": found.writing.sites,
            "deidentified": False,
            "split_salt": settings.split_salt,
            "labels": sorted(found.labels),
            **found.result(),
        },
    }
    DatasetMetadataSchema(**body)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=1))
    return 0
