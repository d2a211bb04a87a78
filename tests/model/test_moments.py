"""Weights of interpolation."""

import math

import torch

from residency.model.moments import hats


def test_hats_add_to_one_and_find_the_value_again() -> None:
    x = torch.tensor([0.0, 0.3, 2.7, 4.0])
    weight = hats(x, 5)
    assert torch.allclose(weight.sum(dim=-1), torch.ones(4))
    assert torch.allclose(weight @ torch.arange(5.0), x, atol=1e-6)


def test_values_outside_the_knots_count_as_the_nearest() -> None:
    assert torch.equal(hats(torch.tensor([-3.0, 9.0]), 3), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


def test_absence_is_no_knot_at_all() -> None:
    assert hats(torch.tensor([math.nan]), 4).abs().sum() == 0
