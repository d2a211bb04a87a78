"""In: keys and bytes. Out: EC P-256 fingerprints, signatures and their checks."""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from residency.contract.errors import SignatureError

_ECDSA: Final = ec.ECDSA(hashes.SHA256())


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
