"""Rotary positions: worked out by hand, then rotations."""

from __future__ import annotations

import math

import torch

from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.rope import apply_rope, axis_widths, grid_rope


def test_wan_heads_split_44_42_42():
    assert axis_widths(128) == (44, 42, 42)
    assert axis_widths(64) == (24, 20, 20)


def test_angles_of_one_token():
    grid = TokenGrid(2, 3, 4)
    cosine, sine = grid_rope(grid, 12)  # widths 4, 4, 4: two pairs per axis
    assert cosine.shape == (1, 24, 1, 6)
    # Token (1, 2, 3) is number 1 * 12 + 2 * 4 + 3; the second pair of an axis turns 10000^(1/2) times slower.
    expected = torch.tensor([1.0, 0.01, 2.0, 0.02, 3.0, 0.03])
    torch.testing.assert_close(cosine[0, 23, 0], expected.cos())
    torch.testing.assert_close(sine[0, 23, 0], expected.sin())
    torch.testing.assert_close(sine[0, 0, 0], torch.zeros(6))


def test_quarter_turn_takes_the_first_of_a_pair_to_the_second():
    quarter = torch.full((1, 1, 1, 1), math.pi / 2)
    turned = apply_rope(torch.tensor([1.0, 0.0]).view(1, 1, 1, 2), (quarter.cos(), quarter.sin()))
    torch.testing.assert_close(turned.flatten(), torch.tensor([0.0, 1.0]), atol=1e-7, rtol=0)


def test_products_depend_on_relative_positions_only():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 24, generator=generator).unbind(0)
    rope = grid_rope(TokenGrid(6, 7, 8), 24)

    def product(query_at: tuple[int, int, int], key_at: tuple[int, int, int]) -> float:
        turned = []
        for tokens, (t, y, x) in ((query, query_at), (key, key_at)):
            index = (t * 7 + y) * 8 + x
            turned.append(apply_rope(tokens, (rope[0][:, index : index + 1], rope[1][:, index : index + 1])))
        return float((turned[0] * turned[1]).sum())

    assert math.isclose(product((1, 2, 3), (4, 3, 1)), product((2, 5, 6), (5, 6, 4)), abs_tol=1e-4)
    assert not math.isclose(product((1, 2, 3), (4, 3, 1)), product((1, 2, 3), (4, 3, 2)), abs_tol=1e-2)


def test_half_precision_tokens_keep_their_type_and_turn_in_float32():
    rope = grid_rope(TokenGrid(300, 1, 1), 12)
    tokens = torch.ones(1, 300, 1, 12)
    turned = apply_rope(tokens.bfloat16(), rope)
    assert turned.dtype is torch.bfloat16
    torch.testing.assert_close(turned.float(), apply_rope(tokens, rope), atol=1e-2, rtol=1e-2)
