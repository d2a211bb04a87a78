"""In: tables without identities. Out: how many patients share what an outsider could know."""

from typing import Any, Final

import polars as pl

from residency.contract.codes import BIRTH

RISK_FILE: Final = "metadata/risk.json"
SMALL: Final = 11  # the smallest cell that expert determinations commonly accept
_CELL: Final = ("sex", "birth_year", "zip3")


def quasi_identifiers(events: pl.DataFrame) -> pl.DataFrame:
    """Give each patient's sex, birth year and ZIP3, as they stand in the result."""
    code, text = pl.col("code"), pl.col("text_value")
    place = code.str.starts_with("DEMOGRAPHIC/ZIP")
    return (
        events.lazy()
        .filter((code == BIRTH) | code.str.starts_with("DEMOGRAPHIC/"))
        .group_by("subject_id")
        .agg(
            sex=code.filter(code.str.starts_with("DEMOGRAPHIC/SEX")).min(),
            birth_year=pl.col("time").filter(code == BIRTH).min().dt.year(),
            zip3=pl.coalesce(text, code).filter(place).min(),
        )
        .collect()
    )


def measured(patients: pl.DataFrame) -> dict[str, Any]:
    """Measure k-anonymity over sex, birth year and ZIP3.

    Args:
        patients: one row a patient, as `quasi_identifiers` gives.

    Returns:
        The smallest cell and 1 over it (the highest chance that somebody who knows these three finds the
        patient), patients alone in their cell, patients in cells under 11.
    """
    cells = patients.group_by(_CELL).len()["len"]
    n = len(patients)
    n_small = int(cells.filter(cells < SMALL).sum())
    smallest = int(cells.min() or 0) if n else 0  # type: ignore[arg-type]
    return {
        "format": 1,
        "over": list(_CELL),
        "patients": n,
        "cells": len(cells),
        "smallest_cell": smallest,
        "highest_risk": round(1 / smallest, 4) if smallest else None,
        "average_risk": round(len(cells) / n, 4) if n else None,
        "share_alone": round(int((cells == 1).sum()) / n, 4) if n else None,
        f"share_in_cells_under_{SMALL}": round(n_small / n, 4) if n else None,
        "note": "counted within these data; to find a patient among a whole population is harder",
    }
