"""In: a network. Out: the same with its weights cut over processes (FSDP2), and whole tensors back."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from residency.model.batches import Batch
from residency.model.fitting import Setup, losses, network_of, total
from residency.model.network import Network
from residency.model.together.crew import Crew


class Learner(nn.Module):
    """A network with its loss as one module: while it runs, all weights that heads read are whole."""

    def __init__(self, network: Network, given: Setup) -> None:
        super().__init__()
        self.network, self.given = network, given

    def forward(self, batch: Batch) -> Tensor:
        """Give the loss of a batch."""
        return total(losses(self.network, self.given, batch))


def learner_of(given: Setup, crew: Crew) -> Learner:
    """Make the network with its first weights, and cut it: each layer of the trunk, then the rest."""
    learner = Learner(network_of(given), given)
    given.machine.place(learner, learner.network.trunk)
    for weight in learner.parameters():
        weight.data = weight.data.contiguous()  # as FSDP wants it
    for layer in learner.network.trunk.layers:
        fully_shard(layer, mesh=crew.mesh)
    fully_shard(learner, mesh=crew.mesh)
    return learner


def sync_gradients(learner: Learner, *, on: bool) -> None:
    """Say whether the next way back ends with gradients added up over the processes."""
    cast(FSDPModule, learner).set_requires_gradient_sync(on)


def whole(tensor: Tensor) -> Tensor:
    """Put a tensor together that is cut; every process must ask."""
    result: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return result.detach()


def here(tensor: Tensor) -> Tensor:
    """Give this process's part of a tensor."""
    part: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return part.detach()


def named(learner: Learner) -> dict[str, nn.Parameter]:
    """Give the parameters by the names that they have in the network."""
    return dict(learner.network.named_parameters())


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give copies, cut in the same way."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def lerp(average: dict[str, Tensor], weights: dict[str, nn.Parameter], share: float) -> None:
    """Move averages towards the weights, each process its part."""
    with torch.no_grad():
        for name, weight in weights.items():
            here(average[name]).lerp_(here(weight), share)
