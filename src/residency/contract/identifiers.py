"""In: a source's patient id, or an ingest id and a key. Out: 63-bit identifiers, buckets and splits."""

import hashlib
import hmac
from typing import Final, Literal

Split = Literal["train", "tuning", "held_out", "external"]

N_BUCKETS: Final = 100
DEFAULT_SALT: Final = "residency-split-1"
_MASK: Final = (1 << 63) - 1


def _63_bits(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big") & _MASK


def subject_id_of(source_id: str, site: str) -> int:
    """Give the ingest id: 63 bits of SHA-256 over the source's id and the site.

    Args:
        source_id: the id as the source has it (FHIR: `Patient.id`).
        site: name of the hospital or clinic; two sites may use the same ids.

    Returns:
        0 to 2^63 − 1.
    """
    return _63_bits(hashlib.sha256(f"{site}\x1f{source_id}".encode()).digest())


def visit_id_of(source_id: str, site: str) -> int:
    """Give a visit's ingest id, in a space apart from the patients'."""
    return _63_bits(hashlib.sha256(f"visit\x1f{site}\x1f{source_id}".encode()).digest())


def pseudonym_of(key: bytes, identifier: int) -> int:
    """Give the pseudonym: 63 bits of HMAC-SHA-256(key, id).

    Args:
        key: the secret that lies outside every data folder; 16 bytes or more.
        identifier: an ingest id, of a patient or of a visit.
    """
    return _63_bits(hmac.digest(key, identifier.to_bytes(8, "big"), "sha256"))


def reference_pseudonym(key: bytes, reference: str) -> str:
    """Give a source reference's pseudonym; the resource type before the slash stays.

    Example:
        >>> reference_pseudonym(b"0" * 16, "Observation/123").split("/")[0]
        'Observation'
    """
    kind, slash, _ = reference.partition("/")
    digest = hmac.digest(key, reference.encode(), "sha256").hex()[:20]
    return f"{kind}/{digest}" if slash else digest


def bucket_of(ingest_id: int, salt: str = DEFAULT_SALT) -> int:
    """Give the split bucket, 0 to 99, of a patient.

    It hangs on the ingest id and a salt of its own, so it moves neither when the de-identification key
    changes nor when other patients join. A bucket is shared by a hundredth of all patients: it tells nobody
    who one is.
    """
    digest = hashlib.sha256(f"{salt}\x1f{ingest_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % N_BUCKETS


def split_of(bucket: int) -> Split:
    """Give the split of a bucket: 70 train, 10 tuning, 20 held out.

    Example:
        >>> [split_of(bucket) for bucket in (0, 69, 70, 79, 80, 99)]
        ['train', 'train', 'tuning', 'tuning', 'held_out', 'held_out']
    """
    if not 0 <= bucket < N_BUCKETS:
        raise ValueError("bucket must be 0 to 99")
    return "train" if bucket < 70 else "tuning" if bucket < 80 else "held_out"
