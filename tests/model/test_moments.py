"""Weights of interpolation."""

import math

import torch

from residency.model.moments import (
    AGO_KNOTS,
    COUNT_KNOTS,
    RANK_KNOTS,
    SEEN_FEATURES,
    VALUE_FEATURES,
    hats,
    panel_features,
    plain_numbers,
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
    valued = 3
    rank, hours, change = torch.rand(3, 40, 7, generator=draw).unbind()
    hours, change = 1e4 * hours - 10.0, change - 0.5
    for x in (rank, hours, change):
        x[torch.rand(x.shape, generator=draw) < 0.3] = math.nan
    rank, change = rank[:, :valued], change[:, :valued]
    count = torch.randint(0, 30, hours.shape, generator=draw).float()
    seen = [
        hats(torch.log1p(hours.clamp(min=0.0)) / 2.0, AGO_KNOTS),
        hats(torch.log1p(count), COUNT_KNOTS),
        (hours <= 0).float()[..., None],
    ]
    value = [
        hats(rank * (RANK_KNOTS - 1), RANK_KNOTS),
        torch.stack([change.clamp(min=0.0), (-change).clamp(min=0.0)], dim=-1).nan_to_num(),
    ]
    found = panel_features(rank, hours, change, count).split([7 * SEEN_FEATURES, valued * VALUE_FEATURES], 1)
    for part, expected in zip(found, (seen, value), strict=True):
        knots = torch.cat(expected, dim=-1).transpose(1, 2)
        torch.testing.assert_close(part.view(knots.shape), knots)


def test_plain_numbers_are_the_rank_and_its_reach_into_either_tail() -> None:
    rank = torch.tensor([[0.5, 0.0, 1.0], [math.nan, 0.2, 0.9]])
    of_each = plain_numbers(rank).view(2, 3, 3)  # numbers of all codes lie together
    torch.testing.assert_close(of_each[0], torch.tensor([[0.0, -2.0, 2.0], [0.0, 0.0, 2.4], [0.0, 2.4, 0.0]]))
    torch.testing.assert_close(of_each[1], torch.tensor([[0.0, -1.2, 1.6], [0.0, 0.0, 1.6], [0.0, 0.8, 0.0]]))
