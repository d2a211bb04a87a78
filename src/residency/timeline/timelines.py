"""In: a folder that `build` made. Out: its shards, vocabulary, tasks, splits, sites, references."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Int64

from residency.contract.errors import NotFoundError
from residency.contract.lineage import Manifest, open_made
from residency.contract.packed import Packed
from residency.contract.schema import DATA, SUBJECTS_FILE
from residency.timeline.attachments import Attachments
from residency.timeline.building import LABELS_FILE, PIXELS, SOURCE_FILE
from residency.timeline.pixels import PixelStore
from residency.timeline.vocabulary import Vocabulary

ENCODINGS: Final = ".encodings"  # what encoders made of attachments; may be deleted at any time
_NO_SOURCE: Final = ""


class Place(NamedTuple):
    """Where a patient lies: index of the shard, row in it."""

    shard: int
    patient: int


@dataclass(frozen=True)
class Timelines:
    """Packed timelines on disk, mapped into memory.

    Attributes:
        folder: where they lie.
        manifest: what they were made from.
        paths: folder of each shard, in the order of the patients.
        shards: packed timelines of each.
        vocabulary: the codes.
        labels: names of the tasks that `Packed.label_task` counts.
    """

    folder: Path
    manifest: Manifest
    paths: tuple[Path, ...]
    shards: tuple[Packed, ...]
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    _splits: tuple[np.ndarray, ...]
    _sites: tuple[np.ndarray, ...]

    @classmethod
    def open(cls, folder: Path) -> "Timelines":
        """Open a finished folder.

        Raises:
            LineageError: the folder is not finished, is another step's, or is damaged.
        """
        manifest = open_made(folder, "build")
        found = [folder / shard.path for shard in manifest.shards if shard.path.startswith(f"{DATA}/")]
        opened = sorted(
            ((Packed.open(path), path) for path in found), key=lambda pair: int(pair[0].subject[0])
        )
        subjects = pl.read_parquet(folder / SUBJECTS_FILE)
        known = [
            pl.DataFrame({"subject_id": np.asarray(packed.subject)}).join(
                subjects, on="subject_id", how="left", maintain_order="left"
            )
            for packed, _ in opened
        ]
        return cls(
            folder=folder,
            manifest=manifest,
            paths=tuple(path for _, path in opened),
            shards=tuple(packed for packed, _ in opened),
            vocabulary=Vocabulary.open(folder),
            labels=tuple(json.loads((folder / LABELS_FILE).read_text("utf-8"))),
            _splits=tuple(rows["split"].to_numpy().astype(str) for rows in known),
            _sites=tuple(rows["site"].to_numpy().astype(str) for rows in known),
        )

    @property
    def n_patients(self) -> int:
        """Patients of all shards."""
        return sum(packed.n_patients for packed in self.shards)

    @property
    def n_events(self) -> int:
        """Events of all shards."""
        return sum(packed.n_events for packed in self.shards)

    def split(self, shard: int) -> np.ndarray:
        """Give the split of each patient of a shard: `train`, `tuning`, `held_out` or `external`."""
        return self._splits[shard]

    def site(self, shard: int) -> np.ndarray:
        """Give the site of each patient of a shard."""
        return self._sites[shard]

    @cached_property
    def pixels(self) -> PixelStore:
        """The arrays of all images."""
        names = [shard.path for shard in self.manifest.shards if shard.path.startswith(f"{PIXELS}/")]
        return PixelStore([self.folder / name for name in names])

    def attachments(self, shard: int) -> Attachments:
        """Give what the attachments of a shard hold: `Packed.attachment_ref` are rows of its tables."""
        return Attachments.open(self.paths[shard], self.pixels, self.folder / ENCODINGS)

    def locate(self, subject_id: int) -> Place:
        """Find a patient.

        Raises:
            NotFoundError: no shard has that patient.
        """
        firsts = np.array([packed.subject[0] for packed in self.shards], np.int64)
        shard = int(np.searchsorted(firsts, subject_id, "right")) - 1
        if shard >= 0:
            subject = self.shards[shard].subject
            row = int(np.searchsorted(subject, subject_id))
            if row < len(subject) and subject[row] == subject_id:
                return Place(shard, row)
        raise NotFoundError("no such patient in the timelines", where=str(self.folder))

    def sources(self, shard: int, refs: Int64[np.ndarray, " event"] | Sequence[int]) -> list[str]:
        """Give the source references of events.

        Args:
            shard: index of the shard.
            refs: as in `Packed.event_ref`.
        """
        table = pl.scan_parquet(self.paths[shard] / SOURCE_FILE)
        rows = table.select(pl.col("source").gather(pl.Series(np.asarray(refs, np.int64)))).collect()
        return [source or _NO_SOURCE for source in rows["source"]]
