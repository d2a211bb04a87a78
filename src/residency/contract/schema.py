"""In: a table. Out: the same table, known to have the columns and types of one of our schemas.

Events and labels are MEDS 0.4 (`meds.DataSchema`, `meds.LabelSchema`) with the added columns that the
standard allows. Missing optional values are nulls; the columns are always there.
"""

from typing import Final

import pyarrow as pa

from residency.contract.errors import SchemaError

FORMAT: Final = 1
DATA: Final = "data"
NOTES_FOLDER: Final = "notes"
IMAGES_FOLDER: Final = "images"
PIXELS_FOLDER: Final = "images/pixels"
VARIANTS_FOLDER: Final = "variants"
LABELS_FOLDER: Final = "labels"
OBSERVATION_FOLDER: Final = "observation"
METADATA: Final = "metadata"
CODES_FILE: Final = "metadata/codes.parquet"
SUBJECTS_FILE: Final = "metadata/subjects.parquet"
IDENTIFIERS_FILE: Final = "metadata/identifiers.parquet"
DATASET_FILE: Final = "metadata/dataset.json"
SHOWN_FILE: Final = "metadata/shown.json"  # codes and variants that enough patients have
MANIFEST: Final = "made-from.json"

MOMENT: Final = pa.timestamp("us")

EVENTS: Final = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", MOMENT),
        pa.field("code", pa.string(), nullable=False),
        pa.field("numeric_value", pa.float32()),
        pa.field("text_value", pa.large_string()),
        pa.field("unit", pa.string()),
        pa.field("available", MOMENT),
        pa.field("visit_id", pa.int64()),
        pa.field("site", pa.string()),
        pa.field("era", pa.string()),
        pa.field("source", pa.string()),
    ]
)

LABELS: Final = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("prediction_time", MOMENT, nullable=False),
        pa.field("boolean_value", pa.bool_()),
        pa.field("integer_value", pa.int64()),
        pa.field("float_value", pa.float32()),
        pa.field("categorical_value", pa.string()),
    ]
)

OBSERVATION: Final = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("start", MOMENT, nullable=False),
        pa.field("end", MOMENT, nullable=False),
        pa.field("rule", pa.string(), nullable=False),
    ]
)

CODES: Final = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("parent_codes", pa.list_(pa.string())),
        pa.field("unit", pa.string()),
    ]
)

SUBJECTS: Final = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("site", pa.string(), nullable=False),
        pa.field("split_bucket", pa.int16(), nullable=False),
    ]
)

_DOCUMENT = (
    pa.field("subject_id", pa.int64(), nullable=False),
    pa.field("time", MOMENT),
    pa.field("available", MOMENT),
    pa.field("visit_id", pa.int64()),
    pa.field("site", pa.string()),
    pa.field("era", pa.string()),
    pa.field("source", pa.string()),
)

NOTES: Final = pa.schema([*_DOCUMENT, pa.field("kind", pa.string()), pa.field("text", pa.large_string())])

IMAGES: Final = pa.schema(
    [
        *_DOCUMENT,
        pa.field("modality", pa.string()),  # DICOM's: CR, DX, CT, MR, ...
        pa.field("body_site", pa.string()),
        pa.field("pixels", pa.string()),  # digest of the array in the pixel store
        pa.field("spacing_mm", pa.list_(pa.float32())),  # slice, row, column; NaN where not known
        pa.field("orientation", pa.list_(pa.float32())),  # DICOM's six direction cosines; empty where unknown
        pa.field("window_center", pa.float32()),
        pa.field("window_width", pa.float32()),
    ]
)

PIXELS: Final = pa.schema(
    [
        pa.field("pixels", pa.string(), nullable=False),  # digest of shape, type and data
        pa.field("shape", pa.list_(pa.int32()), nullable=False),  # slice, row, column
        pa.field("dtype", pa.string(), nullable=False),  # uint8, int16 or uint16, little-endian
        pa.field("data", pa.large_binary(), nullable=False),
    ]
)

VARIANTS: Final = pa.schema(
    [
        *_DOCUMENT,
        pa.field("assembly", pa.string()),
        pa.field("chromosome", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("reference", pa.string()),
        pa.field("alternate", pa.string()),
        pa.field("genotype", pa.string()),
        pa.field("gene", pa.string()),
        pa.field("name", pa.string()),  # rs number, or a star-allele call such as CYP2C19*1/*2
    ]
)

IDENTIFIERS: Final = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field(
            "kind", pa.string(), nullable=False
        ),  # name, address, telephone, email, number, date_of_birth
        pa.field("value", pa.string(), nullable=False),
    ]
)
"""Who a patient is, in identified folders only: what a scrubber looks for in notes. `deid` keeps it back."""

EVENT_ORDER: Final = (
    "subject_id",
    "time",
    "available",
    "code",
)  # nulls first; the rest of the columns break ties


def check(table: pa.Table, schema: pa.Schema, where: str = "") -> pa.Table:
    """Give the table with the schema's columns, in its order and types.

    Args:
        table: any table; extra columns are refused.
        schema: one of this module's.
        where: what to name in an error, for example a file relative to its folder.

    Raises:
        SchemaError: a column is missing, unknown, of another type, or null where it may not be.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise SchemaError(
            f"missing columns: {', '.join(missing) or 'none'};"
            f" unknown columns: {', '.join(unknown) or 'none'}",
            where=where,
        )
    ordered = table.select(schema.names)
    for field in schema:
        column = ordered.column(field.name)
        if column.type != field.type:
            raise SchemaError(f"column {field.name} is {column.type}, not {field.type}", where=where)
        if not field.nullable and column.null_count:
            raise SchemaError(f"column {field.name} has {column.null_count} nulls", where=where)
    return ordered.cast(schema)
