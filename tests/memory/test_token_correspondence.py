"""Token pairs on a wall whose correspondences are whole tokens, and their masks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.memory.correspondence import Correspondences, correspond
from worldstereo_core.memory.memory import initialise_memory
from worldstereo_core.memory.token_correspondence import (
    TokenCorrespondences,
    correspond_tokens,
    shared_tokens,
)

# 3 x 5 tokens of 4 pixels.
ROWS, COLUMNS, PATCH = 3, 5, 4
H, W = ROWS * PATCH, COLUMNS * PATCH
FOCAL, WALL = 8.0, 4.0
K = torch.tensor([[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]])


def wall_matches(shift: float) -> Correspondences:
    """A camera that moves to the right by ``shift`` units sees the wall ``2 * shift`` pixels further left."""
    w2c = torch.eye(4)
    moved = torch.eye(4)
    moved[0, 3] = -shift
    depth = torch.full((H, W), WALL)
    return correspond(depth, Cameras(w2c[None], K[None], H, W), depth, Cameras(moved[None], K[None], H, W))


def test_a_shift_of_one_token_pairs_each_token_with_its_left_neighbour():
    tokens = correspond_tokens([[wall_matches(2.0)]], ROWS, COLUMNS)
    expected = [(t, t - 1) for t in range(ROWS * COLUMNS) if t % COLUMNS > 0]
    assert list(zip(tokens.target.tolist(), tokens.reference.tolist(), strict=True)) == expected
    assert tokens.of(7).tolist() == [6] and tokens.of(5).tolist() == []
    assert tokens.counts.tolist() == [0, 1, 1, 1, 1] * ROWS


def test_half_a_token_of_shift_pairs_with_two_and_the_least_share_chooses():
    tokens = correspond_tokens([[wall_matches(1.5)]], ROWS, COLUMNS)  # 3 of 4 columns move over
    assert tokens.of(2).tolist() == [1, 2]
    mostly = correspond_tokens([[wall_matches(1.5)]], ROWS, COLUMNS, min_share=0.5)
    assert mostly.of(2).tolist() == [1]


def test_frames_and_references_are_numbered_one_after_another():
    still, moved = wall_matches(0.0), wall_matches(2.0)
    tokens = correspond_tokens([[still, moved], [moved, moved], [still, still]], ROWS, COLUMNS)
    n = ROWS * COLUMNS
    assert (tokens.num_targets, tokens.num_references) == (3 * n, 2 * n)
    assert tokens.of(7).tolist() == [7, n + 6]
    assert tokens.of(n + 7).tolist() == [6, n + 6]
    assert tokens.of(2 * n + 7).tolist() == [7, n + 7]


def test_a_radius_widens_to_the_square_around_and_stays_in_the_picture():
    tokens = correspond_tokens([[wall_matches(0.0), wall_matches(0.0)]], ROWS, COLUMNS, radius=1)
    n = ROWS * COLUMNS
    middle = [r * COLUMNS + c for r in (0, 1, 2) for c in (1, 2, 3)]
    assert tokens.of(7).tolist() == middle + [n + token for token in middle]
    assert tokens.of(0).tolist() == [0, 1, 5, 6, n, n + 1, n + 5, n + 6]


def test_masks_agree_with_the_list():
    matches = [[wall_matches(s), wall_matches(s - 1.0)] for s in (0.0, 1.5, 3.0)]
    tokens = correspond_tokens(matches, ROWS, COLUMNS, radius=1)
    dense = tokens.dense()
    for target in range(tokens.num_targets):
        assert dense[target].nonzero()[:, 0].tolist() == tokens.of(target).tolist()
    assert torch.equal(dense.sum(1), tokens.counts)
    for size in (1, 4, 7, 100):
        rows, columns = -(-tokens.num_targets // size), -(-tokens.num_references // size)
        padded = torch.zeros(rows * size, columns * size, dtype=torch.bool)
        padded[: tokens.num_targets, : tokens.num_references] = dense
        expected = padded.reshape(rows, size, columns, size).any(dim=3).any(dim=1)
        assert torch.equal(tokens.blocks(size), expected)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def test_attention_over_the_listed_tokens_equals_dense_masked_attention():
    tokens = correspond_tokens([[wall_matches(0.0), wall_matches(2.0)]], ROWS, COLUMNS, radius=1)
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(tokens.num_targets, 8, generator=generator)
    k, v = torch.randn(2, tokens.num_references, 8, generator=generator)
    dense = attend(q, k, v, tokens.dense())
    for target in range(tokens.num_targets):
        chosen = tokens.of(target)
        weights = torch.softmax(k[chosen] @ q[target] / 8**0.5, dim=0)
        assert_close(weights @ v[chosen], dense[target])


def test_nothing_visible_gives_no_pairs():
    tokens = correspond_tokens([[wall_matches(99.0)]], ROWS, COLUMNS, radius=2)
    assert len(tokens.target) == 0
    assert not tokens.dense().any() and not tokens.blocks(4).any()
    assert tokens.counts.tolist() == [0] * (ROWS * COLUMNS)


def test_uncertain_pixels_can_be_left_out():
    match = wall_matches(2.0)
    assert len(correspond_tokens([[match]], ROWS, COLUMNS, min_confidence=0.999).target) == 0
    assert len(correspond_tokens([[match]], ROWS, COLUMNS, min_confidence=0.5).target) == 12


def test_bad_settings_are_refused():
    match = wall_matches(0.0)
    with pytest.raises(WorldStereoError, match="got 0 rows"):
        correspond_tokens([[match]], 0, COLUMNS)
    with pytest.raises(WorldStereoError, match="radius -1"):
        correspond_tokens([[match]], ROWS, COLUMNS, radius=-1)
    with pytest.raises(ShapeError, match=r"\[1, 2\] references per target frame"):
        correspond_tokens([[match], [match, match]], ROWS, COLUMNS)
    with pytest.raises(ShapeError, match="at least one frame"):
        correspond_tokens([], ROWS, COLUMNS)
    empty = TokenCorrespondences(torch.zeros(0).long(), torch.zeros(0).long(), 4, 4)
    with pytest.raises(WorldStereoError, match="block size: got 0"):
        empty.blocks(0)


def test_a_memory_pairs_the_tokens_of_a_clip_with_its_references():
    """A wall at z = 4 drawn at the cameras of a clip: pairs are those of exact depth, a token further per
    frame, for a view with depth, for one without and for a bare camera."""
    depth = torch.full((H, W), WALL)
    memory = initialise_memory(torch.rand(3, H, W), depth, K, edge_threshold=0.0)
    steps = [torch.eye(4) for _ in range(3)]
    for frame, w2c in enumerate(steps):
        w2c[0, 3] = -2.0 * frame  # a token of 4 pixels each: 8 px * 2 / 4
    cameras = Cameras(torch.stack(steps), K.expand(3, 3, 3), H, W)
    first = memory.views[0]
    progress: list[int] = []
    tokens = shared_tokens(
        memory,
        cameras,
        [first, replace(first, depth=None), cameras[:1]],
        ROWS,
        COLUMNS,
        progress=lambda done, _: progress.append(done),
    )
    per_picture = ROWS * COLUMNS
    assert (tokens.num_targets, tokens.num_references) == (3 * per_picture, 3 * per_picture)
    assert progress == [1, 2, 3]
    for frame in range(3):
        for token in range(per_picture):
            # A camera further right shows the wall further left: its token c is the first view's c + frame.
            column = token % COLUMNS + frame
            expected = [r * per_picture + token + frame for r in range(3)] if column < COLUMNS else []
            found = set(tokens.of(frame * per_picture + token).tolist())
            # Drawn points may leak by a pixel over a token's border.
            if column < COLUMNS - 1:
                assert set(expected) <= found
            near = {e + step for e in expected for step in (-COLUMNS, -1, 0, 1, COLUMNS)}
            assert found <= near or column >= COLUMNS - 1
