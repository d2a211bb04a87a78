"""In: identified events, what is done to each patient, a policy. Out: events without identities."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.codes import BIRTH, UNKNOWN_CODE
from residency.deid import pseudonyms
from residency.deid.places import zip3
from residency.deid.policy import Policy
from residency.deid.rare import system_of

_IN_YEARS = {None: 1.0, "a": 1.0, "year": 1.0, "years": 1.0, "mo": 12.0, "wk": 365.25 / 7, "d": 365.25}


@dataclass(frozen=True)
class Hidden:
    """Events without identities.

    Attributes:
        events: in the order of the rows that went in.
        rows: of each, its row in what went in.
        dropped: rows left out, by reason.
        changed: values changed or removed, by what was done.
    """

    events: pl.DataFrame
    rows: Int64[np.ndarray, " event"]
    dropped: dict[str, int]
    changed: dict[str, int]


def hide_events(
    events: pl.DataFrame, people: pl.DataFrame, policy: Policy, key: bytes, rare: frozenset[str] = frozenset()
) -> Hidden:
    """Apply a policy to events.

    Args:
        events: columns of `contract.schema.EVENTS`.
        people: see `people.PEOPLE`; every patient of the events is there.
        policy: what may stay.
        key: the secret.
        rare: codes that become `UNKNOWN`.
    """
    planned = (
        events.with_row_index("row")
        .join(_plan(events["code"], policy, rare), on="code", how="left", maintain_order="left")
        .join(people, on="subject_id", how="left", maintain_order="left")
    )
    kept = planned.filter("allowed")
    hidden = kept.select(
        subject_id="pseudonym",
        time=_shifted("time"),
        code="shown",
        numeric_value=_value(policy),
        text_value=_text(),
        unit=pl.when("is_rare").then(None).otherwise("unit"),
        available=_shifted("available"),
        visit_id=pseudonyms.visits(kept["visit_id"], key),
        site=pseudonyms.sites(kept["site"], key) if policy.sites == "pseudonym" else kept["site"],
        era=era_of(policy.era, pl.col("is_birth")),
        source=pseudonyms.references(kept["source"], key, policy.reference_kinds),
    ).with_columns(pl.lit(None, events.schema[name]).alias(name) for name in policy.hidden_columns)
    return Hidden(
        events=hidden,
        rows=kept["row"].cast(pl.Int64).to_numpy(),
        dropped={"code system not allowed": len(planned) - len(kept)},
        changed=_changed(kept, hidden),
    )


def _plan(codes: pl.Series, policy: Policy, rare: frozenset[str]) -> pl.DataFrame:
    """Say of each code what is done to its events."""
    code = pl.col("code")
    system = pl.when(code.str.starts_with("MEDS_")).then(pl.lit("MEDS")).otherwise(system_of(code))
    is_place = pl.any_horizontal(
        pl.lit(value=False), *(code.str.starts_with(f"{one}=") for one in policy.zip_codes)
    )
    coded_place = code.str.extract(r"^([^=]*=)", 1) + zip3(code.str.extract(r"=(.*)$", 1)).fill_null("000")
    return pl.DataFrame({"code": codes.unique()}).with_columns(
        allowed=system.is_in(list(policy.code_systems)).fill_null(value=False),
        shown=pl.when(code.is_in(sorted(rare)))
        .then(pl.lit(UNKNOWN_CODE))
        .when(is_place)
        .then(coded_place)
        .otherwise(code),
        is_rare=code.is_in(sorted(rare)),
        is_zip=code.is_in(list(policy.zip_codes)) | is_place,
        is_age=code.is_in(list(policy.age_codes)),
        keeps_text=code.is_in(list(policy.keep_text)),
        is_birth=code == BIRTH,
    )


def shown_codes(codes: pl.Series, policy: Policy, rare: frozenset[str]) -> pl.DataFrame:
    """Give the codes that may stay, and how each is spelled: columns `code`, `shown`."""
    return _plan(codes, policy, rare).filter(pl.col("allowed") & ~pl.col("is_rare")).select("code", "shown")


def _shifted(name: str) -> pl.Expr:
    birth = pl.when("is_birth").then("birth_shift").otherwise(0)
    return (pl.col(name).cast(pl.Int64) + pl.col("shift") + birth).cast(pl.Datetime("us"))


def _value(policy: Policy) -> pl.Expr:
    """Cap ages, in whatever unit of time; a postal code written as a number goes."""
    most = pl.lit(policy.max_age + 1) * pl.col("unit").replace_strict(
        _IN_YEARS, default=1.0, return_dtype=pl.Float64
    )
    value = pl.col("numeric_value")
    capped = pl.when(pl.col("is_age") & (value >= most)).then(most.cast(pl.Float32)).otherwise(value)
    return pl.when(pl.col("is_zip") | pl.col("is_rare")).then(None).otherwise(capped)


def _text() -> pl.Expr:
    text = pl.col("text_value").cast(pl.String)
    return (
        pl.when("is_rare")
        .then(None)
        .when("is_zip")
        .then(zip3(text))
        .when("keeps_text")
        .then(text)
        .otherwise(None)
    )


def era_of(coarseness: str, is_birth: pl.Expr | None = None) -> pl.Expr:
    """Name the true calendar period, within the patient's own borders; a birth has none."""
    true = (pl.col("time").cast(pl.Int64) + pl.col("era_shift")).cast(pl.Datetime("us"))
    year = true.dt.year().cast(pl.String)
    half = pl.when(true.dt.month() <= 6).then(pl.lit("H1")).otherwise(pl.lit("H2"))
    named = {"half-year": year + half, "year": year, "off": pl.lit(None, pl.String)}[coarseness]
    return named if is_birth is None else pl.when(is_birth).then(None).otherwise(named)


def _changed(before: pl.DataFrame, after: pl.DataFrame) -> dict[str, int]:
    moved = before.filter(pl.col("is_birth") & (pl.col("birth_shift") > 0))
    capped = before["is_age"] & (before["numeric_value"] != after["numeric_value"])
    removed = before["text_value"].is_not_null() & after["text_value"].is_null()
    return {
        "codes of too few patients hidden": int(before["is_rare"].sum()),
        "births moved for a high age": moved["subject_id"].n_unique(),
        "ages capped": int(capped.fill_null(value=False).sum()),
        "texts removed": int(removed.sum()),
    }
