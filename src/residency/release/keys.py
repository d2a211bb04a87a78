"""In: a folder, or a key file. Out: EC P-256 keys, fingerprints, signatures and their checks."""

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from residency.contract.errors import SignatureError

_ECDSA: Final = ec.ECDSA(hashes.SHA256())
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


def read_private(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a private key.

    Raises:
        SignatureError: the file is absent, or holds no unencrypted P-256 key.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            "cannot read a private key", where=str(path), mend=type(error).__name__
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SignatureError("the private key is not on the curve P-256", where=str(path))
    return key


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """Give the public half as PEM."""
    return _pem_of(key.public_key())


def _pem_of(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def _read_public(pem: str) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureError("a public key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SignatureError("a public key is not on the curve P-256")
    if _pem_of(key) != pem:
        raise SignatureError("a public key is not written in the one accepted form")
    return key


def fingerprint_of(pem: str) -> str:
    """Give what a policy names a key by: SHA-256 of the public key's DER form.

    Raises:
        SignatureError: it is no P-256 public key.
    """
    der = _read_public(pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def sign_bytes(private: Path, body: bytes) -> str:
    """Sign bytes; the signature is base64 of the DER form."""
    return base64.b64encode(read_private(private).sign(body, _ECDSA)).decode()


def check_bytes(pem: str, body: bytes, signature: str, *, where: str) -> None:
    """Hold a signature against a public key.

    Raises:
        SignatureError: it does not hold.
    """
    try:
        _read_public(pem).verify(base64.b64decode(signature, validate=True), body, _ECDSA)
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureError("a signature does not hold", where=where) from None
