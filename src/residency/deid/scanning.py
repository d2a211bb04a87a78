"""In: a finished result, what is known of all patients. Out: bytes looked through, and what names somebody.

It reads what was written, by other code than what hid it: paths, every text of every table, the statistics in
Parquet's footers, descriptions. Of notes it reads nothing: what of them stands as it was has been searched
note by note (`leaks`), and what stands in place of names are names.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq

from residency.contract import schema
from residency.deid.leaks import Everyone, others_left

SHORTEST: Final = 6  # characters of an identifier that is sought as a whole value
_SURROGATES: Final = (schema.NOTES_FOLDER, "text")  # column whose words are made up
_PUBLIC: Final = frozenset({"code", "kind", "parent_codes"})  # numbers in them are those of public lists
_DIGITS: Final = r"\b\d[\d\-./() ]{4,}\d\b"
_PSEUDONYM: Final = r"^[A-Za-z]+/[0-9a-f]{20}$"  # digits and letters in it mean nothing


@dataclass
class Scan:
    """What a leak scan looked through, and found.

    Attributes:
        n_bytes: of paths, texts and statistics.
        n_note_bytes: of notes' texts.
        hits: values that hold an identifier, by where they stand.
    """

    n_bytes: int = 0
    n_note_bytes: int = 0
    hits: Counter[str] = field(default_factory=Counter)

    def report(self) -> dict[str, Any]:
        """Put it together for `risk.json`."""
        return {
            "bytes_scanned": self.n_bytes,
            "bytes_of_notes_scanned_before": self.n_note_bytes,
            "hits": self.hits.total(),
            "hits_by_place": dict(sorted(self.hits.items())),
        }


def scan(folder: Path, values: frozenset[str], all_: Everyone | None) -> Scan:
    """Look through a result.

    Args:
        folder: what was written, the manifest apart.
        values: every known identifier, in small letters.
        all_: what is known of all patients; None where nothing is.
    """
    found = Scan()
    all_ = all_ or Everyone(frozenset(), frozenset(), frozenset())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name.startswith("."):
            continue
        found.hits["paths"] += _search(found, pl.Series([name]), values, all_)
        if path.suffix != ".parquet":
            found.hits[name] += _search(found, _lines(path), values, all_)
            continue
        for column, texts in _columns(path):
            if (name.split("/")[0], column) == _SURROGATES:
                found.n_note_bytes += int(texts.str.len_bytes().sum())
                continue
            where = f"{name.split('/')[0]}: {column}"
            found.hits[where] += _search(found, texts, values, all_, is_public=column in _PUBLIC)
    found.hits = +found.hits
    return found


def _search(
    found: Scan, texts: pl.Series, values: frozenset[str], all_: Everyone, *, is_public: bool = False
) -> int:
    """Count the different texts that hold an identifier."""
    found.n_bytes += int(texts.str.len_bytes().sum() or 0)
    each = texts.filter(~texts.str.contains(_PSEUDONYM)).unique().str.to_lowercase()
    whole = each.is_in(pl.Series(sorted(values), dtype=pl.String).implode())
    numbers = frozenset() if is_public else all_.numbers
    number = _number_in(each, numbers)
    words = each.str.contains(r"@|\pL+\P{L}+\pL+") & ~whole & ~number
    names = Everyone(numbers, all_.texts, all_.names)
    return int((whole | number).sum()) + sum(others_left(text, names) for text in each.filter(words))


def _number_in(texts: pl.Series, numbers: frozenset[str]) -> pl.Series:
    known = pl.Series(sorted(numbers), dtype=pl.String).implode()
    runs = pl.element().str.replace_all(r"\D", "").is_in(known)
    found = pl.col("text").str.extract_all(_DIGITS).list.eval(runs).list.any()
    return pl.DataFrame({"text": texts}).select(found.fill_null(value=False)).to_series()


def _lines(path: Path) -> pl.Series:
    return pl.Series(path.read_text("utf-8").splitlines(), dtype=pl.String)


def _columns(path: Path) -> Iterator[tuple[str, pl.Series]]:
    """Read one column of text after another, lists of texts too, with what the footer says of it."""
    bounds = _bounds(pq.read_metadata(path))
    for name, kind in pl.read_parquet_schema(path).items():
        if kind in (pl.String, pl.List(pl.String)):
            texts = pl.read_parquet(path, columns=[name])[name]
            flat = texts.explode() if kind != pl.String else texts
            yield name, flat.drop_nulls().extend(pl.Series(bounds.get(name, []), dtype=pl.String))


def _bounds(data: pq.FileMetaData) -> dict[str, list[str]]:
    """Give the least and the greatest text of each column, of each row group."""
    found: dict[str, list[str]] = {}
    for group in range(data.num_row_groups):
        for number in range(data.num_columns):
            column = data.row_group(group).column(number)
            if (known := column.statistics) is not None and known.has_min_max:
                texts = [one for one in (known.min, known.max) if isinstance(one, str)]
                found.setdefault(column.path_in_schema.split(".")[0], []).extend(texts)
    return found
