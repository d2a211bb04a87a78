"""In: states of moments, time passed since. Out: log hazards, label logits, what the next moment holds."""

from typing import Final

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.model.moments import HOUR_KNOTS, Gated, log_hours

N_HEADS: Final = 5
LOWEST, HIGHEST = -30.0, 8.0  # of log hazards per day


class Waiting(nn.Module):
    """Moves a state on by the time that has passed since its moment without news."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = Gated(width + HOUR_KNOTS, width, width)

    def forward(
        self, z: Float32[Tensor, "row width"], hours: Float32[Tensor, " row"]
    ) -> Float32[Tensor, "row width"]:
        """Give the state at the instant asked about."""
        result: Tensor = z + self.map(torch.cat([z, log_hours(hours)], dim=1))
        return result


class HazardHead(nn.Module):
    """Low-rank log hazards of every target over the intervals, by five heads.

    Args:
        width: of a state.
        rank: of a target's vector.
        bias: log hazards per day at the train patients' marginal rates.
    """

    def __init__(self, width: int, rank: int, bias: Float32[Tensor, "target interval"]) -> None:
        super().__init__()
        n_targets, self.n_intervals = bias.shape
        self.rank = rank
        self.mix = nn.Linear(width, N_HEADS * self.n_intervals * rank)
        nn.init.normal_(self.mix.weight, std=width**-0.5)
        nn.init.zeros_(self.mix.bias)
        self.code = nn.Parameter(torch.randn(n_targets, rank) * 0.05)
        self.bias = nn.Parameter(bias.clone())

    def mixed(self, z: Float32[Tensor, "row width"]) -> Float32[Tensor, "row head interval rank"]:
        """Give what the targets' vectors are multiplied with."""
        result: Tensor = self.mix(z).view(len(z), N_HEADS, self.n_intervals, self.rank)
        return result

    def columns(
        self, mixed: Float32[Tensor, "row head interval rank"], target: Int64[Tensor, " column"]
    ) -> Float32[Tensor, "row head column interval"]:
        """Give log hazards of some targets at every row."""
        score = torch.einsum("rhbk,ck->rhcb", mixed, self.code[target])
        return (score + self.bias[target]).clamp(LOWEST, HIGHEST)

    def cells(
        self,
        mixed: Float32[Tensor, "row head interval rank"],
        row: Int64[Tensor, " next"],
        target: Int64[Tensor, " next"],
        interval: Int64[Tensor, " next"],
    ) -> Float32[Tensor, "next head"]:
        """Give log hazards of single (row, target, interval) cells."""
        chosen = mixed.transpose(1, 2).flatten(0, 1)[row * self.n_intervals + interval]
        score = torch.einsum("nhk,nk->nh", chosen, self.code[target])
        return (score + self.bias[target, interval][:, None]).clamp(LOWEST, HIGHEST)


class LabelHead(nn.Module):
    """Logits of the data set's own tasks, by five heads."""

    def __init__(self, width: int, prior: Float32[Tensor, " task"]) -> None:
        super().__init__()
        self.n_tasks = len(prior)
        # not nn.Linear: it warns where there is no task
        weight = torch.randn(N_HEADS * self.n_tasks, width) * 0.02
        self.map = nn.ParameterDict({"weight": weight, "bias": prior.repeat(N_HEADS)})

    def forward(self, z: Float32[Tensor, "row width"]) -> Float32[Tensor, "row head task"]:
        """Give logits of every task."""
        logits = functional.linear(z, self.map["weight"], self.map["bias"])
        result: Tensor = logits.view(len(z), N_HEADS, self.n_tasks)
        return result


class NextHead(nn.Module):
    """What the next moment holds: which codes of the panel, and their ranks. The generative head, thin."""

    def __init__(self, width: int, n_panel: int) -> None:
        super().__init__()
        self.presence = nn.Linear(width, n_panel)
        self.rank = nn.Linear(width, n_panel)

    def forward(self, z: Float32[Tensor, "row width"]) -> tuple[Tensor, Tensor]:
        """Give logits of presence and ranks in [0, 1], each [row, panel]."""
        return self.presence(z), torch.sigmoid(self.rank(z))
