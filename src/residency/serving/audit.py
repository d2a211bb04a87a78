"""In: who asked what, and what came of it. Out: one hash-chained row an answer; never a patient's value."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from residency.contract.errors import SignatureError

GENESIS: Final = "0" * 64
_ATTEMPTS: Final = 20

_TABLES: Final = sa.MetaData()
_AUDIT: Final = sa.Table(
    "audit",
    _TABLES,
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.String, nullable=False, index=True),
    sa.Column("grantee", sa.String, nullable=False, index=True),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("tasks", sa.String, nullable=False),
    sa.Column("release", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("latency_ms", sa.Float, nullable=False),
    sa.Column("request", sa.String, nullable=False),
    sa.Column("previous", sa.String, nullable=False, unique=True),  # two writers cannot both follow one row
    sa.Column("digest", sa.String, nullable=False),
)
_SEEN: Final = sa.Table(
    "ledger_seen",
    _TABLES,
    sa.Column("release", sa.String, primary_key=True),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("head", sa.String, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer, or one refusal.

    Attributes:
        time: when it was asked.
        grantee: name of the grant; empty where the key was not known.
        purpose: of the grant.
        kind: of the question, or what of the panel was looked at.
        tasks: that were asked for.
        release: digest.
        state: of the release.
        status: of the HTTP answer.
        latency_ms: until the answer was ready.
        request: what lets the caller, and nobody else, show that it was this request; see `mark_of`.
    """

    time: datetime
    grantee: str
    purpose: str
    kind: str
    tasks: tuple[str, ...]
    release: str
    state: str
    status: int
    latency_ms: float
    request: str

    def columns(self) -> dict[str, str | int | float]:
        """The row as the database keeps it."""
        return {
            "time": self.time.astimezone(UTC).isoformat(timespec="milliseconds"),
            "grantee": self.grantee,
            "purpose": self.purpose,
            "kind": self.kind,
            "tasks": " ".join(sorted(self.tasks)),
            "release": self.release,
            "state": self.state,
            "status": self.status,
            "latency_ms": round(self.latency_ms, 1),
            "request": self.request,
        }


def mark_of(key: str | None, body: bytes) -> str:
    """Give a request's mark: HMAC by the caller's key, so that nobody can guess a patient from it."""
    return hmac.digest((key or "").encode(), body, "sha256").hex()


class Audit:
    """The audit of one service, in any database that SQLAlchemy knows.

    Args:
        url: for example `sqlite:///audit.db` or `postgresql+psycopg://…`.
    """

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        _TABLES.create_all(self._engine)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def write(self, row: Row) -> None:
        """Add a row to the end of the chain.

        Raises:
            IntegrityError: other writers came first, time after time.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._engine.begin() as connection:
                    last = connection.execute(
                        sa.select(_AUDIT.c.n, _AUDIT.c.digest).order_by(_AUDIT.c.n.desc()).limit(1)
                    ).first()
                    n, previous = (last.n + 1, last.digest) if last is not None else (0, GENESIS)
                    columns = {"n": n, **row.columns(), "previous": previous}
                    connection.execute(_AUDIT.insert().values(**columns, digest=_digest(columns)))
            except IntegrityError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def answered_today(self, grantee: str, now: datetime) -> int:
        """Count a grantee's answers since midnight, UTC."""
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        query = sa.select(sa.func.count()).where(
            _AUDIT.c.grantee == grantee,
            _AUDIT.c.status == 200,
            _AUDIT.c.tasks != "",
            _AUDIT.c.time >= today.isoformat(timespec="milliseconds"),
            _AUDIT.c.time < (today + timedelta(days=1)).isoformat(timespec="milliseconds"),
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def check(self) -> int:
        """Follow the chain from its first row.

        Returns:
            How many rows there are.

        Raises:
            SignatureError: a row was edited, taken out or moved.
        """
        previous, n = GENESIS, 0
        with self._engine.connect() as connection:
            for n, found in enumerate(
                connection.execute(sa.select(_AUDIT).order_by(_AUDIT.c.n)).mappings(), start=1
            ):
                columns = {name: value for name, value in found.items() if name != "digest"}
                if (
                    columns["n"] != n - 1
                    or columns["previous"] != previous
                    or _digest(columns) != found["digest"]
                ):
                    raise SignatureError("the audit's chain is broken", where=f"row {n}")
                previous = found["digest"]
        return n

    def remember(self, release: str, digests: tuple[str, ...]) -> None:
        """Remember a release's ledger, and refuse one that was cut back since it was last seen here.

        Args:
            release: its digest.
            digests: of its ledger's lines, in order.

        Raises:
            SignatureError: lines that this service has seen are gone, for example a retirement.
        """
        with self._engine.begin() as connection:
            seen = connection.execute(sa.select(_SEEN).where(_SEEN.c.release == release)).first()
            if seen is not None and (len(digests) < seen.lines or digests[seen.lines - 1] != seen.head):
                raise SignatureError(
                    "the release's ledger lacks lines that this service has seen before",
                    where="ledger.jsonl",
                    mend="fetch the bundle again from the institution that released it",
                )
            connection.execute(_SEEN.delete().where(_SEEN.c.release == release))
            connection.execute(_SEEN.insert().values(release=release, lines=len(digests), head=digests[-1]))


def _digest(columns: dict[str, object]) -> str:
    return hashlib.sha256(msgspec.json.encode(columns, order="deterministic")).hexdigest()
