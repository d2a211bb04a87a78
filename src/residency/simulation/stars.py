"""In: copies of a gene's variants. Out: its diplotype as a laboratory would call it, and what that means."""

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Int8

from residency.simulation.genome import Gene, genes


@dataclass(frozen=True)
class Call:
    """A gene as reported: `*1/*2`, `Intermediate Metabolizer`."""

    gene: str
    diplotype: str
    phenotype: str
    score: float


@cache
def _calls(name: str) -> dict[tuple[int, ...], Call]:
    """Give the call of every genotype that can be; of several pairs the most frequent wins."""
    gene = next(one for one in genes().gene if one.name == name)
    rest = 1 - sum(one.european for one in gene.haplotype)
    share = [rest, *(one.european for one in gene.haplotype[1:])]
    best: dict[tuple[int, ...], tuple[float, Call]] = {}
    for a, b in combinations_with_replacement(range(len(gene.haplotype)), 2):
        counts = tuple((gene.holds[a] + gene.holds[b]).tolist())
        chance = share[a] * share[b] * (1 + (a != b))
        if chance > best.get(counts, (-1.0, None))[0]:
            best[counts] = chance, _call(gene, a, b)
    return {counts: call for counts, (_, call) in best.items()}


def _call(gene: Gene, a: int, b: int) -> Call:
    one, other = gene.haplotype[a], gene.haplotype[b]
    score = one.score + other.score
    phenotype = next(found.name for found in gene.phenotype if score <= found.upto + 1e-9)
    return Call(gene.name, f"{one.name}/{other.name}", phenotype, score)


def call(gene: str, count: Int8[np.ndarray, " variant"]) -> Call:
    """Call one gene of one person.

    Args:
        gene: its name.
        count: copies of the gene's own variants, in the order of its table.

    Example:
        >>> call("CYP2C19", np.array([1, 0, 1], np.int8)).diplotype
        '*2/*17'
        >>> call("TPMT", np.array([1, 1, 0], np.int8)).phenotype
        'Intermediate Metabolizer'
    """
    return _calls(gene)[tuple(count.tolist())]


def calls(count: Int8[np.ndarray, " all_variants"]) -> dict[str, Call]:
    """Call every gene of one person, by name; `count` as in `Genomes`."""
    found, first = {}, 0
    for gene in genes().gene:
        last = first + len(gene.variant)
        found[gene.name] = call(gene.name, count[first:last])
        first = last
    return found
