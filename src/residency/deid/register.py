"""In: a key, and who withdrew. Out: a register beside the key: marks that only the key's holder can read.

Each line is one JSON object with the HMAC of itself and of the line before: nobody without the key adds,
edits or takes away a line that is followed by another. A mark is an HMAC of the patient's ingest id.
"""

import hmac
import os
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from residency.contract.errors import SignatureError

GENESIS: Final = "0" * 64
Kind = Literal["withdrawal", "withdrawn", "re-identification"]


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        n: its place, from 0.
        time: when.
        by: who did it, in their own words.
        what: a withdrawal that was begun, one that was done, or a re-identification.
        marks: of the patients.
        reason: why, in words.
        folders: names of the folders rewritten, or looked in.
        models: of the models to be trained again.
        releases: of the releases made of them.
        previous: HMAC of the line before.
        digest: HMAC of all of the above.
    """

    n: int
    time: datetime
    by: str
    what: Kind
    marks: tuple[str, ...]
    reason: str = ""
    folders: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    previous: str = GENESIS
    digest: str = ""

    def digested(self, key: bytes) -> str:
        """What `digest` must be."""
        body = msgspec.json.encode(msgspec.structs.replace(self, digest=""), order="deterministic")
        return hmac.digest(key, b"register" + body, "sha256").hex()


def beside(key_file: Path) -> Path:
    """Give where the register of a key lies."""
    return key_file.with_name(f"{key_file.name}.register.jsonl")


def mark_of(key: bytes, ingest_id: int) -> str:
    """Give a patient's mark."""
    return hmac.digest(key, b"withdrawn" + ingest_id.to_bytes(8, "big"), "sha256").hex()[:32]


def read(key_file: Path, key: bytes) -> tuple[Line, ...]:
    """Read a register and check every line; none at all where there is no file.

    A last line that a kill cut short is left away: what it would have said is said again.

    Raises:
        SignatureError: a line was edited, added, moved or taken away, or was written with another key.
    """
    path = beside(key_file)
    if not path.exists():
        return ()
    body = path.read_bytes()
    whole = body[: body.rfind(b"\n") + 1].splitlines()
    try:
        lines = tuple(msgspec.json.decode(line, type=Line) for line in whole)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SignatureError("the register beside the key cannot be read", where=str(path)) from None
    previous = GENESIS
    for n, line in enumerate(lines):
        held = hmac.compare_digest(line.digest, line.digested(key))
        if not held or line.n != n or line.previous != previous:
            raise SignatureError("the register beside the key was altered", where=f"{path}: line {n + 1}")
        previous = line.digest
    return lines


def append(key_file: Path, key: bytes, line: Line) -> None:
    """Add a line to the end, and see it to the disk.

    Raises:
        SignatureError: the register was altered.
    """
    lines, path = read(key_file, key), beside(key_file)
    last = lines[-1].digest if lines else GENESIS
    chained = msgspec.structs.replace(line, n=len(lines), previous=last)
    chained = msgspec.structs.replace(chained, digest=chained.digested(key))
    whole = b"".join(msgspec.json.encode(one, order="deterministic") + b"\n" for one in (*lines, chained))
    making = path.with_name(f".{path.name}.making")
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(whole)
        handle.flush()
        os.fsync(handle.fileno())
    making.rename(path)


def withdrawn(key_file: Path, key: bytes) -> frozenset[str]:
    """Give the marks of those who withdrew."""
    kinds = ("withdrawal", "withdrawn")
    return frozenset(mark for line in read(key_file, key) if line.what in kinds for mark in line.marks)
