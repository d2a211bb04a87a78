"""In: rows of genomes, a policy. Out: the listed variants only, without what few patients have.

A whole genome names its bearer; a handful of common variants that decide on drugs does not. So genes and
names are allowed, never forbidden, and every text must look like what it should be.
"""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import polars as pl

from residency.contract import specs
from residency.contract.specs import spec
from residency.deid.documents import HiddenRows, hide_common, known_rows
from residency.deid.handling import VariantsRules
from residency.deid.policy import Policy

KEY: Final = ("assembly", "chromosome", "position", "reference", "alternate", "name")
_SHAPES: Final = {
    "assembly": r"^(?:GRCh|hg|NCBI|T2T)[\w.-]{1,12}$",
    "chromosome": r"^(?:chr)?(?:[0-9]{1,2}|X|Y|M|MT)$",
    "reference": r"^[ACGTNacgtn]{1,200}$",
    "alternate": r"^(?:[ACGTNacgtn*,]{1,200}|<[A-Z0-9:*]{1,12}>|\.)$",
    "genotype": r"^[0-9.]{1,3}(?:[/|][0-9.]{1,3})*$",
    "gene": r"^[A-Z][A-Za-z0-9-]{1,15}$",
    "name": r"^(?:rs[0-9]{1,12}|[A-Z][A-Z0-9-]{1,12}[ *:].{1,60})$",
}
_ABSENT: Final = r"^[0.](?:[/|][0.])*$"  # a genotype of the reference, or none


@spec
class _Listed:
    """The variants that pass unless a policy says otherwise (`variants.toml`)."""

    genes: tuple[str, ...]
    names: tuple[str, ...]


@cache
def _default() -> _Listed:
    return specs.load(_Listed, Path(str(files("residency.deid").joinpath("variants.toml"))))


def _lists(rules: VariantsRules) -> _Listed:
    return _Listed(genes=rules.genes or _default().genes, names=rules.names or _default().names)


def counted(table: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Count the patients of each variant that is allowed: the key's columns, `is_named`, `n_patients`."""
    rows = _clean(table).filter(_allowed(policy.variants) & ~_is_absent())
    rows = rows.with_columns(is_named=_is_named(policy.variants))
    return rows.group_by(*KEY, "is_named").agg(n_patients=pl.col("subject_id").n_unique().cast(pl.Int64))


def rare_variants(parts: list[pl.DataFrame], policy: Policy) -> pl.DataFrame:
    """Give the variants that too few patients have, over all shards: the key's columns."""
    rules = policy.variants
    total = pl.concat(parts).group_by(*KEY, "is_named").agg(pl.col("n_patients").sum())
    least = pl.when("is_named").then(rules.rare_named_patients).otherwise(rules.rare_patients)
    return total.filter(pl.col("n_patients") < least).select(KEY).sort(KEY)


def hide_variants(
    table: pl.DataFrame, people: pl.DataFrame, policy: Policy, key: bytes, rare: pl.DataFrame | None = None
) -> HiddenRows:
    """Apply a policy to genomes.

    Args:
        table: `contract.schema.VARIANTS`.
        people: see `people.PEOPLE`.
        policy: what may stay.
        key: the secret.
        rare: as `rare_variants` gives; a request has none.
    """
    known, left_out = known_rows(table, people)
    allowed = _clean(known).filter(_allowed(policy.variants))
    kept = allowed
    if rare is not None:
        kept = allowed.join(rare, on=list(KEY), how="anti", nulls_equal=True, maintain_order="left")
    dropped = {f"variants: {reason}": n for reason, n in left_out.items()} | {
        "variants: gene or position not allowed": len(known) - len(allowed),
        "variants: too few patients have it": len(allowed) - len(kept),
    }
    hidden = hide_common(kept, policy, key).select(table.columns)
    return HiddenRows(hidden, kept["row"], dropped, {})


def _clean(table: pl.DataFrame) -> pl.DataFrame:
    """Let stand only what looks like what it should be."""
    return table.with_columns(
        pl.when(pl.col(name).str.contains(shape)).then(name).alias(name) for name, shape in _SHAPES.items()
    )


def _is_absent() -> pl.Expr:
    return pl.col("genotype").str.contains(_ABSENT).fill_null(value=False)


def _is_star() -> pl.Expr:
    return pl.col("name").str.contains(r"^[A-Z][A-Z0-9-]+ ?\*")


def _is_named(rules: VariantsRules) -> pl.Expr:
    return (pl.col("name").is_in(list(_lists(rules).names)) | _is_star()).fill_null(value=False)


def _allowed(rules: VariantsRules) -> pl.Expr:
    gene = pl.coalesce("gene", pl.col("name").str.extract(r"^([A-Z][A-Z0-9-]*[A-Z0-9]) ?\*", 1))
    chromosome = pl.col("chromosome").str.replace("^chr", "")
    place = pl.format("{}:{}:{}", "assembly", chromosome, "position")
    positions = [re.sub(":chr", ":", one) for one in rules.positions]
    listed = gene.is_in(list(_lists(rules).genes)), pl.col("name").is_in(list(_lists(rules).names))
    return pl.any_horizontal(*(one.fill_null(value=False) for one in (*listed, place.is_in(positions))))
