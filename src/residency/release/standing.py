"""In: a bundle. Out: how it stands: every signature, the chain, and each step up held against the policy."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from residency.contract.digests import digest_file
from residency.contract.errors import GateError, SignatureError
from residency.release import ledger
from residency.release.allow_list import AllowList, read_allow_list
from residency.release.bundle import CARD, CONTENT, LEDGER, SIGNATURES, content_digest, read_verdicts
from residency.release.cards import Card
from residency.release.gates import Verdict, overall
from residency.release.keys import fingerprint_of
from residency.release.ledger import Entry, Person
from residency.release.policy import ReleasePolicy, Step, load_policy
from residency.release.seal import check_seal
from residency.release.signed_policy import POLICY, check_policy
from residency.release.states import State, is_below, next_up


@dataclass(frozen=True)
class Standing:
    """How a bundle stands.

    Attributes:
        bundle: the folder.
        digest: of its content: the release's name.
        state: how far it has come.
        entries: its ledger.
        policy: that it is judged by.
        policy_key: fingerprint of the key that put the policy in force.
        allow_list: what it may answer for.
        card: its model card.
        verdicts: of the gates.
    """

    bundle: Path
    digest: str
    state: State
    entries: tuple[Entry, ...]
    policy: ReleasePolicy
    policy_key: str
    allow_list: AllowList
    card: Card
    verdicts: tuple[Verdict, ...]

    @property
    def demo(self) -> bool:
        """Whether it is for show on one machine only."""
        return self.policy.is_demo

    @property
    def approvals(self) -> tuple[Entry, ...]:
        """Approvals of the next step up that wait for more."""
        return _waiting(self.entries)


def stand(bundle: Path, trusted: frozenset[str] | None = None) -> Standing:
    """Check all of a bundle, down to the last byte, without opening a weight.

    Args:
        bundle: the folder.
        trusted: fingerprints of the keys that may put a release policy in force; None takes any.

    Raises:
        SignatureError: anything was altered, added or taken away, or anyone signed who may not.
    """
    content = bundle / CONTENT
    _only_known_files(bundle)
    policy_key = check_policy(content / POLICY, trusted)
    entries = ledger.read(bundle / LEDGER)
    digest = content_digest(bundle)
    if any(entry.release != digest for entry in entries):
        raise SignatureError("the bundle's content is not what its ledger is about", where=str(bundle))
    _check_seals(bundle, entries)
    policy, verdicts = load_policy(content / POLICY), read_verdicts(content)
    standing = Standing(
        bundle=bundle,
        digest=digest,
        state=State.PROPOSED,
        entries=entries[:1],
        policy=policy,
        policy_key=policy_key,
        allow_list=read_allow_list(content),
        card=_read_card(content),
        verdicts=verdicts,
    )
    for entry in entries[1:]:
        standing = _after(standing, entry)
    return standing


def _only_known_files(bundle: Path) -> None:
    expected = {CONTENT, LEDGER, SIGNATURES}
    found = {path.name for path in bundle.iterdir()} if bundle.is_dir() else set()
    if found != expected:
        raise SignatureError("not a bundle, or files were added or taken away", where=str(bundle))


def _check_seals(bundle: Path, entries: tuple[Entry, ...]) -> None:
    """Hold the content against each signer's signature; the folder holds those files and no other."""
    sealed = [(entry.person, entry.seal) for entry in entries if entry.kind == "approved" and entry.person]
    expected = {name for person, _ in sealed for name in seal_names(person.fingerprint)}
    if {path.name for path in (bundle / SIGNATURES).iterdir()} != expected:
        raise SignatureError("signatures were added or taken away", where=SIGNATURES)
    for person, digest in sealed:
        signature, public = (bundle / SIGNATURES / name for name in seal_names(person.fingerprint))
        if digest_file(signature) != digest or public.read_bytes() != person.public_key.encode():
            raise SignatureError("a signature file was altered", where=signature.name)
    for fingerprint in {person.fingerprint for person, _ in sealed}:
        signature, public = (bundle / SIGNATURES / name for name in seal_names(fingerprint))
        check_seal(bundle / CONTENT, signature, public_key=public)


def seal_names(fingerprint: str) -> tuple[str, str]:
    """Give the names of a signer's signature and public key."""
    short = fingerprint.removeprefix("sha256:")[:16]
    return f"{short}.sig", f"{short}.pub"


def _read_card(content: Path) -> Card:
    try:
        return msgspec.json.decode((content / CARD).read_bytes(), type=Card)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise SignatureError("the bundle's model card cannot be read", where=CARD) from None


def _after(standing: Standing, entry: Entry) -> Standing:
    """Give the standing after one more line, or refuse the line."""
    where = f"{LEDGER}, line {entry.n + 1}"
    try:
        state = follow(standing, entry)
    except GateError as error:
        raise SignatureError(f"the ledger breaks its policy: {error.what}", where=where) from None
    return replace(standing, state=state, entries=(*standing.entries, entry))


def follow(standing: Standing, entry: Entry) -> State:
    """Give the state after a line that the policy permits.

    Raises:
        GateError: the policy does not permit it.
    """
    if standing.state == State.RETIRED:
        raise GateError("a retired release stays retired")
    if entry.time < standing.entries[-1].time:
        raise GateError("a line is older than the one before it", mend="check the clock of this machine")
    if entry.person is not None:
        known_person(standing.policy, entry.person)
    if entry.kind == "approved":
        may_approve(standing, entry.state, entry.time)
        return standing.state
    if entry.kind == "promoted":
        return _promoted(standing, entry)
    if entry.kind == "incident" and not is_below(entry.state, standing.state):
        raise GateError("an incident takes a release back, not up")
    if entry.kind == "retired" and entry.state != State.RETIRED:
        raise GateError("a retirement leads to no other state")
    return entry.state


def known_person(policy: ReleasePolicy, person: Person) -> None:
    """Refuse whom the policy does not name with this very name, role and key."""
    signer = policy.signer_of(fingerprint_of(person.public_key))
    if signer is None:
        raise GateError("the policy names nobody with this key", mend="the policy lists who may sign")
    if (signer.name, signer.role) != (person.name, person.role):
        raise GateError(
            "the policy gives this key to another name or role", mend="sign under your own name and role"
        )


def may_approve(standing: Standing, to: State, time: datetime) -> None:
    """Refuse an approval of anything but the next step up, or of one that is not earned yet.

    Raises:
        GateError: says what is lacking.
    """
    if to != next_up(standing.state):
        raise GateError(f"{to} is not the step after {standing.state}")
    step = standing.policy.step_to(to)
    lacking = list(_lacking(standing, step))
    since = next(entry.time for entry in reversed(standing.entries) if entry.kind != "approved")
    if time - since < timedelta(days=step.min_days):
        lacking.append(f"{step.min_days:g} days as {standing.state} have not passed")
    if lacking:
        raise GateError(
            f"not ready for {to}: {'; '.join(lacking)}", mend="see verdicts.json and model_card.md"
        )


def _lacking(standing: Standing, step: Step) -> list[str]:
    lacking = []
    for name in step.gates:
        mine = tuple(verdict for verdict in standing.verdicts if verdict.gate.rpartition("@")[0] == name)
        result = overall(mine)
        if result != "pass":
            lacking.append(f"gate {name} {'failed' if result == 'fail' else 'could not tell'}")
    if step.tasks != "none" and not standing.allow_list.allowed:
        lacking.append("no examined task passed every gate")
    if step.tasks == "all" and standing.allow_list.refused:
        lacking.append(f"{len(standing.allow_list.refused)} examined tasks did not pass every gate")
    if step.statements and standing.card.to_be_stated:
        lacking.append(f"to be stated: {', '.join(sorted(standing.card.to_be_stated))}")
    return lacking


def _waiting(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    waiting: list[Entry] = []
    for entry in entries:
        waiting = [*waiting, entry] if entry.kind == "approved" else []
    return tuple(waiting)


def _promoted(standing: Standing, entry: Entry) -> State:
    expected = promotion(standing, entry.state)
    if msgspec.structs.replace(entry, digest="") != expected:
        raise GateError("a promotion does not follow from the approvals before it")
    return entry.state


def promotion(standing: Standing, to: State) -> Entry:
    """Give the line that takes a release one step up, as it follows from the approvals.

    Raises:
        GateError: says who or what is lacking.
    """
    waiting = standing.approvals
    if to != next_up(standing.state):
        raise GateError(f"{to} is not the step after {standing.state}")
    step = standing.policy.step_to(to)
    people = [entry.person for entry in waiting if entry.person is not None]
    different = min(
        len({person.name.casefold() for person in people}), len({person.fingerprint for person in people})
    )
    absent = sorted(set(step.roles) - {person.role for person in people})
    if different < step.signers or absent:
        roles = f"; roles that have not signed: {', '.join(absent)}" if absent else ""
        raise GateError(
            f"{different} of {step.signers} different people have signed the step to {to}{roles}",
            mend="residency release sign",
        )
    return Entry(
        n=len(standing.entries),
        kind="promoted",
        time=waiting[-1].time,
        release=standing.digest,
        state=to,
        approvals=tuple(entry.digest for entry in waiting),
        previous=standing.entries[-1].digest,
    )
