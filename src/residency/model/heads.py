"""In: states of moments, time passed since. Out: log hazards, label logits, what the next moment holds."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.model.expected import AtRisk, expected
from residency.model.moments import HOUR_KNOTS, Gated, log_hours
from residency.model.outcomes import LADDER_DAYS
from residency.model.own import OwnMaps

N_HEADS: Final = 5
NEAR: Final = 64  # numbers of the standing record that a head reads
LABEL_DROP: Final = 0.4
LOWEST, HIGHEST = -30.0, 8.0  # of log hazards per day
SPANS_DAYS: Final = (7.0, 365.25)  # before, between and after these, the standing record is read apart, too


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


class Standing(nn.Module):
    """What heads read straight from the standing record, past the trunk.

    A rare diagnosis moves a trunk that all targets share too little; its own few numbers here it moves at
    once. A linear model of the chart's last values is a strong baseline: here it is a part of the network.
    Most of what it says holds for all intervals; some for within a week, to a year, or beyond alone: what is
    about to be found shows itself otherwise than what will come in ten years.

    Args:
        n_features: of the standing record.
        n_out: classes, targets and intervals.
    """

    def __init__(self, n_features: int, n_out: tuple[int, int, int]) -> None:
        super().__init__()
        n_classes, n_targets, n_intervals = n_out
        self.down = nn.Linear(n_features, N_HEADS * NEAR, bias=False)
        nn.init.normal_(self.down.weight, std=0.2)
        self.up = nn.Parameter(torch.zeros(n_classes, n_targets, NEAR))
        self.apart = nn.Parameter(torch.zeros(n_classes, n_targets, len(SPANS_DAYS) + 1, NEAR))
        self.span = [bisect_right(SPANS_DAYS, begin) for begin in (0.0, *LADDER_DAYS)[:n_intervals]]

    @property
    def both(self) -> Float32[Tensor, "class target span near"]:
        """Give what is shared by all spans and what each has to itself, together."""
        result: Tensor = self.up[:, :, None] + self.apart
        return result

    def forward(self, features: Float32[Tensor, "row feature"]) -> Float32[Tensor, "row head near"]:
        """Give what `up` is multiplied with."""
        result: Tensor = self.down(features).view(len(features), N_HEADS, NEAR)
        return result


@dataclass(frozen=True)
class Read:
    """What a hazard head reads at some rows."""

    mixed: Float32[Tensor, "class row head interval rank"]
    near: Float32[Tensor, "row head near"]
    own: Float32[Tensor, "row head span taught_and_1"] | None


@dataclass(frozen=True)
class Cells:
    """Single cells of the hazards: row, target, interval, and whether it was the first occurrence."""

    row: Int64[Tensor, " next"]
    target: Int64[Tensor, " next"]
    interval: Int64[Tensor, " next"]
    first: Bool[Tensor, " next"]


class HazardHead(nn.Module):
    """Low-rank log hazards of every target over the intervals, by five heads: of first and later occurrences.

    Class 0 holds where the patient never had the target, class 1 where they had. Records of what a patient
    has already outnumber first ones by far; apart, they cannot drown them (*incident* and *recurrent*). A
    part of each is the same for all intervals: what raises a risk, mostly raises it at once and later.

    Args:
        sizes: width of a state, and numbers of the standing record.
        rank: of a target's vector.
        bias: log hazards per day at the train patients' marginal rates, by class.
        own: what is read of the taught codes alone; None where none is taught.
    """

    place: Int64[Tensor, " target"]  # of each among the taught, or behind them

    def __init__(
        self,
        sizes: tuple[int, int],
        rank: int,
        bias: Float32[Tensor, "class target interval"],
        own: OwnMaps | None = None,
    ) -> None:
        super().__init__()
        width, n_features = sizes
        self.n_classes, n_targets, self.n_intervals = bias.shape
        self.rank = rank
        self.shared = nn.Linear(width, self.n_classes * N_HEADS * rank)
        self.mix = nn.Linear(width, self.n_classes * N_HEADS * self.n_intervals * rank)
        for part, std in ((self.shared, 1.0), (self.mix, 0.1)):
            nn.init.normal_(part.weight, std=std * width**-0.5)
            nn.init.zeros_(part.bias)
        self.standing = Standing(n_features, (self.n_classes, n_targets, self.n_intervals))
        self.own = own
        place = torch.full((n_targets,), 0 if own is None else len(own.target))
        if own is not None:
            place[own.target] = torch.arange(len(own.target))
        self.register_buffer("place", place, persistent=False)
        self.code = nn.Parameter(torch.randn(self.n_classes, n_targets, rank) * 0.05)
        self.bias = nn.Parameter(bias.clone())

    def read(self, z: Float32[Tensor, "row width"], features: Float32[Tensor, "row feature"]) -> Read:
        """Give what the targets' vectors are multiplied with, and what the taught codes' own maps say.

        Args:
            z: states.
            features: `numbers` of the record.
        """
        own = self.mix(z).view(len(z), self.n_classes, N_HEADS, self.n_intervals, self.rank)
        shared = self.shared(z).view(len(z), self.n_classes, N_HEADS, 1, self.rank)
        near = self.standing(features[:, -self.standing.down.in_features :])
        maps = None if self.own is None else functional.pad(self.own(features), (0, 1))
        return Read((own + shared).transpose(0, 1), near, maps)

    def columns(
        self,
        read: Read,
        target: Int64[Tensor, " column"],
        never: Bool[Tensor, "row column"],
        slope: tuple[float, float] = (1.0, 1.0),
    ) -> Float32[Tensor, "row head column interval"]:
        """Give log hazards of some targets at every row.

        Args:
            read: from `read`.
            target: which.
            never: who never had them.
            slope: on what is said beyond the usual log hazards, by class.
        """
        code, spans, bias = self._parts(read, target, never, slope)
        mixed = [x @ one.T for x, one in zip(read.mixed, code, strict=True)]
        result = torch.where(never[:, None, None], mixed[0], mixed[1])
        return (result + spans[:, :, self.standing.span] + bias[:, None]).clamp(LOWEST, HIGHEST).mT

    def firsts(
        self, read: Read, target: Int64[Tensor, " column"]
    ) -> Float32[Tensor, "row head column interval"]:
        """Give log hazards of some targets' first occurrences at every row."""
        never = torch.ones(len(read.near), len(target), dtype=torch.bool, device=read.near.device)
        return self.columns(read, target, never)

    def expected(
        self,
        read: Read,
        target: Int64[Tensor, " column"],
        never: Bool[Tensor, "row column"],
        due: Float32[Tensor, "row column interval"],
        weight: Float32[Tensor, "row head"],
    ) -> Float32[Tensor, ""]:
        """Give the sum of hazards × `due` × `weight`; `columns`, added up where it is cheapest.

        Args:
            read: from `read`.
            target: which.
            never: who never had them.
            due: days at risk, times what each counts.
            weight: of each row for each head.
        """
        runs = [self.standing.span.count(one) for one in range(len(SPANS_DAYS) + 1)]
        at_risk = AtRisk(never, due.mT, weight, runs, (LOWEST, HIGHEST))
        return expected(at_risk, read.mixed, *self._parts(read, target, never, (1.0, 1.0)))

    def _parts(
        self,
        read: Read,
        target: Int64[Tensor, " column"],
        never: Bool[Tensor, "row column"],
        slope: tuple[float, float],
    ) -> tuple[
        Float32[Tensor, "class column rank"],
        Float32[Tensor, "row head span column"],
        Float32[Tensor, "row interval column"],
    ]:
        """Give the targets' vectors, what the record says of spans, and biases; columns beside each other."""
        by = self.code.new_tensor(slope)[:, None, None]
        code, near = by * self.code[:, target], by[..., None] * self.standing.both[:, target]
        first, again = torch.einsum("rhd,wcsd->wrhsc", read.near, near)
        if read.own is not None:
            first = first + slope[0] * read.own[..., self.place[target]]
        bias = self.bias[:, target].mT
        return (
            code,
            torch.where(never[:, None, None], first, again),
            torch.where(never[:, None], bias[0], bias[1]),
        )

    def cells(self, read: Read, cell: Cells) -> Float32[Tensor, "next head"]:
        """Give log hazards of single cells."""
        which = 1 - cell.first.long()
        chosen = read.mixed[which, cell.row, :, cell.interval]
        score = (chosen * self.code[which, cell.target][:, None]).sum(dim=2)
        # all rows and targets at once: cheaper than the many cells of each row one by one
        every = torch.einsum("rhd,wtsd->rwtsh", read.near, self.standing.both)
        span = torch.tensor(self.standing.span, device=cell.interval.device)
        near = every[cell.row, which, cell.target, span[cell.interval]]
        if read.own is not None:
            own = read.own[cell.row, :, span[cell.interval], self.place[cell.target]]
            near = near + own * cell.first[:, None]
        bias = self.bias[which, cell.target, cell.interval]
        return (score + near + bias[:, None]).clamp(LOWEST, HIGHEST)


class Logits(nn.Module):
    """Logits of the data set's own tasks, by five heads, each on numbers of its own."""

    def __init__(self, width: int, prior: Float32[Tensor, " task"]) -> None:
        super().__init__()
        self.n_tasks = len(prior)
        # not nn.Linear: it warns where there is no task
        weight = torch.randn(N_HEADS * self.n_tasks, width) * 0.02
        self.map = nn.ParameterDict({"weight": weight, "bias": prior.repeat(N_HEADS)})

    def forward(self, h: Float32[Tensor, "row head width"]) -> Float32[Tensor, "row head task"]:
        """Give logits of every task."""
        weight = self.map["weight"].view(N_HEADS, self.n_tasks, h.shape[-1])
        bias = self.map["bias"].view(N_HEADS, self.n_tasks)
        result: Tensor = torch.einsum("rhw,htw->rht", h, weight) + bias
        return result


class LabelHead(nn.Module):
    """Reads state and standing record by two maps that the heads share, each in its own way (TabM, 2025).

    Labels are many, but those of one patient repeat each other: without what is dropped here, patients are
    learnt by heart within one pass. A head has signs and scales of its own, so that heads differ.

    Args:
        sizes: width of a state, and numbers of the standing record.
        prior: log-odds of each task.
    """

    def __init__(self, sizes: tuple[int, int], prior: Float32[Tensor, " task"]) -> None:
        super().__init__()
        width, n_features = sizes
        hidden = 2 * width if len(prior) else 1  # no numbers to learn where there is no task
        self.first = nn.Linear(width + n_features, hidden)
        nn.init.normal_(self.first.weight, std=0.1)
        self.signs = nn.Parameter(torch.randint(0, 2, (N_HEADS, hidden)) * 2.0 - 1.0)
        self.second = nn.Linear(hidden, hidden, bias=False)
        self.scale = nn.Parameter(torch.ones(N_HEADS, hidden))
        self.shift = nn.Parameter(torch.zeros(N_HEADS, hidden))
        self.drop = nn.Dropout(LABEL_DROP)
        self.logits = Logits(hidden, prior)

    def forward(
        self, z: Float32[Tensor, "row width"], features: Float32[Tensor, "row feature"]
    ) -> Float32[Tensor, "row head task"]:
        """Give logits of every task."""
        shared = self.drop(functional.relu(self.first(torch.cat([z, features], dim=1))))
        own = self.second(shared[:, None] * self.signs) * self.scale + self.shift
        result: Tensor = self.logits(self.drop(functional.relu(own)))
        return result


def of_task(
    logits: Float32[Tensor, "label head task"], task: Int64[Tensor, " label"]
) -> Float32[Tensor, "label head"]:
    """Give each label's logits of its own task."""
    return logits.gather(2, task[:, None, None].expand(-1, logits.shape[1], 1)).squeeze(2)


class NextHead(nn.Module):
    """What the next moment holds: which codes of the panel, and their ranks. It teaches the trunk."""

    def __init__(self, width: int, n_panel: int, n_valued: int) -> None:
        super().__init__()
        self.presence = nn.Linear(width, n_panel)
        self.rank = nn.Linear(width, n_valued)

    def forward(self, z: Float32[Tensor, "row width"]) -> tuple[Tensor, Tensor]:
        """Give logits of presence [row, panel], and ranks in [0, 1] of the codes with values."""
        return self.presence(z), torch.sigmoid(self.rank(z))
