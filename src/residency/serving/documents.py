"""In: notes, images and variants of one patient, as rows of a request. Out: them in the contract's tables.

Everything stays in memory. An image comes with its pixels, as the pixel store writes them down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta, Struct

from residency.contract.digests import digest_of_voxels
from residency.contract.errors import InputError
from residency.contract.schema import IDENTIFIERS, IMAGES, NOTES, VARIANTS, check

Pixels: TypeAlias = Mapping[str, np.ndarray]
Size: TypeAlias = Annotated[int, Meta(ge=1, le=65_536)]
LONGEST_NOTE: Final = 1_000_000  # characters, as in records
_CONTEXT: Final = "patient_context"


class _Dated(Struct, frozen=True, kw_only=True):
    """What rows of notes, images and variants share; other keys are left alone."""

    time: datetime | None = None
    available: datetime | None = None
    source: str | None = None


class NoteRow(_Dated, frozen=True, kw_only=True):
    """One note; `kind` is a code, for example `LOINC/11506-3`."""

    text: Annotated[str, Meta(max_length=LONGEST_NOTE)]
    kind: str | None = None


class ImageRow(_Dated, frozen=True, kw_only=True):
    """One image or series: a row of images, with a row of the pixel store in place of the digest."""

    modality: str
    body_site: str | None = None
    spacing_mm: list[float | None] = []
    orientation: list[float] = []
    window_center: float | None = None
    window_width: float | None = None
    shape: tuple[Size, Size, Size]
    dtype: Literal["uint8", "int16", "uint16"]
    data: bytes


class VariantRow(_Dated, frozen=True, kw_only=True):
    """One variant, or a star-allele call."""

    assembly: str | None = None
    chromosome: str | None = None
    position: int | None = None
    reference: str | None = None
    alternate: str | None = None
    genotype: str | None = None
    gene: str | None = None
    name: str | None = None


Row = TypeVar("Row", bound=_Dated)


@dataclass(frozen=True, repr=False)  # what it holds is in no message
class Documents:
    """One patient's notes, images and genomes, and who the patient is.

    Attributes:
        notes: `contract.schema.NOTES`.
        images: `contract.schema.IMAGES`.
        variants: `contract.schema.VARIANTS`.
        identifiers: `contract.schema.IDENTIFIERS`: what the scrubbing of notes looks for.
        pixels: arrays by their digest.
    """

    notes: pa.Table = field(default_factory=NOTES.empty_table)
    images: pa.Table = field(default_factory=IMAGES.empty_table)
    variants: pa.Table = field(default_factory=VARIANTS.empty_table)
    identifiers: pa.Table = field(default_factory=IDENTIFIERS.empty_table)
    pixels: Pixels = field(default_factory=dict)

    @property
    def tables(self) -> tuple[pa.Table, ...]:
        """Notes, images, variants and identifiers."""
        return self.notes, self.images, self.variants, self.identifiers

    def of_one(self, subject_id: int) -> bool:
        """Whether nothing here is of anybody else."""
        return all(
            set(table.column("subject_id").unique().to_pylist()) <= {subject_id} for table in self.tables
        )

    def beside(self, other: "Documents") -> "Documents":
        """Put documents of the same patient together."""
        pairs = zip(self.tables, other.tables, strict=True)
        notes, images, variants, identifiers = (pa.concat_tables(pair) for pair in pairs)
        return Documents(notes, images, variants, identifiers, {**self.pixels, **other.pixels})


@dataclass(frozen=True, repr=False)
class Sent:
    """Rows of a request, as JSON; empty where there are none."""

    notes: bytes = b""
    images: bytes = b""
    variants: bytes = b""

    def documents(self, subject_id: int) -> Documents:
        """Read the rows, which are of the patient whom the request is about.

        Raises:
            InputError: a row is not one; says which key of which row, never what it holds.
        """
        notes = _rows(self.notes, NoteRow, "notes")
        images = _rows(self.images, ImageRow, "images")
        variants = _rows(self.variants, VariantRow, "variants")
        arrays = [_array(row, number) for number, row in enumerate(images)]
        digests = [digest_of_voxels(array) for array in arrays]
        return Documents(
            notes=_table(map(_plain, notes), NOTES, subject_id),
            images=_table(
                ({**_plain(row), "pixels": name} for row, name in zip(images, digests, strict=True)),
                IMAGES,
                subject_id,
            ),
            variants=_table(map(_plain, _named(variants)), VARIANTS, subject_id),
            pixels=dict(zip(digests, arrays, strict=True)),
        )


def _rows(body: bytes, kind: type[Row], name: str) -> list[Row]:
    if body in (b"", b"null"):
        return []
    try:
        rows: list[Row] = msgspec.json.decode(body, type=list[kind])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise InputError(
            "a row lacks a key, or one is of the wrong type", where=f"{_CONTEXT}.{name}{place_in(error)}"
        ) from None
    return rows


def place_in(error: msgspec.ValidationError) -> str:
    """Say where in a list of rows something is wrong: `[3].text`; empty where it is the list itself."""
    _, at, place = str(error).rpartition(" - at `$")
    return place.rstrip("`") if at else ""


def _array(row: ImageRow, number: int) -> np.ndarray:
    flat = np.frombuffer(row.data, np.uint8)
    kind = np.dtype(row.dtype).newbyteorder("<")
    if flat.nbytes != int(np.prod(row.shape)) * kind.itemsize:
        raise InputError(
            "an image's data are not as long as its shape and dtype say",
            where=f"{_CONTEXT}.images[{number}].data",
        )
    return np.frombuffer(row.data, kind).reshape(row.shape)


def _named(rows: Sequence[VariantRow]) -> list[VariantRow]:
    """Let rows that name no source be one genome."""
    return [row if row.source else msgspec.structs.replace(row, source="Genome/request") for row in rows]


def _plain(row: _Dated) -> dict[str, object]:
    """Give a row with its own wall clock, as tables have it."""
    found = msgspec.structs.asdict(row)
    return {
        name: value.replace(tzinfo=None) if isinstance(value, datetime) else value
        for name, value in found.items()
    }


def _table(rows: Iterable[Mapping[str, object]], schema: pa.Schema, subject_id: int) -> pa.Table:
    """Make a table of rows; what a row lacks is null. Nothing is known before it happened."""
    made = []
    for row in rows:
        times = [time for time in (row.get("time"), row.get("available")) if isinstance(time, datetime)]
        known = max(times, default=None)
        made.append({"subject_id": subject_id, **row, "available": known})
    columns = [pa.array([row.get(item.name) for row in made], item.type) for item in schema]
    return check(pa.Table.from_arrays(columns, schema=schema), schema)
