"""In: a folder and a release policy. Out: two people's keys and a signed policy, all labelled DEMO."""

from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from residency.contract import specs
from residency.release.keys import KeyPair, make_key
from residency.release.policy import DEMO, Signer, load_policy
from residency.release.signed_policy import sign_policy

_PEOPLE = (("DEMO Data Scientist", "data science"), ("DEMO Safety Officer", "clinical safety"))


@dataclass(frozen=True)
class DemoSigner:
    """One person of the demo: what `sign` needs."""

    name: str
    role: str
    key: Path


@dataclass(frozen=True)
class DemoKeys:
    """All that the demo's flow signs with.

    Attributes:
        policy: the policy with the two people as its signers, and its signature beside it.
        signers: the two people.
        trusted: public key that put the policy in force.
    """

    policy: Path
    signers: tuple[DemoSigner, ...]
    trusted: Path


def make_demo_keys(folder: Path, policy: Path) -> DemoKeys:
    """Make two people's DEMO keys and put a DEMO copy of a policy in force; what is there already is kept.

    A release under it opens on loopback only, under a banner, whatever its state.

    Args:
        folder: where to keep them.
        policy: whose gates and steps the copy takes, without signers, roles and waiting days; it warns where
            it cannot tell, because the demo's hospital is small.

    Raises:
        SpecError: the policy is not one.
    """
    pairs = [make_key(folder, name.replace(" ", "-").lower(), demo=True) for name, _ in _PEOPLE]
    board = make_key(folder, "demo-board", demo=True)
    copy = folder / "policy.toml"
    text = _demo_policy(policy, pairs)
    if not copy.exists() or copy.read_text("utf-8") != text:
        copy.write_text(text, "utf-8")
        sign_policy(copy, board.private, f"{DEMO} Board")
    signers = tuple(DemoSigner(*who, pair.private) for who, pair in zip(_PEOPLE, pairs, strict=True))
    return DemoKeys(policy=copy, signers=signers, trusted=board.public)


def _demo_policy(policy: Path, pairs: list[KeyPair]) -> str:
    original = load_policy(policy)
    people = tuple(
        Signer(name=name, role=role, key=pair.fingerprint)
        for (name, role), pair in zip(_PEOPLE, pairs, strict=True)
    )
    steps = tuple(replace(step, roles=(), min_days=0.0, statements=False) for step in original.step)
    demo = replace(
        original,
        name=f"{DEMO} {original.name}",
        signer=people,
        step=steps,
        demo=True,
        when_cannot_tell="warn",
    )
    return tomli_w.dumps(_without_nulls(specs.plain(demo)))


def _without_nulls(value: dict[str, object]) -> dict[str, object]:
    """TOML has no null: a limit that is not set is left out."""
    return {key: _clean(item) for key, item in value.items() if item is not None}


def _clean(item: object) -> object:
    if isinstance(item, dict):
        return _without_nulls(item)
    return [_clean(part) for part in item] if isinstance(item, (list, tuple)) else item
