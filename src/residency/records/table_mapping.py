"""In: a mapping file for tables. Out: what each table's columns mean, checked."""

import re
from dataclasses import field
from pathlib import PurePosixPath
from string import Formatter
from typing import Literal

from residency.contract.specs import spec
from residency.records.clock import BAD, Clock
from residency.records.settings import Settings

Duration = Literal["s", "min", "h", "d", "a"]
SECONDS: dict[str, float] = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "a": 86_400 * 365.25}


@spec
class Subject:
    """Where a patient's id stands.

    Attributes:
        column: a column that holds it.
        file: or a regular expression on the file's name, whose first group is it.
    """

    column: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if bool(self.column) == bool(self.file):
            raise ValueError("give column or file, one of them")
        _pattern("file", self.file)


@spec
class Moment:
    """When something is.

    Attributes:
        column: a column of dates or times, in ISO 8601 or in `format`.
        format: of the column, as strftime writes it.
        offset: or a column of numbers, in `unit`, from an anchor.
        minus: a column of numbers, in `unit`, that is taken off: the anchor is so long before it.
        anchor: a time that is the same for all: ISO 8601.
        anchor_column: or a column that holds it, in ISO 8601.
        unit: of the offset.
        delay_hours: added at the end.
    """

    column: str = ""
    format: str = ""
    offset: str = ""
    minus: str = ""
    anchor: str = ""
    anchor_column: str = ""
    unit: Duration = "h"
    delay_hours: float = 0.0

    def __post_init__(self) -> None:
        if bool(self.column) == bool(self.offset or self.minus or self.anchor):
            raise ValueError("give column, or anchor with or without offset")
        if (self.offset or self.minus) and bool(self.anchor) == bool(self.anchor_column):
            raise ValueError("an offset needs anchor or anchor_column, one of them")
        if self.anchor and Clock().first[self.anchor] == BAD:
            raise ValueError("anchor is no time in ISO 8601")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        return tuple(name for name in (self.column, self.offset, self.minus, self.anchor_column) if name)


@spec
class Measure:
    """What one column of a wide table holds: a number.

    Attributes:
        code: of the measurement.
        unit: UCUM.
        description: of the code.
        parents: codes above it.
    """

    code: str
    unit: str = ""
    description: str = ""
    parents: tuple[str, ...] = ()


@spec
class Event:
    """What a row says.

    Attributes:
        code: text with column names in braces: `MIMIC/{table}/{code}`, `{code}`, or the same for all rows.
        value: column of numbers.
        text: column of text.
        unit: UCUM, with column names in braces, or the same for all rows.
        unit_in_code: regular expression on the code, whose first group is the unit.
        time: of the event; the table's where it is not given.
        available: when it could be known; the table's where it is not given.
        static: a fact that has no time, such as the sex; said once a patient.
        only: values that columns must have.
        recode: new values, by column and old value; a value that is not there is left out.
        needs: columns that must not be empty.
        description: of the code, with column names in braces.
        parents: codes above it, with column names in braces.
    """

    code: str
    value: str = ""
    text: str = ""
    unit: str = ""
    unit_in_code: str = ""
    time: Moment | None = None
    available: Moment | None = None
    static: bool = False
    only: dict[str, str] = field(default_factory=dict)
    recode: dict[str, dict[str, str]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    description: str = ""
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _pattern("unit_in_code", self.unit_in_code)
        for template in (self.code, self.unit, self.description, *self.parents):
            braced(template)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        moments = [moment for moment in (self.time, self.available) if moment is not None]
        templates = (self.code, self.unit, self.description, *self.parents)
        return (
            *(name for name in (self.value, self.text) if name),
            *(name for template in templates for name in braced(template)),
            *(name for moment in moments for name in moment.columns),
            *self.only,
            *self.needs,
        )


@spec
class Birth:
    """When a patient was born, from their age.

    Attributes:
        age: column of ages.
        unit: of the ages.
        at: when they were that old.
    """

    age: str
    at: Moment
    unit: Duration = "a"


@spec
class Label:
    """A column that is a label: it goes to `labels/`, at the row's time, and never becomes an event.

    Attributes:
        column: where it stands.
        kind: of its values.
    """

    column: str
    kind: Literal["boolean", "integer", "float", "categorical"] = "boolean"


@spec
class TableImage:
    """An image file that a row names: PNG or JPEG.

    Attributes:
        path: of the file, seen from the table's folder, with column names in braces: `png/{image_id}.png`.
        modality: DICOM's (`CR`, `DX`), with column names in braces, or the same for all rows.
        body_site: DICOM's (`CHEST`), likewise.
        time: when it was made; the row's where it is not given.
        source: reference to it, likewise; the row's where it is not given.
    """

    path: str
    modality: str = ""
    body_site: str = ""
    time: Moment | None = None
    source: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        templates = (self.path, self.modality, self.body_site, self.source)
        named = tuple(name for template in templates for name in braced(template))
        return named + (self.time.columns if self.time else ())


@spec
class TableMapping:
    """What the columns of some files mean.

    Attributes:
        files: pattern of the file names, for example `*.psv` or `hosp/labevents.csv*`.
        separator: between the columns of a text file.
        null_values: what stands for nothing; an empty cell always does.
        subject: where the patient's id stands.
        time: of the rows; none where every event has its own, or is static.
        available: when a row could be known; at its time, where not given.
        visit: text with column names in braces: id of the visit.
        source: text with column names in braces, and `{subject}`: reference to the row, `kind/id`.
        site: column that names the site.
        measures: for a wide table: what each column holds.
        events: what else a row says.
        birth: from an age.
        images: files that a row names.
        labels: by task.
        observed: rows are written whether or not anything happens, so that the patient is seen from the
            first to the last; counts where the observation rule is `rows`.
    """

    files: str
    subject: Subject
    separator: str = ","
    null_values: tuple[str, ...] = ()
    time: Moment | None = None
    available: Moment | None = None
    visit: str = ""
    source: str = ""
    site: str = ""
    measures: dict[str, Measure] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    birth: Birth | None = None
    images: tuple[TableImage, ...] = ()
    labels: dict[str, Label] = field(default_factory=dict)
    observed: bool = True

    def __post_init__(self) -> None:
        timeless: list[Event | TableImage] = [
            event for event in self.events if not event.static and event.time is None
        ]
        timeless += [image for image in self.images if image.time is None]
        if self.time is None and (self.measures or self.labels or timeless):
            raise ValueError(
                "time is missing: measures, labels, images and events that are not static need one"
            )
        if len(self.separator) != 1:
            raise ValueError("separator must be one character")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read, in a fixed order."""
        moments = [
            one
            for one in (self.time, self.available, self.birth.at if self.birth else None)
            if one is not None
        ]
        named = (
            *(
                name
                for name in (self.subject.column, self.site, self.birth.age if self.birth else "")
                if name
            ),
            *(name for moment in moments for name in moment.columns),
            *(
                name
                for template in (self.visit, self.source)
                for name in braced(template)
                if name != "subject"
            ),
            *self.measures,
            *(name for event in self.events for name in event.columns),
            *(name for image in self.images for name in image.columns),
            *(label.column for label in self.labels.values()),
        )
        return tuple(dict.fromkeys(named))

    def reads(self, name: str) -> bool:
        """Tell whether a file is of this table."""
        return PurePosixPath(name).match(self.files)


@spec
class TablesMapping(Settings):
    """How tables are read.

    Attributes:
        tables: what each kind of file holds.
    """

    tables: tuple[TableMapping, ...]


def _pattern(key: str, pattern: str) -> None:
    """Refuse what is no regular expression with a group."""
    try:
        groups = re.compile(pattern).groups
    except re.error:
        raise ValueError(f"{key} is no regular expression") from None
    if pattern and not groups:
        raise ValueError(f"{key} needs a group: put what it is to find in ( )")


def braced(template: str) -> tuple[str, ...]:
    """Give the column names in a template.

    Example:
        >>> braced("MIMIC/{table}/{code}")
        ('table', 'code')
    """
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name)
