"""Processor or GPU: one way of writing a step, and what can be held to it without a GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from residency.contract.errors import SpecError
from residency.model import ModelSpec
from residency.model.batches import Batch, plan
from residency.model.fitting import Setup, begin, losses, network_of, setup, total
from residency.model.machine import Machine, moved, read_ahead
from residency.model.marginals import marginals
from residency.timeline import Timelines

BRIEF = ModelSpec(size="tiny", context=16, min_patients=10, threads=1, passes=1)


@pytest.fixture(scope="module")
def given(data: Timelines) -> Setup:
    return setup(data, BRIEF, marginals(data, BRIEF))


@pytest.fixture(scope="module")
def batch(given: Setup) -> Batch:
    piece = plan(given.data, "train", BRIEF, None)[0]
    shard = given.data.shards[piece.shard]
    return given.collator.collate(shard, piece, np.random.default_rng(0), drop=True)


def test_a_gpu_works_in_bfloat16_unless_told_otherwise_and_a_processor_in_float32() -> None:
    assert ModelSpec(device="cuda").in_bfloat16
    assert not ModelSpec(device="cuda", precision="float32").in_bfloat16
    assert not ModelSpec().in_bfloat16
    assert Machine.of(ModelSpec(precision="bfloat16")).dtype is torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused_with_the_mend() -> None:
    with pytest.raises(SpecError, match="no GPU") as refused:
        Machine.of(ModelSpec(device="cuda"))
    assert "cpu" in refused.value.mend


def test_a_batch_moves_whole_and_its_numbers_stay(batch: Batch) -> None:
    seen: list[torch.Tensor] = []
    copy = moved(batch, lambda tensor: seen.append(tensor) or tensor.clone())  # type: ignore[func-returns-value]
    assert len(seen) > 25
    assert torch.equal(copy.inputs.rank, batch.inputs.rank) or batch.inputs.rank.isnan().any()
    assert copy.inputs.entry is not batch.inputs.entry
    assert torch.equal(copy.hazard.days, batch.hazard.days)
    assert (copy.n_events, copy.inputs.shape) == (batch.n_events, batch.inputs.shape)


def test_a_step_on_another_device_never_mixes_devices(given: Setup, batch: Batch) -> None:
    """PyTorch's device without numbers refuses to be mixed with the processor, as a GPU does."""
    network = network_of(given).to("meta")
    loss = total(losses(network, given, moved(batch, lambda tensor: tensor.to("meta"))))
    loss.backward()
    assert loss.device.type == "meta"
    assert {weight.grad.device.type for weight in network.parameters() if weight.grad is not None} == {"meta"}
    with pytest.raises((RuntimeError, NotImplementedError)):
        losses(network, given, batch)


def test_bfloat16_gives_the_loss_of_float32_but_for_rounding(given: Setup, batch: Batch) -> None:
    half = replace(given, spec=replace(BRIEF, precision="bfloat16"))
    network = network_of(given).eval()
    exact, rounded = (float(total(losses(network, one, batch)).detach()) for one in (given, half))
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.01)


def test_a_step_in_bfloat16_leaves_weights_in_float32(given: Setup, batch: Batch) -> None:
    training = begin(replace(given, spec=replace(BRIEF, precision="bfloat16")), None)
    before = {name: weight.detach().clone() for name, weight in training.network.named_parameters()}
    training.step(batch, done=0.5, shard=0, draw=0)
    moved_ones = [name for name, p in training.network.named_parameters() if not torch.equal(p, before[name])]
    assert "trunk.layers.0.qkv.weight" in moved_ones
    assert {weight.dtype for weight in training.network.parameters()} == {torch.float32}


def test_reading_ahead_keeps_order_and_tells_what_went_wrong() -> None:
    assert list(read_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(read_ahead(iter(()))) == []

    def spoilt() -> object:
        yield 1
        raise OSError("a shard is gone")

    read = read_ahead(spoilt())
    assert next(read) == 1
    with pytest.raises(OSError, match="a shard is gone"):
        next(read)
