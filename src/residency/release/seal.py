"""In: a folder and a key. Out: one signature over every file (OpenSSF model-signing), and its check."""

from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from model_signing import hashing, signing, verifying

from residency.contract.errors import SignatureError


def _every_file() -> Any:
    """Hash each file by its path, hidden and version-control files included; a link is refused."""
    config = hashing.Config().use_file_serialization(max_workers=1)  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[], ignore_git_paths=False)


def seal(content: Path, signature: Path, *, key: Path) -> None:
    """Sign a folder as it is.

    Args:
        content: the folder.
        signature: the file to write, outside `content`: a Sigstore bundle, for any model-signing client.
        key: the signer's private key, PEM, EC P-256.

    Raises:
        SignatureError: the folder holds a link, or the key cannot be used.
    """
    temporary = signature.with_suffix(".tmp")
    try:
        config = signing.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_signer(private_key=key).set_hashing_config(_every_file()).sign(
            content, temporary
        )
    except (ValueError, TypeError, OSError):
        raise SignatureError(
            "cannot sign the folder: it holds a link, or the key is of no use", where=str(content)
        ) from None
    temporary.rename(signature)


def check_seal(content: Path, signature: Path, *, public_key: Path) -> None:
    """Hold every file of a folder against a signature.

    Raises:
        SignatureError: a file was altered, added, taken away or renamed, or the signature is not by this key.
    """
    try:
        config = verifying.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_verifier(public_key=public_key).set_hashing_config(_every_file())
        config.verify(content, signature)
    except (ValueError, TypeError, KeyError, IndexError, OSError, InvalidSignature, AttributeError):
        raise SignatureError(
            "the bundle's content is not what was signed",
            where=str(content),
            mend="fetch the bundle again from the institution that released it",
        ) from None
