"""In: one vector a moment. Out: one state a moment, that knows all moments up to it and none after."""

import math
from typing import cast

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.model.inputs import Inputs
from residency.model.moments import Gated

_SHORTEST, _LONGEST = 3600.0, 30 * 31_557_600.0  # wavelengths in time, seconds


class Layer(nn.Module):
    """One layer of the trunk: causal attention, then a gated map, each added to what came in."""

    def __init__(self, width: int, n_heads: int, drop: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before_attention = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.before_map = nn.RMSNorm(width)
        self.map = Gated(width, 2 * width, width)
        self.drop = nn.Dropout(drop)

    def forward(
        self, x: Float32[Tensor, "window row width"], turn: tuple[Tensor, Tensor], context: int
    ) -> Float32[Tensor, "window row width"]:
        """Let each row look at those before it."""
        n, rows, width = x.shape
        qkv = self.qkv(self.before_attention(x)).view(n, rows, 3, self.n_heads, width // self.n_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = attend(rotate(query, turn), rotate(key, turn), value, context)
        x = x + self.drop(self.out(seen.transpose(1, 2).reshape(n, rows, width)))
        result: Tensor = x + self.drop(self.map(self.before_map(x)))
        return result

    def narrowed(
        self,
        x: Float32[Tensor, "window row width"],
        turn: tuple[Tensor, Tensor],
        at: Int64[Tensor, " row"],
        kept: Int64[Tensor, " kept"],
        context: int,
    ) -> Float32[Tensor, "window kept width"]:
        """Give what `forward` gives at some rows alone; for asking.

        Args:
            x: some rows of each window.
            turn: of these rows.
            at: their numbers in the window, rising from 0.
            kept: which of them.
            context: as in `forward`.
        """
        n, rows, width = x.shape
        normed = self.before_attention(x)
        of_query, of_seen = self.qkv.weight[:width], self.qkv.weight[width:]
        query = (
            functional.linear(normed[:, kept], of_query).view(n, len(kept), self.n_heads, -1).transpose(1, 2)
        )
        seen = functional.linear(normed, of_seen).view(n, rows, 2, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        low = at[kept][:, None] - context
        mask = (at <= at[kept][:, None]) & ((at == 0) | (at > low))
        found = functional.scaled_dot_product_attention(
            rotate(query, (turn[0][:, :, kept], turn[1][:, :, kept])),
            rotate(seen[0], turn),
            seen[1],
            attn_mask=mask,
        )
        x = x[:, kept] + self.out(found.transpose(1, 2).reshape(n, len(kept), width))
        result: Tensor = x + self.map(self.before_map(x))
        return result


def attend(query: Tensor, key: Tensor, value: Tensor, context: int) -> Tensor:
    """Attend to the last `context` rows, itself included, and always to the first.

    All three are [window, head, row, part]. Long records go in blocks of queries, so that work grows with
    their length, not its square; what a row sees is the same whatever follows it.
    """
    rows = query.shape[2]
    if rows <= context:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    blocks = []
    for start in range(0, rows, context):
        stop = min(start + context, rows)
        low = max(start - context + 1, 1)
        seen = torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(low, max(stop, low))]).to(key.device)
        at = torch.arange(start, stop, device=key.device)[:, None]
        mask = (seen <= at) & ((seen == 0) | (seen > at - context))
        blocks.append(
            functional.scaled_dot_product_attention(
                query[:, :, start:stop], key[:, :, seen], value[:, :, seen], attn_mask=mask
            )
        )
    return torch.cat(blocks, dim=2)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn pairs of parts by each row's angles."""
    cosine, sine = turn
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)


class Trunk(nn.Module):
    """Causal transformer over moments; half the heads turn with time, half with order."""

    def __init__(self, width: int, depth: int, n_heads: int, drop: float) -> None:
        super().__init__()
        self.n_heads, self.part = n_heads, width // n_heads
        self.layers = nn.ModuleList([Layer(width, n_heads, drop) for _ in range(depth)])
        self.norm = nn.RMSNorm(width)

    def forward(
        self, x: Float32[Tensor, "row width"], inputs: Inputs, context: int
    ) -> Float32[Tensor, "row width"]:
        """Give each row's state."""
        padded = _windows(x, inputs)
        turn = self._turn(inputs)
        for layer in self.layers:
            padded = layer(padded, turn, context)
        result: Tensor = self.norm(padded.flatten(0, 1)[inputs.place])
        return result

    def last(
        self, x: Float32[Tensor, "row width"], inputs: Inputs, context: int
    ) -> Float32[Tensor, "window width"]:
        """Give what `forward` gives at each window's last row; no more is worked out than that needs."""
        (n, longest), padded = inputs.shape, _windows(x, inputs)
        cosine, sine = self._turn(inputs)
        end = torch.bincount(inputs.place // longest, minlength=n)
        at = torch.arange(longest, device=x.device)
        for above, layer in zip(reversed(range(len(self.layers))), self.layers, strict=True):
            begin = int(end.min()) - 1 - above * (context - 1)
            kept = torch.nonzero((at == 0) | (at >= begin)).squeeze(1)
            turn = cosine[:, :, at], sine[:, :, at]
            padded, at = cast("Layer", layer).narrowed(padded, turn, at, kept, context), at[kept]
        where = torch.searchsorted(at, end - 1)
        result: Tensor = self.norm(padded[torch.arange(n, device=x.device), where])
        return result

    def reach(self, context: int) -> int:
        """How many rows before a row its state may know, besides the first."""
        return len(self.layers) * (context - 1)

    def _turn(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Give cosines and sines [window, head, row, pair]; angles in float64, for a life is 10^9 seconds."""
        pairs = self.part // 2
        by_time = _angles(inputs.second, _SHORTEST, _LONGEST, pairs)
        by_order = _angles(inputs.order, 2 * math.pi, 2 * math.pi * 1000.0, pairs)
        both = torch.stack([by_time, by_order], dim=1).float()
        per_head = _windows(both, inputs).transpose(1, 2).repeat_interleave(self.n_heads // 2, dim=1)
        return per_head.cos(), per_head.sin()


def _windows(x: Float32[Tensor, "row ..."], inputs: Inputs) -> Float32[Tensor, "window longest ..."]:
    """Put rows into their windows, the shorter ones filled up with zeros."""
    n, longest = inputs.shape
    padded = x.new_zeros(n * longest, *x.shape[1:]).index_copy(0, inputs.place, x)
    return padded.view(n, longest, *x.shape[1:])


def _angles(
    x: Float64[Tensor, " row"], shortest: float, longest: float, pairs: int
) -> Float64[Tensor, "row pair"]:
    share = torch.linspace(0, 1, pairs, dtype=torch.float64, device=x.device)
    wavelength = shortest * (longest / shortest) ** share
    return torch.remainder(x[:, None] / wavelength, 1.0) * (2 * math.pi)
