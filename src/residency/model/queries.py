"""In: states at instants. Out: how codes share moments, and which values come after a first result.

Hazards and values say when a code comes next and what it shows then. Two things they leave open are learned
here: whether two codes come in one moment (sets), and what later results show (thresholds). Like the
generative head, it reads the trunk and teaches it nothing.
"""

from dataclasses import dataclass
from math import log
from typing import Final

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.model.generative import OWN, VALUE_BINS, Results, history_of
from residency.model.heads import HIGHEST, LOWEST
from residency.model.moments import Gated

KINDS: Final = 8  # of moments that codes may share; one more, the first, is each code's own
_START: Final = log(0.9 / 0.1 * KINDS)  # nine tenths of a code's moments are its own, until data tell more
_SHARP: Final = 10.0  # a step moves a share of kinds this much faster than another weight
_CODE: Final = 16
_HIDDEN: Final = 64


@dataclass(frozen=True)
class Sets:
    """When any of some targets came next: sets drawn from one patient's future, judged by the others'.

    Attributes:
        target: of all sets.
        member: places in `target` of each set's members, which stand neither above nor below each other.
        never: whether the patient never had each of `target`.
        interval: that the next of any fell in; one past the last where none came.
        days: exposure of each index row in each interval.
        judged: whether the row is of another patient than the one whom the set was drawn from.
    """

    target: Int64[Tensor, " chosen"]
    member: Int64[Tensor, "set member"]
    never: Bool[Tensor, "index chosen"]
    interval: Int64[Tensor, "index set"]
    days: Float32[Tensor, "index set interval"]
    judged: Bool[Tensor, "index set"]


@dataclass(frozen=True)
class Later:
    """Results whose first value lay outside a range of values, and when one inside it came.

    Attributes:
        asked: the first results.
        inside: bins of the range.
        interval: that a value inside came in, counted from the instant; one past the last where none came.
        days: from the first result on, in each interval, without a value inside.
    """

    asked: Results
    inside: Bool[Tensor, "result bin"]
    interval: Int64[Tensor, " result"]
    days: Float32[Tensor, "result interval"]


@dataclass(frozen=True)
class Queried:
    """What is learned of sets and of thresholds from a batch."""

    sets: Sets
    later: Later


class QueryHead(nn.Module):
    """Which kinds of moments a code comes in, and how fast its later results come, bin by bin.

    Args:
        width: of a state.
        n_targets: codes with hazards.
        later: log hazards of later results of each code with values, at marginal rates.
    """

    def __init__(self, width: int, n_targets: int, later: Float32[Tensor, "valued interval"]) -> None:
        super().__init__()
        self.kind = nn.Parameter(torch.randn(n_targets, 1 + KINDS) * 0.05)
        self.code = nn.Parameter(torch.randn(len(later), _CODE))
        self.later = Gated(width + _CODE + OWN, _HIDDEN, later.shape[1] + VALUE_BINS)
        edge = 0.5 - 0.5 * torch.cos(torch.linspace(0.0, torch.pi, VALUE_BINS + 1))
        share = edge.diff().log().repeat(len(later), 1).to(later)
        self.bias = nn.ParameterDict({"rate": later.clone(), "share": share})
        with torch.no_grad():
            self.later.down.weight.mul_(0.1)

    def kinds(self, target: Int64[Tensor, " chosen"]) -> Float32[Tensor, "chosen kind"]:
        """Give the shares of a code's moments: its own, then those of each kind; they add up to one."""
        start = self.kind.new_tensor([_START, *[0.0] * KINDS])
        return torch.softmax(_SHARP * self.kind[target] + start, dim=1)

    def after(
        self,
        z: Float32[Tensor, "index width"],
        panel: Float32[Tensor, "index 4 panel"],
        asked: Results,
    ) -> tuple[Float32[Tensor, "result interval"], Float32[Tensor, "result bin"]]:
        """Give log hazards of results after the first, by time from the instant, and log shares of bins."""
        read = torch.cat([z[asked.row], self.code[asked.code], history_of(panel, asked)], dim=1)
        n_intervals = self.bias["rate"].shape[1]
        rate, share = self.later(read).split([n_intervals, VALUE_BINS], dim=1)
        log_rate = (rate + self.bias["rate"][asked.code]).clamp(LOWEST, HIGHEST)
        return log_rate, functional.log_softmax(share + self.bias["share"][asked.code], dim=1)


def joined(
    hazard: Float32[Tensor, "*batch member interval"], kinds: Float32[Tensor, "*set member kind"]
) -> Float32[Tensor, "*batch interval"]:
    """Give the hazard of any of some codes: own moments add up, of moments of one kind the most counts.

    One code alone is itself; more codes are never less; all are at least the greatest and at most the sum.
    """
    own = (hazard * kinds[..., :1]).sum(dim=-2)
    shared = (hazard[..., None, :] * kinds[..., 1:, None]).amax(dim=-3).sum(dim=-2)
    result: Tensor = own + shared
    return result


def set_loss(
    head: QueryHead, rate: Float32[Tensor, "index chosen interval"], truth: Sets
) -> Float32[Tensor, ""]:
    """Negative log-likelihood of when any of a set came, a mean over sets and rows; hazards are as they are.

    Args:
        head: how codes share moments.
        rate: hazards of `truth.target`.
        truth: what came.
    """
    if not len(truth.member):
        return head.kind.sum() * 0.0
    hazard = joined(rate.detach()[:, truth.member], head.kinds(truth.target)[truth.member])
    spent = (hazard * truth.days).sum(dim=2)
    last = hazard.shape[2] - 1
    reached = hazard.gather(2, truth.interval.clamp(max=last)[..., None])[..., 0].clamp(min=1e-30).log()
    each = (spent - reached * (truth.interval <= last)) * truth.judged
    return each.sum() / truth.judged.sum().clamp(min=1)


def later_loss(
    head: QueryHead,
    z: Float32[Tensor, "index width"],
    panel: Float32[Tensor, "index 4 panel"],
    truth: Later,
) -> Float32[Tensor, ""]:
    """Negative log-likelihood of when a value inside a range came, given that the first was outside."""
    log_rate, log_share = head.after(z.detach(), panel.detach(), truth.asked)
    log_mass = log_share.masked_fill(~truth.inside, float("-inf")).logsumexp(dim=1)
    spent = (log_rate.exp() * truth.days).sum(dim=1) * log_mass.exp()
    last = log_rate.shape[1] - 1
    reached = log_rate.gather(1, truth.interval.clamp(max=last)[:, None])[:, 0] + log_mass
    each = spent - reached * (truth.interval <= last)
    return each.sum() / max(len(each), 1)
