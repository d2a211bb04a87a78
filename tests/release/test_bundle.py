"""A bundle: proposed, signed by two, promoted, verified, refused when any byte of it changes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from residency.contract.errors import GateError, LineageError, SignatureError
from residency.contract.report import Report, Slice
from residency.release import (
    export,
    load_policy,
    make_demo_keys,
    make_key,
    open_bundle,
    promote,
    propose,
    retire,
    show,
    sign,
    sign_policy,
    step_back,
    verify,
)
from residency.release.demo import DemoKeys
from residency.release.keys import KeyPair


def test_a_bundle_carries_what_serving_needs_and_no_patient(bundle: Path) -> None:
    found = {
        path.relative_to(bundle / "content").as_posix()
        for path in (bundle / "content").rglob("*")
        if path.is_file()
    }
    assert found >= {
        "model/model.safetensors",
        "model/made-from.json",
        "report/report.json",
        "policy.toml",
        "allow_list.json",
        "verdicts.json",
        "model_card.md",
        "model_card.json",
    }
    assert not any("predictions" in name for name in found)


def test_the_same_proposal_is_made_once_and_another_leaves_it_untouched(
    bundle: Path, tmp_path: Path, keys: DemoKeys, now: datetime
) -> None:
    before = (bundle / "ledger.jsonl").read_bytes()
    again = propose(tmp_path / "model", tmp_path / "report", bundle, keys.policy, now=now + timedelta(days=1))
    assert (again / "ledger.jsonl").read_bytes() == before
    statements = tmp_path / "statements.toml"
    statements.write_text('funding = "nobody"', "utf-8")
    with pytest.raises(LineageError):
        propose(tmp_path / "model", tmp_path / "report", bundle, keys.policy, now=now, statements=statements)
    assert (bundle / "ledger.jsonl").read_bytes() == before


def test_a_report_of_another_model_is_refused(
    tmp_path: Path, bundle: Path, keys: DemoKeys, now: datetime
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "model", other)
    manifest = json.loads((other / "made-from.json").read_text())
    (other / "made-from.json").write_text(json.dumps({**manifest, "made_from": ["1" * 64]}))
    with pytest.raises(LineageError, match="another model"):
        propose(other, tmp_path / "report", tmp_path / "new", keys.policy, now=now)
    assert not (tmp_path / "new").exists()


def test_a_policy_that_nobody_signed_puts_nothing_in_force(
    tmp_path: Path, bundle: Path, policy_file: Path, now: datetime
) -> None:
    with pytest.raises(SignatureError, match="not signed"):
        propose(tmp_path / "model", tmp_path / "report", tmp_path / "new", policy_file, now=now)


def test_a_policy_altered_after_it_was_signed_is_refused(
    tmp_path: Path, bundle: Path, keys: DemoKeys, now: datetime
) -> None:
    keys.policy.write_text(keys.policy.read_text("utf-8").replace("0.7", "0.1"), "utf-8")
    with pytest.raises(SignatureError, match="does not hold"):
        propose(tmp_path / "model", tmp_path / "report", tmp_path / "new", keys.policy, now=now)


def test_one_person_cannot_take_a_step_up(bundle: Path, keys: DemoKeys, now: datetime) -> None:
    first = keys.signers[0]
    with pytest.raises(GateError, match="0 of 2"):
        promote(bundle, "validated")
    for _ in range(2):  # signing twice is signing once
        sign(bundle, first.key, first.name, first.role, now=now)
    with pytest.raises(GateError, match="1 of 2"):
        promote(bundle, "validated")
    assert verify(bundle).state == "proposed"


def test_two_people_take_it_up_step_by_step_and_no_step_is_skipped(
    bundle: Path, keys: DemoKeys, take_up: Callable[[Path, str], None], now: datetime
) -> None:
    first = keys.signers[0]
    with pytest.raises(GateError, match="not the step after"):
        sign(bundle, first.key, first.name, first.role, now=now, to="internal")
    for state in ("validated", "silent", "internal", "released"):
        take_up(bundle, state)
        assert verify(bundle).state == state
    with pytest.raises(GateError, match="nothing comes after"):
        sign(bundle, first.key, first.name, first.role, now=now)


def test_whom_the_policy_does_not_name_cannot_sign(
    bundle: Path, tmp_path: Path, keys: DemoKeys, now: datetime
) -> None:
    stranger, (first, second) = make_key(tmp_path / "elsewhere", "stranger"), keys.signers
    with pytest.raises(GateError, match="nobody with this key"):
        sign(bundle, stranger.private, first.name, first.role, now=now)
    with pytest.raises(GateError, match="another name or role"):
        sign(bundle, first.key, second.name, second.role, now=now)
    assert not list((bundle / "signatures").iterdir())


def test_a_release_whose_tasks_all_failed_earns_no_step(
    tmp_path: Path,
    model: Path,
    keys: DemoKeys,
    make_report_folder: Callable[[Report], Path],
    figures: Callable[..., Slice],
    now: datetime,
) -> None:
    report = make_report_folder(Report(tasks={"task": {"all": figures(0.6)}}))
    bundle = propose(model, report, tmp_path / "bundle", keys.policy, now=now)
    first = keys.signers[0]
    with pytest.raises(GateError, match="no examined task passed"):
        sign(bundle, first.key, first.name, first.role, now=now)


PEOPLE = {
    "A. Data Scientist": "data science",
    "B. Safety Officer": "clinical safety",
    "C. Chair of the Board": "release board",
    "D. Deputy Chair": "release board",
}


@dataclass(frozen=True)
class Institution:
    """A bundle under a policy that is no demo, and its people's keys."""

    bundle: Path
    keys: dict[str, KeyPair]
    board: Path

    def sign(self, name: str, time: datetime) -> None:
        sign(self.bundle, self.keys[name].private, name, PEOPLE[name], now=time)

    def take_up(self, to: str, names: tuple[str, ...], time: datetime) -> None:
        for name in names:
            self.sign(name, time)
        promote(self.bundle, to)


@pytest.fixture
def real(tmp_path: Path, bundle: Path, policy_file: Path, now: datetime) -> Institution:
    pairs = {name: make_key(tmp_path / "real", name.split()[-1]) for name in PEOPLE}
    text = policy_file.read_text("utf-8")
    for n, pair in enumerate(pairs.values(), start=1):
        text = text.replace(f"sha256:{n:064d}", pair.fingerprint)
    policy = tmp_path / "real" / "policy.toml"
    policy.write_text(text, "utf-8")
    board = make_key(tmp_path / "board", "board")
    sign_policy(policy, board.private, "The Board")
    out = propose(tmp_path / "model", tmp_path / "report", tmp_path / "real_bundle", policy, now=now)
    return Institution(out, pairs, board.public)


def test_a_step_waits_for_the_roles_that_the_policy_names(real: Institution, now: datetime) -> None:
    with pytest.raises(GateError, match="roles that have not signed: data science"):
        real.take_up("validated", ("B. Safety Officer", "C. Chair of the Board"), now)
    real.take_up("validated", ("A. Data Scientist",), now)
    assert verify(real.bundle).state == "validated"


def test_a_step_waits_for_its_days_and_for_what_people_must_state(real: Institution, now: datetime) -> None:
    scientist, officer, chair = "A. Data Scientist", "B. Safety Officer", "C. Chair of the Board"
    real.take_up("validated", (scientist, officer), now)
    real.take_up("silent", (scientist, officer), now)
    with pytest.raises(GateError, match="28 days as silent have not passed"):
        real.sign(officer, now + timedelta(days=27))
    real.take_up("internal", (officer, chair), now + timedelta(days=28))
    with pytest.raises(GateError, match="to be stated"):
        real.sign(officer, now + timedelta(days=56))


def test_a_release_opens_beyond_this_machine_only_where_its_state_and_a_trusted_key_permit(
    real: Institution, now: datetime
) -> None:
    scientist, officer, chair = "A. Data Scientist", "B. Safety Officer", "C. Chair of the Board"
    real.take_up("validated", (scientist, officer), now)
    real.take_up("silent", (scientist, officer), now)
    real.take_up("internal", (officer, chair), now + timedelta(days=28))
    assert not open_bundle(real.bundle, "internal", trusted=real.board).demo
    with pytest.raises(GateError, match="opens internal, loopback, not outside"):
        open_bundle(real.bundle, "outside", trusted=real.board)
    with pytest.raises(SignatureError, match="not trusted here"):
        open_bundle(real.bundle, "internal", trusted=real.keys[scientist].public)
    with pytest.raises(GateError, match="against a key that is trusted"):
        open_bundle(real.bundle, "internal")


def test_a_demo_bundle_opens_on_loopback_only(
    bundle: Path, keys: DemoKeys, take_up: Callable[[Path, str], None]
) -> None:
    with pytest.raises(GateError, match="opens nowhere"):
        open_bundle(bundle, "loopback")
    for state in ("validated", "silent", "internal", "released"):
        take_up(bundle, state)
        assert open_bundle(bundle, "loopback").demo
    for place in ("internal", "outside"):
        with pytest.raises(GateError, match="DEMO"):
            open_bundle(bundle, place, trusted=keys.trusted)


def test_an_incident_takes_a_release_back_and_retirement_ends_it(
    bundle: Path, keys: DemoKeys, take_up: Callable[[Path, str], None], now: datetime
) -> None:
    who = (bundle, keys.signers[1].key, keys.signers[1].name, keys.signers[1].role)
    for state in ("validated", "silent", "internal"):
        take_up(bundle, state)
    with pytest.raises(GateError, match="needs its reason"):
        step_back(*who, to="validated", reason=" ", now=now)
    with pytest.raises(GateError, match="not up"):
        step_back(*who, to="released", reason="alerts stopped", now=now)
    step_back(*who, to="validated", reason="alerts stopped", now=now)
    assert verify(bundle).state == "validated"
    take_up(bundle, "silent")
    retire(*who, reason="replaced", now=now)
    assert show(bundle)["state"] == "retired"
    with pytest.raises(GateError, match="opens nowhere"):
        open_bundle(bundle, "loopback")
    with pytest.raises(GateError, match="stays retired"):
        step_back(*who, to="silent", reason="we were wrong", now=now)


def test_a_demo_hospital_whose_model_may_answer_nothing_can_still_be_looked_at(
    tmp_path: Path,
    model: Path,
    make_report_folder: Callable[[Report], Path],
    figures: Callable[..., Slice],
    policy_file: Path,
    now: datetime,
) -> None:
    keys = make_demo_keys(tmp_path / "demo", policy_file.parent / "hospital" / "release.toml")
    report = make_report_folder(
        Report(tasks={"task": {"all": figures(0.9, events=3)}, "ranked": {"all": figures(0.56)}})
    )
    bundle = propose(model, report, tmp_path / "bundle", keys.policy, now=now)
    for to in ("validated", "silent", "internal"):
        for person in keys.signers:
            sign(bundle, person.key, person.name, person.role, now=now)
        promote(bundle, to)
    assert open_bundle(bundle, "loopback").allow_list.tasks == ()


def test_a_byte_changed_in_any_file_is_found_before_a_weight_is_read(
    bundle: Path, take_up: Callable[[Path, str], None]
) -> None:
    take_up(bundle, "validated")
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        body = path.read_bytes()
        for place in {0, len(body) // 3, len(body) // 2, len(body) - 1}:
            path.write_bytes(body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])
            with pytest.raises(SignatureError):
                open_bundle(bundle, "loopback")
        path.write_bytes(body)
    assert open_bundle(bundle, "loopback").state == "validated"


@pytest.mark.parametrize(
    "name", ["content/model/extra.py", "content/.gitignore", "signatures/other.sig", "note.txt"]
)
def test_a_file_that_was_added_is_found(
    bundle: Path, take_up: Callable[[Path, str], None], name: str
) -> None:
    take_up(bundle, "validated")
    (bundle / name).write_bytes(b"x")
    with pytest.raises(SignatureError):
        verify(bundle)


def test_a_file_that_was_taken_away_or_made_a_link_is_found(
    bundle: Path, tmp_path: Path, take_up: Callable[[Path, str], None]
) -> None:
    take_up(bundle, "validated")
    weights = bundle / "content" / "model" / "model.safetensors"
    shutil.move(weights, tmp_path / "elsewhere.safetensors")
    with pytest.raises(SignatureError):
        verify(bundle)
    weights.symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(SignatureError):
        verify(bundle)


def test_signing_takes_up_where_a_killed_one_stopped(bundle: Path, keys: DemoKeys, now: datetime) -> None:
    (bundle / "signatures" / "0123456789abcdef.pub").write_text("half a step")
    (bundle / "ledger.tmp").write_text("half a line")
    first = keys.signers[0]
    sign(bundle, first.key, first.name, first.role, now=now)
    assert [str(entry.state) for entry in verify(bundle).approvals] == ["validated"]


def test_an_export_is_the_same_bytes_each_time_and_refuses_an_altered_bundle(
    bundle: Path, tmp_path: Path, take_up: Callable[[Path, str], None]
) -> None:
    take_up(bundle, "validated")
    moved = tmp_path / "moved"
    shutil.copytree(bundle, moved)
    assert export(bundle, tmp_path / "a.tar") == export(moved, tmp_path / "b.tar")
    shutil.unpack_archive(tmp_path / "a.tar", tmp_path / "unpacked", filter="data")
    assert verify(tmp_path / "unpacked" / "bundle").state == "validated"
    (moved / "content" / "model" / "model.json").write_bytes(b"[]")
    with pytest.raises(SignatureError):
        export(moved, tmp_path / "c.tar")
    assert not (tmp_path / "c.tar").exists()


def test_the_demo_keys_are_labelled_and_kept(keys: DemoKeys, policy_file: Path) -> None:
    assert all(
        b"DEMO" in person.key.read_bytes() and person.name.startswith("DEMO") for person in keys.signers
    )
    assert load_policy(keys.policy).is_demo
    assert not load_policy(policy_file).is_demo
    assert all(person.key.stat().st_mode & 0o077 == 0 for person in keys.signers)


def test_a_bundle_of_format_1_still_verifies() -> None:
    standing = verify(Path(__file__).parents[1] / "golden" / "1" / "bundle")
    assert (standing.state, standing.demo, standing.allow_list.tasks) == ("validated", True, ("diabetes_1y",))
    assert standing.digest == "e810f8a02635131d22c25743c53e67d2a63d950c83480ad0da592957434e72bb"
