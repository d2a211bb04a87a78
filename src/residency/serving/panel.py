"""In: a folder of identified records, inside the institution. Out: its patients, and a patient's records."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract.codes import BIRTH, DEATH
from residency.contract.errors import ForbiddenError, NotFoundError
from residency.contract.lineage import open_made
from residency.contract.schema import CODES_FILE, DATA, DATASET_FILE, EVENTS, check
from residency.reasoning.feeds import feeds_of, stalled
from residency.serving.attached import Attached, Folder

_SEX: Final = "DEMOGRAPHIC/SEX="


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One patient of the panel, with the two identifiers that every page shows.

    Attributes:
        subject_id: of the records, as text: it is longer than a number in a browser.
        reference: what the hospital calls the patient.
        born: date of birth, where known.
        sex: as the records have it.
        site: hospital or clinic.
        died: whether a death is on record.
        events: how many are on record.
        latest: when the newest became available.
    """

    subject_id: str
    reference: str
    born: str | None
    sex: str | None
    site: str
    died: bool
    events: int
    latest: datetime | None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One event, as the page shows it."""

    time: datetime | None
    available: datetime | None
    code: str
    description: str | None
    value: float | None
    unit: str | None
    source: str | None


@dataclass(frozen=True)
class Panel:
    """Identified records that a clinician looks at.

    Attributes:
        folder: what `ingest` made.
    """

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> "Panel":
        """Check that the folder is one of identified records, and whole.

        Raises:
            LineageError: it is not what `ingest` made, or is incomplete.
            ForbiddenError: it holds pseudonyms: nobody could tell whose page it is.
        """
        open_made(folder, "ingest")
        panel = cls(folder)
        if panel.dataset.get("deidentified"):
            raise ForbiddenError("the panel holds de-identified records", where=str(folder))
        return panel

    @cached_property
    def dataset(self) -> dict[str, object]:
        """What the records say of themselves."""
        found: dict[str, object] = msgspec.json.decode((self.folder / DATASET_FILE).read_bytes())
        return found.get("residency", found)  # type: ignore[return-value]

    @property
    def zone(self) -> str:
        """Time zone of the records' wall clock; empty where they do not say."""
        return str(self.dataset.get("time_zone") or "")

    def in_zone(self, time: datetime) -> datetime:
        """Turn a time to the records' wall clock."""
        return time.astimezone(ZoneInfo(self.zone)) if self.zone else time

    @property
    def _events(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.folder / DATA / "*.parquet", glob=True)

    @cached_property
    def descriptions(self) -> dict[str, str]:
        """What codes mean."""
        codes = pl.read_parquet(self.folder / CODES_FILE, columns=["code", "description"]).drop_nulls()
        return dict(codes.iter_rows())

    @cached_property
    def patients(self) -> tuple[Listed, ...]:
        """Everyone, by what the hospital calls them."""
        is_birth, is_sex = pl.col("code") == BIRTH, pl.col("code").str.starts_with(_SEX)
        of_person = pl.col("source").str.starts_with("Patient/")
        events = self._events
        people = (
            events.filter(is_birth | is_sex | (pl.col("code") == DEATH))
            .group_by("subject_id")
            .agg(
                born=pl.col("time").filter(is_birth).min(),
                sex=pl.col("code").filter(is_sex).first().str.strip_prefix(_SEX),
                reference=pl.coalesce(
                    pl.col("source").filter(of_person).min(), pl.col("source").filter(is_birth).min()
                ),
                died=(pl.col("code") == DEATH).any(),
            )
        )
        found = (
            events.group_by("subject_id")
            .agg(
                site=pl.col("site").first(),
                events=pl.len(),
                latest=pl.max_horizontal(pl.col("time").max(), pl.col("available").max()),
            )
            .join(people, on="subject_id", how="left")
            .join(self.documents.newest(), on="subject_id", how="left")
            .with_columns(latest=pl.max_horizontal("latest", "newest"))
            .collect()
        )
        rows = [_listed(row) for row in found.iter_rows(named=True)]
        return tuple(sorted(rows, key=lambda one: (one.site, one.reference)))

    def stalled(self, time: datetime) -> tuple[str, ...]:
        """Name the feeds that had delivered nothing for strangely long by a day; worked out once a day.

        Args:
            time: by the records' clock, naive.
        """
        day = datetime.combine(time.date(), datetime.min.time())
        if day not in self._stalled:
            self._stalled[day] = stalled(self._feeds, day)
        return self._stalled[day]

    @cached_property
    def _stalled(self) -> dict[datetime, tuple[str, ...]]:
        return {}

    @cached_property
    def _feeds(self) -> dict[str, np.ndarray]:
        """When each feed delivered."""
        return feeds_of(self._events.select("code", "time", "available").collect())

    def events_of(self, subject_id: int) -> pa.Table:
        """Give one patient's events, in the schema of events.

        Raises:
            NotFoundError: there is no such patient.
        """
        table = self._events.filter(pl.col("subject_id") == subject_id).collect().to_arrow()
        if not table.num_rows:
            raise NotFoundError("no such patient on this panel")
        return check(table.select(EVENTS.names).cast(EVENTS), EVENTS, where="panel")

    @cached_property
    def documents(self) -> Folder:
        """Notes, images and genomes."""
        return Folder(self.folder)

    def attached(self, subject_id: int, as_of: datetime) -> tuple[Attached, ...]:
        """List one patient's notes, images and genomes that were known by a time.

        Raises:
            NotFoundError: there is no such patient.
        """
        self.events_of(subject_id)
        return self.documents.listed(subject_id, as_of, self.descriptions)

    def shown(self, subject_id: int) -> tuple[Shown, ...]:
        """Give one patient's events as the page shows them, in the order of time.

        Raises:
            NotFoundError: there is no such patient.
        """
        rows = self.events_of(subject_id).sort_by([("time", "ascending"), ("code", "ascending")]).to_pylist()
        return tuple(
            Shown(
                time=row["time"],
                available=row["available"],
                code=row["code"],
                description=self.descriptions.get(row["code"]),
                value=row["numeric_value"],
                unit=row["unit"],
                source=row["source"],
            )
            for row in rows
        )


def _listed(row: dict[str, object]) -> Listed:
    born = row["born"]
    reference = str(row["reference"] or row["subject_id"])
    return Listed(
        subject_id=str(row["subject_id"]),
        reference=reference.removeprefix("Patient/"),
        born=born.date().isoformat() if isinstance(born, datetime) else None,
        sex=None if row["sex"] is None else str(row["sex"]),
        site=str(row["site"] or ""),
        died=bool(row["died"]),
        events=int(str(row["events"])),
        latest=row["latest"] if isinstance(row["latest"], datetime) else None,
    )
