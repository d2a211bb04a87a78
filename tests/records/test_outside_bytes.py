"""Whatever bytes a hospital's file holds: records, what was left out counted; or one of our own errors."""

import gzip
import importlib.util
import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residency.contract.errors import ResidencyError
from residency.records import Feed, ingest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = "Canary"
SPEC = importlib.util.spec_from_file_location("invented_dicom", Path(__file__).with_name("invented_dicom.py"))
assert SPEC is not None
assert SPEC.loader is not None
invented_dicom: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(invented_dicom)

TABLE = """
site = "north"
[[tables]]
files = "*"
subject = { column = "who" }
time = { column = "day" }
events = [{ code = "LAB/{what}", value = "value" }]
"""
ROWS = {
    "who": ["Canary-1", "Canary-1", "p2"],
    "day": ["2020-01-01T08:00:00", "2020-01-02T08:00:00", "2020-01-02T09:00:00"],
    "what": ["glucose", "sodium", "glucose"],
    "value": [90.5, 140.0, 101.0],
}
VCF = (
    "##fileformat=VCFv4.2\n##reference=GRCh38\n##contig=<ID=chr1,assembly=GRCh38>\n"
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tCanary-1\tp2\n"
    "chr1\t100\trs1\tA\tG\t.\tPASS\tGENE=CYP2C19\tGT:DP\t0/1:9\t1|1:9\n"
)


def resources() -> list[dict[str, Any]]:
    subject = {"reference": "Patient/Canary-1"}
    loinc = {"coding": [{"system": "http://loinc.org", "code": "2160-0", "display": "Creatinine"}]}
    note = {"attachment": {"contentType": "text/plain", "data": "Q2FuYXJ5IGlzIHdlbGwu"}}
    when = "2020-01-01T08:00:00"
    return [
        {"resourceType": "Patient", "id": "Canary-1", "birthDate": "1950-06-01", "name": [{"text": CANARY}]},
        {"resourceType": "Observation", "id": "o1", "status": "final", "code": loinc, "subject": subject,
         "effectiveDateTime": when, "valueQuantity": {"value": 1.5, "code": "mg/dL"}},
        {"resourceType": "DocumentReference", "id": "d1", "status": "current", "subject": subject,
         "date": when, "content": [note]},
        {"resourceType": "DiagnosticReport", "id": "r1", "status": "final", "code": loinc, "subject": subject,
         "effectiveDateTime": when, "conclusion": "Canary sings."},
    ]  # fmt: skip


def lines() -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in resources())


def bundle() -> bytes:
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in resources()]
    return msgspec.json.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("Canary/all.ndjson")
        member.size = len(lines())
        tar.addfile(member, io.BytesIO(lines()))
    return buffer.getvalue()


def parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def meds() -> bytes:
    time = pl.Series([None, datetime(2020, 1, 1)], dtype=pl.Datetime("us"))  # noqa: DTZ001
    columns = {
        "subject_id": [1, 1],
        "time": time,
        "code": ["GENDER//F", "LAB//1"],
        "text_value": [None, CANARY],
    }
    return parquet(pl.DataFrame(columns).with_columns(numeric_value=pl.lit(1.5, pl.Float32)))


def dicom() -> bytes:
    buffer = io.BytesIO()
    invented_dicom.instance(PatientID="Canary-1").save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


KINDS: dict[str, tuple[str, str, Callable[[], bytes], str]] = {
    "FHIR lines": ("fhir", "x.ndjson", lines, ""),
    "FHIR lines, gzip": ("fhir", "x.ndjson.gz", lambda: gzip.compress(lines(), mtime=0), ""),
    "FHIR bundle": ("fhir", "x.json", bundle, ""),
    "an archive": ("fhir", "x.tar.gz", archive, ""),
    "a table": ("table", "x.csv", lambda: pl.DataFrame(ROWS).write_csv().encode(), TABLE),
    "a table, Parquet": ("table", "x.parquet", lambda: parquet(pl.DataFrame(ROWS)), TABLE),
    "MEDS": ("meds", "data/0.parquet", meds, 'site = "north"\n'),
    "DICOM": ("dicom", "x.dcm", dicom, 'site = "north"\n'),
    "VCF": ("vcf", "x.vcf", VCF.encode, 'site = "north"\n'),
    "VCF, gzip": ("vcf", "x.vcf.gz", lambda: gzip.compress(VCF.encode(), mtime=0), 'site = "north"\n'),
}
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 5), st.one_of(st.binary(max_size=5), st.just(b"Canary"))),
    max_size=5,
)


def spoiled(body: bytes, changes: list[tuple[float, int, bytes]], kept: float) -> bytes:
    """Change some bytes, take some out, put some in, and cut the end off."""
    found = bytearray(body)
    for share, n_gone, new in changes:
        at = int(share * len(found))
        found[at : at + n_gone] = new
    return bytes(found[: max(1, int(kept * len(found)))])


@pytest.mark.filterwarnings("ignore")  # of pydicom's writer; what is read is silenced by the reader
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_a_spoiled_file_is_read_or_refused_and_no_value_of_it_is_told(
    kind: str, changes: list[tuple[float, int, bytes]], kept: float, tmp_path_factory, caplog, capfd
) -> None:
    source, name, make, mapping = KINDS[kind]
    folder = tmp_path_factory.mktemp("odd")
    (folder / "in" / name).parent.mkdir(parents=True)
    (folder / "in" / name).write_bytes(spoiled(make(), changes, kept))
    (folder / "mapping.toml").write_text(mapping)
    feed = Feed(source, [folder / "in"], folder / "mapping.toml" if mapping else None)
    told = ""
    try:
        ingest(folder / "out", [feed], now=NOW)
        told = (folder / "out" / "made-from.json").read_text()
    except ResidencyError as error:
        told = str(error)
    assert CANARY not in told
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_a_spoiled_mapping_is_read_or_refused(
    changes: list[tuple[float, int, bytes]], kept: float, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "x.csv").write_bytes(KINDS["a table"][2]())
    (folder / "mapping.toml").write_bytes(spoiled(TABLE.encode(), changes, kept))
    with suppress(ResidencyError):
        ingest(folder / "out", [Feed("table", [folder / "x.csv"], folder / "mapping.toml")], now=NOW)


@pytest.mark.parametrize("kind", ["FHIR lines", "FHIR bundle"])
def test_a_resource_that_is_no_utf_8_is_left_out_and_counted_alone(kind: str, tmp_path: Path) -> None:
    _, name, make, _ = KINDS[kind]
    (tmp_path / name).write_bytes(make().replace(b"mg/dL", b"mg\xff\x80L"))
    (tmp_path / "mapping.toml").write_text("max_bad_share = 0.5\n")
    manifest = ingest(tmp_path / "out", [Feed("fhir", [tmp_path / name], tmp_path / "mapping.toml")], now=NOW)
    assert manifest.rows.dropped == {"Observation: malformed": 1}
    with pytest.raises(ResidencyError, match="1 of 4 rows hold what cannot be"):
        ingest(tmp_path / "strict", [Feed("fhir", [tmp_path / name], None)], now=NOW)


def test_what_is_nested_beyond_reason_is_refused(tmp_path: Path) -> None:
    deep = b'{"resourceType": "Patient", "id": "p1", "name": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    (tmp_path / "x.json").write_bytes(deep)
    with pytest.raises(ResidencyError):
        ingest(tmp_path / "out", [Feed("fhir", [tmp_path / "x.json"], None)], now=NOW)
