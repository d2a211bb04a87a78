"""In: tensors of a batch. Out: the one network: moment encoder, trunk, and the heads on their states."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from residency.model.generative import FutureHead
from residency.model.heads import N_HEADS, SPANS_DAYS, HazardHead, LabelHead, NextHead, Waiting
from residency.model.inputs import Inputs
from residency.model.moments import MomentEncoder, n_panel_numbers
from residency.model.own import OwnMaps, Taught
from residency.model.queries import QueryHead
from residency.model.spec import ModelSpec
from residency.model.standing import Standing, n_features, n_numbers, standing_of
from residency.model.trunk import Trunk


@dataclass(frozen=True)
class Sizes:
    """What the data ask of the network.

    Attributes:
        n_rows: of the embedding table.
        panel: codes that the panel follows, and how many of them have values.
        bias: log hazards per day at marginal rates.
        prior: logits of the labels at their marginal rates.
        modalities: width of each kind of attachment's vectors.
        later: log hazards per day of later results of each code with values.
        routine: log hazards of routine moments, log shares of leads, log odds of their company.
        taught: targets whose first records a teacher taught, and the codes of the panel each reads.
    """

    n_rows: int
    panel: tuple[int, int]
    bias: Float32[Tensor, "class target interval"]
    prior: Float32[Tensor, " task"]
    modalities: dict[str, int]
    later: Float32[Tensor, "valued interval"]
    routine: "RoutineRates"
    taught: Taught = ()


RoutineRates = tuple[
    Float32[Tensor, " interval"], Float32[Tensor, " routine"], Float32[Tensor, "routine routine"]
]


def no_routine(n: int, n_intervals: int) -> RoutineRates:
    """Give rates that say nothing, of so many routine codes: for weights that come from elsewhere."""
    return torch.zeros(n_intervals), torch.zeros(n), torch.zeros(n, n)


class Network(nn.Module):
    """One network over all modalities."""

    def __init__(self, spec: ModelSpec, sizes: Sizes) -> None:
        super().__init__()
        shape = spec.shape
        self.context, self.modalities = spec.context, sizes.modalities
        n_standing = n_panel_numbers(*sizes.panel)
        self.encoder = MomentEncoder(sizes.n_rows, n_standing, shape.width, shape.drop, sizes.modalities)
        self.trunk = Trunk(shape.width, shape.depth, spec.n_attention, shape.drop)
        record = sizes.panel, sizes.modalities
        self.waiting = Waiting(shape.width)
        maps = OwnMaps(sizes.taught, sizes.panel, N_HEADS, len(SPANS_DAYS) + 1) if sizes.taught else None
        self.hazard = HazardHead((shape.width, n_numbers(*record)), shape.code_rank, sizes.bias, maps)
        self.label = LabelHead((shape.width, n_features(*record)), sizes.prior)
        self.following = NextHead(shape.width, *sizes.panel)
        self.future = FutureHead(shape.width, len(sizes.later), *sizes.routine)
        self.query = QueryHead(shape.width, sizes.bias.shape[1], sizes.later)

    def forward(self, inputs: Inputs) -> Float32[Tensor, "row width"]:
        """Give the state of every moment."""
        states: Tensor = self.trunk(self.encoder(inputs), inputs, self.context)
        return states

    def last(self, inputs: Inputs) -> Float32[Tensor, "window width"]:
        """Give the state of each window's last moment alone."""
        states: Tensor = self.trunk.last(self.encoder(inputs), inputs, self.context)
        return states

    def labelled(
        self,
        states: Float32[Tensor, "row width"],
        record: Standing,
        row: Int64[Tensor, " chosen"],
        hours: Float32[Tensor, " chosen"],
    ) -> Float32[Tensor, "chosen head task"]:
        """Give the labels' logits at instants: the last moment known, and hours since."""
        logits: Tensor = self.label(self.waiting(states[row], hours), record.features(row, hours))
        return logits

    def record(self, inputs: Inputs) -> Standing:
        """Give what stands in the record at every moment, which the heads read beside the state."""
        return standing_of(inputs, self.modalities)


def build(spec: ModelSpec, sizes: Sizes) -> Network:
    """Make a network with the seed's own weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        return Network(spec, sizes)
