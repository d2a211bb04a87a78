"""In: observations of genomics reporting. Out: what they say of a patient's genome, as rows of variants.

HL7's Genomics Reporting guide writes a star-allele call as a Genotype (LOINC 84413-4) and a variant as a
Variant (69548-6), each with its gene and the rest in components. They stay events besides.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from residency.records import concepts
from residency.records.concepts import first_code
from residency.records.desk import Desk
from residency.records.draft import Ints
from residency.records.resources import Component, Observation
from residency.records.side_tables import moment

GENOTYPE: Final = "LOINC/84413-4"
VARIANT: Final = "LOINC/69548-6"
_ABSENT: Final = frozenset({"LA9634-2", "LA18198-4", "LA11883-8"})  # absent, no call, indeterminate
_ZYGOSITY: Final = {"LA6705-3": "1/1", "LA6706-1": "0/1", "LA6707-9": "1"}
_PARTS: Final = {
    "LOINC/48018-6": "gene",
    "LOINC/62374-4": "assembly",
    "LOINC/48000-4": "chromosome",
    "LOINC/69547-8": "reference",
    "LOINC/69551-0": "alternate",
    "LOINC/81255-2": "name",
    "LOINC/48004-6": "change",
    "LOINC/53034-5": "genotype",
}


def genomes(rs: list[Observation], desk: Desk, *, ok: Ints, columns: dict[str, Ints]) -> None:
    """Take note of star alleles and variants among observations.

    Args:
        rs: observations.
        desk: what they are read with.
        ok: indices of those that are good.
        columns: `code`, `subject`, `visit`, `time` and `available` of all.
    """
    readers: dict[int, Callable[[Observation, Desk], dict[str, Any] | None]] = {}
    for code, read in ((GENOTYPE, _genotype), (VARIANT, _variant)):
        if (number := desk.book.find(code)) != concepts.NONE:
            readers[number] = read
    if not readers:
        return
    for i in ok[np.isin(columns["code"][ok], list(readers))].tolist():
        found = readers[int(columns["code"][i])](rs[i], desk)
        if found is None:
            continue
        time, available = int(columns["time"][i]), int(columns["available"][i])
        found |= {
            "subject_id": int(columns["subject"][i]),
            "time": moment(time),
            "available": moment(max(time, available)),
            "visit_id": int(columns["visit"][i]) if columns["visit"][i] >= 0 else None,
            "site": desk.site,
            "source": f"Observation/{rs[i].id}",
        }
        desk.side.add("variants", found)


def _genotype(r: Observation, desk: Desk) -> dict[str, Any] | None:
    """Give a star-allele call, its gene before it."""
    parts = _parts(r, desk)
    name = r.valueString or concepts.words(bytes(r.valueCodeableConcept))
    gene = parts.get("gene")
    if not name:
        return None
    call = name.removeprefix(gene).strip() if gene else name
    return {"gene": gene, "name": f"{gene}{call}" if gene and call.startswith("*") else name}


def _variant(r: Observation, desk: Desk) -> dict[str, Any] | None:
    if first_code(bytes(r.valueCodeableConcept)) in _ABSENT:
        return None
    parts = _parts(r, desk)
    change = parts.pop("change", None)
    return {**parts, "name": parts.get("name") or change or concepts.phrase(bytes(r.valueCodeableConcept))}


def _parts(r: Observation, desk: Desk) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in r.component or ():
        number = desk.code[bytes(part.code)]
        name = _PARTS.get(desk.book.spelling(number)) if number >= 0 else None
        value = _value(part, name)
        if name and value:
            found[name] = value
    return found


def _value(part: Component, name: str | None) -> str | None:
    raw = bytes(part.valueCodeableConcept)
    if name == "genotype":
        return _ZYGOSITY.get(first_code(raw))
    return part.valueString or concepts.words(raw)
