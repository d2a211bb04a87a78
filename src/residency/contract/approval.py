"""In: a de-identified folder and an officer's key. Out: a signature under its residual risk, and its check.

What is signed names the manifest, and so every byte of the folder: whatever changes, by a withdrawal for
example, is to be signed again.
"""

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from residency.contract.digests import digest_file
from residency.contract.errors import GateError, SignatureError
from residency.contract.lineage import Manifest, open_made

RISK_FILE: Final = "metadata/risk.json"
SIGNATURE: Final = "metadata/risk.sig.json"


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An officer's word that the risk that is left is acceptable.

    Attributes:
        format: of the file.
        name: of the officer, as they write it.
        time: when.
        data: digest of the folder's manifest.
        risk: digest of its `risk.json`.
        public_key: the officer's.
        signature: over all of the above.
    """

    format: int = 1
    name: str
    time: datetime
    data: str
    risk: str
    public_key: str
    signature: str = ""

    def body(self) -> bytes:
        """What is signed."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")


def approve(folder: Path, key: Path, name: str, *, now: datetime) -> Approval:
    """Sign the residual risk of a de-identified folder, every byte of which is read again first.

    Args:
        folder: what `deidentify` made.
        key: the officer's private key.
        name: of the officer.
        now: the time, aware.

    Raises:
        LineageError: the folder is unfinished, altered, or of another step.
        SignatureError: the key cannot be used, or is not one that the policy names.
    """
    from residency.contract import signing  # its library is an extra's

    manifest = open_made(folder, "deidentify", verify=True)
    public = signing.public_text(signing.read_private(key))
    if (officers := officers_of(manifest)) and signing.fingerprint_of(public) not in officers:
        raise SignatureError(
            "the key is not of an officer whom the policy names",
            where=str(key),
            mend="its [risk] officers lists the fingerprints that release make-key prints",
        )
    stated = Approval(
        name=name, time=now, data=manifest.digest, risk=digest_file(folder / RISK_FILE), public_key=public
    )
    signed = msgspec.structs.replace(stated, signature=signing.sign_bytes(key, stated.body()))
    making = folder / f"{SIGNATURE}.making"
    making.write_bytes(msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n")
    os.replace(making, folder / SIGNATURE)
    return signed


def officers_of(manifest: Manifest) -> tuple[str, ...]:
    """Give the fingerprints of the officers one of whom must sign; none where the policy asks for nobody."""
    risk = manifest.spec.get("risk", {})
    return tuple(risk.get("officers", ())) if isinstance(risk, dict) else ()


def refuse_unsigned(folder: Path, manifest: Manifest) -> None:
    """See that an officer has signed, where the folder's policy says that one must.

    Raises:
        GateError: nobody has.
        SignatureError: what was signed is another state of the folder, or by somebody else.
    """
    if officers := officers_of(manifest):
        check(folder, manifest, officers)


def check(folder: Path, manifest: Manifest, officers: Iterable[str]) -> Approval:
    """Hold the signature beside a folder's risk against the folder and a list of officers.

    Raises:
        GateError: there is none.
        SignatureError: it does not hold, is of another state of the folder, or is by somebody else.
    """
    from residency.contract import signing

    path = folder / SIGNATURE
    mend = "the officer reads metadata/risk.html, then: residency sign-risk FOLDER --key KEY --name NAME"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Approval)
    except FileNotFoundError:
        raise GateError(
            "the policy asks for a privacy officer's signature under the residual risk, and there is none",
            where=str(folder),
            mend=mend,
        ) from None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        raise SignatureError("the signature under the risk cannot be read", where=str(path)) from None
    signing.check_bytes(found.public_key, found.body(), found.signature, where=str(path))
    if found.data != manifest.digest or found.risk != digest_file(folder / RISK_FILE):
        raise SignatureError("what was signed is another state of the data", where=str(path), mend=mend)
    if signing.fingerprint_of(found.public_key) not in set(officers):
        raise SignatureError("signed by nobody whom the policy names", where=str(path), mend=mend)
    return found
