import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from residency.simulation.genome import draw, genes, genomes, log_rates, places
from residency.simulation.stars import call, calls

POSITIONS = Path(__file__).parents[3] / "shared" / "data" / "pharmcat_vcf.tar.xz"
NAMES = tuple(sorted({name for one in genes().risk for name in one.effect}))


def test_pharmacogenes_stand_where_pharmcat_has_them() -> None:
    if not POSITIONS.exists():
        pytest.skip("PharmCAT's positions are not on this machine")
    with tarfile.open(POSITIONS) as archive:
        member = next(one for one in archive if one.name.endswith("pharmcat_positions.vcf"))
        body = archive.extractfile(member)
        assert body is not None
        rows = [row.split("\t") for row in body.read().decode().splitlines() if not row.startswith("#")]
    known = {row[2]: row for row in rows}
    ours = [one for one in places() if one.variant.rs in known]
    assert len(ours) == 18
    for one in ours:
        chromosome, position, _, reference, alternates = known[one.variant.rs][:5]
        assert (one.chromosome, one.variant.position) == (chromosome, int(position))
        assert one.variant.reference == reference
        assert one.variant.alternate in alternates.split(",")


def test_a_genome_depends_on_the_seed_and_the_number_alone() -> None:
    all_of_them = genomes(7, np.arange(50))
    one = genomes(7, np.array([31]))
    assert (one.count[0] == all_of_them.count[31]).all()
    assert one.african[0] == all_of_them.african[31]
    assert (genomes(8, np.arange(50)).count != all_of_them.count).any()


def test_genotypes_stand_in_hardy_weinberg_proportions_within_a_group() -> None:
    found = draw(np.random.default_rng(1), 40_000)
    tested = 0
    for african in (True, False):
        count = found.count[found.african == african]
        p = count.mean(axis=0) / 2
        for column in np.flatnonzero((p > 0.05) & (p < 0.95)):
            seen = np.bincount(count[:, column], minlength=3)
            expected = len(count) * np.array(
                [(1 - p[column]) ** 2, 2 * p[column] * (1 - p[column]), p[column] ** 2]
            )
            assert ((seen - expected) ** 2 / expected).sum() < chi2.ppf(1 - 1e-5, 1)
            tested += 1
    assert tested > 30


def test_allele_frequencies_are_those_of_the_table() -> None:
    found = draw(np.random.default_rng(2), 40_000)
    n_risk = len(genes().risk)
    for african, name in ((False, "european"), (True, "african")):
        share = found.count[found.african == african, -n_risk:].mean(axis=0) / 2
        assert np.abs(share - [getattr(one, name) for one in genes().risk]).max() < 0.02
    cyp = next(gene for gene in genes().gene if gene.name == "CYP2C9")
    share = found.count[~found.african, : len(cyp.variant)].mean(axis=0) / 2
    expected = [sum(h.european for h in cyp.haplotype if v.rs in h.has) for v in cyp.variant]
    assert np.abs(share - expected).max() < 0.01


def test_effects_on_rates_are_nothing_on_average_and_ignore_unknown_diseases() -> None:
    found = draw(np.random.default_rng(3), 40_000)
    moved = log_rates(found.count, (*NAMES, "no such disease"))
    assert np.abs(moved.mean(axis=0)).max() < 0.01
    assert (moved[:, -1] == 0).all()
    assert moved[:, : len(NAMES)].std(axis=0).min() > 0.05


def test_a_copy_more_of_a_risk_allele_multiplies_the_rate_as_the_table_says() -> None:
    count = np.zeros((2, len(places())), np.int8)
    column = [one.variant.rs for one in places()].index("rs7903146")
    count[1, column] = 1
    moved = log_rates(count, ("type_2_diabetes",))
    assert moved[1, 0] - moved[0, 0] == pytest.approx(0.32)


@pytest.mark.parametrize(
    ("gene", "count", "diplotype", "phenotype"),
    [
        ("CYP2C9", [0, 0, 0], "*1/*1", "Normal Metabolizer"),
        ("CYP2C9", [1, 0, 1], "*2/*3", "Poor Metabolizer"),
        ("CYP2C19", [0, 0, 2], "*2/*2", "Poor Metabolizer"),
        ("CYP2C19", [1, 0, 1], "*2/*17", "Intermediate Metabolizer"),
        ("CYP2C19", [2, 0, 0], "*17/*17", "Ultrarapid Metabolizer"),
        ("CYP2C19", [1, 0, 0], "*1/*17", "Rapid Metabolizer"),
        ("TPMT", [1, 1, 0], "*1/*3A", "Intermediate Metabolizer"),
        ("TPMT", [2, 1, 0], "*3A/*3C", "Poor Metabolizer"),
        ("SLCO1B1", [1], "*1/*5", "Decreased Function"),
        ("VKORC1", [2], "-1639A/-1639A", "High Warfarin Sensitivity"),
        ("DPYD", [0, 1, 0, 0], "Reference/c.1905+1G>A (*2A)", "Intermediate Metabolizer"),
        ("HLA-B", [1], "other/*57:01", "*57:01 Positive"),
    ],
)
def test_calls_are_those_of_cpic(gene: str, count: list[int], diplotype: str, phenotype: str) -> None:
    found = call(gene, np.array(count, np.int8))
    assert (found.diplotype, found.phenotype) == (diplotype, phenotype)


def test_everybody_can_be_called_at_every_gene() -> None:
    found = draw(np.random.default_rng(4), 20_000)
    for row in np.unique(found.count, axis=0):
        assert set(calls(row)) == {gene.name for gene in genes().gene}
