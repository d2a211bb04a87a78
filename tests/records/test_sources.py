"""What every record source keeps to, ours and others' alike."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydicom.data import get_testdata_file

from residency.contract.plugins import SOURCES, Dropped, RecordSource, Rows
from residency.contract.schema import (
    CODES,
    EVENTS,
    IDENTIFIERS,
    LABELS,
    NOTES,
    OBSERVATION,
    VARIANTS,
    check,
)
from residency.records.draft import LINKS, SLICES

Sample = tuple[tuple[Path, ...], dict[str, Any]]


@pytest.fixture
def samples(invented: Any, tmp_path: Path) -> dict[str, Callable[[], Sample]]:
    """Give input for each source that is ours."""

    def fhir() -> Sample:
        return (invented.ndjson(tmp_path / "x.ndjson", [*invented.ward(3), {"resourceType": "Claim"}]),), {}

    def table() -> Sample:
        (tmp_path / "x.csv").write_text(
            "p,t,v\n1,2020-01-01T10:00:00,3\n,2020-01-01T10:00:00,3\n2,2020-01-01,4\n"
        )
        one = {"files": "x.csv", "subject": {"column": "p"}, "time": {"column": "t"}}
        return (tmp_path / "x.csv",), {
            "tables": [{**one, "measures": {"v": {"code": "LOCAL/v"}}}],
            "observation": {"rule": "rows"},
        }

    def meds() -> Sample:
        frame = pl.DataFrame({"subject_id": [1, None], "time": [None, None], "code": ["a", "b"]})
        frame.with_columns(pl.col("time").cast(pl.Datetime("us"))).write_parquet(tmp_path / "x.parquet")
        return (tmp_path / "x.parquet",), {}

    def dicom() -> Sample:
        (tmp_path / "dicom").mkdir()
        shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), tmp_path / "dicom")
        (tmp_path / "dicom/readme").write_text("none")
        return (tmp_path / "dicom",), {}

    def vcf() -> Sample:
        head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tp1\n"
        (tmp_path / "x.vcf").write_text(head + "1\t5\t.\tA\tG\t.\tPASS\t.\tGT\t0/1\nbad\n")
        return (tmp_path / "x.vcf",), {}

    return {"fhir": fhir, "table": table, "meds": meds, "dicom": dicom, "vcf": vcf}


@pytest.mark.parametrize("name", SOURCES.names())
def test_a_source_gives_rows_that_fit_the_tables_and_counts_what_it_leaves_out(
    samples: dict[str, Callable[[], Sample]], name: str
) -> None:
    source = SOURCES.get(name)
    assert isinstance(source, RecordSource)
    if name not in samples:
        pytest.skip(f"no sample for the source {name}")
    schemas = {
        "events": EVENTS, "labels": LABELS, "observation": OBSERVATION, "codes": CODES, "notes": NOTES,
        "variants": VARIANTS, "identifiers": IDENTIFIERS, "slices": SLICES, "links": LINKS,
    }  # fmt: skip
    kept = dropped = 0
    for item in source.read(*samples[name]()):
        if isinstance(item, Dropped):
            assert item.n > 0
            dropped += item.n
            continue
        assert isinstance(item, Rows)
        kept += item.batch.num_rows if item.n is None else item.n
        if item.table in schemas:
            check(pa.Table.from_batches([item.batch]).cast(schemas[item.table]), schemas[item.table])
    assert kept > 0
    assert dropped > 0
