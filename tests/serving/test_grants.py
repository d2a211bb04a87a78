"""Grants: a key is shown once, and opens what it was granted for, until its day."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from residency.contract.errors import AccessError, SpecError
from residency.serving import load_grants, make_api_key
from residency.serving.grants import digest_of_key

GOOD = """
[[grant]]
name = "clinic"
key = "{key}"
purpose = "DUO:0000043"
until = "2026-03-01"
quota_per_day = 10
tasks = ["sepsis_*"]
"""


@pytest.fixture
def key() -> str:
    return make_api_key()


@pytest.fixture
def path(tmp_path: Path, key: str) -> Path:
    path = tmp_path / "grants.toml"
    path.write_text(GOOD.format(key=digest_of_key(key)), "utf-8")
    return path


def test_the_file_does_not_hold_the_key(path: Path, key: str) -> None:
    assert key not in path.read_text("utf-8")


def test_a_key_opens_its_grant_until_its_last_day(path: Path, key: str) -> None:
    grants = load_grants(path)
    assert grants.of(key, datetime(2026, 3, 1, 23, 59, tzinfo=UTC)).name == "clinic"
    with pytest.raises(AccessError):
        grants.of(key, datetime(2026, 3, 2, tzinfo=UTC))
    for wrong in (None, "", key[:-1], make_api_key()):
        with pytest.raises(AccessError):
            grants.of(wrong, datetime(2026, 3, 1, tzinfo=UTC))


def test_a_grant_covers_the_tasks_it_names(path: Path, key: str) -> None:
    grant = load_grants(path).of(key, datetime(2026, 3, 1, tzinfo=UTC))
    assert grant.covers("sepsis_6h")
    assert not grant.covers("death_1y")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DUO:0000043", "care"),
        ("2026-03-01", "soon"),
        ("quota_per_day = 10", "quota_per_day = 0"),
        ("sha256:", "md5:"),
        ("quota_per_day", "quota"),
    ],
)
def test_a_wrong_grant_is_refused(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(SpecError):
        load_grants(path)


def test_two_grants_with_one_key_are_refused(path: Path) -> None:
    path.write_text(path.read_text("utf-8") * 2, "utf-8")
    with pytest.raises(SpecError, match="same name or key"):
        load_grants(path)
