"""Trees soften train labels, never by a patient's own, and nobody else's."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from residency.contract.progress import silent
from residency.model import Model, ModelSpec, train
from residency.model.fitting import Setup, setup
from residency.model.marginals import marginals
from residency.model.teaching import FOLDS, TRUST, taught
from residency.timeline import Timelines

SPEC = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=2, teacher="trees")


@pytest.fixture(scope="module")
def given(data: Timelines) -> Setup:
    return setup(data, SPEC, marginals(data, SPEC))


@pytest.fixture(scope="module")
def soft(given: Setup, tmp_path_factory: pytest.TempPathFactory) -> Timelines:
    return taught(given, tmp_path_factory.mktemp("work"), silent).data


def rows(data: Timelines, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a split's patients, and whose each is."""
    value, subject = [], []
    for shard, packed in enumerate(data.shards):
        owner = np.repeat(np.arange(packed.n_patients), np.diff(packed.label_offset))
        mine = (data.split(shard) == split)[owner]
        value.append(np.array(packed.label_value)[mine])
        subject.append(np.array(packed.subject)[owner][mine])
    return np.concatenate(value), np.concatenate(subject)


def test_only_train_labels_are_softened(data: Timelines, soft: Timelines) -> None:
    for split in ("tuning", "held_out"):
        assert (rows(soft, split)[0] == rows(data, split)[0]).all()
    came, said = rows(data, "train")[0], rows(soft, "train")[0]
    assert ((said > 0) & (said < 1)).mean() > 0.9
    assert (np.abs(said - came) <= TRUST + 1e-6).all()
    assert roc_auc_score(came, (said - (1 - TRUST) * came) / TRUST) > 0.9


def test_what_trees_say_of_a_patient_hangs_on_others_alone(
    given: Setup, soft: Timelines, tmp_path: Path
) -> None:
    def turned(packed):
        owner = np.repeat(np.array(packed.subject), np.diff(packed.label_offset))
        value = np.array(packed.label_value)
        return packed.with_arrays(label_value=np.where(owner % FOLDS == 1, 1 - value, value))

    other = replace(given, data=replace(given.data, shards=tuple(turned(one) for one in given.data.shards)))
    told = taught(other, tmp_path, silent).data
    said = [
        rows(after, "train")[0] - (1 - TRUST) * rows(before, "train")[0]
        for before, after in ((given.data, soft), (other.data, told))
    ]
    mine = rows(given.data, "train")[1] % FOLDS == 1
    assert np.allclose(said[0][mine], said[1][mine], atol=1e-6)
    assert not np.allclose(said[0][~mine], said[1][~mine], atol=1e-2)


def test_a_training_taken_up_again_reads_what_was_kept(given: Setup, tmp_path: Path) -> None:
    told: list[str] = []
    first = taught(given, tmp_path, lambda what, *_: told.append(what))
    again = taught(given, tmp_path, lambda what, *_: told.append(what))
    assert len(told) == FOLDS
    assert (rows(first.data, "train")[0] == rows(again.data, "train")[0]).all()


def test_labels_of_one_kind_only_stay_as_they_came(given: Setup, tmp_path: Path) -> None:
    ones = tuple(one.with_arrays(label_value=np.ones_like(one.label_value)) for one in given.data.shards)
    plain = replace(given, data=replace(given.data, shards=ones))
    assert (rows(taught(plain, tmp_path, silent).data, "train")[0] == 1).all()


def test_a_taught_model_keeps_nothing_of_single_patients(
    timelines: Path, tmp_path: Path, now: datetime
) -> None:
    train(timelines, tmp_path / "model", SPEC, now=now)
    assert Model.open(tmp_path / "model").labels == ("ill",)
    assert not list((tmp_path / "model").rglob("*taught*"))


def test_an_unknown_teacher_is_refused() -> None:
    with pytest.raises(ValueError, match="teacher"):
        ModelSpec(teacher="crowd")
