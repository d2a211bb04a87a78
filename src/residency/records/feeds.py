"""In: feeds as a person names them. Out: each with its reader, its settings, and its files cut into chunks.

A hospital has one feed of FHIR, another of DICOM, another of genomes; their patients are the same. What the
first mapping says of sites, zone and bad rows holds for other feeds too, unless theirs says otherwise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from residency.contract import specs
from residency.contract.errors import InputError, SpecError
from residency.contract.plugins import SOURCES, Dropped, RecordSource, Rows
from residency.records.documents import Document, chunks
from residency.records.settings import Settings, shared

_SITES: Final = ("site", "site_from")
_INHERITED: Final = ("sites", "time_zone", "max_bad_share")
_FOR_ALL: Final = ("split_salt", "observation")


@dataclass(frozen=True)
class Feed:
    """Records of one kind.

    Attributes:
        source: name of a record source (`fhir`, `table`, `meds`, `dicom`, `vcf`, or one that is installed).
        paths: files and folders to read.
        mapping: TOML file that says how; some sources need none.
    """

    source: str
    paths: Sequence[Path]
    mapping: Path | None = None


@runtime_checkable
class DocumentSource(Protocol):
    """A source that can read part of its files, so that a kill costs one chunk and not all."""

    def documents(self, paths: tuple[Path, ...], mapping: dict[str, Any]) -> tuple[Document, ...]:
        """List the files to read."""
        ...

    def read_documents(
        self, documents: tuple[Document, ...], mapping: dict[str, Any]
    ) -> Iterator[Rows | Dropped]:
        """Read some of the files."""
        ...


@dataclass(frozen=True)
class OpenFeed:
    """A feed that is ready to be read.

    Attributes:
        source: its name.
        reader: what reads it.
        mapping: how, with what it takes from the first feed.
        settings: what its mapping says that all sources share.
        pieces: its input, in chunks: of documents where the source can, else one a path.
    """

    source: str
    reader: RecordSource
    mapping: dict[str, Any]
    settings: Settings
    pieces: tuple[tuple[Any, ...], ...]

    def read(self, piece: tuple[Any, ...]) -> Iterator[Rows | Dropped]:
        """Read one chunk; nothing is looked at before the first row is asked for."""
        read = self.reader.read_documents if isinstance(self.reader, DocumentSource) else self.reader.read
        yield from read(piece, self.mapping)


def open_feeds(feeds: Sequence[Feed]) -> tuple[OpenFeed, ...]:
    """Find readers, read mappings, list files.

    Raises:
        InputError: there is nothing to read.
        PluginError: no source has that name.
        SpecError: a mapping is wrong, or contradicts the first.
    """
    if not feeds:
        raise InputError("no feed to read", mend="give a source and at least one path")
    readers = [SOURCES.get(feed.source) for feed in feeds]
    said = [{} if feed.mapping is None else specs.load_toml(feed.mapping) for feed in feeds]
    return tuple(
        _open(feed.source, reader, tuple(feed.paths), _inherited(own, said[0]))
        for feed, reader, own in zip(feeds, readers, said, strict=True)
    )


def _open(source: str, reader: RecordSource, paths: tuple[Path, ...], mapping: dict[str, Any]) -> OpenFeed:
    settings = shared(mapping)
    pieces: Sequence[tuple[Any, ...]] = [(path,) for path in paths]
    if isinstance(reader, DocumentSource):
        pieces = chunks(reader.documents(paths, mapping))
    return OpenFeed(source, reader, mapping, settings, tuple(pieces))


def _inherited(own: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """Complete a mapping with what the first one says of sites and the like."""
    names = _INHERITED if any(name in own for name in _SITES) else (*_SITES, *_INHERITED)
    return {name: first[name] for name in names if name in first} | own


def common_settings(feeds: Sequence[OpenFeed]) -> Settings:
    """Give the settings that hold for the folder: the first feed's, with every feed's units.

    Raises:
        SpecError: a further feed says something else than the first.
    """
    first, default = feeds[0].settings, Settings()
    units: dict[str, str] = {}
    for feed in feeds:
        for name in _FOR_ALL:
            if getattr(feed.settings, name) not in (getattr(default, name), getattr(first, name)):
                raise SpecError(
                    f"{name} is said for all feeds together, by the first mapping",
                    where=f"mapping of the feed {feed.source}",
                )
        if clash := sorted(
            code for code, unit in feed.settings.units.items() if units.get(code, unit) != unit
        ):
            raise SpecError(f"two mappings give a code two units: {', '.join(clash)}")
        units |= feed.settings.units
    return replace(first, units=units)


def told(feeds: Sequence[Feed], opened: Sequence[OpenFeed]) -> list[dict[str, Any]]:
    """Say for the manifest how each feed was read; never where it lay."""
    return [
        {"source": feed.source, "n_paths": len(feed.paths), "mapping": ready.mapping}
        for feed, ready in zip(feeds, opened, strict=True)
    ]
