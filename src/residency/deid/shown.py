"""In: what a data set's tables show. Out: what a request may show too, so that both views are the same.

A request alone does not tell which codes and variants too few patients have. What enough have is no secret:
it is kept beside the tables (`metadata/shown.json`), goes with the model into a release, and is read at the
bedside.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa

from residency.contract.errors import InputError
from residency.contract.schema import VARIANTS
from residency.deid.policy import Policy
from residency.deid.rare import local_codes
from residency.deid.variants import KEY, counted


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    codes: tuple[str, ...] = ()
    variants: tuple[tuple[str | None, str | None, int | None, str | None, str | None, str | None], ...] = ()


def _keys() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(VARIANTS.empty_table())).select(KEY)


@dataclass(frozen=True)
class Shown:
    """Codes of a source's own, and variants, that a data set shows.

    Attributes:
        codes: that enough patients have.
        variants: the same, columns of `variants.KEY`.
    """

    codes: frozenset[str] = frozenset()
    variants: pl.DataFrame = field(default_factory=_keys)

    @classmethod
    def of(cls, codes: list[pl.DataFrame], variants: list[pl.DataFrame], policy: Policy) -> "Shown":
        """Put together what all shards counted.

        Args:
            codes: as `rare.local_codes` gives.
            variants: as `variants.counted` gives.
            policy: how many patients are enough.
        """
        enough = pl.col("n_patients") >= policy.rare_code_patients
        found = frozenset[str]()
        if codes:
            total = pl.concat(codes).group_by("code").agg(pl.col("n_patients").sum())
            found = frozenset(total.filter(enough)["code"])
        if not variants:
            return cls(found)
        each = pl.concat(variants).group_by(*KEY, "is_named").agg(pl.col("n_patients").sum())
        return cls(found, each.filter(pl.col("n_patients") >= _least(policy)).select(KEY).sort(KEY))

    @classmethod
    def read(cls, path: Path) -> "Shown":
        """Read what was written.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_File)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError):
            raise InputError("cannot read what a data set shows", where=str(path)) from None
        rows = pl.DataFrame(found.variants, schema=_keys().schema, orient="row")
        return cls(frozenset(found.codes), rows)

    def write(self, path: Path) -> int:
        """Write it; give how many codes and variants there are."""
        body = _File(codes=tuple(sorted(self.codes)), variants=tuple(self.variants.iter_rows()))
        path.write_bytes(msgspec.json.encode(body))
        return len(self.codes) + len(self.variants)

    def rare_codes(self, events: pa.Table, policy: Policy) -> frozenset[str]:
        """Give the codes of a request that the data set does not show."""
        if policy.rare_code_patients <= 1:
            return frozenset()
        mine = local_codes(events.select(["subject_id", "code"]), policy)
        return frozenset(mine["code"]) - self.codes

    def rare_variants(self, variants: pl.DataFrame, policy: Policy) -> pl.DataFrame:
        """Give the variants of a request that the data set does not show: the key's columns."""
        mine = counted(variants, policy).filter(_least(policy) > 1)
        return mine.select(KEY).join(self.variants, on=list(KEY), how="anti", nulls_equal=True)


def _least(policy: Policy) -> pl.Expr:
    rules = policy.variants
    return pl.when("is_named").then(rules.rare_named_patients).otherwise(rules.rare_patients)
