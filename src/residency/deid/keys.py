"""In: the place of a key file. Out: the key, refused where it may not lie or is another one."""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from residency.contract.errors import IdentityError
from residency.contract.schema import MANIFEST
from residency.deid.policy import Policy

N_BYTES: Final = 32


def new_key(path: Path) -> str:
    """Make a key file, readable by its owner alone.

    Returns:
        Its fingerprint, for the policy.

    Raises:
        IdentityError: there is a file already, or it would lie inside a data folder.
    """
    _outside(path, ())
    key = secrets.token_bytes(N_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise IdentityError(
            "there is a file already: a key is never overwritten",
            where=str(path),
            mend="choose another path, or use that key",
        ) from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
    return fingerprint(key)


def read_key(policy: Policy, folders: Iterable[Path] = ()) -> bytes:
    """Read the key that a policy names.

    Args:
        policy: names the file, and perhaps the key's fingerprint.
        folders: data folders that are read or written; the key may lie in none.

    Raises:
        IdentityError: the key is missing, is none, is another one, or lies inside a data folder.
    """
    path = policy.key_file
    _outside(path, folders)
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except FileNotFoundError:
        raise IdentityError(
            "the key file is missing",
            where=str(path),
            mend="bring it back from where it is kept; a new one gives every patient a new pseudonym",
        ) from None
    except (OSError, ValueError):
        raise IdentityError("the key file cannot be read, or holds no key", where=str(path)) from None
    if len(key) < N_BYTES:
        raise IdentityError(f"the key is shorter than {N_BYTES} bytes", where=str(path))
    if policy.key_fingerprint and not hmac.compare_digest(policy.key_fingerprint, fingerprint(key)):
        raise IdentityError(
            "the key is not the one whose fingerprint the policy states",
            where=str(path),
            mend="bring back the right key; another one would give every patient a new pseudonym",
        )
    return key


def fingerprint(key: bytes) -> str:
    """Name a key without telling it."""
    return hmac.digest(key, b"fingerprint", "sha256").hex()[:16]


def _outside(path: Path, folders: Iterable[Path]) -> None:
    """Refuse a key within a folder of data: it would be copied, archived and shared with them."""
    place = path.resolve()
    named = [folder for folder in folders if place.is_relative_to(folder.resolve())]
    made = [parent for parent in place.parents if (parent / MANIFEST).exists()]
    if named or made:
        raise IdentityError(
            "the key file lies inside a data folder",
            where=str(path),
            mend="keep it outside every folder of data, where only those who may re-identify can read it",
        )
