"""In: tables of notes, images and variants. Out: attachments in a fixed order, and what each of them holds.

An attachment is a note, an image row, or a genome: all variants rows of one patient with one `source`. It is
known at its `available`, or at its `time` where that is later or `available` is null; a genome when the last
of its rows is; without either, always.
"""

import hashlib
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Bool, Int64, Num

from residency.contract.digests import digest_of_voxels
from residency.contract.errors import SchemaError
from residency.contract.packed import ATTACHMENT_KINDS, STATIC
from residency.contract.schema import IMAGES, NOTES, VARIANTS
from residency.timeline.pixels import NO_PIXELS, Pixels
from residency.timeline.shards import read

Table: TypeAlias = pa.Table | pl.DataFrame

NOTE, IMAGE, GENOME = range(len(ATTACHMENT_KINDS))
FILES: Final = ("notes.parquet", "images.parquet", "variants.parquet")
CONTENT: Final = "content"  # digest of what an attachment holds, time, patient and source apart
NO_TEXT: Final = "note without text"
NO_ARRAY: Final = "image without pixels"
_SCHEMAS: Final = (NOTES, IMAGES, VARIANTS)
_HELD: Final = (
    ("kind", "text"),
    ("modality", "body_site", "pixels", "spacing_mm", "window_center", "window_width"),
    ("assembly", "chromosome", "position", "reference", "alternate", "genotype", "gene", "name"),
)
_LISTS: Final = ("spacing_mm", "orientation")  # not for sorting


@dataclass(frozen=True, repr=False)  # what they hold is in no message
class Note:
    """A note: what kind, as a code, and its text."""

    kind: str
    text: str


@dataclass(frozen=True, repr=False)  # what they hold is in no message
class Image:
    """An image or a series.

    Attributes:
        modality: DICOM's; empty where unknown.
        body_site: empty where unknown.
        pixels: slices rise along their normal; brighter is denser.
        spacing_mm: slice, row, column; NaN where unknown.
        window: centre and width, in the units of the pixels; NaN where unknown.
    """

    modality: str
    body_site: str
    pixels: Num[np.ndarray, "slice row column"]
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float]


@dataclass(frozen=True, repr=False)  # what they hold is in no message
class Genome:
    """The variants of one patient from one source; the columns of the contract from `assembly` on."""

    rows: pl.DataFrame


Content: TypeAlias = Note | Image | Genome


@dataclass(frozen=True, repr=False)  # what they hold is in no message
class Attachments:
    """What is attached to some patients' moments.

    Attributes:
        tables: notes, images and variants, each with its digest of content, in a fixed order: a patient's
            attachments by their time, the rows of a genome together.
        pixels: arrays by their digest.
        dropped: what was left out, and why.
        home: folder in which what is worked out of them is kept; None where they live in memory alone.
        passing: whether what is worked out anew is not kept there: some of them are supposed only.
    """

    tables: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
    pixels: Pixels
    dropped: Mapping[str, int]
    home: Path | None = None
    passing: bool = False

    @classmethod
    def of(
        cls,
        *,
        notes: Table | None = None,
        images: Table | None = None,
        variants: Table | None = None,
        pixels: Pixels = NO_PIXELS,
    ) -> "Attachments":
        """Take tables of the contract, in any order of rows.

        Raises:
            SchemaError: a column is missing or of another type.
        """
        frames = [_frame(table, kind) for kind, table in enumerate((notes, images, variants))]
        has_text = pl.col("text").str.strip_chars().str.len_bytes().fill_null(0) > 0
        has_pixels = pl.col("pixels").is_in(list(pixels))
        kept = (frames[NOTE].filter(has_text), frames[IMAGE].filter(has_pixels), frames[GENOME])
        lost = {
            NO_TEXT: len(frames[NOTE]) - len(kept[NOTE]),
            NO_ARRAY: len(frames[IMAGE]) - len(kept[IMAGE]),
        }
        notes_, images_, variants_ = (_ordered(frame, kind) for kind, frame in enumerate(kept))
        return cls((notes_, images_, variants_), pixels, lost)

    @classmethod
    def open(cls, folder: Path, pixels: Pixels, home: Path | None = None) -> "Attachments":
        """Read what `write` wrote beside a shard's arrays; files that are not there hold nothing."""
        notes, images, variants = (
            read(folder / name) if (folder / name).exists() else _ordered(_frame(None, kind), kind)
            for kind, name in enumerate(FILES)
        )
        return cls((notes, images, variants), pixels, {}, home)

    def write(self, folder: Path) -> None:
        """Write the tables that hold something."""
        for table, name in zip(self.tables, FILES, strict=True):
            if len(table):
                table.write_parquet(folder / name, compression="zstd")

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """One row an attachment: `subject_id`, `key` (µs, `STATIC` for always), `kind`, `ref`."""
        return pl.concat([self._rows(kind) for kind in range(len(ATTACHMENT_KINDS))])

    def _rows(self, kind: int) -> pl.DataFrame:
        first = self._first[kind]
        return (
            self.tables[kind]
            .select("subject_id", key=_key())
            .with_columns(key=pl.col("key").max().over(pl.Series(np.repeat(first, self._n_rows[kind]))))[
                first
            ]
            .with_columns(kind=pl.lit(kind, pl.Int8), ref=pl.Series(first, dtype=pl.Int64))
        )

    @cached_property
    def _first(self) -> tuple[Int64[np.ndarray, " attachment"], ...]:
        """First row of each attachment, by kind."""
        genomes = self.tables[GENOME].select("subject_id", "source")
        new = np.ones(len(genomes), bool)
        if len(genomes):
            same = pl.all_horizontal(pl.all().eq_missing(pl.all().shift()))
            new[1:] = ~genomes.select(same).to_series().to_numpy()[1:]
        notes, images = (np.arange(len(self.tables[kind])) for kind in (NOTE, IMAGE))
        return notes, images, np.flatnonzero(new)

    @cached_property
    def _n_rows(self) -> tuple[Int64[np.ndarray, " attachment"], ...]:
        return tuple(
            np.diff(np.append(first, len(table)))
            for first, table in zip(self._first, self.tables, strict=True)
        )

    def keep(self, chosen: Bool[np.ndarray, " attachment"]) -> "Attachments":
        """Give some of the attachments, by the order of `rows`."""
        ends = np.cumsum([len(first) for first in self._first])[:-1]
        notes, images, variants = (
            table.filter(pl.Series(np.repeat(mine, n_rows)))
            for table, mine, n_rows in zip(self.tables, np.split(chosen, ends), self._n_rows, strict=True)
        )
        return replace(self, tables=(notes, images, variants))

    def digests(self, kind: int, refs: Int64[np.ndarray, " attachment"]) -> list[str]:
        """Give the digests of what attachments hold: the same for the same content, whoever's it is."""
        found: list[str] = self.tables[kind][CONTENT].gather(pl.Series(np.asarray(refs, np.int64))).to_list()
        return found

    def sources(self, kind: int, refs: Int64[np.ndarray, " attachment"]) -> list[str]:
        """Give the source references of attachments."""
        rows = self.tables[kind]["source"].gather(pl.Series(np.asarray(refs, np.int64)))
        return [source or "" for source in rows]

    def contents(self, kind: int, refs: Sequence[int] | Int64[np.ndarray, " attachment"]) -> list[Content]:
        """Give what attachments of one kind hold."""
        refs = np.asarray(refs, np.int64)
        if kind == GENOME:
            return [Genome(rows) for rows in self._genomes(refs)]
        rows = self.tables[kind][refs].iter_rows(named=True)
        if kind == NOTE:
            return [Note(row["kind"] or "", row["text"]) for row in rows]
        return [_image(row, self.pixels[row["pixels"]]) for row in rows]

    def codes(self, kind: int, refs: Int64[np.ndarray, " attachment"]) -> list[str]:
        """Say of what sort attachments are: the code of a note, modality and body part of an image."""
        rows = self.tables[kind][np.asarray(refs, np.int64)]
        if kind == GENOME:
            return ["variants"] * len(rows)
        names = ("kind",) if kind == NOTE else ("modality", "body_site")
        said = rows.select(pl.concat_str(names, separator="/", ignore_nulls=True)).to_series()
        return [one or ATTACHMENT_KINDS[kind] for one in said]

    def beside(
        self, kind: int, refs: Int64[np.ndarray, " attachment"], contents: Sequence[Note | Image]
    ) -> "tuple[Attachments, Int64[np.ndarray, ' attachment']]":
        """Put notes or images beside these that are as some of them are, but hold something else.

        What is worked out of them anew stays in memory.

        Args:
            kind: notes or images.
            refs: whose rows they take, but for what they hold.
            contents: of each.

        Returns:
            The attachments with the new ones, and where these are.
        """
        rows = self.tables[kind][np.asarray(refs, np.int64)]
        pixels = self.pixels
        if kind == NOTE:
            said = [one.text for one in contents if isinstance(one, Note)]
            rows = rows.with_columns(text=pl.Series(said, dtype=pl.String))
        else:
            arrays = [one.pixels for one in contents if isinstance(one, Image)]
            new = {digest_of_voxels(array): array for array in arrays}
            rows = rows.with_columns(pixels=pl.Series(list(map(digest_of_voxels, arrays)), dtype=pl.String))
            pixels = ChainMap(new, cast("dict[str, np.ndarray]", self.pixels))  # which it only reads
        at = len(self.tables[kind]) + np.arange(len(rows))
        tables = list(self.tables)
        tables[kind] = pl.concat([self.tables[kind], rows.with_columns(_digests(rows, kind))])
        notes, images, variants = tables
        return replace(self, tables=(notes, images, variants), pixels=pixels, passing=True), at

    def _genomes(self, refs: Int64[np.ndarray, " attachment"]) -> list[pl.DataFrame]:
        at = np.searchsorted(self._first[GENOME], refs)
        lengths = self._n_rows[GENOME][at]
        held = self.tables[GENOME].select(_HELD[GENOME])
        return [held.slice(int(ref), int(length)) for ref, length in zip(refs, lengths, strict=True)]


def _frame(table: Table | None, kind: int) -> pl.DataFrame:
    """Give a table with the contract's columns and types; those of a document may be missing."""
    schema = pl.DataFrame(pl.from_arrow(_SCHEMAS[kind].empty_table())).schema
    if table is None:
        return pl.DataFrame(schema=schema)
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(pl.from_arrow(table))
    needed = ["subject_id", *{NOTE: ("text",), IMAGE: ("pixels",)}.get(kind, _HELD[GENOME][1:6])]
    where = FILES[kind].removesuffix(".parquet")
    if missing := [name for name in needed if name not in frame.columns]:
        raise SchemaError(f"missing columns: {', '.join(missing)}", where=where)
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    try:
        frame = frame.with_columns(lacking).select(schema.names()).cast(schema)
    except pl.exceptions.PolarsError:
        raise SchemaError("a column has another type", where=where) from None
    if frame["subject_id"].null_count():
        raise SchemaError("subject_id is null", where=where)
    return frame


def _key() -> pl.Expr:
    times = (pl.col(name).cast(pl.Int64) for name in ("time", "available"))
    return pl.max_horizontal(*times).fill_null(STATIC)


def _ordered(frame: pl.DataFrame, kind: int) -> pl.DataFrame:
    """Order the rows, whatever order they came in; add the digests."""
    rest = [name for name in frame.columns if name not in ("subject_id", "time", "available", *_LISTS)]
    key = _key().max().over("subject_id", "source") if kind == GENOME else _key()
    held = [name for name in _HELD[kind] if name not in _LISTS]
    by = list(dict.fromkeys(["subject_id", "_key_", "source", *held, *rest]))
    ordered = frame.with_columns(_key_=key).sort(by, nulls_last=False, maintain_order=True).drop("_key_")
    return ordered.with_columns(_digests(ordered, kind))


def _digests(frame: pl.DataFrame, kind: int) -> pl.Series:
    """Give the digest of what each row's attachment holds; equal content is worked out once."""
    parts = [
        pl.col(name).cast(pl.List(pl.String)).list.join(",", ignore_nulls=False)
        if name in _LISTS
        else pl.col(name).cast(pl.String)
        for name in _HELD[kind]
    ]
    line = pl.concat_str([part.fill_null("") for part in parts], separator="\x1f")
    whole = frame.select("subject_id", "source", line=line).with_row_index("item")
    if kind == GENOME:
        whole = whole.with_columns(item=pl.struct("subject_id", "source").rle_id())
    joined = whole.group_by("item", maintain_order=True).agg(pl.col("line").str.join("\n"))
    known = {text: _digest(kind, text) for text in joined["line"].unique()}
    digests = pl.Series(CONTENT, [known[text] for text in joined["line"]], dtype=pl.String)
    return digests if kind != GENOME else digests.gather(whole["item"])


def _digest(kind: int, text: str) -> str:
    return hashlib.sha256(f"{ATTACHMENT_KINDS[kind]}\x1f{text}".encode()).hexdigest()


def _image(row: Mapping[str, Any], pixels: np.ndarray) -> Image:
    spacing = [_number(value) for value in row["spacing_mm"] or ()]
    slice_mm, row_mm, column_mm = (*spacing, *[np.nan] * 3)[:3]
    return Image(
        modality=row["modality"] or "",
        body_site=row["body_site"] or "",
        pixels=pixels,
        spacing_mm=(slice_mm, row_mm, column_mm),
        window=(_number(row["window_center"]), _number(row["window_width"])),
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
