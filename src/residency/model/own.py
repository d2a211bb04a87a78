"""In: numbers of the record at instants. Out: what each taught code reads there, by maps of its own."""

from typing import Final

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from residency.model.moments import CLOCK_NUMBERS, numbers_of

PICKED: Final = 16  # codes of the panel that a taught code reads
HIDDEN: Final = 32
Taught = tuple[tuple[int, tuple[int, ...]], ...]  # each taught target, and the codes of the panel it reads


class OwnMaps(nn.Module):
    """What tells of the first records of each taught code: a few codes of the record, and the clock.

    Trees, which teach these codes, look at few codes each, and at two at a time. A small network of a code's
    own on what its trees looked at most follows them closely; maps that all targets share do not (LOG).
    Lessons alone move these: the training of the whole, with some dozen instants a step, leaves them as they
    are.

    Attributes:
        target: of each.

    Args:
        taught: targets, and what each reads.
        panel: codes that the panel follows, and how many of them have values.
        n_heads: bootstrapped heads.
        n_spans: of time, with numbers of their own.
    """

    target: Int64[Tensor, " taught"]
    index: Int64[Tensor, "taught number"]
    known: Float32[Tensor, "taught number"]

    def __init__(self, taught: Taught, panel: tuple[int, int], n_heads: int, n_spans: int) -> None:
        super().__init__()
        n = CLOCK_NUMBERS + max(len(numbers_of(0, *panel)) * len(codes) for _, codes in taught)
        index = torch.full((len(taught), n), -1)
        for row, (_, codes) in zip(index, taught, strict=True):
            own = [CLOCK_NUMBERS + number for code in codes for number in numbers_of(code, *panel)]
            row[: CLOCK_NUMBERS + len(own)] = torch.tensor([*range(CLOCK_NUMBERS), *own])
        self.register_buffer("target", torch.tensor([target for target, _ in taught]), persistent=False)
        self.register_buffer("index", index.clamp(min=0), persistent=False)
        self.register_buffer("known", (index >= 0).float(), persistent=False)
        self.straight = nn.Parameter(torch.zeros(len(taught), n, n_heads * n_spans))
        self.inner = nn.Parameter(torch.randn(len(taught), n, n_heads * HIDDEN) * 0.1)
        self.shift = nn.Parameter(torch.zeros(len(taught), 1, n_heads * HIDDEN))
        self.outer = nn.Parameter(torch.zeros(len(taught), n_heads, HIDDEN, n_spans))
        self.requires_grad_(False)

    def forward(self, numbers: Float32[Tensor, "row number"]) -> Float32[Tensor, "row head span taught"]:
        """Give what is added to log hazards of first records; the numbers begin with clock and panel."""
        n_taught, n_heads, _, n_spans = self.outer.shape
        read = (numbers[:, self.index] * self.known).transpose(0, 1)
        hidden = functional.relu(torch.baddbmm(self.shift, read, self.inner))
        straight = (read @ self.straight).view(n_taught, -1, n_heads, n_spans)
        said: Tensor = straight + torch.einsum(
            "trhk,thks->trhs", hidden.view(n_taught, -1, n_heads, HIDDEN), self.outer
        )
        return said.permute(1, 2, 3, 0)
