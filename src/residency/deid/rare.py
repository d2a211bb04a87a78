"""In: identified events shards. Out: codes of a source's own that too few patients have to be shown.

A code of a public vocabulary tells nothing by being there. One that a source made up may hold a name.
"""

from typing import Final

import polars as pl
import pyarrow as pa

from residency.contract.codes import SYSTEMS
from residency.deid.policy import Policy

_OURS: Final = frozenset(system.name for system in SYSTEMS)


def local_codes(events: pa.Table, policy: Policy) -> pl.DataFrame:
    """Count the patients of each code that is the source's own: columns `code`, `n_patients`.

    Args:
        events: columns `subject_id`, `code`.
        policy: which systems are a source's own.
    """
    public = sorted(_OURS - set(policy.local_systems))
    codes = pl.Categorical(pl.Categories.random())
    pairs = pl.DataFrame(pl.from_arrow(events)).cast({"code": codes}).unique()
    counted = pairs.group_by("code").agg(n_patients=pl.len().cast(pl.Int64)).cast({"code": pl.String})
    is_public = pl.col("code").str.starts_with("MEDS_") | system_of(pl.col("code")).is_in(public)
    return counted.filter(~is_public.fill_null(value=False)).sort("code")


def rare_codes(counted: list[pl.DataFrame], policy: Policy) -> frozenset[str]:
    """Give the codes that fewer patients than the policy asks for have, over all shards."""
    if not counted:
        return frozenset()
    total = pl.concat(counted).group_by("code").agg(pl.col("n_patients").sum())
    return frozenset(total.filter(pl.col("n_patients") < policy.rare_code_patients)["code"])


def system_of(code: pl.Expr) -> pl.Expr:
    """Give what stands before the slash; null where there is none."""
    return code.str.extract(r"^([^/]+)/", 1)
