"""In: tables without identities. Out: what an outsider could still learn, as `risk.json` and a page."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from residency.contract.codes import BIRTH
from residency.deid.attacks import clues, date_pattern, gaps, linkage, shift_left
from residency.deid.handling import RiskRules

RISK_FILE: Final = "metadata/risk.json"
RISK_PAGE: Final = "metadata/risk.html"
SMALL: Final = 11  # the smallest cell that expert determinations commonly accept
_CELL: Final = ("sex", "birth_year", "zip3")
_SHOWN: Final = (
    *("patients", "smallest_cell", "highest_risk", "average_risk", "share_alone"),
    *(f"share_in_cells_under_{SMALL}", "l_diversity", "t_closeness"),
)


def quasi_identifiers(events: pl.DataFrame) -> pl.DataFrame:
    """Give each patient's sex, birth year and ZIP3 as they stand in the result, and a sensitive fact beside.

    The sensitive fact is the chapter (first letter) of the patient's most frequent ICD-10-CM diagnosis.
    """
    code, text = pl.col("code"), pl.col("text_value")
    place = code.str.starts_with("DEMOGRAPHIC/ZIP")
    chapter = code.str.extract(r"^ICD10(?:CM)?/([A-Z])", 1)
    return (
        events.lazy()
        .filter((code == BIRTH) | code.str.starts_with("DEMOGRAPHIC/") | chapter.is_not_null())
        .group_by("subject_id")
        .agg(
            sex=code.filter(code.str.starts_with("DEMOGRAPHIC/SEX")).min(),
            birth_year=pl.col("time").filter(code == BIRTH).min().dt.year(),
            zip3=pl.coalesce(text, code).filter(place).min(),
            sensitive=chapter.drop_nulls().mode().min(),
        )
        .collect()
    )


def measured(patients: pl.DataFrame) -> dict[str, Any]:
    """Measure k-anonymity, l-diversity and t-closeness over sex, birth year and ZIP3.

    Args:
        patients: one row a patient, as `quasi_identifiers` gives.

    Returns:
        The smallest cell and 1 over it (the highest chance that somebody who knows these three finds the
        patient), patients alone in their cell, patients in cells under 11; among cells of 11 or more, the
        fewest sensitive values in one, and the largest distance of a cell's from everybody's.
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
        **_sensitive(patients),
        "note": "counted within these data; to find a patient among a whole population is harder",
    }


def _sensitive(patients: pl.DataFrame) -> dict[str, Any]:
    """Measure l-diversity, and t-closeness as the total variation from everybody's distribution."""
    known = patients.with_columns(pl.col("sensitive").fill_null("none"))
    large = known.filter(pl.len().over(_CELL) >= SMALL)
    if not len(large):
        return {"l_diversity": None, "t_closeness": None}
    all_ = known.group_by("sensitive").agg(everybody=pl.len() / len(known))
    cells = large.group_by(_CELL).agg(n=pl.len(), n_values=pl.col("sensitive").n_unique())
    grid = cells.join(all_, how="cross").join(
        large.group_by(*_CELL, "sensitive").len(), on=[*_CELL, "sensitive"], how="left", nulls_equal=True
    )
    away = (pl.col("len").fill_null(0) / pl.col("n") - pl.col("everybody")).abs()
    distance = grid.group_by(_CELL).agg(distance=away.sum() / 2)["distance"]
    return {
        "l_diversity": int(cells["n_values"].min()),  # type: ignore[arg-type]
        "t_closeness": round(float(distance.max()), 4),  # type: ignore[arg-type]
    }


def small_cells(patients: pl.DataFrame, smallest: int) -> tuple[frozenset[int], frozenset[int]]:
    """Say whose ZIP3 is to be hidden so that no cell is small, and who is still in a small one after that.

    Args:
        patients: one row a patient, as `quasi_identifiers` gives.
        smallest: how many patients must share a cell.
    """
    hidden = patients.filter(pl.len().over(_CELL) < smallest)["subject_id"]
    after = hide_places(patients, frozenset(hidden))
    lost = after.filter(pl.len().over(_CELL) < smallest)["subject_id"]
    return frozenset(hidden), frozenset(lost)


def hide_places(patients: pl.DataFrame, hidden: frozenset[int]) -> pl.DataFrame:
    """Take the ZIP3 of some patients out of their quasi-identifiers."""
    whose = pl.col("subject_id").is_in(pl.Series(sorted(hidden), dtype=pl.Int64).implode())
    return patients.with_columns(zip3=pl.when(whose).then(pl.lit("000")).otherwise("zip3"))


def suppression(patients: pl.DataFrame, rules: RiskRules) -> dict[str, Any]:
    """Say what suppression does, or would do where the policy only measures: the risk before and after.

    Args:
        patients: one row a patient, as `quasi_identifiers` gives, before anything was suppressed.
        rules: of the policy.
    """
    hidden, lost = small_cells(patients, rules.smallest_cell)
    left = patients.filter(~pl.col("subject_id").is_in(pl.Series(sorted(lost), dtype=pl.Int64).implode()))
    sides = {"before": measured(patients), "after": measured(hide_places(left, hidden))}
    return {
        "done": rules.suppress,
        "smallest_cell_allowed": rules.smallest_cell,
        "highest_risk_allowed": round(1 / rules.smallest_cell, 4),
        "patients_whose_zip3_is_hidden": len(hidden),
        "patients_left_out": len(lost),
        **{side: {name: found[name] for name in _SHOWN} for side, found in sides.items()},
    }


def attacked(
    patients: pl.DataFrame, found_gaps: pl.DataFrame, found_clues: pl.DataFrame, bounds: tuple[int, int]
) -> dict[str, Any]:
    """Carry out the attacks that tables invite; `bounds` are the policy's weeks of shift and days of blur."""
    return {
        "linkage": linkage(patients),
        "date_pattern": date_pattern(found_gaps),
        "shift": shift_left(found_clues, *bounds),
    }


def remeasured(
    events: Iterable[Path], before: dict[str, Any], rules: RiskRules, bounds: tuple[int, int]
) -> dict[str, Any]:
    """Measure and attack a finished result again, after somebody left it.

    What needs the identified records stays as it was: the leak scan, and the attack with an outside list.

    Args:
        events: its events shards.
        before: what was found before.
        rules: of the policy.
        bounds: its weeks of shift and days of blur.
    """
    columns = ["subject_id", "time", "code", "text_value", "era"]
    tables = [pl.read_parquet(path, columns=columns) for path in events]
    if not tables:
        return {**before, **measured(pl.DataFrame(schema=dict.fromkeys((*_CELL, "sensitive"), pl.String())))}
    patients = pl.concat([quasi_identifiers(table) for table in tables])
    seen, told = (pl.concat([find(table) for table in tables]) for find in (gaps, clues))
    attacks = {**before.get("attacks", {}), **attacked(patients, seen, told, bounds)}
    found = measured(patients)
    if rules.suppress:  # what it was before cannot be told from a result
        sides = {**before.get("suppression", {}), "after": {name: found[name] for name in _SHOWN}}
    else:
        sides = suppression(patients, rules)
    return {**before, **found, "suppression": sides, "attacks": attacks}


def write_risk(body: dict[str, Any], folder: Path) -> tuple[str, str]:
    """Write the risk, for machines and for people, and give the two paths."""
    (folder / RISK_FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / RISK_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=1))
    (folder / RISK_PAGE).write_text(page(body), "utf-8")
    return RISK_FILE, RISK_PAGE


def page(body: dict[str, Any]) -> str:
    """Give the risk as a page for a person to sign under."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in _flat(body)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Residual risk</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "th{text-align:left;font-weight:normal;padding-right:2rem}</style>"
        "<h1>What an outsider could still learn</h1><p>Counted on the result. It informs an expert's "
        f"determination and does not replace one.</p>{_sides(body)}<table>{rows}</table></html>"
    )


def _sides(body: dict[str, Any]) -> str:
    """Give the risk before and after suppression, side by side."""
    if not (found := body.get("suppression")):
        return ""
    before, after = found["before"], found["after"]
    cells = "".join(
        f"<tr><th>{name.replace('_', ' ')}</th><td>{before[name]}</td><td>{after[name]}</td></tr>"
        for name in _SHOWN
    )
    said = (
        "Suppression was done" if found["done"] else "Suppression was not asked for; this is what it would do"
    )
    return (
        f"<p>{said}: the ZIP3 of {found['patients_whose_zip3_is_hidden']} patients hidden, "
        f"{found['patients_left_out']} left out, so that no cell is smaller than "
        f"{found['smallest_cell_allowed']}.</p><table><tr><th></th><td>before</td><td>after</td></tr>{cells}</table>"
    )


def _flat(body: dict[str, Any], above: str = "") -> Iterable[tuple[str, object]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}: ")
        else:
            yield f"{above}{name}".replace("_", " "), value
