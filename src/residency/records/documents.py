"""In: paths as a person typed them. Out: the files in them, in a fixed order, named safely."""

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath
from typing import Final, cast

from isal import igzip, isal_zlib

from residency.contract.errors import InputError

_ISAL_ERROR: Final = cast("type[Exception]", isal_zlib.error)
BLOCK: Final = 4 << 20
ARCHIVES: Final = ("*.tar", "*.tar.gz", "*.tgz", "*.tar.xz", "*.tar.bz2", "*.zip")
LARGEST: Final = 256 << 20
"""What is held in memory whole: a JSON document, a member of an archive."""
CHUNK_BYTES: Final = 48 << 20
CHUNK_FILES: Final = 4096


@dataclass(frozen=True)
class Document:
    """One file to read, or one member of an archive.

    Attributes:
        path: the file, or the archive that holds it.
        name: its name below the path that was typed; it may be a patient's, so it is never shown.
        shown: how a message calls it.
        folder: the first folder below the path that was typed, or empty.
        size: bytes on disk.
        body: what it holds, where it comes out of an archive.
    """

    path: Path
    name: str
    shown: str
    folder: str
    size: int
    body: bytes | None = field(default=None, repr=False)

    @property
    def is_archive(self) -> bool:
        """Whether it holds other documents."""
        return self.body is None and _matches(self.path.name.lower(), ARCHIVES)

    def where(self, row: int | None = None, column: str = "") -> str:
        """Say where something is wrong: file, row and column, never a value."""
        parts = [self.shown if self.shown else f"a file of sha256 {self._digest()}…"]
        if not self.shown.startswith(str(self.path)) and self.shown:
            parts = [f"{self.shown} (sha256 {self._digest()}…)"]
        parts += [f"row {row}"] if row is not None else []
        parts += [f"column {column}"] if column else []
        return ", ".join(parts)

    def _digest(self) -> str:
        body = self.body if self.body is not None else self.path.read_bytes()
        return hashlib.sha256(body).hexdigest()[:12]

    def open(self) -> BufferedIOBase:
        """Open it for reading, unpacked where its name ends in .gz or .bgz.

        Raises:
            InputError: it cannot be read, or is no gzip.
        """
        try:
            raw: BufferedIOBase = BytesIO(self.body) if self.body is not None else self.path.open("rb")
        except OSError as error:
            raise InputError("cannot read a file", where=self.where(), mend=type(error).__name__) from None
        if not self.name.endswith((".gz", ".bgz")):
            return raw
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.close()
        if not is_gzip:
            raise InputError("named .gz, but is not gzip", where=self.where())
        packed = BytesIO(self.body) if self.body is not None else self.path
        return cast(BufferedIOBase, igzip.open(packed, "rb"))  # type: ignore[no-untyped-call]

    def blocks(self) -> Iterator[bytes]:
        """Give the content in blocks.

        Raises:
            InputError: the gzip stream is cut short or damaged.
        """
        try:
            with self.open() as handle:
                while block := handle.read(BLOCK):
                    yield block
        except EOFError:
            raise InputError(
                "the file is cut short: its gzip stream does not end", where=self.where()
            ) from None
        except (OSError, _ISAL_ERROR) as error:
            raise InputError("the file is damaged", where=self.where(), mend=type(error).__name__) from None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def listing(
    paths: tuple[Path, ...], patterns: tuple[str, ...], is_safe: Callable[[str], bool] = lambda _: False
) -> tuple[Document, ...]:
    """List the files to read.

    Args:
        paths: files and folders, as typed. A file is always read; in a folder, files that match.
        patterns: shell patterns of the file names to read.
        is_safe: tells a file name that cannot be a patient's, so that messages may show it.

    Returns:
        The documents in the order of `paths`, and by name within a folder.

    Raises:
        InputError: a path is absent, or nothing in it is to be read.
    """
    found: list[Document] = []
    for path in paths:
        if path.is_file():
            folder = path.resolve().parent.name
            found.append(Document(path, path.name, str(path), folder, path.stat().st_size))
        elif path.is_dir():
            found += _in_folder(path, patterns, is_safe)
        else:
            raise InputError("no such file or folder", where=str(path))
    if not found:
        raise InputError("no file to read", mend="give at least one path")
    return tuple(found)


def _in_folder(root: Path, patterns: tuple[str, ...], is_safe: Callable[[str], bool]) -> list[Document]:
    wanted = sorted(
        path
        for path in root.rglob("*")
        if not path.name.startswith(".")
        and _matches(path.name.lower(), patterns + ARCHIVES)
        and path.is_file()
    )
    if not wanted:
        raise InputError(
            "nothing to read in the folder", where=str(root), mend=f"it reads {', '.join(patterns)}"
        )
    return [
        Document(
            path=path,
            name=path.relative_to(root).as_posix(),
            shown=str(path) if is_safe(path.name) else f"file {number} of {root}",
            folder=_first_folder(path.relative_to(root)) or (root.resolve().name),
            size=path.stat().st_size,
        )
        for number, path in enumerate(wanted, start=1)
    ]


def _first_folder(relative: Path | PurePosixPath) -> str:
    return relative.parts[0] if len(relative.parts) > 1 else ""


def unpacked(
    documents: tuple[Document, ...],
    patterns: tuple[str, ...],
    is_safe: Callable[[str], bool] = lambda _: False,
) -> Iterator[Document]:
    """Give the documents, with archives replaced by what they hold, read as a stream."""
    for document in documents:
        if not document.is_archive:
            yield document
            continue
        number = 0
        for name, body in _members(document):
            base = PurePosixPath(name).name
            if base.startswith(".") or not _matches(base.lower(), patterns):
                continue
            number += 1
            shown = f"{document.shown}:{base}" if is_safe(base) else f"file {number} of {document.shown}"
            folder = _first_folder(PurePosixPath(name)) or document.folder
            yield replace(document, name=name, shown=shown, folder=folder, size=len(body), body=body)


def _members(document: Document) -> Iterator[tuple[str, bytes]]:
    try:
        if document.name.lower().endswith(".zip"):
            with zipfile.ZipFile(document.path) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        _refuse_large(entry.file_size, document)
                        yield entry.filename, archive.read(entry)
        else:
            with tarfile.open(document.path, "r|*") as stream:
                for member in stream:
                    _refuse_large(member.size, document)
                    handle = stream.extractfile(member) if member.isfile() else None
                    if handle is not None:
                        yield member.name, handle.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise InputError(
            "the archive is damaged or cut short", where=document.where(), mend=type(error).__name__
        ) from None


def _refuse_large(size: int, document: Document) -> None:
    if size > LARGEST:
        raise InputError(
            f"a file in an archive is larger than {LARGEST >> 20} MiB",
            where=document.where(),
            mend="unpack the archive",
        )


def chunks(documents: tuple[Document, ...]) -> list[tuple[Document, ...]]:
    """Group documents, in their order, into the pieces of work that a kill can cost at most."""
    groups: list[list[Document]] = []
    weight = 0
    for document in documents:
        if not groups or weight + document.size > CHUNK_BYTES or len(groups[-1]) >= CHUNK_FILES:
            groups.append([])
            weight = 0
        groups[-1].append(document)
        weight += document.size
    return [tuple(group) for group in groups]
