import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from residency.contract.identifiers import (
    bucket_of,
    pseudonym_of,
    reference_pseudonym,
    split_of,
    subject_id_of,
    visit_id_of,
)

IDS = st.integers(0, 2**63 - 1)
KEYS = st.binary(min_size=16, max_size=32)


@given(st.text(min_size=1), st.text())
def test_an_ingest_id_is_63_bits_of_sha_256_over_site_and_id(source_id: str, site: str) -> None:
    digest = hashlib.sha256(site.encode("utf-8", "surrogatepass") + b"\x1f" + source_id.encode()).digest()
    assert subject_id_of(source_id, site) == int.from_bytes(digest[:8], "big") % 2**63


@given(KEYS, IDS)
def test_a_pseudonym_is_63_bits_of_hmac_sha_256(key: bytes, identifier: int) -> None:
    digest = hmac.new(key, identifier.to_bytes(8, "big"), "sha256").digest()
    assert pseudonym_of(key, identifier) == int.from_bytes(digest[:8], "big") % 2**63


@given(IDS, st.text(max_size=5))
def test_a_bucket_is_0_to_99_and_does_not_hang_on_the_pseudonym(identifier: int, salt: str) -> None:
    assert 0 <= bucket_of(identifier, salt) < 100


def test_buckets_share_patients_out_70_10_20() -> None:
    splits = [split_of(bucket_of(subject_id_of(str(n), "north"))) for n in range(20_000)]
    shares = {split: splits.count(split) / len(splits) for split in ("train", "tuning", "held_out")}
    assert abs(shares["train"] - 0.70) < 0.015
    assert abs(shares["tuning"] - 0.10) < 0.01
    assert abs(shares["held_out"] - 0.20) < 0.015


def test_the_same_id_at_two_sites_or_of_a_visit_is_another() -> None:
    assert len({subject_id_of("1", "north"), subject_id_of("1", "south"), visit_id_of("1", "north")}) == 3


def test_a_reference_keeps_its_type_and_loses_its_id() -> None:
    made = reference_pseudonym(b"k" * 16, "Observation/98765")
    assert made.startswith("Observation/")
    assert "98765" not in made
    assert (
        made
        == reference_pseudonym(b"k" * 16, "Observation/98765")
        != reference_pseudonym(b"j" * 16, "Observation/98765")
    )
