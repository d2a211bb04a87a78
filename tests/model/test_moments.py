"""Weights of interpolation."""

import math

import torch

from residency.model.moments import (
    AGO_KNOTS,
    COUNT_KNOTS,
    PANEL_FEATURES,
    RANK_KNOTS,
    hats,
    panel_features,
)


def test_hats_add_to_one_and_find_the_value_again() -> None:
    x = torch.tensor([0.0, 0.3, 2.7, 4.0])
    weight = hats(x, 5)
    assert torch.allclose(weight.sum(dim=-1), torch.ones(4))
    assert torch.allclose(weight @ torch.arange(5.0), x, atol=1e-6)


def test_values_outside_the_knots_count_as_the_nearest() -> None:
    assert torch.equal(hats(torch.tensor([-3.0, 9.0]), 3), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


def test_absence_is_no_knot_at_all() -> None:
    assert hats(torch.tensor([math.nan]), 4).abs().sum() == 0


def test_the_standing_record_is_spread_as_hats_spread_each_of_its_numbers() -> None:
    draw = torch.Generator().manual_seed(3)
    rank, hours, change = torch.rand(3, 40, 7, generator=draw).unbind()
    hours, change = 1e4 * hours - 10.0, change - 0.5
    for x in (rank, hours, change):
        x[torch.rand(x.shape, generator=draw) < 0.3] = math.nan
    count = torch.randint(0, 30, rank.shape, generator=draw).float()
    expected = torch.cat(
        [
            hats(rank * (RANK_KNOTS - 1), RANK_KNOTS),
            hats(torch.log1p(hours.clamp(min=0.0)) / 2.0, AGO_KNOTS),
            hats(torch.log1p(count), COUNT_KNOTS),
            torch.stack([change.clamp(min=0.0), (-change).clamp(min=0.0)], dim=-1).nan_to_num(),
            (hours <= 0).float()[..., None],
        ],
        dim=-1,
    )
    found = panel_features(rank, hours, change, count).view(40, PANEL_FEATURES, 7)
    assert torch.equal(found, expected.transpose(1, 2))
