"""Estimates before a training: they must be what the training then takes."""

from itertools import pairwise
from pathlib import Path

import pytest

from residency.model import ModelSpec
from residency.model.checkpoint import read_tensors
from residency.model.fitting import network_of, setup
from residency.model.marginals import marginals
from residency.model.planning.cost import bare_network, estimates, step_of
from residency.timeline import Timelines

SPEC = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=2)


def test_parameters_and_bytes_are_those_of_the_trained_model(data: Timelines, trained: Path) -> None:
    tiny = next(one for one in estimates(data, SPEC) if one.size == "tiny")
    tensors, _ = read_tensors(trained / "model.safetensors")
    assert tiny.parameters == sum(tensor.numel() for tensor in tensors.values())
    on_disk = (trained / "model.safetensors").stat().st_size
    assert on_disk == pytest.approx(4 * tiny.parameters, rel=0.05)
    assert tiny.disk == 4 * tiny.parameters * 11


def test_every_size_is_estimated_and_one_is_timed(data: Timelines) -> None:
    found = estimates(data, SPEC)
    assert [one.size for one in found] == ["tiny", "small", "base", "large", "huge"]
    assert [one.size for one in found if one.timed] == ["tiny"]
    for smaller, larger in pairwise(found):
        assert larger.parameters > smaller.parameters
        assert larger.memory > smaller.memory
    assert found[0].steps >= 2


def test_a_network_without_weights_has_the_same_shapes(data: Timelines) -> None:
    given = setup(data, SPEC, marginals(data, SPEC))
    bare, real = bare_network(given), network_of(given)
    assert {n: p.shape for n, p in bare.named_parameters()} == {
        n: p.shape for n, p in real.named_parameters()
    }
    assert all(p.device.type == "meta" for p in bare.parameters())


def test_useful_multiplications_grow_with_the_network(data: Timelines) -> None:
    found = marginals(data, SPEC)
    tiny = step_of(setup(data, SPEC, found))
    small = step_of(setup(data, ModelSpec(size="small", context=16, min_patients=10, threads=1), found))
    assert 0 < tiny.flops < small.flops
    assert tiny.seconds > 0
    assert tiny.saved > 0
