"""The ledger: whoever edits, deletes, adds or moves a line is found out."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from residency.contract.errors import SignatureError
from residency.release import ledger, verify
from residency.release.ledger import Entry


@pytest.fixture
def path(bundle: Path, take_up: Callable[[Path, str], None]) -> Path:
    take_up(bundle, "validated")
    take_up(bundle, "silent")
    return bundle / "ledger.jsonl"


def test_a_ledger_tells_what_happened_in_order(path: Path) -> None:
    kinds = [(entry.kind, str(entry.state)) for entry in ledger.read(path)]
    assert kinds == [
        ("proposed", "proposed"),
        ("approved", "validated"),
        ("approved", "validated"),
        ("promoted", "validated"),
        ("approved", "silent"),
        ("approved", "silent"),
        ("promoted", "silent"),
    ]


@pytest.mark.parametrize("n", range(7))
def test_an_edited_line_is_found(path: Path, n: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[n] = lines[n].replace(b"2026-03-01", b"2026-02-01")
    path.write_bytes(b"".join(lines))
    with pytest.raises(SignatureError):
        ledger.read(path)


@pytest.mark.parametrize("n", range(6))
def test_a_deleted_line_is_found(path: Path, n: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:n], *lines[n + 1 :]]))
    with pytest.raises(SignatureError):
        ledger.read(path)


@pytest.mark.parametrize("n", range(6))
def test_two_lines_that_changed_places_are_found(path: Path, n: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[n], lines[n + 1] = lines[n + 1], lines[n]
    path.write_bytes(b"".join(lines))
    with pytest.raises(SignatureError):
        ledger.read(path)


def test_a_line_written_another_way_is_found(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[0] = json.dumps(json.loads(lines[0])).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(SignatureError):
        ledger.read(path)


def _chain(entries: tuple[Entry, ...]) -> bytes:
    """Write lines with fresh digests, as a forger would who has no key."""
    previous, lines = ledger.GENESIS, []
    for n, entry in enumerate(entries):
        fresh = msgspec.structs.replace(entry, n=n, previous=previous)
        fresh = msgspec.structs.replace(fresh, digest=fresh.digested())
        lines.append(fresh.line())
        previous = fresh.digest
    return b"".join(lines)


def test_a_rewritten_chain_does_not_hold_without_the_keys(path: Path) -> None:
    entries = ledger.read(path)
    path.write_bytes(_chain(entries[:1] + entries[2:]))
    with pytest.raises(SignatureError):
        ledger.read(path)


def test_a_forged_promotion_does_not_follow_from_the_approvals(path: Path, bundle: Path) -> None:
    entries = ledger.read(path)
    forged = msgspec.structs.replace(
        entries[-1], n=7, state=ledger.State.INTERNAL, previous=entries[-1].digest
    )
    forged = msgspec.structs.replace(forged, digest=forged.digested())
    path.write_bytes(path.read_bytes() + forged.line())
    with pytest.raises(SignatureError, match="breaks its policy"):
        verify(bundle)


def test_the_time_of_a_promotion_cannot_be_moved(path: Path, bundle: Path) -> None:
    entries = ledger.read(path)
    later = msgspec.structs.replace(entries[-1], time=entries[-1].time.replace(year=2027))
    path.write_bytes(_chain((*entries[:-1], later)))
    with pytest.raises(SignatureError, match="promotion does not follow"):
        verify(bundle)
