"""In: metadata of identified records. Out: the same without identities, by allow-list."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.errors import InputError
from residency.contract.schema import FORMAT
from residency.deid import pseudonyms
from residency.deid.events import shown_codes
from residency.deid.known import Known
from residency.deid.leaks import Everyone, others_left
from residency.deid.places import ZIP3_LIST
from residency.deid.policy import Policy
from residency.deid.scrubber import find_spans

_PLAIN: Final = (
    "etl_name",
    "etl_version",
    "meds_version",
    "raw_source_id_columns",
    "code_modifier_columns",
    "site_id_columns",
    "other_extension_columns",
)


def subjects(
    table: pl.DataFrame, pseudonym: Int64[np.ndarray, " patient"], policy: Policy, key: bytes
) -> pl.DataFrame:
    """Give patients their pseudonyms; the split bucket stays, a hundredth of all share it."""
    site = pseudonyms.sites(table["site"], key) if policy.sites == "pseudonym" else table["site"]
    return table.with_columns(subject_id=pseudonym, site=site).sort("subject_id")


def codes(
    table: pl.DataFrame, policy: Policy, rare: frozenset[str], all_: Everyone | None = None
) -> pl.DataFrame:
    """Keep the codes, and the parents, of the systems that may stay; not the rare ones.

    A description is what some record said of a code, and may name whose record it was: one in which a rule,
    or what is known of any patient, finds an identifier is left away.

    Args:
        table: `contract.schema.CODES`.
        policy: what may stay.
        rare: codes that too few patients have.
        all_: what is known of all patients.
    """
    table = table.with_columns(
        description=pl.Series([_description(one, all_) for one in table["description"]], dtype=pl.String)
    )
    shown = shown_codes(table["code"], policy, rare)
    allowed = [f"{system}/" for system in policy.code_systems]
    parent = pl.element()
    seen = ~parent.is_in(sorted(rare))
    kept = seen & pl.any_horizontal(
        pl.lit(value=False), *(parent.str.starts_with(prefix) for prefix in allowed)
    )
    return (
        table.join(shown, on="code", how="inner")
        .with_columns(
            code="shown",
            description=pl.when(pl.col("shown") == pl.col("code")).then("description"),
            parent_codes=pl.col("parent_codes").list.eval(parent.filter(kept)),
        )
        .drop("shown")
        .unique("code", keep="first", maintain_order=True)
        .sort("code")
    )


def _description(text: str | None, all_: Everyone | None) -> str | None:
    if text is None or find_spans(text, Known()) or (all_ is not None and others_left(text, all_)):
        return None
    return text


def dataset(path: Path, policy: Policy, key: bytes) -> dict[str, Any]:
    """Describe the data set: the keys that hold no identity, and that it has none now.

    Raises:
        InputError: the description cannot be read, or says that there are no identities any more.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise InputError("the description of the data set cannot be read", where=str(path)) from None
    ours = found.get("residency", {})
    if ours.get("deidentified"):
        raise InputError("the records are de-identified already", where=str(path))
    names = pl.Series("sites", ours.get("sites", []), dtype=pl.String)
    return {
        "dataset_name": "residency deidentify",
        **{name: found[name] for name in _PLAIN if name in found},
        "residency": {
            "format": FORMAT,
            "time_zone": ours.get("time_zone"),
            "sites": list(pseudonyms.sites(names, key) if policy.sites == "pseudonym" else names),
            "deidentified": True,
            "shift_weeks": policy.shift_weeks,
            "max_age": policy.max_age,
            "zip_list": ZIP3_LIST,
            "era": policy.era,
            "labels": ours.get("labels", []),
        },
    }
