"""In: a network. Out: the same with a low-rank addition to its matrices, trained or stored (LoRA, 2021)."""

import copy
from typing import Final

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.utils import parametrize

from residency.contract.errors import LineageError
from residency.model.calibration import Calibration
from residency.model.network import Network

_PARTS: Final = ("encoder.", "trunk.", "waiting.", "hazard.")
_DENSE: Final = "label.logits.map.weight"  # few numbers: moved as they are


class LowRank(nn.Module):
    """Adds the product of two thin matrices; nothing at first."""

    def __init__(self, down: Float32[Tensor, "rank n_in"], up: Float32[Tensor, "n_out rank"]) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)

    def forward(self, weight: Float32[Tensor, "n_out n_in"]) -> Float32[Tensor, "n_out n_in"]:
        """Give the matrix with what is added."""
        return weight + self.up @ self.down


def matrices(network: Network) -> dict[str, nn.Linear]:
    """Give the matrices that an adapter adds to, by name."""
    return {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, nn.Linear) and name.startswith(_PARTS)
    }


def with_adapters(network: Network, rank: int, seed: int) -> Network:
    """Give a copy whose weights are frozen and whose adapters, which add nothing yet, are to be trained."""
    adapted = copy.deepcopy(network).requires_grad_(False)
    draws = torch.Generator().manual_seed(seed)
    for part in matrices(adapted).values():
        n_out, n_in = part.weight.shape
        down = torch.randn(rank, n_in, generator=draws) * n_in**-0.5
        parametrize.register_parametrization(part, "weight", LowRank(down, torch.zeros(n_out, rank)))
    adapted.label.logits.map["weight"].requires_grad_(True)
    return adapted


def adapter_of(adapted: Network, base: Network) -> dict[str, Tensor]:
    """Give what an adapter keeps: thin matrices by name, and the move of the labels' few numbers."""
    kept = {
        name.replace(".parametrizations.weight.0", ""): parameter.detach().clone()
        for name, parameter in adapted.named_parameters()
        if ".parametrizations.weight.0." in name
    }
    kept[_DENSE] = (adapted.label.logits.map["weight"] - base.label.logits.map["weight"]).detach()
    return kept


def merged(network: Network, adapter: dict[str, Tensor]) -> Network:
    """Give a copy of the network with an adapter added in: as fast as the base.

    Raises:
        LineageError: the adapter does not fit the network.
    """
    result = copy.deepcopy(network)
    try:
        with torch.no_grad():
            if _DENSE in adapter:
                result.label.logits.map["weight"].add_(adapter[_DENSE])
            for name, part in matrices(result).items():
                if f"{name}.up" in adapter:
                    part.weight.add_(adapter[f"{name}.up"] @ adapter[f"{name}.down"])
    except (KeyError, RuntimeError):
        raise LineageError("the adapter does not fit its base", mend="fetch both again") from None
    return result.eval().requires_grad_(False)


def baked(network: Network, calibration: Calibration) -> Network:
    """Give a copy whose weights hold a calibration: hazards by slopes and factors, labels by their lines."""
    result = copy.deepcopy(network)
    factors, slopes = torch.from_numpy(calibration.factors), torch.tensor(calibration.slopes)
    lines = torch.tensor(calibration.labels, dtype=torch.float32).reshape(-1, 2)
    slope, shift = (
        column.repeat(result.label.logits.map["bias"].numel() // max(len(lines), 1)) for column in lines.T
    )
    with torch.no_grad():
        result.hazard.bias.add_(factors.log()[:, :, None])
        result.hazard.code.mul_(slopes[:, None, None])
        result.hazard.standing.up.mul_(slopes[:, None, None])
        result.hazard.standing.apart.mul_(slopes[:, None, None, None])
        if result.hazard.own is not None:
            result.hazard.own.straight.mul_(slopes[0])
            result.hazard.own.outer.mul_(slopes[0])
        result.label.logits.map["weight"].mul_(slope[:, None])
        result.label.logits.map["bias"].mul_(slope).add_(shift)
    return result
