"""In: one patient's identified records. Out: the same without identities, and the way back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from residency.contract.questions import Citation, Moved
from residency.contract.schema import IMAGES
from residency.deid import Policy, Shown, Stored, Tables, hide_pixels, load_policy, transform
from residency.deid.pseudonyms import references
from residency.serving.aligning import place_in
from residency.serving.documents import Documents, Pixels

_KINDS: Final = ("notes: ", "images: ", "variants: ")  # reasons that are about documents


@dataclass(frozen=True)
class Veiled:
    """One patient as the model's training patients were.

    Attributes:
        events: without identities.
        documents: without identities, or those of them that the policy lets pass.
        shift: how far every time of the patient moved.
        left_out: what the policy kept back of the documents, by reason.
        own: the documents as they came.
        way_back: gives the caller's own reference of each pseudonym of a record's; in memory alone.
    """

    events: pa.Table
    documents: Documents
    shift: timedelta
    left_out: Mapping[str, int] = field(default_factory=dict)
    own: Documents = field(default_factory=Documents)
    way_back: Callable[[], Mapping[str, str]] = dict

    def cited(self, moved: tuple[Moved, ...]) -> tuple[Moved, ...]:
        """Let evidence point at the caller's own records, and at places in the notes as they came."""
        return tuple(msgspec.structs.replace(one, citation=self._cited(one.citation)) for one in moved)

    def _cited(self, citation: Citation) -> Citation:
        """Turn one citation back; of a place in a note that cannot be told from others, the note is left."""
        back = msgspec.structs.replace(citation, source=self._back.get(citation.source, citation.source))
        if citation.start is None or citation.end is None or not self._back:
            return back
        hidden, mine = _texts(self.documents, citation.source), _texts(self.own, back.source)
        if len(hidden) != 1 or len(mine) != 1:
            return msgspec.structs.replace(back, start=None, end=None)
        start, end = place_in(mine[0], hidden[0], citation.start, citation.end)
        return msgspec.structs.replace(back, start=start, end=end)

    @property
    def records(self) -> pl.DataFrame:
        """What the rows of `events` are to the caller: a column `source`."""
        found = pl.DataFrame(pl.from_arrow(self.events.select(["source"])))
        return found.with_columns(pl.col("source").replace(dict(self._back)))

    @cached_property
    def _back(self) -> Mapping[str, str]:
        """The way back, worked out once a request."""
        return self.way_back()


def _texts(documents: Documents, source: str) -> list[str]:
    """Give the texts of the notes from a source."""
    rows = zip(*(documents.notes.column(name).to_pylist() for name in ("source", "text")), strict=True)
    return [text or "" for one, text in rows if one == source]


@dataclass(frozen=True)
class Veil:
    """A release's de-identification, for requests.

    Attributes:
        policy: None where the training data had no identities.
        key: the secret; any will do: a model sees neither pseudonyms nor dates.
        shown: codes and variants that the training data showed; None where the model does not say.
        names: of arrays that were looked at for writing: their digest then and now. No pixel is kept.
    """

    policy: Policy | None
    key: bytes
    shown: Shown | None = None
    names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Path | None, key: bytes, shown: Path | None = None) -> "Veil":
        """Read the policy, and what the training data showed, that a release carries."""
        return cls(
            load_policy(policy) if policy is not None else None,
            key,
            Shown.read(shown) if shown is not None else None,
        )

    def over(self, events: pa.Table, documents: Documents | None = None) -> Veiled:
        """Take the identities out of one patient's records."""
        documents = documents or Documents()
        if self.policy is None:
            return Veiled(events, documents, timedelta(0))
        notes, images, variants, identifiers = documents.tables
        tables = Tables(events, notes=notes, images=images, variants=variants)
        hidden = transform(tables, self.policy, self.key, identifiers=identifiers, shown=self.shown)
        (shift,) = hidden.people["shift"].to_list()
        now = hidden.tables
        seen, pixels = self._covered(now.images, documents.pixels, self.policy)
        return Veiled(
            now.events,
            Documents(notes=now.notes, images=seen, variants=now.variants, pixels=pixels),
            timedelta(microseconds=shift),
            {reason: n for reason, n in hidden.dropped.items() if n and reason.startswith(_KINDS)},
            documents,
            partial(self._sources, events, documents, self.policy),
        )

    def _sources(self, events: pa.Table, documents: Documents, policy: Policy) -> dict[str, str]:
        """Give the way back from the records' pseudonyms."""
        tables = (events, documents.notes, documents.images, documents.variants)
        sources = [source for table in tables for source in table.column("source").to_pylist()]
        own = pl.Series(sources, dtype=pl.String).drop_nulls().unique()
        return dict(zip(references(own, self.key, policy.reference_kinds), own, strict=True))

    def _covered(self, images: pa.Table, pixels: Pixels, policy: Policy) -> tuple[pa.Table, Pixels]:
        """Cover what is written in the pixels, as for training; rows name what the pixels are now."""
        wanted = [name for name in images.column("pixels").unique().to_pylist() if name in pixels]
        altered: dict[str, np.ndarray] = {}
        for name in wanted:
            if name not in self.names:
                stored, n_places = hide_pixels(Stored(name, pixels[name]), policy.images)
                self.names[name] = stored.digest
                if n_places:
                    altered[stored.digest] = stored.voxels
        frame = pl.DataFrame(pl.from_arrow(images)).with_columns(
            pl.col("pixels").replace({name: self.names[name] for name in wanted})
        )
        before = {self.names[name]: name for name in wanted}
        return frame.to_arrow().cast(IMAGES), Covered(before, altered, pixels, policy)


@dataclass(frozen=True, repr=False)
class Covered(Mapping[str, np.ndarray]):
    """Arrays with the writing in them covered; one that was looked at before is covered again when asked for.

    Attributes:
        before: digest of each array before.
        altered: what has just been covered.
        pixels: the arrays as they came in.
        policy: what is looked for.
    """

    before: Mapping[str, str]
    altered: Mapping[str, np.ndarray]
    pixels: Pixels
    policy: Policy

    def __getitem__(self, digest: str) -> np.ndarray:
        if digest in self.altered:
            return self.altered[digest]
        name = self.before[digest]
        if name == digest:
            return self.pixels[name]
        return hide_pixels(Stored(name, self.pixels[name]), self.policy.images)[0].voxels

    def __iter__(self) -> Iterator[str]:
        return iter(self.before)

    def __len__(self) -> int:
        return len(self.before)
