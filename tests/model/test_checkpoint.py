"""Checkpoints are whole or not at all."""

from pathlib import Path

import pytest
import torch

from residency.contract.errors import LineageError
from residency.model.checkpoint import Checkpoint, Curve, Point, load, named, save, under


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    point = Point(pass_number=2, batch=7, loss_sum=1.25, curve=(Curve(0, 0.5, None), Curve(1, 0.4, 0.5)))
    save(tmp_path / "c.safetensors", Checkpoint({"a/b": torch.arange(3.0)}, point))
    found = load(tmp_path / "c.safetensors")
    assert found is not None
    assert found.tensors["a/b"].tolist() == [0.0, 1.0, 2.0]
    assert found.point.batch == 7
    assert found.point.curve[1] == Curve(1, 0.4, 0.5)


def test_no_checkpoint_is_a_beginning(tmp_path: Path) -> None:
    assert load(tmp_path / "c.safetensors") is None


def test_a_half_written_checkpoint_never_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save(path, Checkpoint({"a": torch.zeros(2)}, Point()))
    path.with_suffix(".tmp").write_bytes(b"cut")
    assert load(path) is not None


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(LineageError):
        load(tmp_path / "c.safetensors")


def test_prefixes_come_off_as_they_went_on() -> None:
    tensors = {"x.y": torch.zeros(1)}
    assert under("network", named("network", tensors) | named("average", tensors)).keys() == tensors.keys()
