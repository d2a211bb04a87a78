"""In: FHIR files. Out: batches of decoded resources of one site, each of which can say where it stands.

Lines are decoded many at a time; only where that fails are they looked at one by one, to tell a file that is
cut short (an error) from a resource that is malformed (counted) or of an unknown type (counted).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import msgspec

from residency.contract.errors import InputError
from residency.records.documents import LARGEST, Document
from residency.records.resource_types import NOT_READ
from residency.records.resources import (
    HEAD,
    RAW_BUNDLE,
    READ,
    RESOURCE,
    Bundle,
    Encounter,
    Medication,
    Patient,
)

ENOUGH: Final = 8_000
ENOUGH_BYTES: Final = 32 << 20
"""Notes are long: a batch of them is cut by its size."""
_REFERRED: Final = frozenset({Patient, Encounter, Medication})
"""What other resources refer to, maybe by what a bundle calls it."""
_CUT_SHORT: Final = "not whole JSON: the file is cut short or damaged"
_KNOWN: Final = frozenset(NOT_READ) | frozenset(READ) | {"Bundle"}


@dataclass(frozen=True)
class Spoiled:
    """Resources that hold what cannot be."""

    reason: str
    n: int
    where: str


@dataclass
class Found:
    """What stands in a part of a document, from `row` on; `size` is its bytes."""

    row: int
    size: int = 0
    resources: list[Any] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    not_read: int = 0
    malformed: list[tuple[str, int]] = field(default_factory=list)

    def take(self, resource: Any) -> None:
        """Take a resource, or what a bundle holds."""
        if type(resource) is not Bundle:
            self.resources.append(resource)
            return
        for entry in resource.entry:
            found = entry.resource
            kind = type(found)
            if kind is Bundle:
                self.take(found)
            elif found is not None:
                self.resources.append(found)
                if kind in _REFERRED:
                    self.name(found, entry.fullUrl)

    def name(self, resource: Any, url: str | None) -> None:
        """Note what a bundle calls a resource, where that is not its id."""
        own = getattr(resource, "id", None)
        if not url or own is None:
            return
        called = url.rpartition(":" if url.startswith("urn:") else "/")[2]
        if own == "":
            resource.id = called
        elif own != called:
            self.aliases[called] = own


@dataclass
class Batch:
    """Decoded resources of one site.

    Attributes:
        site: where they come from.
        resources: in the order of the files.
        marks: where each run of resources begins: index, document, and row.
        aliases: ids by what a bundle calls its entries, where the two differ.
        size: bytes of the parts they stood in.
        not_read: resources whose type nobody knows.
        spoiled: malformed resources.
    """

    site: str
    size: int = 0
    resources: list[Any] = field(default_factory=list)
    marks: list[tuple[int, Document, int]] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    not_read: int = 0
    spoiled: list[Spoiled] = field(default_factory=list)

    def add(self, document: Document, found: Found) -> None:
        """Take what stands in a part of a document."""
        self.marks.append((len(self.resources), document, found.row))
        self.resources += found.resources
        self.size += found.size
        self.aliases |= found.aliases
        self.not_read += found.not_read
        self.spoiled += [
            Spoiled(f"{kind}: malformed", 1, document.where(row)) for kind, row in found.malformed
        ]

    def place(self, resource: Any) -> tuple[Document, int]:
        """Say in which document and row a resource stands; it is looked for, so only where it is needed."""
        index = next((i for i, one in enumerate(self.resources) if one is resource), 0)
        return self.place_at(index)

    def place_at(self, index: int) -> tuple[Document, int]:
        """Say in which document and row the resource at an index stands."""
        start, document, row = self.marks[bisect_right(self.marks, index, key=lambda mark: mark[0]) - 1]
        return document, row + index - start


def batches(documents: Iterator[Document], site_of: Callable[[Document], str]) -> Iterator[Batch]:
    """Decode documents into batches of one site each.

    Raises:
        InputError: a file is cut short, or is no FHIR.
    """
    batch: Batch | None = None
    for document in documents:
        site = site_of(document)
        if batch is not None and batch.site != site:
            yield batch
            batch = None
        for found in _found(document):
            batch = batch or Batch(site)
            batch.add(document, found)
            if len(batch.resources) >= ENOUGH or batch.size >= ENOUGH_BYTES:
                yield batch
                batch = None
    if batch is not None:
        yield batch


def _found(document: Document) -> Iterator[Found]:
    blocks = document.blocks()
    head = next(blocks, b"")
    if head[:1] != b"{":
        head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head and ".ndjson" in document.name.lower():  # a server's export of a type that it has none of
        return
    if not head:
        raise InputError("the file is empty", where=document.where())
    if head[:1] != b"{":
        raise InputError(
            "not JSON", where=document.where(), mend="FHIR is read as NDJSON, Bundles or resources"
        )
    if _begins_with_line(head):
        yield from _lines(document, head, blocks)
    else:
        yield from _document(document, head, blocks)


def _begins_with_line(head: bytes) -> bool:
    """Tell NDJSON from a document: its first line is JSON by itself, and not the last."""
    end = head.find(b"\n")
    if end < 0 or end == len(head) - 1:
        return False
    try:
        HEAD.decode(head[:end])
    except (msgspec.ValidationError, UnicodeDecodeError):
        return True
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _lines(document: Document, head: bytes, blocks: Iterator[bytes]) -> Iterator[Found]:
    row, rest = 1, b""
    for block in chain((head,), blocks):
        data = rest + block
        cut = data.rfind(b"\n") + 1
        if cut:
            yield _decoded(document, data[:cut], row)
            row += data.count(b"\n", 0, cut)
        rest = data[cut:]
    if rest.strip():
        yield _decoded(document, rest, row)


def _decoded(document: Document, data: bytes, row: int) -> Found:
    found = Found(row, len(data))
    try:
        resources = RESOURCE.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        for number, line in enumerate(data.split(b"\n"), start=row):
            if line.strip():
                _one(document, line, number, found)
        return found
    if any(type(resource) is Bundle for resource in resources):
        for resource in resources:
            found.take(resource)
    else:
        found.resources = resources
    return found


def _document(document: Document, head: bytes, blocks: Iterator[bytes]) -> Iterator[Found]:
    parts, size = [head], len(head)
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size > LARGEST:
            raise InputError(
                "one JSON document of more than 256 MiB", where=document.where(), mend="use NDJSON"
            )
    found, body = Found(1, size), b"".join(parts)
    if _begins_with_line(body):
        yield from _lines(document, body, iter(()))
        return
    _one(document, body, 1, found)
    yield found


def _one(
    document: Document, body: bytes | msgspec.Raw, row: int, found: Found, url: str | None = None
) -> None:
    """Take one resource, or say what is wrong with it."""
    try:
        resource = RESOURCE.decode(body)
    except (msgspec.ValidationError, UnicodeDecodeError):
        _odd(document, body, row, found)
    except (msgspec.DecodeError, RecursionError):
        raise InputError(_CUT_SHORT, where=document.where(row)) from None
    else:
        found.name(resource, url)
        found.take(resource)


def _odd(document: Document, body: bytes | msgspec.Raw, row: int, found: Found) -> None:
    """Deal with JSON that is no resource as we know it."""
    try:
        kind = HEAD.decode(body).resourceType
    except (msgspec.ValidationError, UnicodeDecodeError):
        kind = None
    except (msgspec.DecodeError, RecursionError):  # what is damaged comes after what is odd
        raise InputError(_CUT_SHORT, where=document.where(row)) from None
    if kind is None:
        raise InputError("JSON without a resourceType: not FHIR", where=document.where(row))
    if kind == "Bundle":
        _odd_bundle(document, body, row, found)
    elif kind in _KNOWN:
        found.malformed.append((kind, row))
    else:
        found.not_read += 1


def _odd_bundle(document: Document, body: bytes | msgspec.Raw, row: int, found: Found) -> None:
    try:
        entries = RAW_BUNDLE.decode(body).entry
    except (msgspec.ValidationError, UnicodeDecodeError):
        raise InputError("a Bundle whose entries cannot be read", where=document.where(row)) from None
    for number, entry in enumerate(entries, start=1):
        if bytes(entry.resource):
            _one(document, entry.resource, number, found, entry.fullUrl)
