"""In: the name of a record source or an encoder. Out: the part that an entry point registers under it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float

from residency.contract.errors import PluginError

T = TypeVar("T")

TableName = Literal[
    "events", "labels", "observation", "codes", "subjects",
    "notes", "slices", "variants", "identifiers", "links",
]  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Rows of one table, as a source reads them.

    Attributes:
        table: which one.
        batch: its rows. Text may be dictionary-encoded and numbers wider than the schema's. `subjects` has
            `subject_id`, `site` and `where` (file and row): one row for each patient record, so that a
            patient who is described twice is found. `slices` are images as they come, one instance or file a
            row, which ingest puts together into series and arrays (`records.draft.SLICES`). `links` say of
            which patient a study or a genome is that another feed brings (`records.draft.LINKS`).
        task: names the label where `table` is labels.
        n: rows of the source that these came from; None where each came from one of its own.
    """

    table: TableName
    batch: pa.RecordBatch
    task: str = ""
    n: int | None = None


@dataclass(frozen=True)
class Dropped:
    """Rows left out, with the reason.

    Attributes:
        reason: a fixed phrase, never a value.
        where: names a file, a column or a row number, never a value.
        n: how many rows.
        bad: the rows hold what cannot be (a date that is none), rather than what is not read; of these a
            source may have few.
    """

    reason: str
    where: str = ""
    n: int = 1
    bad: bool = False


@runtime_checkable
class RecordSource(Protocol):
    """Where records come from: one kind of file or feed."""

    def read(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> Iterator[Rows | Dropped]:
        """Give every row, as it is read, or why it was left out.

        Args:
            paths: files or folders.
            mapping: the mapping file, parsed; empty where there is none.

        Raises:
            InputError: a file is not what it should be.
        """
        ...


@runtime_checkable
class Encoder(Protocol):
    """Turns one kind of attachment (image, note, genome) into vectors."""

    digest: str  # of the weights and settings: part of every cache key

    def load(self, path: Path | None, device: str) -> None:
        """Make ready; `path` is a folder of weights where the part ships none."""
        ...

    def encode(
        self, batch: list[Any]
    ) -> tuple[Float[np.ndarray, "attachment vector width"], Bool[np.ndarray, "attachment vector"]]:
        """Give a few vectors an attachment, and which of them count."""
        ...


@dataclass(frozen=True)
class Plugins(Generic[T]):
    """The parts of one kind, found by entry point and loaded when asked for."""

    group: str
    kind: str

    def names(self) -> list[str]:
        """Every installed name, ours and others' alike."""
        return sorted(entry_points(group=self.group).names)

    def get(self, name: str) -> T:
        """Load the part called `name`.

        Raises:
            PluginError: no part, or more than one, has that name, or its extra is missing: the one that the
                entry point names in brackets, else one of the part's own name.
        """
        found = list(entry_points(group=self.group, name=name))
        if len(found) != 1:
            raise PluginError(
                f"{len(found)} {self.kind}s are called {name!r}",
                mend=f"choose from: {', '.join(self.names()) or 'none is installed'}",
            )
        try:
            part: type[T] = found[0].load()
        except ModuleNotFoundError as missing:
            if (missing.name or "").startswith("residency"):
                raise  # our own bug, not a missing extra
            extra = next(iter(found[0].extras), name)
            raise PluginError(
                f"{self.kind} {name!r} needs {missing.name}", mend=f"pip install 'residency[{extra}]'"
            ) from missing
        return part()


SOURCES: Plugins[RecordSource] = Plugins("residency.sources", "record source")
ENCODERS: Plugins[Encoder] = Plugins("residency.encoders", "encoder")
