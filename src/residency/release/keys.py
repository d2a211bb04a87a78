"""In: a folder. Out: a person's EC P-256 keys; what is done with them is in `contract.signing`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from residency.contract.signing import check_bytes, fingerprint_of, public_text, read_private, sign_bytes

__all__ = [
    "KeyPair",
    "check_bytes",
    "fingerprint_of",
    "make_key",
    "public_text",
    "read_private",
    "sign_bytes",
]

_DEMO_LABEL: Final = b"DEMO KEY. Anyone may have it: it can sign nothing that leaves this machine.\n"


@dataclass(frozen=True)
class KeyPair:
    """Where a person's two keys lie.

    Attributes:
        private: readable by its owner only.
        public: to give away.
        fingerprint: what a policy names the person by.
    """

    private: Path
    public: Path
    fingerprint: str


def make_key(folder: Path, name: str, *, demo: bool = False) -> KeyPair:
    """Make a person's keys, unless they are there.

    Args:
        folder: where to keep them; outside every data folder.
        name: of the two files, without ending.
        demo: whether to label the private key DEMO.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    if not private.exists():
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write((_DEMO_LABEL if demo else b"") + pem)
    text = public_text(read_private(private))
    public.write_text(text, "utf-8")
    return KeyPair(private, public, fingerprint_of(text))
