"""In: genomes. Out: one vector each: phenotypes, star alleles, which variants and genes, in what zygosity."""

import zlib
from collections.abc import Iterator
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from residency.contract.digests import digest_of
from residency.model.encoders.stars import TABLE, Call, Variant, call, genes
from residency.timeline import Genome

VERSION: Final = 1
N_VARIANTS: Final = 192  # buckets of variants, by a hash: known ones keep a place of their own, about
N_GENES: Final = 48
KINDS: Final = ("substitution", "insertion", "deletion", "other")
ZYGOSITY: Final = ("heterozygous", "homozygous", "not called")


def _names() -> Iterator[str]:
    for gene in genes():
        yield from (f"{gene.name}: {phenotype}" for _, phenotype in gene.phenotypes)
        yield from (f"{gene.name}{allele.name}" for allele in gene.alleles)
    yield from KINDS
    yield from ZYGOSITY


class VariantsEncoder:
    """Encodes genomes by fixed rules: nothing is learned, so nothing has to be kept.

    What a variant does to its protein is not in the tables; its kind is told from its letters.
    """

    def __init__(self) -> None:
        self.digest = digest_of(
            [VERSION, N_VARIANTS, N_GENES, zlib.crc32(files(__package__).joinpath(TABLE).read_bytes())]
        )
        self.place = dict(zip(_names(), count(), strict=False))
        self.width = len(self.place) + N_VARIANTS + N_GENES

    def load(self, path: Path | None, device: str) -> None:
        """Be ready: there are no weights."""

    def encode(
        self, batch: list[Any]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give one vector a genome."""
        vectors = np.zeros((len(batch), 1, self.width), np.float32)
        for row, genome in enumerate(batch):
            self._fill(vectors[row, 0], genome)
        return vectors, np.ones((len(batch), 1), bool)

    def _fill(self, vector: np.ndarray, genome: Genome) -> None:
        found = list(variants_of(genome.rows))
        self._fill_genes(vector, found)
        n_named = len(self.place)
        for variant in found:
            if variant.dosage:
                key = f"{variant.place[1]}:{variant.place[2]}:{variant.change}".encode()
                vector[n_named + zlib.crc32(key) % N_VARIANTS] += variant.dosage
                vector[self.place[_kind(variant.change)]] += 1
                vector[self.place[ZYGOSITY[variant.dosage - 1]]] += 1
                if variant.gene:
                    bucket = zlib.crc32(variant.gene.encode()) % N_GENES
                    vector[n_named + N_VARIANTS + bucket] += variant.dosage
        vector[self.place[ZYGOSITY[2]]] = int(genome.rows["genotype"].str.contains(".", literal=True).sum())
        counted = [self.place[name] for name in (*KINDS, *ZYGOSITY)]
        vector[counted] = np.log1p(vector[counted])

    def _fill_genes(self, vector: np.ndarray, found: list[Variant]) -> None:
        for gene in genes():
            said: Call | None = call(gene, found)
            if said is None:
                continue
            for name, copies in said.copies.items():
                vector[self.place[f"{gene.name}{name}"]] = copies
            if said.phenotype is not None:
                vector[self.place[f"{gene.name}: {said.phenotype}"]] = 1


def variants_of(rows: pl.DataFrame) -> Iterator[Variant]:
    """Give a genome's rows, one a change: a row with several alternates becomes several."""
    for row in rows.fill_null("").iter_rows(named=True):
        assembly = "GRCh38" if row["assembly"] in ("GRCh38", "hg38") else row["assembly"]
        place = (assembly, str(row["chromosome"]).removeprefix("chr"), row["position"] or 0)
        called = row["genotype"].split(":")[0].replace("|", "/").split("/")
        for number, alternate in enumerate(row["alternate"].split(","), start=1):
            dosage = min(called.count(str(number)), 2)
            yield Variant(row["gene"], row["name"], place, f"{row['reference']}>{alternate}", dosage)


def _kind(change: str) -> str:
    reference, _, alternate = change.partition(">")
    if not (reference and alternate and (reference + alternate).isalpha()):
        return KINDS[3]
    if len(reference) == len(alternate):
        return KINDS[0]
    return KINDS[1] if len(alternate) > len(reference) else KINDS[2]
