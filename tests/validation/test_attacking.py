from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from residency.contract.errors import InputError, SpecError
from residency.contract.packed import DAY
from residency.contract.report import Report, Slice
from residency.contract.specs import read
from residency.model import ModelSpec
from residency.reasoning import Index
from residency.timeline import Timelines
from residency.validation.attacking import AttackSpec, Findings, _cast, _planted, attack_model
from residency.validation.cells import cells_of, unique_in
from residency.validation.membership import judge_gain
from residency.validation.shadows import Room, recorded, room_of, turned

MODEL = {"size": "tiny", "passes": 1, "min_patients": 10, "threads": 1}


@pytest.fixture(scope="module")
def room(clinic: Path) -> Room:
    spec = read(ModelSpec, MODEL)
    return room_of(Timelines.open(clinic / "timelines"), spec, patients=200, days=0.0, last=False)


def test_a_guess_that_is_better_of_members_fails_and_one_that_is_not_passes() -> None:
    rng = np.random.default_rng(0)
    half = rng.random(4_000) < 0.5
    assert judge_gain(rng.random(4_000) < 0.8, half, limit=0.1).outcome == "fail"
    assert judge_gain(rng.random(4_000) < 0.5, half, limit=0.1).outcome == "pass"
    assert judge_gain(half[:30], half[30:60], limit=0.1).outcome == "insufficient"


def test_a_gain_has_the_interval_of_two_shares() -> None:
    members, others = np.arange(400) < 300, np.arange(500) < 250
    found = judge_gain(members, others, limit=0.1)
    assert found.auroc == pytest.approx(0.25)
    error = np.sqrt(0.75 * 0.25 / 400 + 0.25 / 500)
    assert found.high - found.auroc == pytest.approx(1.96 * error, rel=0.01)


def test_secrets_are_planted_in_last_moments_of_those_who_may_be_members_alone(room: Room) -> None:
    cast = _cast(room, AttackSpec(secrets=0.5))
    assert not (cast.member & cast.judges).any()
    assert (cast.secret[cast.judges] == -1).all()
    planted = _planted(room, cast).packed
    changed = np.flatnonzero(np.asarray(planted.event_code) != np.asarray(room.packed.event_code))
    owner = np.searchsorted(room.packed.event_offset[room.packed.moment_offset], changed, "right") - 1
    assert len(changed) > 20
    assert set(owner.tolist()) <= set(np.flatnonzero(cast.secret >= 0).tolist())
    last = room.packed.event_offset[room.packed.moment_offset[owner + 1] - 1]
    np.testing.assert_array_equal(changed, last)


def test_what_was_recorded_agrees_with_looking_event_by_event(room: Room) -> None:
    packed, days = room.packed, 40.0
    index = Index(room.asked.patient[:60], room.asked.as_of[:60])
    found = recorded(packed, room.codes, index, days)
    for row, (patient, at) in enumerate(zip(index.patient, index.as_of, strict=True)):
        codes = {
            int(code)
            for moment in range(*packed.moment_offset[patient : patient + 2])
            if at < packed.moment_time[moment] <= at + days * DAY
            for code in packed.event_code[packed.event_offset[moment] : packed.event_offset[moment + 1]]
        }
        assert found[row].tolist() == [code in codes for code in room.codes]


def test_turning_everybodys_sex_twice_changes_nothing(room: Room) -> None:
    assert any(room.sexes)
    once = turned(room.packed, room.sexes)
    assert (once.event_code != room.packed.event_code).sum() == room.packed.n_patients
    np.testing.assert_array_equal(turned(once, room.sexes).event_code, room.packed.event_code)


def test_too_little_data_is_insufficient_in_every_attack(clinic: Path, ward: Any, tmp_path: Path) -> None:
    settings = AttackSpec(model=MODEL, shadows=2, patients=90, adapter_passes=1)
    manifest = attack_model(tmp_path / "out", clinic / "timelines", settings, now=ward.now)
    found = msgspec.json.decode((tmp_path / "out" / "attacks.json").read_bytes(), type=Findings)
    assert [(one.attack, one.on) for one in found.findings] == [
        ("membership", "outputs"),
        ("membership", "embeddings"),
        ("membership", "adapter"),
        ("planted secrets", "outputs"),
        ("reconstruction of the last moment", "outputs"),
        ("attribute: sex", "outputs"),
    ]
    assert set(manifest.result.values()) == {"insufficient"}
    assert "insufficient" in (tmp_path / "out" / "attacks.md").read_text("utf-8")


def test_hardly_any_patients_are_refused(clinic: Path, ward: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few"):
        attack_model(
            tmp_path / "out", clinic / "timelines", AttackSpec(model=MODEL, patients=5), now=ward.now
        )


def test_an_odd_number_of_shadows_is_refused() -> None:
    with pytest.raises(SpecError, match="even"):
        read(AttackSpec, {"shadows": 3})


def slice_of(patients: int, events: int) -> Slice:
    return Slice(patients=patients, predictions=patients, events=events, model={}, baseline={})


def test_a_small_group_that_is_not_shown_follows_from_those_that_are() -> None:
    slices = {
        "all": slice_of(500, 100),
        "group=sex=female": slice_of(300, 60),
        "group=sex=male": slice_of(197, 40),
    }
    found = cells_of(Report(tasks={"death": slices}))
    assert (found.stated, found.by_differencing) == (0, 1)
    assert found.where == ["death: patients in no value of group=sex"]
    slices["group=sex=other"] = slice_of(3, 0)
    again = cells_of(Report(tasks={"death": slices}))
    assert (again.stated, again.by_differencing) == (2, 0)  # 3 patients, 3 without the outcome


def test_codes_of_few_patients_are_counted(clinic: Path) -> None:
    timelines = Timelines.open(clinic / "timelines")
    assert unique_in(timelines)["codes of fewer than 11 patients"] == 0
    few = replace(timelines.vocabulary, n_patients=np.minimum(timelines.vocabulary.n_patients, 5))
    told = unique_in(replace(timelines, vocabulary=few))
    assert told["codes of fewer than 11 patients"] == int((few.n_patients > 0).sum())
