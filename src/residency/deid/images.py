"""In: rows of images, a policy. Out: rows without identities; heads and what is not listed are refused.

DICOM headers never come here: `ingest` takes from them the columns of the table and nothing else.
"""

from typing import Any, Final

import polars as pl

from residency.deid.documents import HiddenRows, hide_common, known_rows
from residency.deid.handling import BODY_PARTS, ImagesRules
from residency.deid.policy import Policy

_OPTIONAL: Final = ("body_site", "spacing_mm", "orientation", "window_center", "window_width")


def hide_images(table: pl.DataFrame, people: pl.DataFrame, policy: Policy, key: bytes) -> HiddenRows:
    """Apply a policy to rows of images; `pixels` still names the arrays as they came in.

    Args:
        table: `contract.schema.IMAGES`.
        people: see `people.PEOPLE`.
        policy: what may stay.
        key: the secret.
    """
    known, left_out = known_rows(table, people)
    planned = known.with_columns(refused=refused(policy.images))
    kept = planned.filter(pl.col("refused").is_null())
    site = _site()
    hidden = hide_common(kept, policy, key).with_columns(
        body_site=pl.when(site.is_in(sorted(BODY_PARTS))).then(site)
    )
    gone = [name for name in _OPTIONAL if name not in policy.images.columns]
    hidden = hidden.with_columns(pl.lit(None, table.schema[name]).alias(name) for name in gone)
    reasons = planned["refused"].drop_nulls().value_counts().iter_rows()
    return HiddenRows(
        table=hidden.select(table.columns),
        rows=kept["row"],
        dropped={f"images: {reason}": n for reason, n in (*left_out.items(), *reasons)},
        changed={},
    )


def _site() -> pl.Expr:
    """Spell a body site as DICOM does."""
    return pl.col("body_site").str.to_uppercase().str.replace_all(r"[^A-Z]", "")


def refused(rules: ImagesRules) -> pl.Expr:
    """Say why a row may not pass; null where it may."""
    listed = pl.col("modality").is_in(list(rules.modalities)).fill_null(value=False)
    volume = pl.col("modality").is_in(list(rules.volumes))
    known = _site().is_in(sorted(BODY_PARTS | set(rules.face_sites))).fill_null(value=False)
    reason: Any = pl.when(~listed).then(pl.lit("modality not allowed"))
    if rules.faces == "refuse":
        reason = reason.when(volume & _site().is_in(list(rules.face_sites))).then(
            pl.lit("a face could be built")
        )
    if rules.faces == "refuse" and rules.unknown_sites == "refuse":
        reason = reason.when(volume & ~known).then(pl.lit("volume of an unknown body site"))
    told: pl.Expr = reason.otherwise(None)
    return told
