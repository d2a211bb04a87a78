"""In: states at instants. Out: when the next routine moment comes, which codes it holds, their values.

It reads the trunk and teaches it nothing: what it learns cannot harm a hazard.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.model.heads import HIGHEST, LOWEST
from residency.model.moments import (
    HOUR_KNOTS,
    Gated,
    log_hours,
    n_panel_numbers,
    panel_numbers,
)

VALUE_BINS: Final = 16  # of ranks, spread as the network reads them
OWN: Final = n_panel_numbers(1, 1)  # numbers of a result's own code
CLASSES: Final = VALUE_BINS + 1  # the last: recorded without a value
_CODE: Final = 16  # numbers that stand for a code with values
_HIDDEN: Final = 64


@dataclass(frozen=True)
class Coming:
    """What came after index rows, as tensors.

    Attributes:
        at: index row of each next routine moment.
        interval: that it fell in; one past the last where later.
        days: exposure of every index row in each interval.
        hours: to each of these moments.
        present: their routine codes.
        lead: the rarest of each.
        measured: next results of codes with values.
    """

    at: Int64[Tensor, " moment"]
    interval: Int64[Tensor, " moment"]
    days: Float32[Tensor, "index interval"]
    hours: Float32[Tensor, " moment"]
    present: Bool[Tensor, "moment routine"]
    lead: Int64[Tensor, " moment"]
    measured: "Results"


@dataclass(frozen=True)
class Results:
    """Results that came, or that might.

    Attributes:
        row: index row of each.
        hours: from the index row's instant to it.
        code: place among the codes with values.
        slot: place in the panel; −1 outside it.
        what: bin of its rank, or the last class where it has no value.
    """

    row: Int64[Tensor, " result"]
    hours: Float32[Tensor, " result"]
    code: Int64[Tensor, " result"]
    slot: Int64[Tensor, " result"]
    what: Int64[Tensor, " result"]


class FutureHead(nn.Module):
    """What comes next: the hazard of a routine moment, its lead, the lead's company, and values.

    A moment's codes are drawn in two steps: its rarest (the lead), then which of the commoner ones come with
    it. So every set of codes has a chance, and the chances of all sets add up to one.

    Args:
        width: of a state.
        n_valued: codes with values.
        log_rate: of routine moments, by interval.
        lead: log share of each lead.
        together: log odds of each code, by lead.
    """

    def __init__(
        self,
        width: int,
        n_valued: int,
        log_rate: Float32[Tensor, " interval"],
        lead: Float32[Tensor, " routine"],
        together: Float32[Tensor, "lead routine"],
    ) -> None:
        super().__init__()
        reads, n = width + HOUR_KNOTS, len(lead)
        self.when = Gated(width, width, len(log_rate))
        # not nn.Linear: it warns where there is no code
        self.what = nn.ParameterDict({name: torch.zeros(n, reads) for name in ("lead", "company")})
        self.code = nn.Parameter(torch.randn(n_valued, _CODE))
        self.value = Gated(reads + _CODE + OWN, _HIDDEN, CLASSES)
        edge = 0.5 - 0.5 * torch.cos(torch.linspace(0.0, torch.pi, VALUE_BINS + 1, device=lead.device))
        share = torch.cat([edge.diff(), lead.new_tensor([0.02])]).log()
        bias = {"when": log_rate, "lead": lead, "company": together, "value": share.repeat(n_valued, 1)}
        self.bias = nn.ParameterDict({name: tensor.clone() for name, tensor in bias.items()})
        with torch.no_grad():
            for part in (self.when, self.value):
                part.down.weight.mul_(0.1)

    def log_rate(self, z: Float32[Tensor, "index width"]) -> Float32[Tensor, "index interval"]:
        """Give log hazards per day of the next routine moment, by time from the instant."""
        said: Tensor = (self.when(z) + self.bias["when"]).clamp(LOWEST, HIGHEST)
        return said

    def lead(
        self, z: Float32[Tensor, "moment width"], hours: Float32[Tensor, " moment"]
    ) -> Float32[Tensor, "moment routine"]:
        """Give logits of which is the rarest code of a routine moment that comes after so many hours."""
        return functional.linear(_read(z, hours), self.what["lead"], self.bias["lead"])

    def company(
        self,
        z: Float32[Tensor, "moment width"],
        hours: Float32[Tensor, " moment"],
        lead: Int64[Tensor, " moment"],
    ) -> Float32[Tensor, "moment routine"]:
        """Give logits of which codes come with a lead; those that are not commoner never do."""
        logits = functional.linear(_read(z, hours), self.what["company"]) + self.bias["company"][lead]
        commoner = torch.arange(logits.shape[1], device=z.device) < lead[:, None]
        said: Tensor = logits.masked_fill(~commoner, float("-inf"))
        return said

    def values(
        self,
        z: Float32[Tensor, "index width"],
        panel: Float32[Tensor, "index 4 panel"],
        asked: Results,
    ) -> Float32[Tensor, "result class"]:
        """Give logits of the bins of a result, and of a record without a value.

        Args:
            z: states at the instants.
            panel: what stands in the record there: of the code's own history.
            asked: which codes, when.
        """
        own = history_of(panel, asked)
        read = torch.cat([_read(z[asked.row], asked.hours), self.code[asked.code], own], dim=1)
        result: Tensor = self.value(read) + self.bias["value"][asked.code]
        return result


def history_of(panel: Float32[Tensor, "index 4 panel"], asked: Results) -> Float32[Tensor, "result feature"]:
    """Give what stands in the record of each result's own code; nothing of a code outside the panel."""
    history = panel[asked.row, :, asked.slot.clamp(min=0)]
    history = history.masked_fill((asked.slot < 0)[:, None], float("nan"))
    rank, hours, change, count = history[:, :, None].unbind(1)
    return panel_numbers(rank, hours, change, torch.nan_to_num(count))


def _read(z: Float32[Tensor, "row width"], hours: Float32[Tensor, " row"]) -> Float32[Tensor, "row read"]:
    return torch.cat([z, log_hours(hours)], dim=1)
