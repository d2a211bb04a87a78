"""In: what heads say of tuning patients, and what came. Out: counts of both, of each target and result."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from residency.model.calibration import SLOPES
from residency.model.generative import CLASSES, Results
from residency.model.network import Network
from residency.model.objectives import HazardTargets
from residency.model.queries import Later


@dataclass(frozen=True)
class Counts:
    """How often what came, and how often it was expected.

    Attributes:
        first: results by code and bin, the last without a value.
        later: values inside a range after one outside, by code.
    """

    first: Float64[np.ndarray, "2 valued class"]
    later: Float64[np.ndarray, "2 valued"]

    @classmethod
    def none(cls, n_valued: int) -> "Counts":
        """Begin."""
        return cls(np.zeros((2, n_valued, CLASSES)), np.zeros((2, n_valued)))

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.first + other.first, self.later + other.later)


def counted(
    network: Network,
    z: Float32[Tensor, "index width"],
    panel: Float32[Tensor, "index 4 panel"],
    came: tuple[Results, Later],
) -> Counts:
    """Count what came and what the heads expect of it.

    Args:
        network: to be judged.
        z: states at instants.
        panel: what stood in the record there.
        came: first results, and later ones.
    """
    results, later = came
    n = len(network.query.code)
    said = torch.softmax(network.future.values(z, panel, results), dim=1).double().numpy()
    counts = Counts.none(n)
    np.add.at(counts.first[0], (results.code.numpy(), results.what.numpy()), 1.0)
    np.add.at(counts.first[1], results.code.numpy(), said)
    log_rate, log_share = network.query.after(z, panel, later.asked)
    mass = (log_share.exp() * later.inside).sum(dim=1)
    spent = (log_rate.exp() * later.days).sum(dim=1) * mass
    seen = later.interval < log_rate.shape[1]
    np.add.at(counts.later[0], later.asked.code.numpy(), seen.double().numpy())
    np.add.at(counts.later[1], later.asked.code.numpy(), spent.double().numpy())
    return counts


@dataclass(frozen=True)
class Borne:
    """What came of each target, first and later, and what hazards expect of it at each of `SLOPES`.

    Attributes:
        observed: how often it came.
        expected: how often it was expected.
        score: log hazards at what came, added up.
    """

    observed: Float64[np.ndarray, "class target"]
    expected: Float64[np.ndarray, "class slope target"]
    score: Float64[np.ndarray, "class slope target"]

    @classmethod
    def none(cls, n_targets: int) -> "Borne":
        """Begin."""
        shape = 2, len(SLOPES), n_targets
        return cls(np.zeros((2, n_targets)), np.zeros(shape), np.zeros(shape))

    def __add__(self, other: "Borne") -> "Borne":
        return Borne(self.observed + other.observed, self.expected + other.expected, self.score + other.score)


def borne(
    truth: HazardTargets,
    rate: Float32[Tensor, "index column interval"],
    usual: Float32[Tensor, "class target interval"],
) -> Borne:
    """Count what came of the sampled targets, and what was expected at each slope.

    Args:
        truth: what came.
        rate: hazards per day, the mean of the heads.
        usual: each target's log hazards where nothing is known.
    """
    which = truth.columns
    base = torch.where(truth.never[:, :, None], usual[0, which], usual[1, which])
    beyond = rate.log() - base
    row, column = (truth.target[:, None] == which).nonzero(as_tuple=True)
    at = truth.row[row], column, truth.interval[row]
    place = (1 - truth.first[row].long()) * len(which) + column
    classes = torch.stack([truth.never, ~truth.never]).float()
    found = Borne.none(usual.shape[1])
    here = which.numpy()

    def tallied(x: Tensor) -> np.ndarray:
        added = torch.zeros(2 * len(which), dtype=torch.float64).index_add(0, place, x.double())
        result: np.ndarray = (added.view(2, -1) * truth.column_weight).numpy()
        return result

    found.observed[:, here] = tallied(torch.ones(len(place)))
    for number, slope in enumerate(SLOPES):
        spent = ((base + slope * beyond).exp() * truth.days).sum(dim=2)
        found.expected[:, number][:, here] = ((classes * spent).sum(dim=1) * truth.column_weight).numpy()
        found.score[:, number][:, here] = tallied(base[at] + slope * beyond[at])
    return found
