"""In: a bundle, and where it is to run. Out: a release ready to be asked, every byte of it verified first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from residency.contract.errors import GateError, SignatureError
from residency.contract.report import Report, read_report
from residency.contract.schema import SHOWN_FILE
from residency.release.allow_list import AllowList
from residency.release.bundle import CONTENT, DEID, MODEL, REPORT
from residency.release.cards import Card
from residency.release.keys import fingerprint_of
from residency.release.standing import Standing, stand
from residency.release.states import OPENS_AT, Place, State

if TYPE_CHECKING:
    from residency.model import Model


@dataclass(frozen=True)
class Release:
    """A verified release.

    Attributes:
        standing: how it stands; checked to the last byte when the release was opened.
        place: where it may run.
    """

    standing: Standing
    place: Place

    @cached_property
    def model(self) -> Model:
        """Its weights, read after the check and only when asked for."""
        from residency.model import Model

        return Model.open(self.standing.bundle / CONTENT / MODEL)

    @property
    def digest(self) -> str:
        """Its name."""
        return self.standing.digest

    @property
    def state(self) -> State:
        """How far it has come."""
        return self.standing.state

    @property
    def demo(self) -> bool:
        """Whether it is for show on one machine only, under a banner."""
        return self.standing.demo

    @property
    def allow_list(self) -> AllowList:
        """What it may answer for."""
        return self.standing.allow_list

    @property
    def card(self) -> Card:
        """Its model card."""
        return self.standing.card

    @property
    def policy(self) -> Path | None:
        """The de-identification policy that its training data went through; None where none was needed."""
        path = self.standing.bundle / CONTENT / DEID
        return path if path.exists() else None

    @property
    def shown(self) -> Path | None:
        """Codes and variants that its training data showed, which a request may show; None if not told."""
        path = self.standing.bundle / CONTENT / MODEL / SHOWN_FILE
        return path if path.exists() else None

    @cached_property
    def report(self) -> Report:
        """Its examination."""
        return read_report(self.standing.bundle / CONTENT / REPORT / "report.json")


def trusted_keys(path: Path) -> frozenset[str]:
    """Read which keys may put a release policy in force: one public key file, or a folder of them.

    Raises:
        SignatureError: there is none, or one is no public key.
    """
    found = sorted(path.glob("*.pub")) if path.is_dir() else [path]
    try:
        fingerprints = frozenset(fingerprint_of(file.read_text("utf-8")) for file in found)
    except (OSError, UnicodeDecodeError):
        raise SignatureError("cannot read a public key", where=str(path)) from None
    if not fingerprints:
        raise SignatureError("no public keys here", where=str(path), mend="expected files that end in .pub")
    return fingerprints


def open_bundle(bundle: Path, at: Place, *, trusted: Path | None = None) -> Release:
    """Verify a bundle, then open it where its state permits.

    Args:
        bundle: the folder.
        at: `loopback`: this machine only; `internal`: the institution's network; `outside`: anywhere.
        trusted: public keys that may put a release policy in force; needed anywhere but on loopback.

    Raises:
        SignatureError: the bundle was altered, or is not from whom it says.
        GateError: the release has not earned this place, or is a demo away from loopback.
    """
    if at != "loopback" and trusted is None:
        raise GateError(
            "a bundle opens beyond this machine only against a key that is trusted",
            mend="give the public key of the institution that put the release policy in force",
        )
    standing = stand(bundle, trusted_keys(trusted) if trusted is not None else None)
    if standing.demo and at != "loopback":
        raise GateError("the bundle is signed with DEMO keys: it opens on loopback only", where=str(bundle))
    if at not in OPENS_AT[standing.state]:
        places = ", ".join(sorted(OPENS_AT[standing.state])) or "nowhere"
        raise GateError(f"a release that is {standing.state} opens {places}, not {at}", where=str(bundle))
    return Release(standing=standing, place=at)


def show(bundle: Path) -> dict[str, Any]:
    """Give a bundle's standing for people and for machines, once it is verified.

    Raises:
        SignatureError: the bundle was altered.
    """
    standing = stand(bundle)
    return {
        "release": standing.digest,
        "state": str(standing.state),
        "demo": standing.demo,
        "institution": standing.policy.institution,
        "policy": f"{standing.policy.name}, version {standing.policy.version}",
        "policy_key": standing.policy_key,
        "allowed": list(standing.allow_list.tasks),
        "refused": {item.task: list(item.reasons) for item in standing.allow_list.refused},
        "gates": {
            result: sum(verdict.result == result for verdict in standing.verdicts)
            for result in ("pass", "fail", "insufficient")
        },
        "ledger": [
            {
                "kind": entry.kind,
                "state": str(entry.state),
                "time": entry.time.isoformat(),
                "name": entry.person.name if entry.person else "",
                "role": entry.person.role if entry.person else "",
                "reason": entry.reason,
            }
            for entry in standing.entries
        ],
        "to_be_stated": msgspec.to_builtins(standing.card.to_be_stated),
    }


def verify(bundle: Path, *, trusted: Path | None = None) -> Standing:
    """Check all of a bundle and say how it stands; no weight is opened.

    Raises:
        SignatureError: anything was altered, or it is not from whom it says.
    """
    return stand(bundle, trusted_keys(trusted) if trusted is not None else None)
