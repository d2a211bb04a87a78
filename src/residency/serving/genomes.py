"""In: the rows of one genome, and the release's own encoder. Out: a table with genotypes and phenotypes."""

from collections.abc import Mapping
from typing import Final

import msgspec
import polars as pl

from residency.contract.plugins import Encoder
from residency.serving.attached import is_call
from residency.timeline import Genome

MOST_ROWS: Final = 500  # a whole genome has millions
_COLUMNS: Final = ("assembly", "chromosome", "position", "reference", "alternate", "genotype", "gene", "name")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One variant or call.

    Attributes:
        gene: its symbol.
        name: rs number, or the call: `CYP2C19*1/*2`.
        place: chromosome and position.
        change: reference and alternate.
        genotype: VCF's, without phase.
        phenotype: of the gene, as the release's model reads this genome; on the gene's first row, and null
            where the model reads none.
        called: whether a laboratory made the call.
    """

    gene: str | None
    name: str | None
    place: str | None
    change: str | None
    genotype: str | None
    phenotype: str | None
    called: bool


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One genome: the calls first, then variants by gene; `rows_in_all` says how many there are."""

    rows: tuple[Found, ...]
    rows_in_all: int


def table_of(rows: pl.DataFrame, encoder: Encoder | None) -> Table:
    """Give a genome as a table, at most `MOST_ROWS` of it."""
    phenotypes = phenotypes_of(rows, encoder)
    gene = pl.coalesce("gene", pl.col("name").str.extract(r"^([A-Z][A-Z0-9-]*[A-Z0-9])[ *]", 1))
    shown = (
        rows.with_columns(called=is_call(), gene=gene)
        .sort(
            ["called", "gene", "name"], descending=[True, False, False], nulls_last=True, maintain_order=True
        )
        .head(MOST_ROWS)
    )
    found = [_found(row, phenotypes.pop(str(row["gene"]), None)) for row in shown.iter_rows(named=True)]
    return Table(rows=tuple(found), rows_in_all=len(rows))


def phenotypes_of(rows: pl.DataFrame, encoder: Encoder | None) -> dict[str, str]:
    """Give each gene's phenotype, out of what the model's encoder makes of the genome.

    The encoder of the release names its numbers (`CYP2C19: poor metabolizer`): what is 1 is what the model
    was told. Without an encoder of genomes, or one that names nothing, there is none.
    """
    places: Mapping[str, int] = getattr(encoder, "place", {})
    if encoder is None or not places:
        return {}
    vectors, _ = encoder.encode([Genome(rows.select(_COLUMNS))])
    named = (
        name.split(": ", 1) for name, place in places.items() if ": " in name and vectors[0, 0, place] == 1
    )
    return dict(named)


def _found(row: Mapping[str, object], phenotype: str | None) -> Found:
    def joined(mark: str, *names: str) -> str | None:
        parts = [str(row[name]) for name in names if row[name] not in (None, "")]
        return mark.join(parts) if len(parts) == len(names) else None

    def text(name: str) -> str | None:
        return str(row[name]) if row[name] is not None else None

    return Found(
        gene=text("gene"),
        name=text("name"),
        place=joined(":", "chromosome", "position"),
        change=joined(">", "reference", "alternate"),
        genotype=text("genotype"),
        phenotype=phenotype,
        called=bool(row["called"]),
    )
