"""Charts written down by hand: a few records, packed by the real room and read as an answer reads them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from residency.contract.codes import built_in_parents
from residency.contract.packed import Packed
from residency.reasoning.answers import microseconds
from residency.reasoning.chart import Chart, chart_of
from residency.reasoning.index import Index
from residency.timeline import Attachments, Vocabulary, packing_of

START = datetime(2020, 1, 1)  # noqa: DTZ001 - naive, as in the schema
SAYS = {
    "RXNORM/855332": "Warfarin Sodium 5 MG Oral Tablet",
    "RXNORM/309362": "Clopidogrel 75 MG Oral Tablet",
    "RXNORM/312961": "Simvastatin 20 MG Oral Tablet",
    "RXNORM/314076": "Lisinopril 10 MG Oral Tablet",
    "RXNORM/313096": "Spironolactone 25 MG Oral Tablet",
    "RXNORM/310965": "Ibuprofen 200 MG Oral Tablet",
    "RXNORM/979492": "losartan potassium 50 MG Oral Tablet",
    "RXNORM/200031": "Carvedilol 6.25 MG Oral Tablet",
    "RXNORM/314200": "Pantoprazole 40 MG Delayed Release Oral Tablet",
    "RXNORM/308182": "Amoxicillin 250 MG Oral Capsule",
    "RXNORM/4492": "Fluorouracil 500 MG Injection",
    "RXNORM/1256": "Azathioprine 50 MG Oral Tablet",
    "RXNORM/190521": "abacavir 300 MG Oral Tablet",
    "ALLERGY/RXNORM:7980": "allergy: Penicillin G",
    "ALLERGY/RXNORM:1191": "allergy: Aspirin",
    "FAMILY/SNOMED:44054006": "family: Diabetes mellitus type 2",
    "LOINC/2160-0": "Creatinine [Mass/volume] in Serum or Plasma",
    "LOINC/3016-3": "Thyrotropin [Units/volume] in Serum or Plasma",
    "ICD10CM/I48.91": "Unspecified atrial fibrillation",
    "ICD10CM/E11.9": "Type 2 diabetes mellitus without complications",
}
UNITS = {
    "LOINC/2160-0": "mg/dL",
    "LOINC/3016-3": "m[IU]/L",
    "LOINC/718-7": "g/dL",
    "LOINC/2823-3": "mmol/L",
    "LOINC/4548-4": "%",
    "LOINC/6301-6": "{INR}",
}
KINDS = {
    "RXNORM": "MedicationRequest",
    "ICD10CM": "Condition",
    "ALLERGY": "AllergyIntolerance",
    "VISIT": "Encounter",
    "LOINC": "Observation",
    "FAMILY": "FamilyMemberHistory",
    "DEMOGRAPHIC": "Patient",
    "SNOMED": "Procedure",
}
Row = tuple[float | None, str] | tuple[float | None, str, float]


def index_times(packed: Packed, n: int, seed: int) -> Index:
    rng = np.random.default_rng(seed)
    patient = rng.integers(packed.n_patients, size=n)
    low = packed.moment_time[packed.moment_offset[patient] + 1]
    high = packed.moment_time[packed.moment_offset[patient + 1] - 1]
    return Index(patient, low + ((high - low) * rng.random(n)).astype(np.int64))


def vocabulary_of(codes: Sequence[str]) -> Vocabulary:
    """Give a vocabulary of some codes and what they are below, without any training."""
    names = ["UNKNOWN", *sorted({up for code in codes for up in _line(code)})]
    place = {name: number for number, name in enumerate(names)}
    above = [[place[up] for up in _line(name)[1:]] for name in names]
    n = len(names)
    none = np.zeros(0, np.float32)
    return Vocabulary(
        codes=tuple(names),
        descriptions=tuple(SAYS.get(name, "") for name in names),
        units=tuple(UNITS.get(name) for name in names),
        n_patients=np.zeros(n, np.int64),
        n_events=np.zeros(n, np.int64),
        ancestor_offset=np.cumsum([0, *(len(one) for one in above)]),
        ancestor_index=np.array([one for line in above for one in line], np.int32),
        knot_offset=np.zeros(n + 1, np.int64),
        knots=none,
        levels=none,
        also={},
    )


def _line(code: str) -> list[str]:
    line = [code]
    while up := built_in_parents(line[-1]):
        line.append(up[0])
    return line


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def events_of(rows: Sequence[Row], lag_days: float = 0.0) -> pl.DataFrame:
    """Give rows of (day, code[, value]) as events of one patient; `Kind/number` is where each comes from."""
    return pl.DataFrame(
        [
            {
                "subject_id": 1,
                "time": None if row[0] is None else at(row[0]),
                "code": row[1],
                "numeric_value": row[2] if len(row) > 2 else None,
                "unit": UNITS.get(row[1]),
                "available": None if row[0] is None else at(row[0] + lag_days),
                "source": f"{KINDS.get(row[1].partition('/')[0], 'Observation')}/{number}",
            }
            for number, row in enumerate(rows)
        ],
        schema={
            "subject_id": pl.Int64,
            "time": pl.Datetime("us"),
            "code": pl.String,
            "numeric_value": pl.Float32,
            "unit": pl.String,
            "available": pl.Datetime("us"),
            "source": pl.String,
        },
    )


def notes_of(notes: Sequence[tuple[float, str, str]]) -> pl.DataFrame | None:
    """Give notes of (day, kind, text)."""
    rows: list[dict[str, Any]] = [
        {
            "subject_id": 1,
            "time": at(day),
            "available": at(day),
            "source": f"DocumentReference/{n}",
            "kind": kind,
            "text": text,
        }
        for n, (day, kind, text) in enumerate(notes)
    ]
    return pl.DataFrame(rows) if rows else None


def genome_of(names: Sequence[str], day: float = 0.0) -> pl.DataFrame | None:
    """Give star-allele calls: `CYP2C19*2/*2`."""
    rows = [
        {
            "subject_id": 1,
            "time": at(day),
            "available": at(day),
            "source": "Observation/genome",
            "gene": name.partition("*")[0].partition("-1639")[0],
            "name": name,
        }
        for name in names
    ]
    table = pl.DataFrame(rows)
    missing = ("assembly", "chromosome", "position", "reference", "alternate", "genotype")
    return table.with_columns(pl.lit(None).alias(name) for name in missing) if rows else None


def chart(
    rows: Sequence[Row],
    day: float,
    *,
    notes: Sequence[tuple[float, str, str]] = (),
    genome: Sequence[str] = (),
    lag_days: float = 0.0,
    lacking: Sequence[str] = (),
) -> Chart:
    """Give the chart of a few records as of a day; the vocabulary knows all their codes but those lacking."""
    events = events_of([(-10_000.0, "MEDS_BIRTH"), *rows], lag_days)
    vocabulary = vocabulary_of([*({row[1] for row in rows} - set(lacking)), "MEDS_BIRTH"])
    attachments = Attachments.of(notes=notes_of(notes), variants=genome_of(genome))
    packing = packing_of(events, vocabulary, attachments=attachments)
    return chart_of(
        packing.packed,
        0,
        microseconds(at(day)),
        vocabulary=vocabulary,
        records=events.select("source"),
        attachments=packing.attachments,
    )
