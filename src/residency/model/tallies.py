"""In: what heads say of results of tuning patients, and what came. Out: counts of both, code by code."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from residency.model.generative import CLASSES, Results
from residency.model.network import Network
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
