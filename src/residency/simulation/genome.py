"""In: a seed and numbers of patients. Out: their genomes, and what those do to risk.

Two haplotypes of each gene are drawn, so that genotypes stand in Hardy-Weinberg proportions within a
group, and variants of one gene go together as they do in people.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from residency.contract import specs
from residency.contract.specs import spec

_GENOME: Final = 2
"""Stream of chance of a genome; traits are 0 and charts are 1."""


@spec
class Variant:
    """A place in GRCh38 at which people differ."""

    rs: str
    position: int
    reference: str
    alternate: str


@spec
class Haplotype:
    """One form of a gene: the variants it has, how frequent it is in each group, and its activity."""

    name: str
    has: tuple[str, ...]
    european: float
    african: float
    score: float


@spec
class Phenotype:
    """What two haplotypes whose scores add up to `upto` or less make of a person."""

    name: str
    upto: float


@spec
class Gene:
    """A gene that decides on drugs."""

    name: str
    chromosome: str
    variant: tuple[Variant, ...]
    haplotype: tuple[Haplotype, ...]
    phenotype: tuple[Phenotype, ...]

    def __post_init__(self) -> None:
        known = {one.rs for one in self.variant}
        if not all(set(one.has) <= known for one in self.haplotype):
            raise ValueError(f"{self.name}: a haplotype has a variant that the gene has not")

    @property
    def holds(self) -> Int8[np.ndarray, "haplotype variant"]:
        """Say which variants each haplotype has."""
        found: np.ndarray = np.array(
            [[v.rs in one.has for v in self.variant] for one in self.haplotype], np.int8
        )
        return found


@spec
class Risk:
    """A variant that makes a disease more or less likely."""

    gene: str
    chromosome: str
    variant: Variant
    european: float
    african: float
    effect: dict[str, float] = field(default_factory=dict)


@spec
class Genes:
    """All tables."""

    share_african: float
    gene: tuple[Gene, ...]
    risk: tuple[Risk, ...]


@dataclass(frozen=True)
class Place:
    """A variant with the gene it lies in."""

    gene: str
    chromosome: str
    variant: Variant


@dataclass(frozen=True)
class Genomes:
    """Genomes of some patients.

    Attributes:
        african: of African descent, else of European.
        count: copies of the alternate allele, by variant in the order of `places()`.
    """

    african: Bool[np.ndarray, " patient"]
    count: Int8[np.ndarray, "patient variant"]


@cache
def genes() -> Genes:
    """Read the tables once.

    Raises:
        SpecError: a table is wrong.
    """
    path = Path(str(files("residency.simulation").joinpath("genes.toml")))
    return specs.load(Genes, path)


@cache
def places() -> tuple[Place, ...]:
    """List the variants in the order of the columns: those of the genes, then those of risk."""
    found = [Place(gene.name, gene.chromosome, one) for gene in genes().gene for one in gene.variant]
    return (*found, *(Place(one.gene, one.chromosome, one.variant) for one in genes().risk))


def genomes(seed: int, number: Int64[np.ndarray, " patient"]) -> Genomes:
    """Draw the genomes of patients by number, from streams of their own."""
    parts = [draw(np.random.default_rng([seed, int(one), _GENOME]), 1) for one in number]
    african = np.concatenate([part.african for part in parts])
    return Genomes(african, np.concatenate([part.count for part in parts]))


def draw(rng: np.random.Generator, n: int) -> Genomes:
    """Draw the genomes of `n` people."""
    african = rng.random(n) < genes().share_african
    columns = [_copies(gene, african, rng.random((n, 2))) for gene in genes().gene]
    chance = np.array([[one.european, one.african] for one in genes().risk])[:, african.astype(int)].T
    risk = (rng.random((2, *chance.shape)) < chance).sum(axis=0, dtype=np.int8)
    return Genomes(african, np.concatenate([*columns, risk], axis=1))


def _copies(
    gene: Gene, african: Bool[np.ndarray, " patient"], u: Float64[np.ndarray, "patient 2"]
) -> Int8[np.ndarray, "patient variant"]:
    """Pick two haplotypes each, and count the alternate alleles they hold."""
    share = np.array([[one.european, one.african] for one in gene.haplotype[1:]])
    upto = np.cumsum(share, axis=0).T[african.astype(int)]
    which = (u[:, :, None] >= upto[:, None, :]).sum(axis=2)  # the last, len(share), stands for the first
    order = np.concatenate([gene.holds[1:], gene.holds[:1]])
    copies: np.ndarray = order[which].sum(axis=1, dtype=np.int8)
    return copies


@cache
def _weights(diseases: tuple[str, ...]) -> Float64[np.ndarray, "variant disease"]:
    weight = np.zeros((len(places()), len(diseases)))
    first = len(places()) - len(genes().risk)
    for i, one in enumerate(genes().risk):
        weight[first + i] = [one.effect.get(name, 0.0) for name in diseases]
    return weight


def log_rates(
    count: Int8[np.ndarray, "patient variant"], diseases: tuple[str, ...]
) -> Float64[np.ndarray, "patient disease"]:
    """Give what genomes add to the logarithm of each disease's rate, 0 on average over all people.

    Args:
        count: copies of the alternate alleles.
        diseases: names; one that no variant has to do with gets 0.
    """
    share, table = genes().share_african, genes().risk
    usual = np.array([2 * ((1 - share) * one.european + share * one.african) for one in table])
    weight = _weights(diseases)[-len(table) :]
    moved: np.ndarray = (count[:, -len(table) :] - usual) @ weight
    return moved
