"""In: a file of grants in TOML, and the key that a caller sent. Out: the caller's grant, or a refusal.

A key is shown once, when it is made; the file holds its digest.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from residency.contract import specs
from residency.contract.errors import AccessError
from residency.contract.specs import spec

DUO: Final[dict[str, str]] = {
    "DUO:0000042": "general research use",
    "DUO:0000006": "health, medical or biomedical research",
    "DUO:0000007": "disease-specific research",
    "DUO:0000043": "clinical care",
}
_KEY_PREFIX: Final = "res_"


@spec
class Grant:
    """Who may ask, for what, and how much.

    Attributes:
        name: of the grantee; it is in the audit.
        key: `sha256:` and the digest of the grantee's key.
        purpose: a GA4GH Data Use Ontology code.
        until: last day, as YYYY-MM-DD.
        quota_per_day: answers a day, counted by UTC.
        tasks: which of the release's tasks, as shell patterns.
        panel: whether the grantee may see the institution's own patients, by name.
    """

    name: str
    key: str
    purpose: str
    until: str
    quota_per_day: int
    tasks: tuple[str, ...] = ("*",)
    panel: bool = False

    def __post_init__(self) -> None:
        if self.purpose not in DUO:
            raise ValueError(f"purpose must be one of {', '.join(DUO)}")
        if not self.key.startswith("sha256:") or len(self.key) != 71:
            raise ValueError("key must be sha256: and 64 hexadecimal digits")
        date.fromisoformat(self.until)
        if self.quota_per_day < 1:
            raise ValueError("quota_per_day must be 1 or more")

    def covers(self, task: str) -> bool:
        """Say whether a task is among those granted."""
        return any(fnmatchcase(task, pattern) for pattern in self.tasks)


@spec
class GrantFile:
    """All grants of one service."""

    grant: tuple[Grant, ...] = ()

    def __post_init__(self) -> None:
        names = [grant.name for grant in self.grant]
        if len(set(names)) < len(names) or len({grant.key for grant in self.grant}) < len(names):
            raise ValueError("two grants have the same name or key")


@dataclass(frozen=True)
class Grants:
    """Grants by the digest of their key."""

    by_key: dict[str, Grant]

    def of(self, key: str | None, now: datetime) -> Grant:
        """Give the grant of a caller.

        Raises:
            AccessError: no key came, nobody has it, or its time is over: the three are not told apart.
        """
        grant = self.by_key.get(digest_of_key(key)) if key else None
        if grant is None or now.date() > date.fromisoformat(grant.until):
            raise AccessError(
                "no valid key",
                mend="send the header api-key, or Authorization: Bearer, with a key that was granted",
            )
        return grant


def load_grants(path: Path) -> Grants:
    """Read a file of grants.

    Raises:
        SpecError: it is absent, or wrong.
    """
    return Grants({grant.key: grant for grant in specs.load(GrantFile, path).grant})


def make_api_key() -> str:
    """Make a key; only its digest is ever stored."""
    return _KEY_PREFIX + secrets.token_urlsafe(32)


def digest_of_key(key: str) -> str:
    """Give what a grant stores of a key. A key is 256 random bits, so one round is enough."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
