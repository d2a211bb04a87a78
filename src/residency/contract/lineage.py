"""In: what a step is made from. Out: a folder of shards named by content, and its manifest.

A shard is written beside, flushed to disk, and renamed; the manifest comes last. A folder without a
manifest is incomplete and is taken up again where it stopped.
"""

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from residency import __version__
from residency.contract.digests import digest_file, digest_of, digest_tree
from residency.contract.durable import flush, flush_folder, remove
from residency.contract.errors import InputError, LineageError, StaleError
from residency.contract.schema import FORMAT, MANIFEST

WORK: Final = ".work"

__all__ = ["Manifest", "Rows", "Shard", "Step", "digest_file", "digest_input", "digest_of", "open_made"]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were read, kept, and dropped for which reason."""

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One file or folder of a step's result: its path in the folder, content digest, and rows."""

    path: str
    digest: str
    rows: int = 0
    counts: dict[str, int] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder was made from (`made-from.json`, format 1).

    Attributes:
        format: of the manifest and the folder's layout.
        step: what made it (`ingest`, `deidentify`, `build`, `train`, …).
        made_from: digests of the inputs; never their names, which may be a patient's.
        spec: the settings.
        code_version: of Residency.
        rows: read, kept, dropped with the reason.
        shards: every file of the result, by path.
        result: small facts worth keeping with the folder (never a patient's).
        run: times, host, durations: the one block left out of *same bytes*.
    """

    format: int
    step: str
    made_from: tuple[str, ...]
    spec: dict[str, Any]
    code_version: str
    rows: Rows
    shards: tuple[Shard, ...]
    result: dict[str, Any] = {}
    run: dict[str, Any] = {}

    @property
    def identity(self) -> str:
        """What the folder would be again: a digest of step, inputs, spec and code version."""
        return _identity(self.step, self.made_from, self.spec, self.code_version)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest without its `run` block."""
        return digest_of(msgspec.to_builtins(msgspec.structs.replace(self, run={})))

    def summary(self) -> str:
        """One line for a person."""
        dropped = sum(self.rows.dropped.values())
        reasons = ", ".join(f"{reason}: {n:,}" for reason, n in sorted(self.rows.dropped.items()))
        tail = f", {dropped:,} dropped ({reasons})" if dropped else ""
        return (
            f"{self.step}: {self.rows.kept:,} rows kept of {self.rows.read:,}{tail}; {len(self.shards)} files"
        )


def _identity(step: str, made_from: Iterable[str], spec: Mapping[str, Any], code_version: str) -> str:
    return digest_of({"step": step, "made_from": list(made_from), "spec": dict(spec), "code": code_version})


def digest_input(path: Path) -> str:
    """Give the digest of an input: of its manifest where a step made the folder, else of its bytes.

    Raises:
        LineageError: the folder was begun by a step that has not finished.
        InputError: there is no such path.
    """
    if (path / MANIFEST).is_file():
        return open_made(path).digest
    if (path / WORK).is_dir():
        raise LineageError("the step that makes this folder has not finished", where=str(path))
    if not path.exists():
        raise InputError("no such file or folder", where=str(path))
    return digest_tree(path)


def open_made(folder: Path, step: str | None = None, *, verify: bool = False) -> Manifest:
    """Read the manifest of a finished folder.

    Args:
        folder: what a step made.
        step: refuse what another step made.
        verify: read every shard again and compare its digest.

    Raises:
        LineageError: the folder is absent, incomplete, of another step or format, or was altered.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise LineageError(
            f"no {MANIFEST}: the folder is absent or its step has not finished",
            where=str(folder),
            mend="run the step again; it goes on where it stopped",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LineageError(f"{MANIFEST} cannot be read", where=str(folder)) from None
    if manifest.format != FORMAT:
        raise LineageError(f"format {manifest.format} is not {FORMAT}", where=str(folder))
    if step is not None and manifest.step != step:
        raise LineageError(f"made by {manifest.step}, where {step} is needed", where=str(folder))
    for shard in manifest.shards:
        path = folder / shard.path
        if not path.exists():
            raise LineageError("a shard is missing", where=str(path))
        if verify and digest_tree(path) != shard.digest:
            raise LineageError("a shard was altered: its digest differs", where=str(path))
    return manifest


class Step:
    """One step at work in its folder.

    Use as a context manager. `done` is true where the folder already holds this very result. `shard` and
    `file` make only what is not there yet. `finish` writes the manifest.

    Args:
        out: the folder to write.
        name: of the step.
        inputs: digests, or paths (files, or folders that a step made) to take the digest of.
        spec: settings, JSON-able.
        now: the run's start, aware.

    Raises:
        LineageError: the folder holds something else, or another process is at work in it.
    """

    def __init__(
        self, out: Path, *, name: str, inputs: Iterable[str | Path], spec: Mapping[str, Any], now: datetime
    ) -> None:
        self.out, self.name, self.now = out, name, now
        self.made_from = tuple(item if isinstance(item, str) else digest_input(item) for item in inputs)
        self.spec = msgspec.to_builtins(dict(spec), enc_hook=str)
        self.identity = _identity(name, self.made_from, self.spec, __version__)
        self.work = out / WORK
        self._began = time.monotonic()
        self._shards: dict[str, Shard] = {}
        self._lock: int | None = None
        self.manifest: Manifest | None = None

    @property
    def done(self) -> bool:
        """Whether the folder already holds this result."""
        return self.manifest is not None

    def __enter__(self) -> "Step":
        if (self.out / MANIFEST).exists():
            found = open_made(self.out)
            if found.identity != self.identity:
                raise StaleError(
                    "the folder holds the result of other inputs or settings, which stays untouched",
                    where=str(self.out),
                    mend="choose another folder, or delete this one first",
                )
            self.manifest = found
            shutil.rmtree(self.work, ignore_errors=True)
            return self
        if self.out.exists() and not self.work.is_dir() and any(self.out.iterdir()):
            raise LineageError(
                "the folder is not empty, and no step of Residency began it",
                where=str(self.out),
                mend="choose a new or an empty folder",
            )
        self.work.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._take_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if error is not None and self.manifest is None and not self._shards:
            self._leave_nothing()

    def shard(
        self, key: str, folder: str, *, suffix: str = "", make: Callable[[Path], int | dict[str, int]]
    ) -> Shard:
        """Make one shard, named by its content, unless it is there.

        Args:
            key: what it is in the plan, for example `0003`; the same in every run.
            folder: where it goes in `out`, for example `data` or `labels/sepsis`.
            suffix: of its name, for example `.parquet`; empty for a folder.
            make: writes a file or a folder at the path it is given, and returns its rows, or counts with
                `rows`.
        """
        return self._make(f"{folder}/{key}", make, lambda digest: f"{folder}/{digest[:32]}{suffix}")

    def file(self, path: str, *, make: Callable[[Path], int | dict[str, int] | None]) -> Shard:
        """Make one file of a fixed name, unless it is there."""
        return self._make(path, lambda temporary: make(temporary) or 0, lambda _: path)

    def put(self, path: str, body: bytes | str) -> Shard:
        """Make one file of a fixed name that holds just this, text as UTF-8."""
        data = body.encode() if isinstance(body, str) else body
        return self.file(path, make=lambda temporary: temporary.write_bytes(data) and None)

    def finish(
        self, *, rows: Rows, result: Mapping[str, Any] | None = None, run: Mapping[str, Any] | None = None
    ) -> Manifest:
        """Write the manifest and clear the work folder."""
        seconds = time.monotonic() - self._began
        manifest = Manifest(
            format=FORMAT,
            step=self.name,
            made_from=self.made_from,
            spec=self.spec,
            code_version=__version__,
            rows=msgspec.structs.replace(rows, dropped=dict(sorted(rows.dropped.items()))),
            shards=tuple(sorted(self._shards.values(), key=lambda shard: shard.path)),
            result=dict(result or {}),
            run={
                "started": self.now.isoformat(),
                "seconds": round(seconds, 3),
                "host": socket.gethostname(),
                **(run or {}),
            },
        )
        body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        _write(self.out / MANIFEST, body, self.work / "manifest.tmp")
        shutil.rmtree(self.work, ignore_errors=True)
        self.manifest = manifest
        return manifest

    def _make(
        self, key: str, make: Callable[[Path], int | dict[str, int]], name: Callable[[str], str]
    ) -> Shard:
        if key in self._shards:
            return self._shards[key]
        temporary = self.work / "making" / key.replace("/", "~")
        remove(temporary)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        counts = make(temporary)
        flush(temporary)
        digest = digest_tree(temporary)
        counts = counts if isinstance(counts, dict) else {"rows": counts}
        shard = Shard(
            path=name(digest),
            digest=digest,
            rows=counts.get("rows", 0),
            counts={k: v for k, v in sorted(counts.items()) if k != "rows"},
        )
        final = self.out / shard.path
        final.parent.mkdir(parents=True, exist_ok=True)
        remove(final)
        temporary.rename(final)
        flush_folder(final.parent)
        record = self.work / "made" / f"{key.replace('/', '~')}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        _write(record, msgspec.json.encode((key, shard)), self.work / "made.tmp")
        self._shards[key] = shard
        return shard

    def _take_lock(self) -> None:
        self._lock = os.open(self.work / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise LineageError("another process is at work in the folder", where=str(self.out)) from None

    def _take_up(self) -> None:
        """Trust what an earlier run of the same step made whole; clear what another step began."""
        begun = self.work / "identity"
        if begun.exists() and begun.read_text("utf-8") != self.identity:
            raise StaleError(
                "the folder holds a step that was begun with other inputs or settings",
                where=str(self.out),
                mend="finish that one, or delete the folder",
            )
        _write(begun, self.identity.encode(), self.work / "identity.tmp")
        for record in sorted((self.work / "made").glob("*.json")):
            key, shard = msgspec.json.decode(record.read_bytes(), type=tuple[str, Shard])
            if (self.out / shard.path).exists():
                self._shards[key] = shard

    def _leave_nothing(self) -> None:
        """Take away a folder in which nothing was made, so that a refused input leaves no trace."""
        spools = [
            path for path in self.work.rglob("*") if path.is_file() and path.name not in ("lock", "identity")
        ]
        if not spools:
            shutil.rmtree(self.work, ignore_errors=True)
            if self.out.is_dir() and not any(self.out.iterdir()):
                self.out.rmdir()


def _write(path: Path, body: bytes, temporary: Path) -> None:
    temporary.write_bytes(body)
    flush(temporary)
    temporary.rename(path)
    flush_folder(path.parent)
