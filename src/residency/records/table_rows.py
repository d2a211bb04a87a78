"""In: a sheet of rows. Out: the rows that have a patient and a time, with keys; and what was left out."""

import re
from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from residency.contract.errors import InputError
from residency.contract.identifiers import subject_id_of, visit_id_of
from residency.contract.plugins import Dropped
from residency.records import clock
from residency.records.clock import Clock
from residency.records.settings import Settings
from residency.records.table_columns import filled, moments, numbers
from residency.records.table_files import Sheet
from residency.records.table_mapping import Moment, TableMapping

ROW: Final = "\x00row"
SUBJECT: Final = "\x00subject"
_VISIT: Final = "\x00visit"


def key(name: str) -> str:
    """Name a key column so that no source's column is called the same."""
    return f"\x00{name}"


class Desk:
    """One sheet at work: its rows with keys, and which of them are left out.

    Attributes:
        frame: rows that stay, with their number in the sheet, and under `key(name)`: `subject_id`, `site`,
            `visit_id`, `source`, and `time` and `available` in microseconds.
        bad: which rows of the sheet hold what cannot be.
        dropped: what was left out.
    """

    def __init__(self, sheet: Sheet, table: TableMapping, settings: Settings) -> None:
        self.sheet, self.table, self.settings = sheet, table, settings
        self.clock = Clock(settings.time_zone)
        self.bad = np.zeros(sheet.frame.height, bool)
        self.dropped: list[Dropped] = []
        self.frame = sheet.frame.with_columns(pl.int_range(pl.len()).alias(ROW))
        self._key_patients()
        self._key_times()

    def number(self, column: str) -> pl.Series:
        """Give a column as numbers; spoiled where a cell is none."""
        found, wrong = numbers(self.frame[column])
        self.spoil(wrong, column, "not a number")
        return found

    def moment(self, moment: Moment) -> tuple[pl.Series, pl.Series]:
        """Give the first and the last microsecond that each row's time means."""
        first, last = moments(self.frame, moment, self.clock)
        self.spoil(first == clock.BAD, ", ".join(moment.columns), "a time that is none")
        return first, last

    def spoil(self, wrong: pl.Series, column: str, what: str) -> None:
        """Mark rows that hold what cannot be; each counts once, for the first thing found in it."""
        if not wrong.any():
            return
        rows = self.frame[ROW].to_numpy()[wrong.fill_null(value=False).to_numpy()]
        rows = rows[~self.bad[rows]]
        if len(rows):
            self.bad[rows] = True
            where = self.sheet.where(int(rows[0]), column)
            self.dropped.append(Dropped(f"column {column}: {what}", where, len(rows), bad=True))

    def good(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Give the rows of a frame that hold nothing that cannot be."""
        return frame.filter(~pl.Series(self.bad[frame[ROW].to_numpy()]))

    def _drop(self, out: pl.Series, reason: str) -> None:
        if n := int(out.sum()):
            self.dropped.append(Dropped(reason, n=n))
            self.frame = self.frame.filter(~out)

    def _key_patients(self) -> None:
        self.frame = self.frame.with_columns(
            self._subjects().alias(SUBJECT), self._sites().alias(key("site"))
        )
        self._drop(self.frame[SUBJECT].is_null() | (self.frame[SUBJECT] == ""), "a row without a patient")
        self._number(SUBJECT, "subject_id", subject_id_of)
        visit, source = (self._filled(template) for template in (self.table.visit, self.table.source))
        self.frame = self.frame.with_columns(visit.alias(_VISIT), source.alias(key("source")))
        self._number(_VISIT, "visit_id", visit_id_of)

    def _filled(self, template: str) -> pl.Series:
        if not template:
            return pl.repeat(None, self.frame.height, dtype=pl.String, eager=True)
        return filled(self.frame.with_columns(pl.col(SUBJECT).alias("subject")), template)

    def _number(self, column: str, name: str, number: Callable[[str, str], int]) -> None:
        """Add ingest ids of what a column and the site name."""
        site = key("site")
        known = self.frame.select(column, site).unique().drop_nulls()
        ids = [number(one, at) for one, at in known.iter_rows()]
        known = known.with_columns(pl.Series(key(name), ids, dtype=pl.Int64))
        self.frame = self.frame.join(known, on=[column, site], how="left", maintain_order="left")

    def _subjects(self) -> pl.Series:
        if self.table.subject.column:
            return self.sheet.frame[self.table.subject.column].cast(pl.String)
        found = []
        for document in self.sheet.documents:
            match = re.search(self.table.subject.file, document.name)
            if match is None or not match.groups():
                raise InputError(
                    "the file's name does not tell a patient",
                    where=document.where(),
                    mend="see subject.file in the mapping",
                )
            found.append(match[1])
        return pl.Series(found, dtype=pl.String).gather(self.sheet.document)

    def _sites(self) -> pl.Series:
        if self.table.site:
            column = self.sheet.frame[self.table.site].cast(pl.String)
            return column.replace(self.settings.sites).fill_null(self.settings.default_site)
        names = [self.settings.site_of(document) for document in self.sheet.documents]
        return pl.Series(names, dtype=pl.String).gather(self.sheet.document)

    def _key_times(self) -> None:
        table = self.table
        if table.time is None:
            nothing = pl.lit(None, pl.Int64)
            self.frame = self.frame.with_columns(nothing.alias(key("time")), nothing.alias(key("available")))
            return
        first, last = self.moment(table.time)
        known = self.moment(table.available)[1].fill_null(last) if table.available else last
        self.frame = self.frame.with_columns(first.alias(key("time")), known.alias(key("available")))
        self._drop(self.frame[key("time")].is_null(), "a row without a time")
