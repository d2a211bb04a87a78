"""In: the tensors of a batch. Out: one vector a moment: what it holds, the standing record, the clock."""

from typing import Final, cast

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional

from residency.model.inputs import Attached, Inputs

HOUR_KNOTS: Final = 14  # hats over log1p(hours): 0 to 12.6, an hour to 30 years and beyond
SINCE_KNOTS: Final = 53  # as HOUR_KNOTS, four times as fine: how long a stay has lasted tells much
AGE_KNOTS: Final = 13  # hats over years of age, a decade apart
CLOCK_NUMBERS: Final = HOUR_KNOTS + SINCE_KNOTS + AGE_KNOTS
RANK_KNOTS: Final = 9
COUNT_KNOTS: Final = 4
AGO_KNOTS: Final = 7  # as HOUR_KNOTS, twice as wide
_AT_ONCE: Final = 1024  # rows whose standing record is spread at once: it stays near the processor
SEEN_FEATURES: Final = AGO_KNOTS + COUNT_KNOTS + 1  # of every code of the panel
VALUE_FEATURES: Final = RANK_KNOTS + 2  # of a code with values besides
PLAIN_NUMBERS: Final = 3  # of a code with values
TAIL: Final = 0.3  # of ranks, at either end, that have a slope of their own
PLAIN: Final = 4.0  # times a rank: of few patients the plain numbers are learnt before the knots


def hats(x: Float32[Tensor, "..."], n: int) -> Float32[Tensor, "... knot"]:
    """Give the weights of linear interpolation between knots 0 to n - 1; all 0 where x is NaN.

    Example:
        >>> hats(torch.tensor([0.25]), 3).tolist()
        [[0.75, 0.25, 0.0]]
    """
    at = torch.nan_to_num(x).clamp(0.0, n - 1.0)
    weight = functional.relu(1.0 - (at[..., None] - torch.arange(n, device=x.device)).abs())
    return weight * ~torch.isnan(x)[..., None]


def log_hours(hours: Float32[Tensor, "..."]) -> Float32[Tensor, "... knot"]:
    """Give hats over the logarithm of a span."""
    return hats(torch.log1p(hours.clamp(min=0.0)), HOUR_KNOTS)


def log_since(hours: Float32[Tensor, "..."]) -> Float32[Tensor, "... knot"]:
    """Give finer hats over the logarithm of the time since the first moment."""
    return hats(4.0 * torch.log1p(hours.clamp(min=0.0)), SINCE_KNOTS)


def clock_numbers(clock: Float32[Tensor, "row 3"]) -> Float32[Tensor, "row number"]:
    """Spread hours since the moment before, hours since the first and years of age over knots."""
    gap, since, age = clock.unbind(dim=1)
    return torch.cat([log_hours(gap), log_since(since), hats(age / 10.0, AGE_KNOTS)], dim=1)


class Gated(nn.Module):
    """SwiGLU: two linear maps, one gating the other, and a third back."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.up = nn.Linear(n_in, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, n_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis."""
        gate, value = self.up(x).chunk(2, dim=-1)
        result: Tensor = self.down(functional.silu(gate) * value)
        return result


class Attachment(nn.Module):
    """Reads one kind of attachment: at its own moment, and as what stands on record ever after.

    Args:
        n: width of its vectors.
        width: of a moment's vector.
    """

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.now = nn.Linear(n, width)
        self.kept = nn.Linear(n, width // 2)
        self.since = Gated(2 * (width // 2) + AGO_KNOTS, width, width)

    def observed(self, bag: Float32[Tensor, "row width"], attached: Attached) -> Float32[Tensor, "row width"]:
        """Add the attachments of each row's own moment."""
        here = attached.seen >= 0
        added: Tensor = bag.index_add(0, attached.seen[here], self.now(attached.vector[here]))
        return added

    def standing(self, attached: Attached) -> Float32[Tensor, "row width"]:
        """Give what each row knows: the newest moment's attachments, the mean of all, and how long ago."""
        known = attached.latest >= 0
        result = torch.zeros(len(known), self.now.out_features, device=known.device)
        if not len(attached.vector):
            return result
        latest, first = attached.latest[known], attached.first[known]
        each = self._by_group(attached)
        upto = functional.pad(each.double().cumsum(dim=0), (0, 0, 1, 0))
        mean = ((upto[latest + 1] - upto[first]) / (latest + 1 - first)[:, None]).float()
        ago = hats(torch.log1p(attached.hours[known].clamp(min=0.0)) / 2.0, AGO_KNOTS)
        return result.index_add(
            0, known.nonzero().squeeze(1), self.since(torch.cat([each[latest], mean, ago], dim=1))
        )

    def _by_group(self, attached: Attached) -> Float32[Tensor, "group part"]:
        """Give the mean of each moment's vectors."""
        n_groups = int(attached.group[-1]) + 1
        kept = self.kept(attached.vector)
        total = kept.new_zeros(n_groups, kept.shape[1]).index_add(0, attached.group, kept)
        count = torch.bincount(attached.group, minlength=n_groups)
        each: Tensor = total / count[:, None]
        return each


class MomentEncoder(nn.Module):
    """Makes one vector of what a moment holds, the record's standing state, and the clock.

    Args:
        n_rows: of the embedding table.
        n_features: numbers of the panel's standing state.
        width: of the vector.
        drop: share of numbers dropped in training.
        modalities: width of each kind of attachment's vectors, by kind.
    """

    def __init__(
        self, n_rows: int, n_features: int, width: int, drop: float, modalities: dict[str, int]
    ) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(n_rows, width) * 0.1)
        self.norm = nn.RMSNorm(width)
        self.pool = Gated(width, 2 * width, width)
        self.standing = Gated(n_features, width, width)
        self.drop = nn.Dropout(drop)
        self.clock = nn.Linear(CLOCK_NUMBERS, width)
        self.modalities = nn.ModuleDict({kind: Attachment(n, width) for kind, n in modalities.items()})

    def forward(self, inputs: Inputs) -> Float32[Tensor, "row width"]:
        """Encode each row."""
        bag = functional.embedding_bag(
            inputs.entry, self.table, inputs.bag, mode="sum", per_sample_weights=inputs.weight
        )
        panel = (inputs.rank, inputs.hours, inputs.change, inputs.count)
        parts = zip(*(torch.split(x, _AT_ONCE) for x in panel), strict=True)
        standing = torch.cat([self.standing(panel_numbers(*part)) for part in parts])
        for kind, attached in inputs.attached.items():
            reads = cast("Attachment", self.modalities[kind])
            bag = reads.observed(bag, attached)
            standing = standing + reads.standing(attached)
        observed = bag + self.pool(self.norm(bag))
        result: Tensor = self.drop(observed + standing) + self.clock(clock_numbers(inputs.clock))
        return result


def n_panel_features(n_panel: int, n_valued: int) -> int:
    """Give how many numbers `panel_features` makes of a panel, so many of whose codes have values."""
    return n_panel * SEEN_FEATURES + n_valued * VALUE_FEATURES


def panel_features(
    rank: Float32[Tensor, "row valued"],
    hours: Float32[Tensor, "row panel"],
    change: Float32[Tensor, "row valued"],
    count: Float32[Tensor, "row panel"],
) -> Float32[Tensor, "row feature"]:
    """Spread the standing record over knots, knot by knot: each knot's numbers of all codes lie together.

    `hats`, in place: half of a small model's work is here.
    """
    n, (n_panel, n_valued) = len(rank), (hours.shape[1], rank.shape[1])
    result = rank.new_empty(n, n_panel_features(n_panel, n_valued))
    seen = result[:, : n_panel * SEEN_FEATURES].view(n, SEEN_FEATURES, n_panel)
    value = result[:, n_panel * SEEN_FEATURES :].view(n, VALUE_FEATURES, n_valued)
    _spread(torch.log1p(hours.clamp(min=0.0)) / 2.0, seen[:, :AGO_KNOTS])
    _spread(torch.log1p(count), seen[:, AGO_KNOTS:-1])
    seen[:, -1] = hours <= 0
    _spread(rank * (RANK_KNOTS - 1), value[:, :RANK_KNOTS])
    change = torch.nan_to_num(change)
    value[:, -2], value[:, -1] = functional.relu(change), functional.relu(-change)
    return result


def plain_numbers(rank: Float32[Tensor, "row valued"]) -> Float32[Tensor, "row number"]:
    """Give each rank as it is, and how far it lies in either tail; 0 where there is none."""
    high, low = functional.relu(rank - 1.0 + TAIL), functional.relu(TAIL - rank)
    plain = torch.stack([PLAIN * (rank - 0.5), 2 * PLAIN * high, 2 * PLAIN * low], dim=1)
    return torch.nan_to_num(plain).flatten(1)


def panel_numbers(
    rank: Float32[Tensor, "row valued"],
    hours: Float32[Tensor, "row panel"],
    change: Float32[Tensor, "row valued"],
    count: Float32[Tensor, "row panel"],
) -> Float32[Tensor, "row number"]:
    """Give the plain numbers, then the features: of few patients the first are learnt before the knots."""
    return torch.cat([plain_numbers(rank), panel_features(rank, hours, change, count)], dim=1)


def numbers_of(code: int, n_panel: int, n_valued: int) -> list[int]:
    """Give where a code of the panel lies in `panel_numbers`."""
    values = code < n_valued  # those with values come first
    plain, seen = PLAIN_NUMBERS * values, PLAIN_NUMBERS * n_valued
    spread = seen + SEEN_FEATURES * n_panel
    return [
        *(knot * n_valued + code for knot in range(plain)),
        *(seen + knot * n_panel + code for knot in range(SEEN_FEATURES)),
        *(spread + knot * n_valued + code for knot in range(VALUE_FEATURES * values)),
    ]


def n_panel_numbers(n_panel: int, n_valued: int) -> int:
    """Give how many numbers `panel_numbers` makes."""
    return PLAIN_NUMBERS * n_valued + n_panel_features(n_panel, n_valued)


def _spread(x: Float32[Tensor, "row code"], into: Float32[Tensor, "row knot code"]) -> None:
    """Write hats over as many knots as there is room for; 0 where x is NaN."""
    n_knots = into.shape[1]
    knots = torch.arange(n_knots, device=x.device, dtype=x.dtype)[:, None]
    torch.sub(x.clamp(0.0, n_knots - 1.0)[:, None], knots, out=into)
    into.abs_().neg_().add_(1.0).clamp_(min=0.0).nan_to_num_(nan=0.0)
