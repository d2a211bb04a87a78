"""In: a release policy and a key. Out: its signature beside it, and the check of that signature."""

from pathlib import Path
from typing import Final

import msgspec

from residency.contract.errors import SignatureError
from residency.release import keys
from residency.release.policy import load_policy

POLICY: Final = "policy.toml"
POLICY_SIGNATURE: Final = "policy.sig.json"


class PolicySignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signed a policy: the institution's root of trust."""

    name: str
    public_key: str
    signature: str


def signature_beside(policy: Path) -> Path:
    """Give where a policy's signature lies."""
    return policy.with_name(f"{policy.stem}.sig.json")


def sign_policy(policy: Path, key: Path, name: str) -> Path:
    """Sign a policy as it stands.

    Args:
        policy: the file.
        key: private key of whoever puts the policy in force, kept apart from the signers' keys.
        name: of that person or office.

    Raises:
        SpecError: the policy is not one.
    """
    load_policy(policy)
    signed = PolicySignature(
        name=name,
        public_key=keys.public_text(keys.read_private(key)),
        signature=keys.sign_bytes(key, policy.read_bytes()),
    )
    out = signature_beside(policy)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n")
    return out


def check_policy(policy: Path, trusted: frozenset[str] | None = None) -> str:
    """Hold a policy against the signature beside it.

    Args:
        policy: the file.
        trusted: fingerprints of the keys that may put a policy in force; None takes any.

    Returns:
        Fingerprint of the key that signed it.

    Raises:
        SignatureError: nobody signed it, it was altered since, or the key is not trusted.
    """
    try:
        signed = msgspec.json.decode(signature_beside(policy).read_bytes(), type=PolicySignature)
        body = policy.read_bytes()
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise SignatureError(
            "the release policy is not signed", where=policy.name, mend="sign it with release.sign_policy"
        ) from None
    keys.check_bytes(signed.public_key, body, signed.signature, where=policy.name)
    fingerprint = keys.fingerprint_of(signed.public_key)
    if trusted is not None and fingerprint not in trusted:
        raise SignatureError(
            "the release policy is signed by a key that is not trusted here",
            where=policy.name,
            mend="get the releasing institution's public key by another way than the bundle's",
        )
    return fingerprint
