from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from residency.cli.app import app
from residency.contract.errors import IdentityError
from residency.deid import Policy, fingerprint, new_key, read_key


def test_a_new_key_is_its_owners_alone_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "key"
    name = new_key(path)
    assert path.stat().st_mode & 0o077 == 0
    assert fingerprint(read_key(Policy(key_file=path, key_fingerprint=name))) == name


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(IdentityError, match="never overwritten"):
        new_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


def test_two_keys_differ(tmp_path: Path) -> None:
    assert new_key(tmp_path / "a") != new_key(tmp_path / "b")


def test_a_lost_key_is_said_to_be_missing_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="missing"):
        read_key(Policy(key_file=tmp_path / "key"))
    assert not (tmp_path / "key").exists()


def test_another_key_is_refused(policy: Policy) -> None:
    with pytest.raises(IdentityError, match="not the one"):
        read_key(replace(policy, key_fingerprint="0" * 16))


@pytest.mark.parametrize("body", ["", "zz-secret", "ab" * 31, "é"])
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, body: str) -> None:
    (tmp_path / "key").write_text(body, "utf-8")
    with pytest.raises(IdentityError) as refused:
        read_key(Policy(key_file=tmp_path / "key"))
    assert not body or body not in str(refused.value)


def test_a_key_inside_a_data_folder_is_refused(tmp_path: Path) -> None:
    for inside in (tmp_path / "records" / "key", tmp_path / "records" / "deep" / "key"):
        new_key(inside)
        with pytest.raises(IdentityError, match="inside a data folder"):
            read_key(Policy(key_file=inside), [tmp_path / "records"])


def test_a_key_inside_any_folder_that_a_step_made_is_refused(tmp_path: Path) -> None:
    new_key(tmp_path / "other" / "key")
    (tmp_path / "other" / "made-from.json").write_text("{}")
    with pytest.raises(IdentityError, match="inside a data folder"):
        read_key(Policy(key_file=tmp_path / "other" / "key"))
    with pytest.raises(IdentityError, match="inside a data folder"):
        new_key(tmp_path / "other" / "second")


def test_what_a_lost_key_costs_is_said_when_it_is_made(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["key", str(tmp_path / "deid.key")])
    assert ended.exit_code == 0
    assert "cannot be made again" in ended.stderr
    assert (tmp_path / "deid.key").read_text().strip() not in ended.output
