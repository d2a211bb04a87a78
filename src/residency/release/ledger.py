"""In: what happened to a release. Out: an append-only, hash-chained file of signed lines, and its check.

Each line is one JSON object with the digest of the line before. Approvals, incidents and retirements are
signed by a person; a promotion is a function of the approvals before it, so nobody forges one without them.
"""

import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from residency.contract.errors import SignatureError
from residency.release import keys
from residency.release.states import State

Kind = Literal["proposed", "approved", "promoted", "incident", "retired"]
SIGNED_KINDS: Final = frozenset({"approved", "incident", "retired"})
GENESIS: Final = "0" * 64


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signed a line."""

    name: str
    role: str
    public_key: str

    @property
    def fingerprint(self) -> str:
        """What the policy names the person's key by."""
        return keys.fingerprint_of(self.public_key)


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        n: its place, from 0.
        kind: what happened.
        time: when, UTC; a promotion bears the time of its last approval.
        release: digest of the bundle's content.
        state: the state it leads to, or approves of.
        reason: in words, where a person gives one.
        person: who signed; none for `proposed` and `promoted`.
        seal: digest of the person's signature file over the content; empty but for approvals.
        approvals: digests of the lines that a promotion rests on.
        previous: digest of the line before.
        signature: over all of the above.
        digest: of all of the above.
    """

    n: int
    kind: Kind
    time: datetime
    release: str
    state: State
    previous: str
    reason: str = ""
    person: Person | None = None
    seal: str = ""
    approvals: tuple[str, ...] = ()
    signature: str = ""
    digest: str = ""

    def body(self) -> bytes:
        """What is signed."""
        return msgspec.json.encode(
            msgspec.structs.replace(self, signature="", digest=""), order="deterministic"
        )

    def digested(self) -> str:
        """What `digest` must be."""
        line = msgspec.json.encode(msgspec.structs.replace(self, digest=""), order="deterministic")
        return hashlib.sha256(line).hexdigest()

    def line(self) -> bytes:
        """The one way to write it."""
        return msgspec.json.encode(self, order="deterministic") + b"\n"


def read(path: Path) -> tuple[Entry, ...]:
    """Read a ledger and check each line, its signature, and the chain.

    Raises:
        SignatureError: a line was edited, taken out, added or moved, or a signature does not hold.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        entries = tuple(msgspec.json.decode(line, type=Entry) for line in lines)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise SignatureError("the ledger cannot be read", where=str(path)) from None
    previous = GENESIS
    for n, (line, entry) in enumerate(zip(lines, entries, strict=True)):
        _check(entry, line, n, previous, where=f"{path.name}, line {n + 1}")
        previous = entry.digest
    if not entries or entries[0].kind != "proposed" or any(entry.kind == "proposed" for entry in entries[1:]):
        raise SignatureError("the ledger does not begin, and only begin, with a proposal", where=str(path))
    return entries


def _check(entry: Entry, line: bytes, n: int, previous: str, *, where: str) -> None:
    if entry.line() != line or entry.digested() != entry.digest:
        raise SignatureError("a line of the ledger was altered", where=where)
    if entry.n != n or entry.previous != previous:
        raise SignatureError(
            "the ledger's chain is broken: a line was taken out, added or moved", where=where
        )
    if (entry.person is not None) != (entry.kind in SIGNED_KINDS):
        raise SignatureError(
            "a line of the ledger has a signer where none is due, or none where one is", where=where
        )
    if entry.person is not None:
        keys.check_bytes(entry.person.public_key, entry.body(), entry.signature, where=where)


def append(path: Path, entry: Entry, *, key: Path | None = None) -> Entry:
    """Write one more line, whole or not at all.

    Args:
        path: the ledger.
        entry: without signature and digest.
        key: the signer's private key; none for lines that nobody signs.
    """
    if key is not None:
        entry = msgspec.structs.replace(entry, signature=keys.sign_bytes(key, entry.body()))
    entry = msgspec.structs.replace(entry, digest=entry.digested())
    before = path.read_bytes() if path.exists() else b""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as handle:
        handle.write(before + entry.line())
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(path)
    return entry
