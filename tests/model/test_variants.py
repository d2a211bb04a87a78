"""Star alleles and phenotypes, against PharmCAT's positions and test files, and hand-worked genomes."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from residency.model.encoders.stars import Gene, Variant, call, genes
from residency.model.encoders.variants import VariantsEncoder, variants_of
from residency.timeline import Genome

PHARMCAT = Path("/work/shared/data/pharmcat_vcf.tar.xz")
needs_pharmcat = pytest.mark.skipif(not PHARMCAT.exists(), reason="PharmCAT's files are not here")
BY_NAME: dict[str, Gene] = {gene.name: gene for gene in genes()}


def genome(rows: list[tuple[str, ...]]) -> pl.DataFrame:
    """Make a genome of (gene, name, chromosome, position, reference, alternate, genotype)."""
    names = ("gene", "name", "chromosome", "position", "reference", "alternate", "genotype")
    return pl.DataFrame(
        [dict(zip(names, row, strict=True)) | {"assembly": "GRCh38"} for row in rows],
        schema={
            **dict.fromkeys(("assembly", *names), pl.String),
            "position": pl.Int64,
        },
    )


def read_vcf(text: str) -> pl.DataFrame:
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return genome([("", row[2], row[0], int(row[1]), row[3], row[4], row[9]) for row in lines])


def members(*names: str) -> Iterator[tuple[str, pl.DataFrame]]:
    with tarfile.open(PHARMCAT) as archive:
        for member in archive.getmembers():
            if member.name.endswith(tuple(f"/{name}.vcf" for name in names)) or member.name in names:
                handle = archive.extractfile(member)
                assert handle is not None
                yield Path(member.name).stem, read_vcf(handle.read().decode())


@needs_pharmcat
def test_every_position_of_the_table_is_one_of_pharmcats() -> None:
    ((_, rows),) = members("pharmcat_positions.vcf")
    known = {
        (
            row["chromosome"].removeprefix("chr"),
            row["position"],
            row["name"],
            f"{row['reference']}>{alternate}",
        )
        for row in rows.iter_rows(named=True)
        for alternate in row["alternate"].split(",")
    }
    told = [allele for gene in genes() for allele in gene.alleles if allele.id]
    assert len(told) == 19
    for allele in told:
        assert (allele.chromosome, allele.position, allele.id, allele.change) in known


@needs_pharmcat
@pytest.mark.parametrize(
    ("file", "gene", "expected"),
    [
        ("cyp2c19/s1s1", "CYP2C19", "normal"),
        ("cyp2c19/s1s2", "CYP2C19", "intermediate"),
        ("cyp2c19/s2s2", "CYP2C19", "poor"),
        ("cyp2c19/s2s3", "CYP2C19", "poor"),
        ("cyp2c19/s1s17", "CYP2C19", "rapid"),
        ("cyp2c19/s1s4b", "CYP2C19", "intermediate"),
        ("VKORC1/-1639A-1639A", "VKORC1", "high sensitivity"),
        ("VKORC1/-1639G-1639A", "VKORC1", "intermediate sensitivity"),
        ("VKORC1/-1639G-1639G", "VKORC1", "low sensitivity"),
    ],
)
def test_phenotypes_of_pharmcats_test_files_are_those_of_their_diplotypes(
    file: str, gene: str, expected: str
) -> None:
    ((_, rows),) = members(file)
    said = call(BY_NAME[gene], variants_of(rows))
    assert said is not None
    assert said.phenotype == expected


@pytest.mark.parametrize(
    ("gene", "changes", "expected"),
    [
        ("CYP2C9", {"*2": 1}, "intermediate"),
        ("CYP2C9", {"*2": 2}, "intermediate"),
        ("CYP2C9", {"*2": 1, "*3": 1}, "poor"),
        ("CYP2C9", {"*3": 2}, "poor"),
        ("CYP2C9", {}, "normal"),
        ("CYP2C9", {"*2": 2, "*3": 1}, None),
        ("CYP2C19", {"*17": 2}, "ultrarapid"),
        ("CYP2C19", {"*2": 1, "*17": 1}, "intermediate"),
        ("TPMT", {"*3B": 1, "*3C": 1}, "intermediate"),
        ("TPMT", {"*3B": 1, "*3C": 2}, "poor"),
        ("TPMT", {"*2": 1}, "intermediate"),
        ("SLCO1B1", {"*5": 1}, "decreased"),
        ("SLCO1B1", {"*5": 2}, "poor"),
        ("DPYD", {"HapB3": 1}, "intermediate"),
        ("DPYD", {"*2A": 1, "c.2846A>T": 1}, "poor"),
    ],
)
def test_phenotypes_follow_cpics_scores(gene: str, changes: dict[str, int], expected: str | None) -> None:
    rows = [
        Variant(gene, a.id, ("GRCh38", a.chromosome, a.position), a.change, changes.get(a.name, 0))
        for a in BY_NAME[gene].alleles
        if a.id
    ]
    said = call(BY_NAME[gene], rows)
    assert said is not None
    assert said.phenotype == expected


@pytest.mark.parametrize(
    ("gene", "name", "expected"),
    [
        ("CYP2C19", "CYP2C19*1/*2", "intermediate"),
        ("CYP2C19", "*17/*17", "ultrarapid"),
        ("TPMT", "TPMT*1/*3A", "intermediate"),
        ("HLA-B", "HLA-B*57:01", "positive"),
        ("HLA-B", "HLA-B*07:02/*57:01", "positive"),
        ("HLA-B", "HLA-B*07:02/*08:01", "negative"),
    ],
)
def test_a_call_of_the_source_itself_is_taken(gene: str, name: str, expected: str) -> None:
    said = call(BY_NAME[gene], [Variant(gene, name, ("", "", 0), ">", 0)])
    assert said is not None
    assert said.phenotype == expected


def test_a_gene_of_which_no_row_tells_has_no_phenotype() -> None:
    rows = genome([("APOE", "rs429358", "chr19", 44908684, "T", "C", "0/1")])
    assert all(call(gene, variants_of(rows)) is None for gene in genes())
    vectors, counts = VariantsEncoder().encode([Genome(rows)])
    named = len(VariantsEncoder().place)
    assert counts.all()
    assert vectors[0, 0, named:].sum() == 2.0  # its variant and its gene, one copy each


def test_zygosity_assembly_and_several_alternates_are_read() -> None:
    rows = genome(
        [
            ("", "", "chr6", 18130687, "T", "C,G", "1|2"),
            ("", "", "2", 100, "A", "AT", "1/1"),
            ("", "", "2", 200, "AT", "A", "./."),
        ]
    )
    dosages = [(variant.change, variant.dosage) for variant in variants_of(rows)]
    assert dosages == [("T>C", 1), ("T>G", 1), ("A>AT", 2), ("AT>A", 0)]
    moved = rows.with_columns(assembly=pl.lit("GRCh37"))
    assert call(BY_NAME["TPMT"], variants_of(rows)) is not None
    assert call(BY_NAME["TPMT"], variants_of(moved)) is None


def test_a_genome_is_encoded_alike_whoever_is_beside_it() -> None:
    encoder = VariantsEncoder()
    one = Genome(genome([("CYP2C9", "rs1799853", "chr10", 94942290, "C", "T", "0/1")]))
    other = Genome(genome([("TPMT", "rs1142345", "chr6", 18130687, "T", "C", "1/1")]))
    together, alone = encoder.encode([other, one])[0], encoder.encode([one])[0]
    np.testing.assert_array_equal(together[1], alone[0])
    assert encoder.digest == VariantsEncoder().digest
