"""Expected records, added up with their slopes, against the same written as plain arithmetic."""

import pytest
import torch

from residency.model.expected import AtRisk, expected

ROWS, HEADS, COLUMNS, RANK, RUNS = 7, 3, 5, 2, [1, 2, 3]


@pytest.fixture
def parts() -> list[torch.Tensor]:
    torch.manual_seed(1)
    shapes = [(2, ROWS, HEADS, 6, RANK), (2, COLUMNS, RANK), (ROWS, HEADS, 3, COLUMNS), (ROWS, 6, COLUMNS)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def at_risk(n_rows: int = ROWS, bounds: tuple[float, float] = (-30.0, 8.0)) -> AtRisk:
    torch.manual_seed(2)
    due, weight = torch.rand(n_rows, 6, COLUMNS).double(), torch.rand(n_rows, HEADS).double()
    return AtRisk(torch.rand(n_rows, COLUMNS) < 0.5, due, weight, RUNS, bounds)


def by_hand(parts: list[torch.Tensor], who: AtRisk) -> torch.Tensor:
    mixed, code, spans, bias = parts
    both = torch.einsum("wrhbk,wck->wrhbc", mixed, code)
    score = torch.where(who.never[:, None, None], both[0], both[1])
    score = score + spans.repeat_interleave(torch.tensor(RUNS), dim=2) + bias[:, None]
    return torch.einsum("rhbc,rbc,rh->", score.clamp(*who.bounds).exp(), who.due, who.weight)


@pytest.mark.parametrize("at_once", [1, 200, 10**9])
@pytest.mark.parametrize("bounds", [(-30.0, 8.0), (-0.5, 0.5)])
def test_the_sum_and_its_slopes_are_those_of_plain_arithmetic(
    at_once: int,
    bounds: tuple[float, float],
    parts: list[torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("residency.model.expected._AT_ONCE", at_once)
    who = at_risk(bounds=bounds)
    both = expected(who, *parts), by_hand(parts, who)
    assert torch.allclose(*both, rtol=1e-12)
    for mine, theirs in zip(*(torch.autograd.grad(3.0 * one, parts) for one in both), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def test_of_no_rows_none_are_expected(parts: list[torch.Tensor]) -> None:
    mixed, code, spans, bias = parts
    said = expected(at_risk(0), mixed[:, :0], code, spans[:0], bias[:0])
    (slope,) = torch.autograd.grad(said, code)
    assert float(said.detach()) == 0.0
    assert not slope.any()


def test_who_asks_for_the_sum_alone_gets_the_same(parts: list[torch.Tensor]) -> None:
    with torch.no_grad():
        alone = expected(at_risk(), *parts)
    assert torch.equal(alone, expected(at_risk(), *parts).detach())
