"""In: a bundle, and a person's key or an approved step. Out: one more line in its ledger."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from residency.contract.digests import digest_file
from residency.contract.errors import GateError, SignatureError
from residency.release import keys, ledger
from residency.release.bundle import CONTENT, LEDGER, SIGNATURES
from residency.release.ledger import Entry, Kind, Person
from residency.release.seal import check_seal, seal
from residency.release.standing import (
    Standing,
    follow,
    known_person,
    may_approve,
    promotion,
    seal_names,
    stand,
)
from residency.release.states import State, is_below, next_up


@contextmanager
def _alone(bundle: Path) -> Iterator[None]:
    """Let one process at a time add to a ledger."""
    if not bundle.is_dir():
        raise SignatureError("no such bundle", where=str(bundle))
    handle = os.open(bundle, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _clear_up(bundle)
        yield
    finally:
        os.close(handle)


def _clear_up(bundle: Path) -> None:
    """Take away what a killed process left: a half-written ledger, a seal that no line speaks of."""
    (bundle / LEDGER).with_suffix(".tmp").unlink(missing_ok=True)
    people = [
        entry.person for entry in ledger.read(bundle / LEDGER) if entry.seal and entry.person is not None
    ]
    known = {name for person in people for name in seal_names(person.fingerprint)}
    for path in (bundle / SIGNATURES).iterdir():
        if path.name not in known:
            path.unlink()


def sign(bundle: Path, key: Path, name: str, role: str, *, now: datetime, to: str | None = None) -> Entry:
    """Approve the next step up: seal the content with one's key, and say so in the ledger.

    Args:
        bundle: the folder.
        key: one's private key.
        name: one's name, as the policy has it.
        role: one's role, as the policy has it.
        now: the time, aware.
        to: the step meant; the next one where None.

    Raises:
        GateError: the policy does not name this person, or the step is not earned.
        SignatureError: the bundle was altered.
    """
    with _alone(bundle):
        standing = stand(bundle)
        target = State(to) if to is not None else next_up(standing.state)
        if target is None:
            raise GateError(f"nothing comes after {standing.state}")
        person = Person(name=name, role=role, public_key=keys.public_text(keys.read_private(key)))
        known_person(standing.policy, person)
        for entry in standing.approvals:
            if entry.person == person and entry.state == target:
                return entry
        may_approve(standing, target, now)
        digest = _seal(bundle, key, person)
        return _add(standing, "approved", target, now, person=person, key=key, seal_digest=digest)


def _seal(bundle: Path, key: Path, person: Person) -> str:
    """Seal the content, or keep this person's seal where there is one: the content has not changed since."""
    signature, public = (bundle / SIGNATURES / name for name in seal_names(person.fingerprint))
    public.write_text(person.public_key, "utf-8")
    if not signature.exists():
        seal(bundle / CONTENT, signature, key=key)
    check_seal(bundle / CONTENT, signature, public_key=public)
    return digest_file(signature)


def promote(bundle: Path, to: str) -> Entry:
    """Take a release one step up, where enough people have signed; a step already taken is left as it is.

    Raises:
        GateError: too few different people have signed, or a role is lacking.
        SignatureError: the bundle was altered.
    """
    with _alone(bundle):
        standing = stand(bundle)
        if State(to) == standing.state or is_below(State(to), standing.state):
            return next(entry for entry in reversed(standing.entries) if entry.kind != "approved")
        return ledger.append(bundle / LEDGER, promotion(standing, State(to)))


def step_back(  # noqa: PLR0913 - who signs what, when and why
    bundle: Path, key: Path, name: str, role: str, *, to: str, reason: str, now: datetime
) -> Entry:
    """Take a release back after an incident. One person is enough: going back must be fast.

    Raises:
        GateError: `to` is not below its state, or the policy does not name this person.
    """
    return _by_one(bundle, key, (name, role), kind="incident", to=State(to), reason=reason, now=now)


def retire(bundle: Path, key: Path, name: str, role: str, *, reason: str, now: datetime) -> Entry:
    """End a release, for good. One person is enough.

    Raises:
        GateError: the policy does not name this person, or it is retired already.
    """
    return _by_one(bundle, key, (name, role), kind="retired", to=State.RETIRED, reason=reason, now=now)


def _by_one(  # noqa: PLR0913 - who signs what, when and why
    bundle: Path, key: Path, who: tuple[str, str], *, kind: Kind, to: State, reason: str, now: datetime
) -> Entry:
    if not reason.strip():
        raise GateError("a step back needs its reason in words")
    with _alone(bundle):
        standing = stand(bundle)
        person = Person(name=who[0], role=who[1], public_key=keys.public_text(keys.read_private(key)))
        return _add(standing, kind, to, now, person=person, key=key, reason=reason)


def _add(  # noqa: PLR0913 - the fields of a line
    standing: Standing,
    kind: Kind,
    to: State,
    now: datetime,
    *,
    person: Person,
    key: Path,
    seal_digest: str = "",
    reason: str = "",
) -> Entry:
    entry = Entry(
        n=len(standing.entries),
        kind=kind,
        time=now.astimezone(UTC),
        release=standing.digest,
        state=to,
        reason=reason,
        person=person,
        seal=seal_digest,
        previous=standing.entries[-1].digest,
    )
    follow(standing, entry)
    return ledger.append(standing.bundle / LEDGER, entry, key=key)
