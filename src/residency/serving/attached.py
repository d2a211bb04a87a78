"""In: a panel's folder, a patient, a time. Out: the patient's notes, images and genomes known by then.

Each is known by its kind and its place in the contract's order, which later ones do not move.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract.errors import NotFoundError
from residency.contract.schema import (
    IDENTIFIERS,
    IDENTIFIERS_FILE,
    IMAGES,
    IMAGES_FOLDER,
    NOTES,
    NOTES_FOLDER,
    PIXELS_FOLDER,
    VARIANTS,
    VARIANTS_FOLDER,
)
from residency.serving.documents import Documents
from residency.timeline.pixels import PixelStore

Kind = Literal["note", "image", "genome"]
_FOLDERS: Final[dict[Kind, tuple[str, pa.Schema]]] = {
    "note": (NOTES_FOLDER, NOTES),
    "image": (IMAGES_FOLDER, IMAGES),
    "genome": (VARIANTS_FOLDER, VARIANTS),
}
_ORDER: Final = ("subject_id", "available", "time", "source")
_KNOWN: Final = "known"
_GONE: Final = "nothing of this kind and number was known by then"


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """One note, image or genome, without what it holds.

    Attributes:
        kind: note, image or genome.
        number: among the patient's of its kind.
        time: when it was written or taken.
        available: when it could be known; null for what was always known.
        title: what it is, in words.
        source: the source record.
    """

    kind: Kind
    number: int
    time: datetime | None
    available: datetime | None
    title: str
    source: str | None


@dataclass(frozen=True, repr=False)  # what it holds is in no message
class Folder:
    """The notes, images and genomes of identified records.

    Attributes:
        path: what `ingest` made.
    """

    path: Path

    def documents_of(self, subject_id: int) -> Documents:
        """Give all of one patient, whenever it was known, and who the patient is."""
        notes, images, variants = (
            self._rows(kind, subject_id).drop(_KNOWN).to_arrow().cast(schema)
            for kind, (_, schema) in _FOLDERS.items()
        )
        path = self.path / IDENTIFIERS_FILE
        known = IDENTIFIERS.empty_table()
        if path.exists():
            mine = pl.scan_parquet(path).filter(pl.col("subject_id") == subject_id).collect()
            known = mine.select(IDENTIFIERS.names).to_arrow().cast(IDENTIFIERS)
        digests = [name for name in images.column("pixels").to_pylist() if name]
        return Documents(notes, images, variants, known, Arrays(self.path, tuple(digests)))

    def newest(self) -> pl.LazyFrame:
        """Say when the newest of each patient's became known: `subject_id`, `newest`."""
        nothing = pl.LazyFrame(schema={"subject_id": pl.Int64, "newest": pl.Datetime("us")})
        frames = [
            pl.scan_parquet(files).select("subject_id", newest=pl.max_horizontal("time", "available"))
            for name, _ in _FOLDERS.values()
            if (files := sorted((self.path / name).glob("*.parquet")))
        ]
        return pl.concat([nothing, *frames]).group_by("subject_id").agg(pl.col("newest").max())

    def known(self, kind: Kind, subject_id: int, as_of: datetime) -> pl.DataFrame:
        """Give the rows of one kind that were known by a time, in their order, with their numbers."""
        rows = self._rows(kind, subject_id)
        if kind == "genome":  # what became known at once is one
            numbered = rows.with_columns(number=pl.col(_KNOWN).rle_id())
        else:
            numbered = rows.with_row_index("number")
        return numbered.filter((pl.col(_KNOWN) <= as_of).fill_null(value=True))

    def one(self, kind: Kind, subject_id: int, number: int, as_of: datetime) -> pl.DataFrame:
        """Give the row or rows of one of them.

        Raises:
            NotFoundError: there is no such, or it was not known by then: the two are not told apart.
        """
        rows = self.known(kind, subject_id, as_of).filter(pl.col("number") == number)
        if rows.is_empty():
            raise NotFoundError(_GONE)
        return rows

    def image(self, subject_id: int, number: int, as_of: datetime) -> tuple[dict[str, Any], np.ndarray]:
        """Give one image: its row, and its pixels.

        Raises:
            NotFoundError: there is no such, it was not known by then, or its pixels are not in the store.
        """
        row = self.one("image", subject_id, number, as_of).row(0, named=True)
        found = Arrays(self.path, (row["pixels"] or "",)).get(row["pixels"] or "")
        if found is None:
            raise NotFoundError("the image's pixels are not in the store")
        return row, found

    def listed(
        self, subject_id: int, as_of: datetime, descriptions: Mapping[str, str]
    ) -> tuple[Attached, ...]:
        """List what was known by a time, the newest last."""
        found = [
            one
            for kind in _FOLDERS
            for one in _listed(kind, self.known(kind, subject_id, as_of), descriptions)
        ]
        return tuple(sorted(found, key=lambda one: (one.available or datetime.min, one.kind, one.number)))  # noqa: DTZ901

    def _rows(self, kind: Kind, subject_id: int) -> pl.DataFrame:
        name, schema = _FOLDERS[kind]
        files = sorted((self.path / name).glob("*.parquet"))
        if not files:
            rows = pl.DataFrame(pl.from_arrow(schema.empty_table()))
        else:
            rows = pl.scan_parquet(files).filter(pl.col("subject_id") == subject_id).collect()
        known = pl.max_horizontal("time", "available").alias(_KNOWN)
        rows = rows.select(*schema.names, known)
        first = [_KNOWN] if kind == "genome" else []
        return rows.sort([*first, *_ORDER], nulls_last=False, maintain_order=True)


def _listed(kind: Kind, rows: pl.DataFrame, descriptions: Mapping[str, str]) -> Iterator[Attached]:
    for group in rows.partition_by("number", maintain_order=True):
        first = group.row(0, named=True)
        yield Attached(
            kind=kind,
            number=first["number"],
            time=first["time"],
            available=first[_KNOWN],
            title=_title(kind, first, group, descriptions),
            source=first["source"],
        )


def _title(kind: Kind, first: Mapping[str, Any], rows: pl.DataFrame, descriptions: Mapping[str, str]) -> str:
    if kind == "note":
        code = first["kind"] or ""
        return descriptions.get(code) or _NOTES.get(code) or code or "Note"
    if kind == "image":
        return image_title(first)
    n_calls = int(is_call().fill_null(value=False).pipe(lambda call: rows.select(call.sum())).item())
    parts = [(len(rows) - n_calls, "variant"), (n_calls, "star-allele call")]
    return "Genome: " + ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for n, what in parts if n)


def image_title(row: Mapping[str, Any]) -> str:
    """Say what an image is.

    Example:
        >>> image_title({"modality": "CT", "body_site": "CHEST"})
        'CT of the chest'
        >>> image_title({"modality": "DX", "body_site": None})
        'Radiograph (DX)'
    """
    modality = row["modality"] or "Image"
    what = _MODALITIES.get(modality, modality)
    return f"{what} of the {row['body_site'].lower()}" if row["body_site"] else what


_NOTES: Final = {  # LOINC's names of the commonest, where the records describe none
    "LOINC/11488-4": "Consultation note",
    "LOINC/11502-2": "Laboratory report",
    "LOINC/11504-8": "Surgical operation note",
    "LOINC/11506-3": "Progress note",
    "LOINC/11526-1": "Pathology study",
    "LOINC/18748-4": "Diagnostic imaging study",
    "LOINC/18842-5": "Discharge summary",
    "LOINC/28570-0": "Procedure note",
    "LOINC/34117-2": "History and physical note",
    "LOINC/51969-4": "Genetic analysis report",
    "LOINC/57133-1": "Referral note",
}
_MODALITIES: Final = {"CR": "Radiograph (CR)", "DX": "Radiograph (DX)", "MR": "MRI", "US": "Ultrasound"}


def is_call() -> pl.Expr:
    """Tell rows that are a laboratory's own call of a gene rather than a variant."""
    return pl.col("position").is_null()


class Arrays(Mapping[str, np.ndarray]):
    """Some arrays of a pixel store as ingest writes it, one file an array, read when asked for.

    Args:
        path: of the records.
        digests: of the arrays.
    """

    def __init__(self, path: Path, digests: tuple[str, ...]) -> None:
        self._path = path
        self._digests = tuple(dict.fromkeys(name for name in digests if self._file(name).exists()))

    def __getitem__(self, digest: str) -> np.ndarray:
        if digest not in self._digests:
            raise KeyError(digest)
        return PixelStore([self._file(digest)])[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def _file(self, digest: str) -> Path:
        return self._path / PIXELS_FOLDER / f"{digest}.parquet"
