"""In: the rows of a genome. Out: star alleles and phenotypes of the genes that drugs depend on.

Two changes of one gene are taken to lie on different chromosomes, except where the table says that one hides
the other: without phase this is a guess, and the usual one. More than two altered alleles give no phenotype.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

TABLE: Final = "pharmacogenes.toml"
_ALLELE: Final = re.compile(r"\*[0-9A-Z:]+|c\.[0-9+-]+[ACGT]>[ACGT]|HapB3|-1639[GA]")


class Variant(NamedTuple):
    """One row of a genome.

    Attributes:
        gene: its symbol; empty where not stated.
        name: rs number or star-allele call; empty where not stated.
        place: assembly, chromosome without `chr`, position.
        change: `reference>alternate`.
        dosage: copies of the alternate: 0, 1, 2.
    """

    gene: str
    name: str
    place: tuple[str, str, int]
    change: str
    dosage: int


@dataclass(frozen=True)
class Allele:
    """A star allele: what one copy adds to the gene's score, and how it shows, where one change tells it."""

    name: str
    value: float
    id: str = ""
    chromosome: str = ""
    position: int = 0
    change: str = ""
    hides: str = ""

    def is_in(self, variant: Variant) -> bool:
        """Whether a variant is the change that tells this allele."""
        if not self.id:
            return False
        assembly, chromosome, position = variant.place
        here = assembly in ("GRCh38", "") and (chromosome, position) == (self.chromosome, self.position)
        named = variant.name == self.id
        return (here or named) and variant.change == self.change

    def covers(self, variant: Variant) -> bool:
        """Whether a row tells of this allele's place, with or without the change."""
        assembly, chromosome, position = variant.place
        here = assembly in ("GRCh38", "") and (chromosome, position) == (self.chromosome, self.position)
        return bool(self.id) and (here or variant.name == self.id)


@dataclass(frozen=True)
class Gene:
    """A gene that drugs depend on."""

    name: str
    reference: float
    phenotypes: tuple[tuple[float, str], ...]
    alleles: tuple[Allele, ...]

    def phenotype(self, score: float) -> str:
        """Give the phenotype of a score."""
        return next(name for highest, name in self.phenotypes if score <= highest)


class Call(NamedTuple):
    """What a genome says of one gene: copies of each listed allele; None where more than two are altered."""

    copies: Mapping[str, int]
    phenotype: str | None


@cache
def genes() -> tuple[Gene, ...]:
    """Give the table's genes."""
    table = tomllib.loads(files(__package__).joinpath(TABLE).read_text("utf-8"))
    return tuple(
        Gene(
            name,
            row["reference"],
            tuple((highest, phenotype) for highest, phenotype in row["phenotypes"]),
            tuple(Allele(**allele) for allele in row["alleles"]),
        )
        for name, row in table.items()
    )


def call(gene: Gene, variants: Iterable[Variant]) -> Call | None:
    """Call one gene; None where no row tells of it.

    A call that the source made itself (`CYP2C19*1/*2`) goes before what the variants tell.
    """
    mine = list(variants)
    named = next((v.name for v in mine if v.name.startswith(f"{gene.name}*") or _is_call(gene, v)), None)
    if named is not None:
        return _named(gene, named.removeprefix(gene.name))
    if not any(allele.covers(variant) for allele in gene.alleles for variant in mine):
        return None
    copies = {a.name: max((v.dosage for v in mine if a.is_in(v)), default=0) for a in gene.alleles}
    for allele in gene.alleles:
        if allele.hides:
            copies[allele.hides] = max(0, copies[allele.hides] - copies[allele.name])
    return _scored(gene, copies)


def _is_call(gene: Gene, variant: Variant) -> bool:
    return variant.gene == gene.name and "/" in variant.name


def _named(gene: Gene, diplotype: str) -> Call:
    found = _ALLELE.findall(diplotype)
    copies = {allele.name: found.count(allele.name) for allele in gene.alleles}
    return _scored(gene, copies)


def _scored(gene: Gene, copies: Mapping[str, int]) -> Call:
    altered = sum(copies.values())
    if altered > 2:
        return Call(copies, None)
    score = (2 - altered) * gene.reference + sum(a.value * copies[a.name] for a in gene.alleles)
    return Call(copies, gene.phenotype(score))
