"""In: the parts of log hazards, and who was at risk for how long. Out: how many records that lets expect."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_AT_ONCE: Final = 150_000  # hazards worked out at once: they stay near the processor


@dataclass(frozen=True)
class AtRisk:
    """Who was at risk of what, and for how long.

    Attributes:
        never: whose first record it would be: class 0.
        due: days at risk, times what a column counts.
        weight: of each row for each head.
        runs: how many intervals each span has.
        bounds: of log hazards; beyond them there is no slope.
    """

    never: Bool[Tensor, "row column"]
    due: Float[Tensor, "row interval column"]
    weight: Float[Tensor, "row head"]
    runs: list[int]
    bounds: tuple[float, float]


def expected(
    at_risk: AtRisk,
    mixed: Float[Tensor, "class row head interval rank"],
    code: Float[Tensor, "class column rank"],
    spans: Float[Tensor, "row head span column"],
    bias: Float[Tensor, "row interval column"],
) -> Float[Tensor, ""]:
    """Add up hazard × time at risk over rows, heads, intervals and columns.

    Args:
        at_risk: who was at risk, and for how long.
        mixed: what each class's `code` is multiplied with.
        code: vectors of the columns.
        spans: log hazards of whole spans.
        bias: log hazards where nothing is known.
    """
    result: Tensor = _Expected.apply(at_risk, mixed, code, spans, bias)  # type: ignore[no-untyped-call]
    return result


class _Expected(torch.autograd.Function):
    """The sum, with its slopes.

    Plain arithmetic would go over every hazard some thirty times, there and back, each time through memory.
    Here the slopes are found together with the sum, some rows at a time.
    """

    @staticmethod
    def forward(ctx: Any, at_risk: AtRisk, *parts: Tensor) -> Tensor:
        mixed, code, spans, bias = parts
        slopes, total = [torch.zeros_like(part) for part in parts], mixed.new_zeros(())
        n_rows, n_columns, rank = mixed.shape[1], *code.shape[1:]
        each = max(bias[:1].numel() * mixed.shape[2], 1)
        step = max(n_rows if mixed.is_cuda else _AT_ONCE // each, 1)
        for start in range(0, n_rows, step):
            part = slice(start, start + step)
            first = at_risk.never[part, None, None]
            score = torch.where(first, mixed[0, part] @ code[0].T, mixed[1, part] @ code[1].T)
            for number, span in enumerate(torch.split(score, at_risk.runs, 2)):
                span += spans[part, :, number, None]
            score += bias[part, None]
            low, high = at_risk.bounds
            rate = score.clamp(low, high).exp_()
            rate *= at_risk.due[part, None]
            rate *= at_risk.weight[part, :, None, None]
            total += rate.sum()
            if not any(ctx.needs_input_grad):
                continue
            rate.masked_fill_((score < low) | (score > high), 0.0)
            own = rate * first
            for which, slope in enumerate((own, rate - own)):
                slopes[0][which, part] = slope @ code[which]
                slopes[1][which].addmm_(slope.view(-1, n_columns).T, mixed[which, part].reshape(-1, rank))
            by_span = torch.split(rate, at_risk.runs, 2)
            slopes[2][part] = torch.stack([span.sum(dim=2) for span in by_span], dim=2)
            slopes[3][part] = rate.sum(dim=1)
        ctx.save_for_backward(*slopes)
        return total

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *(along[0] * slope for slope in ctx.saved_tensors))
