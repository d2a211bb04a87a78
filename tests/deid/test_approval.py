import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from residency.contract import approval
from residency.contract.errors import GateError, LineageError, SignatureError, SpecError
from residency.contract.lineage import open_made
from residency.deid import RiskRules, deidentify, load_policy
from residency.release import make_key
from residency.timeline import build

NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def officer(tmp_path: Path):
    return make_key(tmp_path / "officers", "officer")


@pytest.fixture
def identified(records, patient) -> Path:
    return records([[row for name in range(15) for row in patient(f"p{name}")]])


@pytest.fixture
def folder(identified, policy, officer, tmp_path) -> Path:
    """De-identified data whose policy asks for the officer's signature."""
    asked = replace(policy, risk=RiskRules(officers=(officer.fingerprint,)))
    deidentify(identified, tmp_path / "deidentified", asked, now=NOW)
    return tmp_path / "deidentified"


def test_data_are_built_from_once_the_officer_has_signed_and_not_before(folder, officer, tmp_path) -> None:
    with pytest.raises(GateError, match="signature"):
        build(folder, tmp_path / "timelines", now=NOW)
    assert not (tmp_path / "timelines").exists()
    signed = approval.approve(folder, officer.private, "An Officer", now=NOW)
    assert signed.data == open_made(folder).digest
    build(folder, tmp_path / "timelines", now=NOW)
    assert open_made(folder, verify=True).made_from


def test_a_signature_holds_for_the_very_bytes_that_were_signed(folder, officer, tmp_path) -> None:
    approval.approve(folder, officer.private, "An Officer", now=NOW)
    path = folder / approval.SIGNATURE
    signed = json.loads(path.read_text())
    for name, other in (("name", "Another"), ("data", "0" * 64), ("risk", "0" * 64), ("signature", "AAAA")):
        path.write_text(json.dumps(signed | {name: other}))
        with pytest.raises(SignatureError):
            build(folder, tmp_path / "timelines", now=NOW)
    path.write_text("no signature")
    with pytest.raises(SignatureError, match="cannot be read"):
        build(folder, tmp_path / "timelines", now=NOW)
    path.write_text(json.dumps(signed))
    (folder / approval.RISK_FILE).write_text("{}")
    with pytest.raises(SignatureError, match="another state"):
        build(folder, tmp_path / "timelines", now=NOW)


def test_another_state_of_the_data_is_to_be_signed_again(folder, officer, tmp_path) -> None:
    approval.approve(folder, officer.private, "An Officer", now=NOW)
    path = folder / "made-from.json"
    path.write_text(path.read_text().replace('"kept"', '"kept" ').replace('"patients": 15', '"patients": 14'))
    with pytest.raises(SignatureError, match="another state"):
        build(folder, tmp_path / "timelines", now=NOW)


def test_nobody_but_the_policys_officers_can_sign(folder, officer, tmp_path) -> None:
    other = make_key(tmp_path / "others", "other")
    with pytest.raises(SignatureError, match="policy names"):
        approval.approve(folder, other.private, "A Stranger", now=NOW)
    approval.approve(folder, officer.private, "An Officer", now=NOW)
    with pytest.raises(SignatureError, match="whom the policy names"):
        approval.check(folder, open_made(folder), (other.fingerprint,))


def test_altered_data_are_not_signed(folder, officer) -> None:
    next((folder / "data").glob("*.parquet")).write_bytes(b"altered")
    with pytest.raises(LineageError, match="altered"):
        approval.approve(folder, officer.private, "An Officer", now=NOW)


def test_a_policy_that_names_no_officer_asks_for_no_signature(identified, policy, tmp_path) -> None:
    manifest = deidentify(identified, tmp_path / "out", policy, now=NOW)
    assert "officers" not in manifest.spec["risk"]
    build(tmp_path / "out", tmp_path / "timelines", now=NOW)


def test_an_officer_is_named_by_a_fingerprint(tmp_path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('key_file = "k"\n[risk]\nofficers = ["Dr. Who"]\n')
    with pytest.raises(SpecError, match="fingerprints"):
        load_policy(path)
