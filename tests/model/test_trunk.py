"""Attention in blocks, and rotation."""

import pytest
import torch
from torch.nn import functional

from residency.model.trunk import attend, rotate


@pytest.mark.parametrize("context", [2, 5, 16, 17, 40])
def test_blocks_give_what_one_full_mask_gives(context: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 37, 8).unbind(0)
    at, seen = torch.arange(37)[:, None], torch.arange(37)
    mask = (seen <= at) & ((seen == 0) | (seen > at - context))
    full = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert torch.allclose(attend(query, key, value, context), full, atol=1e-5)


def test_what_follows_a_row_changes_nothing_it_sees() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 50, 8).unbind(0)
    whole = attend(query, key, value, 8)
    for stop in (3, 8, 9, 24):
        part = attend(query[:, :, :stop], key[:, :, :stop], value[:, :, :stop], 8)
        assert torch.allclose(part, whole[:, :, :stop], atol=1e-5)


def test_rotation_keeps_lengths_and_tells_only_differences() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 8).unbind(0)
    angle = torch.rand(1, 1, 1, 4)
    by = lambda more: (torch.cos(angle + more), torch.sin(angle + more))  # noqa: E731
    near = (rotate(query, by(0.0)) * rotate(key, by(0.5))).sum()
    far = (rotate(query, by(3.0)) * rotate(key, by(3.5))).sum()
    assert torch.allclose(near, far, atol=1e-5)
    assert torch.allclose(rotate(query, by(1.0)).norm(), query.norm(), atol=1e-5)
