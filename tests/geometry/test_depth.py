"""Depth maps: contraction, edges and normals. By hand first, then properties, then the golden."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.commands.verify.runner import verify_one
from worldstereo_core.geometry.depth import (
    contract_far_depth,
    depth_edges,
    has_depth,
    lower_median,
    normals_from_depth,
    sobel,
)

H, W = 8, 10


def step_depth() -> torch.Tensor:
    """Depth 1 in the left five columns, 4 in the right five."""
    depth = torch.ones(H, W)
    depth[:, 5:] = 4.0
    return depth


def test_zero_negative_and_non_finite_depth_is_no_data() -> None:
    depth = torch.tensor([0.0, -1.0, torch.nan, torch.inf, -torch.inf, 1e-6, 2.0])
    assert has_depth(depth).tolist() == [False, False, False, False, False, True, True]


def test_median_of_an_even_count_is_the_lower_middle_value() -> None:
    assert lower_median(torch.tensor([4.0, 1.0, 3.0, 2.0])) == 2.0


def test_depth_beyond_the_limit_is_contracted_by_the_formula() -> None:
    depth = torch.ones(3, 3)
    depth[0, 0] = 20.0  # limit 8: 2 * 8 - 64 / 20 = 12.8
    depth[0, 1] = 8.0
    contracted = contract_far_depth(depth)
    assert contracted[0, 0].item() == pytest.approx(12.8, abs=1e-5)
    assert contracted[0, 1] == 8.0
    assert contracted[1, 1] == 1.0


def test_contraction_is_monotone_and_ends_at_twice_the_limit() -> None:
    depth = torch.cat([torch.ones(50), torch.logspace(0, 8, 49)]).reshape(9, 11)
    contracted = contract_far_depth(depth).flatten()
    assert (contracted[50:].diff() >= 0).all()
    assert contracted.max() <= 16.0


def test_contraction_leaves_no_data_and_its_input_alone() -> None:
    depth = step_depth()
    depth[0, 0], depth[1, 1], depth[2, 2] = 0.0, torch.inf, 1000.0
    before = depth.clone()
    contracted = contract_far_depth(depth)
    assert torch.equal(depth, before)
    assert contracted[0, 0] == 0 and contracted[1, 1] == torch.inf
    # The median is 4, so the limit 32: 64 - 1024 / 1000.
    assert contracted[2, 2].item() == pytest.approx(62.976, abs=1e-3)


def test_contraction_takes_its_median_over_valid_pixels_only() -> None:
    depth = torch.full((H, W), 100.0)
    valid = torch.zeros(H, W, dtype=torch.bool)
    depth[:2], valid[:2] = 1.0, True
    assert contract_far_depth(depth)[5, 5] == 100.0
    assert contract_far_depth(depth, valid=valid)[5, 5] < 16.0


def test_sobel_is_not_normalised_and_replicates_the_border() -> None:
    ramp = torch.arange(W, dtype=torch.float32).expand(H, W)
    gradient = sobel(ramp)
    # Weights 1 + 2 + 1 times a central difference of 2 columns; half of it at the border.
    assert_close(gradient[0, :, 1:-1], torch.full((H, W - 2), 8.0))
    assert_close(gradient[0, :, 0], torch.full((H,), 4.0))
    assert_close(gradient[1], torch.zeros(H, W))


@pytest.mark.parametrize("mode", ["masked", "official"])
def test_the_two_columns_at_a_depth_step_are_edges(mode: str) -> None:
    edges = depth_edges(step_depth(), mode=mode)
    assert edges.any(0).nonzero().flatten().tolist() == [4, 5]
    assert edges[:, 4:6].all()


def test_an_edge_begins_at_a_gradient_of_a_tenth() -> None:
    # exp(-10 g) = 0.35 at g = 0.10498; a ramp of n columns has gradient 8 / (n - 1) inside.
    def interior_is_edge(columns: int) -> bool:
        disparity = torch.linspace(1.0, 2.0, columns).expand(5, columns)
        return bool(depth_edges(1 / disparity)[2, columns // 2])

    assert interior_is_edge(76)
    assert not interior_is_edge(79)


def test_modes_agree_when_every_pixel_is_valid() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(20, 30, generator=generator).cumsum(1)
    masked, official = depth_edges(depth), depth_edges(depth, mode="official")
    assert masked.any() and not masked.all()
    assert torch.equal(masked, official)


def test_official_mode_loses_depth_edges_as_soon_as_one_pixel_has_no_depth() -> None:
    depth = step_depth()
    depth[0, 0] = 0.0
    edges = depth_edges(depth, mode="official")
    assert not edges[:, 4:6].any()
    assert edges[0, 1] and edges[1, 0] and edges[1, 1]


def test_masked_mode_keeps_depth_edges_when_part_is_masked() -> None:
    depth = step_depth()
    depth[0, 0] = 0.0
    edges = depth_edges(depth)
    assert edges[:, 4:6].all()
    assert edges.any(0).nonzero().flatten().tolist() == [0, 1, 4, 5]


def test_masked_mode_removes_the_rim_of_the_invalid_region_and_nothing_behind_it() -> None:
    depth = torch.ones(H, W)
    valid = torch.ones(H, W, dtype=torch.bool)
    valid[3, 4] = False
    edges = depth_edges(depth, valid=valid)
    expected = torch.zeros(H, W, dtype=torch.bool)
    expected[2:5, 3:6] = True
    expected[3, 4] = False
    assert torch.equal(edges, expected)


def test_masked_mode_does_not_depend_on_what_invalid_pixels_hold() -> None:
    valid = torch.ones(H, W, dtype=torch.bool)
    valid[:, :2] = False
    results = []
    for filler in (0.0, 1e-5, torch.nan, torch.inf, 3.0):
        depth = step_depth()
        depth[:, :2] = filler
        results.append(depth_edges(depth, valid=valid))
    assert results[0][:, 4:6].all()
    assert all(torch.equal(results[0], result) for result in results)


@pytest.mark.parametrize("mode", ["masked", "official"])
def test_threshold_zero_finds_no_edge(mode: str) -> None:
    depth = step_depth()
    depth[0, 0] = 0.0
    assert not depth_edges(depth, threshold=0, mode=mode).any()


def test_depth_edges_refuse_what_they_cannot_use() -> None:
    with pytest.raises(WorldStereoError, match="no pixel of the"):
        depth_edges(torch.zeros(H, W))
    with pytest.raises(WorldStereoError, match="not finite"):
        depth_edges(torch.full((H, W), torch.inf), mode="official")
    with pytest.raises(WorldStereoError, match='expected "masked" or "official"'):
        depth_edges(torch.ones(H, W), mode="soft")  # type: ignore[arg-type]
    with pytest.raises(WorldStereoError, match="from 0 to 1"):
        depth_edges(torch.ones(H, W), threshold=35)
    with pytest.raises(ShapeError):
        depth_edges(torch.ones(1, H, W))


def test_the_normal_of_a_wall_facing_the_camera_points_at_it() -> None:
    K = torch.tensor([[9.0, 0, 5], [0, 9.0, 4], [0, 0, 1]])
    normals = normals_from_depth(torch.full((H, W), 2.0), K, torch.eye(4))
    assert_close(normals, torch.tensor([0.0, 0, -1]).expand(H, W, 3))


def test_normals_of_a_tilted_plane_are_exact_in_world_coordinates() -> None:
    K = torch.tensor([[9.0, 0, 5], [0, 9.0, 4], [0, 0, 1]])
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.4, -0.9]), dim=0)
    y, x = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    rays = torch.stack([(x - 5) / 9, (y - 4) / 9, torch.ones(H, W)], dim=-1)
    depth = -3 / (rays @ normal)  # the plane normal . p = -3
    quarter_turn = torch.eye(4)
    quarter_turn[:3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # of the world into the camera
    assert_close(normals_from_depth(depth, K, torch.eye(4)), normal.expand(H, W, 3), atol=1e-4, rtol=0)
    expected = quarter_turn[:3, :3].T @ normal
    assert_close(normals_from_depth(depth, K, quarter_turn), expected.expand(H, W, 3), atol=1e-4, rtol=0)


def test_normals_beside_missing_depth_are_nan() -> None:
    depth = torch.full((H, W), 2.0)
    depth[4, 5] = 0.0
    K = torch.tensor([[9.0, 0, 5], [0, 9.0, 4], [0, 0, 1]])
    missing = normals_from_depth(depth, K, torch.eye(4)).isnan().any(-1)
    assert missing.nonzero().tolist() == [[3, 5], [4, 4], [4, 5], [4, 6], [5, 5]]


def test_depth_to_points_reproduces_the_small_golden(golden_dir: Path) -> None:
    verdict = verify_one(golden_dir, "g7_unproject", "diffusers")
    assert verdict.passed, verdict


@pytest.mark.shared
def test_depth_to_points_reproduces_the_whole_golden(shared_golden: Path) -> None:
    verdict = verify_one(shared_golden, "g7_unproject", "diffusers")
    assert verdict.passed, verdict
