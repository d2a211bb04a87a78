"""In: one patient as FHIR or as MEDS rows, in memory. Out: the patient's identified events, notes, variants.

Nothing here is written anywhere. Units become the ones that the model was trained with.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import pyarrow as pa

from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of
from residency.contract.plugins import Dropped
from residency.contract.schema import EVENTS, IDENTIFIERS, NOTES, VARIANTS, check
from residency.records.documents import Document
from residency.records.fhir import FhirSource
from residency.records.units import Signal, readings
from residency.serving.documents import Documents, place_in

_NAME: Final = "request"
_POINTER: Final = "@"
_NO_VALUE: Final = "\x00"
_BESIDE: Final = {"notes": NOTES, "variants": VARIANTS, "identifiers": IDENTIFIERS}


class MedsRow(msgspec.Struct, frozen=True, kw_only=True):
    """One MEDS event, with the columns that the standard allows; others are left alone."""

    subject_id: int | str
    code: str
    time: datetime | None = None
    numeric_value: float | None = None
    text_value: str | None = None
    unit: str | None = None
    available: datetime | None = None
    visit_id: int | None = None
    site: str | None = None
    era: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Identified:
    """One patient's records, and what of the request is not among them.

    Attributes:
        events: in the schema of events.
        left_out: how much, by reason: fixed phrases, never a value.
        documents: notes, variants, and who the patient is.
    """

    events: pa.Table
    left_out: Mapping[str, int] = field(default_factory=dict)
    documents: Documents = field(default_factory=Documents)

    @property
    def subject_id(self) -> int:
        """Whom they are about."""
        found: int = self.events.column("subject_id")[0].as_py()
        return found


def events_of_fhir(body: bytes, units: Mapping[str, str], *, site: str, time_zone: str) -> Identified:
    """Read a Bundle about one patient, by the same code as ingest.

    Args:
        body: the Bundle, as JSON.
        units: of each code's values, as the model knows them.
        site: where the patient is.
        time_zone: whose wall clock times are turned to; empty keeps their own.

    Raises:
        InputError: it is no FHIR, holds no event, or is about more than one patient.
    """
    document = Document(Path(_NAME), f"{_NAME}.json", "the request", site, len(body), body)
    mapping = {"site": site, **({"time_zone": time_zone} if time_zone else {})}
    found: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    for item in FhirSource().read_documents((document,), mapping):
        if isinstance(item, Dropped):
            left_out[item.reason] += item.n
        elif item.batch.num_rows:
            found[item.table].append(item.batch)
    if not found["events"]:
        raise InputError("the Bundle holds no event that can be read", where="patient_context.fhir")
    parents: dict[str, str] = {}
    for batch in found["codes"]:
        parents |= _pointers(batch)
    frame = pl.concat([_text(batch) for batch in found["events"]])
    frame = frame.with_columns(pl.col("code").replace(parents))
    frame = frame.filter(~pl.col("code").str.starts_with(_POINTER))
    events = _one_patient(_in_units(frame, units), "patient_context.fhir")
    beside = {name: pa.Table.from_batches(found[name], schema) for name, schema in _BESIDE.items()}
    return _whole(Identified(events, left_out, Documents(**beside)))


def _whole(found: Identified) -> Identified:
    if not found.documents.of_one(found.subject_id):
        raise InputError("the request must be about one patient", where="patient_context.fhir")
    return found


def _text(batch: pa.RecordBatch) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
    return frame.with_columns(pl.col("code", "unit", "site").cast(pl.String))


def _pointers(batch: pa.RecordBatch) -> dict[str, str]:
    """Say what references to drugs described elsewhere in the Bundle mean."""
    rows = zip(batch.column("code").to_pylist(), batch.column("parent_codes").to_pylist(), strict=True)
    return {code: above[0] for code, above in rows if code.startswith(_POINTER) and above}


def events_of_meds(body: bytes, units: Mapping[str, str]) -> Identified:
    """Read MEDS rows about one patient.

    Args:
        body: a JSON list of rows.
        units: of each code's values, as the model knows them; a row without a unit is taken to be in it.

    Raises:
        InputError: a row is not one, or they are about more than one patient.
    """
    try:
        rows = msgspec.json.decode(body, type=list[MedsRow])
    except msgspec.ValidationError as error:
        raise InputError(
            "a MEDS row lacks a key, or one is of the wrong type", where=f"meds{place_in(error)}"
        ) from None
    if not rows:
        raise InputError("no MEDS rows", where="patient_context.meds")
    frame = pl.DataFrame([_columns(row) for row in rows], schema=_SCHEMA, orient="row")
    frame = frame.with_columns(
        available=pl.max_horizontal("time", "available"),
        unit=pl.coalesce("unit", pl.col("code").replace_strict(units, default=None, return_dtype=pl.String)),
    )
    return Identified(_one_patient(_in_units(frame, units), "patient_context.meds"))


_SCHEMA: Final[dict[str, Any]] = {
    "subject_id": pl.Int64,
    "time": pl.Datetime("us"),
    "code": pl.String,
    "numeric_value": pl.Float64,
    "text_value": pl.String,
    "unit": pl.String,
    "available": pl.Datetime("us"),
    "visit_id": pl.Int64,
    "site": pl.String,
    "era": pl.String,
    "source": pl.String,
}


def _columns(row: MedsRow) -> tuple[object, ...]:
    subject = row.subject_id if isinstance(row.subject_id, int) else subject_id_of(row.subject_id, _NAME)
    times = {name: _wall(getattr(row, name)) for name in ("time", "available")}
    return tuple({"subject_id": subject, **times}.get(name, getattr(row, name)) for name in _SCHEMA)


def _wall(time: datetime | None) -> datetime | None:
    """Keep a time's own wall clock, as tables do."""
    return None if time is None else time.replace(tzinfo=None)


def _in_units(frame: pl.DataFrame, units: Mapping[str, str]) -> pl.DataFrame:
    """Turn values into the units that the model knows, as ingest does for a whole data set."""
    signal = (
        pl.when(pl.col("numeric_value").is_null())
        .then(pl.lit(_NO_VALUE))
        .otherwise("unit")
        .alias("as_written")
    )
    frame = frame.with_columns(signal)
    counts = frame.group_by("code", "as_written").len().iter_rows()
    decided = readings({Signal(code, unit): n for code, unit, n in counts}, dict(units))
    table = pl.DataFrame(
        [(s.code, s.unit, r.code, r.unit, r.factor, r.offset) for s, r in decided.items()],
        schema={
            "code": pl.String,
            "as_written": pl.String,
            "new_code": pl.String,
            "new_unit": pl.String,
            "factor": pl.Float64,
            "offset": pl.Float64,
        },
        orient="row",
    )
    joined = frame.join(table, on=["code", "as_written"], how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(
        code=pl.col("new_code"),
        unit=pl.col("new_unit"),
        numeric_value=pl.col("numeric_value") * pl.col("factor") + pl.col("offset"),
    )


def _one_patient(frame: pl.DataFrame, where: str) -> pa.Table:
    if frame["subject_id"].n_unique() != 1:
        raise InputError("the request must be about one patient", where=where)
    order = ["subject_id", "time", "available", "code", "numeric_value"]
    return check(frame.sort(order).select(EVENTS.names).to_arrow().cast(EVENTS), EVENTS, where=where)
