import gzip
import tarfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from cyvcf2 import VCF

from residency.contract.errors import InputError, SpecError
from residency.contract.identifiers import subject_id_of
from residency.contract.schema import VARIANTS, check
from residency.records import Feed, ingest

at = datetime.fromisoformat
DATA = Path(__file__).parents[3] / "shared" / "data"
HEAD = "##fileformat=VCFv4.2\n##reference=GRCh38\n##contig=<ID=chr1,assembly=GRCh38>\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tp1\tp2\n"
CANARY = "Canary"


def line(*calls: str, **more: str) -> str:
    cells = {"chrom": "chr1", "pos": "100", "id": "rs1", "ref": "A", "alt": "G", "qual": ".",
             "filter": "PASS", "info": "GENE=CYP2C19", "format": "GT:DP"} | more  # fmt: skip
    return "\t".join([*cells.values(), *(calls or ("0/1:9", "1|1:9"))]) + "\n"


def variants(out: Path) -> pl.DataFrame:
    files = sorted((out / "variants").glob("*.parquet"))
    for path in files:
        check(pq.read_table(path), VARIANTS)
    return pl.read_parquet(files)


@pytest.fixture
def read(take: Any, tmp_path: Path) -> Callable[..., Any]:
    """Ingest the text of a file; give variants and manifest."""

    def run(text: str, mapping: str = "") -> tuple[pl.DataFrame, Any]:
        path = tmp_path / "in/one.vcf"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        manifest = take("vcf", tmp_path / "in", mapping=mapping)
        return variants(tmp_path / "out"), manifest

    return run


def test_each_patient_has_their_own_rows_of_a_file(read: Any) -> None:
    found, manifest = read(HEAD + COLUMNS + line() + line("0/0:9", "./.:0", pos="200"))
    rows = {row["subject_id"]: row for row in found.to_dicts()}
    one, two = rows[subject_id_of("p1", "main")], rows[subject_id_of("p2", "main")]
    assert (one["genotype"], two["genotype"]) == ("0/1", "1|1")
    assert (one["source"], two["source"]) == ("Genome/p1", "Genome/p2")
    assert (one["assembly"], one["chromosome"], one["position"]) == ("GRCh38", "1", 100)
    assert (one["reference"], one["alternate"], one["gene"], one["name"]) == ("A", "G", "CYP2C19", "rs1")
    assert one["time"] is None
    assert one["available"] is None
    assert manifest.rows.dropped == {"genome: called as the reference": 1, "genome: no call": 1}
    assert (manifest.rows.read, manifest.rows.kept) == (4, 2)


@pytest.mark.parametrize(
    ("wrong", "reason", "n"),
    [
        ("chr1\t1\trs\tA\n", "genome: a line with too few or too many columns", 1),
        (line("0/1", "0/1", "0/1"), "genome: a line with too few or too many columns", 1),
        (line(pos="-7"), "genome: a chromosome or position that is none", 1),
        (line(chrom="a b"), "genome: a chromosome or position that is none", 1),
        (line(ref="Q"), "genome: alleles that are none", 1),
        (line(alt="G,?"), "genome: alleles that are none", 1),
        (line(format="DP"), "genome: a line without genotypes", 1),
        (line(filter="LowQual"), "genome: a line that the caller's filters refuse", 1),
        (line("0/9", "zz"), "genome: a genotype that is none", 2),
    ],
)
def test_a_malformed_line_is_counted_and_the_others_are_read(
    read: Any, wrong: str, reason: str, n: int, capfd: pytest.CaptureFixture[str]
) -> None:
    found, manifest = read(HEAD + COLUMNS + line() + wrong.replace("rs", CANARY) + line(pos="300"))
    assert sorted(found["position"]) == [100, 100, 300, 300]
    assert manifest.rows.dropped == {reason: n}
    assert manifest.rows.read == 4 + n
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "genome: a file without the header of a VCF"),
        (f"{CANARY} is no VCF\n", "genome: a file without the header of a VCF"),
        (HEAD, "genome: a file without the header of a VCF"),
        (
            HEAD + COLUMNS.replace("\tp1\tp2", "").replace("\tFORMAT", "") + "chr1\t1\n",
            "genome: a file without samples",
        ),
        (HEAD + COLUMNS.replace("p2", "p1") + line(), "genome: two samples of one name in a file"),
    ],
)
def test_a_file_that_is_no_vcf_is_counted_and_the_others_are_read(
    read: Any, tmp_path: Path, text: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/{CANARY}.vcf").write_text(text)
    found, manifest = read(HEAD + COLUMNS + line())
    assert len(found) == 2
    assert manifest.rows.dropped == {reason: 1}
    assert capfd.readouterr().err == ""


def test_a_file_that_is_cut_short_is_refused_and_not_named(take: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    body = gzip.compress((HEAD + COLUMNS + line() * 99).encode())
    (tmp_path / f"in/{CANARY}.vcf.gz").write_bytes(body[:-20])
    with pytest.raises(InputError, match="cut short") as caught:
        take("vcf", tmp_path / "in")
    assert CANARY not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_bgzipped_file_without_its_last_block_is_refused(take: Any, tmp_path: Path) -> None:
    with tarfile.open(DATA / "pharmcat_vcf.tar.xz") if DATA.is_dir() else pytest.skip("no data") as archive:
        member = archive.extractfile("preprocessor/tests/raw.vcf.bgz")
        assert member is not None
        body = member.read()
    (tmp_path / "x.vcf.bgz").write_bytes(body)
    take("vcf", tmp_path / "x.vcf.bgz", out="whole")
    (tmp_path / "x.vcf.bgz").write_bytes(body[:-28])
    with pytest.raises(InputError, match="cut short"):
        take("vcf", tmp_path / "x.vcf.bgz")


def test_alternates_of_a_gvcf_that_stand_for_nothing_seen_are_left_out(read: Any) -> None:
    text = line("0/1", "0/0", alt="G,<NON_REF>", format="GT") + line("0/0", "0/0", alt="<*>", format="GT")
    found, manifest = read(HEAD + COLUMNS + text)
    assert found["alternate"].to_list() == ["G"]
    assert manifest.rows.dropped == {"genome: called as the reference": 3}


def test_calls_of_the_reference_are_kept_where_the_mapping_says(read: Any) -> None:
    found, _ = read(HEAD + COLUMNS + line("0/0", "./."), mapping="reference_calls = true")
    assert found["genotype"].to_list() == ["0/0"]


def test_a_samples_name_may_hold_more_than_the_patients_id(read: Any) -> None:
    text = (HEAD + COLUMNS + line()).replace("p1", "S_p1_x").replace("p2", "S_p2_x")
    found, _ = read(text, mapping='pattern = "S_(p[0-9])_"\ntime = "2015-03-01"\nassembly = "hg19"')
    assert set(found["subject_id"]) == {subject_id_of(f"p{n}", "main") for n in (1, 2)}
    assert set(found["time"]) == {at("2015-03-01")}
    assert set(found["available"]) == {at("2015-03-01T23:59:59.999999")}
    assert set(found["assembly"]) == {"GRCh37"}


@pytest.mark.parametrize("mapping", ['pattern = "p"', 'pattern = "(["', 'time = "soon"', 'genome = "half"'])
def test_a_mapping_that_makes_no_sense_is_refused(take: Any, tmp_path: Path, mapping: str) -> None:
    (tmp_path / "x.vcf").write_text(HEAD + COLUMNS + line())
    with pytest.raises(SpecError):
        take("vcf", tmp_path / "x.vcf", mapping=mapping)


def test_files_of_one_sample_are_one_genome_unless_the_mapping_says_otherwise(
    take: Any, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in (1, 2):
        (tmp_path / f"in/chr{number}.vcf").write_text(HEAD + COLUMNS + line(chrom=f"chr{number}"))
    take("vcf", tmp_path / "in", out="one")
    take("vcf", tmp_path / "in", out="two", mapping='genome = "file"')
    assert variants(tmp_path / "one")["source"].n_unique() == 2
    assert variants(tmp_path / "two")["source"].n_unique() == 4


def test_a_genome_is_known_when_its_report_is_and_strangers_are_left_out(
    invented: Any, tmp_path: Path, now: Any
) -> None:
    report = {
        "resourceType": "DiagnosticReport", "id": "g", "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "51969-4"}]},
        "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2020-01-05T08:00:00",
        "issued": "2020-01-25T08:00:00",
    }  # fmt: skip
    invented.ndjson(tmp_path / "fhir/x.ndjson", [*invented.ward(2, 1), report])
    (tmp_path / "vcf").mkdir()
    (tmp_path / "vcf/x.vcf").write_text(HEAD + COLUMNS + line())
    out = tmp_path / "out"
    manifest = ingest(out, [Feed("fhir", [tmp_path / "fhir"]), Feed("vcf", [tmp_path / "vcf"])], now=now)
    [row] = variants(out).to_dicts()
    assert (row["time"], row["available"]) == (at("2020-01-05T08:00"), at("2020-01-25T08:00"))
    assert manifest.rows.dropped == {"genome: of a patient whom no other record knows": 1}


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data beside the project")
def test_real_calls_are_what_htslib_reads(take: Any, tmp_path: Path) -> None:
    name = "assets/examples/target_genomes/cineca_synthetic_subset.vcf.gz"
    with tarfile.open(DATA / "pgs_example.tar.xz") as archive:
        packed = archive.extractfile(name)
        assert packed is not None
        lines = gzip.decompress(packed.read()).splitlines(keepends=True)
    path = tmp_path / "first.vcf.gz"
    path.write_bytes(gzip.compress(b"".join(lines[:60])))
    take("vcf", path, mapping='pattern = "^([A-Z0-9]+)_"')
    found = variants(tmp_path / "out").sort("position", "alternate", "source")
    file = VCF(str(path))
    samples = [one.split("_")[0] for one in file.samples]
    expected = [
        (v.POS, v.ALT[0], f"Genome/{samples[i]}", v.ID)
        for v in file
        for i, kind in enumerate(v.gt_types.tolist())
        if kind in (1, 3)
    ]
    assert list(found.select("position", "alternate", "source", "name").iter_rows()) == sorted(expected)


@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data beside the project")
def test_odd_real_files_come_in_and_what_is_wrong_is_counted(
    take: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = take("vcf", DATA / "pharmcat_vcf.tar.xz")
    assert manifest.rows.dropped["genome: a genotype that is none"] == 1
    assert manifest.rows.kept == 515
    assert capfd.readouterr().err == ""
