"""In: records and a policy. Out: what would happen to each table and column, without doing it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from residency.contract import schema
from residency.contract.lineage import open_made
from residency.deid.attachments import left_out
from residency.deid.policy import Policy
from residency.deid.work import files_of, schema_of

_COMMON: Final = {
    "subject_id": "pseudonym",
    "time": "shifted by the patient's offset",
    "available": "shifted by the patient's offset",
    "start": "shifted by the patient's offset",
    "end": "shifted; cut where a too high age would show",
    "prediction_time": "shifted; left out where a too high age would show",
    "visit_id": "pseudonym",
    "source": "kind kept, rest pseudonym",
    "era": "true calendar period, worked out anew",
    "pixels": "digest of the array after writing in it is covered",
    "data": "writing in the pixels covered; arrays that nothing names stay behind",
}


@dataclass(frozen=True)
class Fate:
    """What would happen to one column: its table, its name, the table's rows, and what is done."""

    table: str
    column: str
    rows: int
    done: str


def plan(records: Path, policy: Policy) -> list[Fate]:
    """Say what a policy would do to records; nothing is read but counts, nothing is written.

    Raises:
        LineageError: the folder is not finished.
    """
    fates = []
    for folder, paths in sorted(files_of(records, open_made(records)).items()):
        n = sum(pq.read_metadata(path).num_rows for path in paths)
        for name in schema_of(folder).names:
            fates.append(Fate(folder, name, n, _done(folder.split("/")[0], name, policy)))
    if (records / schema.IDENTIFIERS_FILE).exists():
        n = pq.read_metadata(records / schema.IDENTIFIERS_FILE).num_rows
        fates.append(Fate(schema.IDENTIFIERS_FILE, "all", n, "used for notes, never passed on"))
    return fates


def _done(kind: str, column: str, policy: Policy) -> str:
    if kind in left_out(policy):
        return "left out"
    if column in policy.hidden_columns:
        return "null"
    if column == "site":
        return "kept" if policy.sites == "keep" else "pseudonym"
    if column == "data" and policy.images.burned_in == "off":
        return "kept; arrays that nothing names stay behind"
    return _special(kind, column, policy) or _COMMON.get(column, "kept")


def _special(kind: str, column: str, policy: Policy) -> str:
    """Say what is done to a column of one table alone."""
    images = policy.images
    optional = ("body_site", "spacing_mm", "orientation", "window_center", "window_width")
    if kind == "images" and column in optional and column not in images.columns:
        return "null"
    listed = policy.variants.genes or policy.variants.names
    rare = policy.variants.rare_patients
    special = {
        ("data", "code"): f"{len(policy.code_systems)} systems pass; made-up codes of fewer than"
        f" {policy.rare_code_patients} patients become UNKNOWN",
        ("data", "numeric_value"): f"ages above {policy.max_age} become {policy.max_age + 1}",
        ("data", "text_value"): f"removed, except for {len(policy.keep_text)} codes and ZIP3",
        ("notes", "text"): f"identities replaced by surrogates; dates: {policy.notes.dates}",
        ("notes", "kind"): f"{len(policy.notes.kinds)} kinds pass"
        if policy.notes.kinds
        else "all kinds pass",
        ("images", "modality"): f"{', '.join(images.modalities)} pass",
        ("images", "body_site"): f"DICOM's own terms pass; faces: {images.faces}",
        ("variants", "gene"): "the policy's list passes" if listed else "the list of variants.toml passes",
        ("variants", "position"): f"a variant of fewer than {rare} patients goes, unless listed by name",
    }
    return special.get((kind, column), "")
