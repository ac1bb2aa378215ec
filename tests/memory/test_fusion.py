"""Fusion of views into voxels: a wall at z = 4, a box in front of it, and floaters planted in the air."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory import cells
from worldstereo_core.memory.fusion import VoxelMap

H, W = 24, 32
K = fov_to_K(1.4, H, W)
CELL = 0.1
WALL = 4.0
# The box: x and y within half a unit of the axis, from z = 2 on.
BOX_HALF, BOX_Z = 0.5, 2.0


def trucking(shift: float) -> Cameras:
    w2c = torch.eye(4)
    w2c[0, 3] = -shift
    return Cameras(w2c[None], K[None], H, W)


def scene_depth(camera: Cameras, has_box: bool = True) -> Tensor:
    """Exact depth [H, W] of the box's front and sides and of the wall."""
    rays = unproject(torch.ones(1, H, W), camera.K, camera.w2c)[0] - camera.centers[0]
    depth = torch.full((H, W), WALL)
    if not has_box:
        return depth
    eye = camera.centers[0]
    front = eye + BOX_Z * rays
    is_front = (front[..., :2].abs() <= BOX_HALF).all(-1)
    for side in (-BOX_HALF, BOX_HALF):
        along = (side - eye[0]) / rays[..., 0]
        hit = eye + along[..., None] * rays
        is_side = (along > BOX_Z) & (along < WALL) & (hit[..., 1].abs() <= BOX_HALF)
        faces_us = (side - eye[0]) * (-side) > 0
        if faces_us:
            depth = torch.where(is_side, along, depth)
    return torch.where(is_front, BOX_Z, depth)


def cloud(xyz: Tensor, clip: int = 0, confidence: float | Tensor = 1.0, rgb: float = 0.5) -> PointCloud:
    count = len(xyz)
    return PointCloud(
        xyz=xyz.float(),
        rgb=torch.full((count, 3), rgb),
        confidence=torch.as_tensor(confidence).expand(count).float(),
        clip=torch.full((count,), clip, dtype=torch.int32),
    )


def picture() -> Tensor:
    return torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))


def test_two_points_of_one_cell_worked_out_by_hand():
    fused = VoxelMap.empty(1.0)
    fused, first = fused.add_points(cloud(torch.tensor([[0.2, 0.5, 0.5]]), clip=3, confidence=1.0, rgb=0.0))
    fused, second = fused.add_points(cloud(torch.tensor([[0.8, 0.5, 0.5]]), clip=1, confidence=0.5, rgb=0.9))
    assert (first.num_new, first.num_updated) == (1, 0)
    assert (second.num_new, second.num_updated) == (0, 1)
    points = fused.to_points()
    assert_close(points.xyz, torch.tensor([[0.4, 0.5, 0.5]]))
    assert_close(points.rgb, torch.full((1, 3), 0.3))
    assert_close(points.confidence, torch.tensor([(1 + 0.25) / 1.5]))
    assert points.clip.tolist() == [1] and points.normal is None
    [block] = fused.blocks.values()
    assert (block.seen.tolist(), block.weight.tolist()) == ([2], [1.5])


def test_equal_confidence_gives_the_voxel_means_of_all_points_at_once():
    xyz = torch.randn(500, 3, generator=torch.Generator().manual_seed(1)) * 3
    points = cloud(xyz)
    fused = VoxelMap.empty(0.5)
    for part in xyz.split(100):
        fused, _ = fused.add_points(cloud(part))
    expected, got = points.voxel_downsample(0.5), fused.to_points()
    assert got.num_points == expected.num_points == fused.num_points
    order = torch.tensor([1e4, 1e2, 1.0])
    rows = [(c.xyz / 0.5).floor().mul(order).sum(1).argsort() for c in (got, expected)]
    assert_close(got.xyz[rows[0]], expected.xyz[rows[1]], atol=1e-5, rtol=0)


def test_the_order_of_clips_does_not_matter():
    a, b = (cloud(torch.randn(200, 3, generator=torch.Generator().manual_seed(s)), clip=s) for s in (1, 2))
    ab, ba = (VoxelMap.empty(0.3).add_points(p)[0].add_points(q)[0].to_points() for p, q in ((a, b), (b, a)))
    assert_close(ab.xyz, ba.xyz)
    assert torch.equal(ab.clip, ba.clip)


def test_the_old_map_stays_and_untouched_blocks_are_shared():
    near, far = cloud(torch.rand(50, 3)), cloud(torch.rand(50, 3) + 100)
    before, _ = VoxelMap.empty(CELL).add_points(near)
    kept = {number: block.means.clone() for number, block in before.blocks.items()}
    after, step = before.add_points(far)
    assert before.num_points < after.num_points
    assert step.num_blocks == len(after.blocks) - len(before.blocks)
    for number, means in kept.items():
        assert after.blocks[number] is before.blocks[number]
        assert torch.equal(before.blocks[number].means, means)
    with pytest.raises(TypeError):
        before.blocks[0] = next(iter(before.blocks.values()))


def test_the_work_per_clip_does_not_grow_with_the_world():
    fused, blocks, cells = VoxelMap.empty(CELL), [], []
    for clip in range(20):
        # Every clip shows the same room one room further on.
        camera = trucking(20.0 * clip)
        depth = scene_depth(trucking(0.0))
        before = fused
        fused, step = fused.add_view(picture(), depth, camera, clip)
        blocks.append(step.num_blocks)
        cells.append(step.num_new)
        assert all(fused.blocks[number] is block for number, block in before.blocks.items())
    assert max(blocks[1:]) <= min(blocks[1:]) + 8  # rooms meet the block grid in different places
    assert min(cells) > 100 and max(cells) < 1.2 * min(cells)
    assert len(fused.blocks) > 15 * blocks[1] / 2


def test_a_noisy_wall_gets_sharper_and_surer_with_every_view():
    generator = torch.Generator().manual_seed(3)
    fused = VoxelMap.empty(0.5)
    errors = []
    for clip in range(16):
        depth = WALL + 0.25 + 0.05 * torch.randn(H, W, generator=generator)
        fused, _ = fused.add_view(picture(), depth, trucking(0.0), clip, edge_threshold=0.0)
        always_seen = fused.to_points(min_seen=clip + 1).xyz[:, 2]
        errors.append(float((always_seen - WALL - 0.25).square().mean().sqrt()))
    assert errors[-1] < 0.4 * errors[0]
    assert all(int(block.seen.max()) == 16 for block in fused.blocks.values())
    assert fused.to_points(min_seen=16).num_points > 0 == fused.to_points(min_seen=17).num_points


def test_normals_of_a_wall_face_the_camera():
    fused, _ = VoxelMap.empty(CELL).add_view(picture(), torch.full((H, W), WALL), trucking(0.0), 0)
    normal = fused.to_points().normal
    assert normal is not None
    assert_close(normal, torch.tensor([0.0, 0.0, -1.0]).expand_as(normal), atol=1e-4, rtol=0)


def test_floaters_a_new_view_sees_through_are_removed_and_nothing_else():
    start, _ = VoxelMap.empty(CELL).add_view(picture(), scene_depth(trucking(0.0), False), trucking(0.0), 0)
    generator = torch.Generator().manual_seed(4)
    spread, corner = torch.tensor([2.0, 1.5, 1.5]), torch.tensor([-1.0, -0.75, 1.5])
    floaters = torch.rand(60, 3, generator=generator) * spread + corner
    with_floaters, _ = start.add_points(cloud(floaters, clip=1))
    planted = with_floaters.num_points - start.num_points
    view = trucking(0.2)
    carved, step = with_floaters.carve(scene_depth(view, False), view)
    assert planted > 50 and step.num_carved == planted
    assert carved.num_points == start.num_points
    assert (carved.to_points().clip == 0).all()
    assert with_floaters.num_points == start.num_points + planted


def test_what_a_box_hides_is_not_carved():
    view = trucking(0.0)
    behind = torch.tensor([[0.0, 0.0, 3.0], [0.1, 0.2, 3.5]])
    before = torch.tensor([[0.0, 0.0, 1.0], [0.2, -0.1, 1.4]])
    beside = torch.tensor([[1.5, 0.0, 2.0]])
    fused, _ = VoxelMap.empty(CELL).add_points(cloud(torch.cat([behind, before, beside])))
    carved, step = fused.carve(scene_depth(view), view)
    assert step.num_carved == 3
    assert_close(carved.to_points().xyz.sort(0).values, behind.sort(0).values)


def test_views_of_a_scene_never_carve_its_own_surfaces():
    fused = VoxelMap.empty(CELL)
    for clip, shift in enumerate((0.0, 0.8, -0.8, 1.6, 0.3)):
        camera = trucking(shift)
        fused, step = fused.add_view(picture(), scene_depth(camera), camera, clip)
        assert step.num_carved == 0
    on_wall = (fused.to_points().xyz[:, 2] - WALL).abs() < 1e-3
    on_box = fused.to_points().xyz[:, :2].abs().amax(1) <= BOX_HALF + 1e-3
    assert (on_wall | on_box).all() and on_wall.any() and (on_box & ~on_wall).any()


def test_a_surface_seen_often_outlives_one_view_that_missed_it():
    xyz = torch.tensor([[0.0, 0.0, 2.0]])
    fused = VoxelMap.empty(CELL)
    for clip in range(3):
        fused, _ = fused.add_points(cloud(xyz, clip=clip))
    view, counts = trucking(0.0), []
    for _ in range(3):
        fused, _ = fused.carve(torch.full((H, W), WALL), view)
        counts.append(fused.num_points)
    assert counts == [1, 1, 0]


def test_protected_clips_stay():
    fused, _ = VoxelMap.empty(CELL).add_points(cloud(torch.tensor([[0.0, 0.0, 2.0]]), clip=0))
    depth, view = torch.full((H, W), WALL), trucking(0.0)
    assert fused.carve(depth, view, protected_clips=[0])[0] is fused
    assert fused.carve(depth, view, protected_clips=[1])[0].num_points == 0


def test_unknown_pixels_carve_nothing_and_sky_carves_everything():
    fused, _ = VoxelMap.empty(CELL).add_points(cloud(torch.tensor([[0.0, 0.0, 50.0]])))
    view, nothing = trucking(0.0), torch.zeros(H, W)
    assert fused.carve(nothing, view)[0] is fused
    assert fused.carve(torch.full((H, W), torch.nan), view)[0] is fused
    assert fused.carve(nothing, view, sky=torch.ones(H, W))[0].num_points == 0
    # One unknown pixel beside the point's own is enough to leave it.
    depth = torch.full((H, W), 99.0)
    depth[H // 2 - 1, W // 2 - 1] = 0
    assert fused.carve(depth, view)[0] is fused


def test_points_behind_the_camera_and_outside_the_picture_stay():
    xyz = torch.tensor([[0.0, 0.0, -2.0], [30.0, 0.0, 2.0], [0.0, 30.0, 2.0]])
    fused, _ = VoxelMap.empty(CELL).add_points(cloud(xyz))
    assert fused.carve(torch.full((H, W), 1e3), trucking(0.0))[0] is fused


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_tiny_and_huge_worlds_fuse_alike(unit: float):
    camera, depth = trucking(0.0), scene_depth(trucking(0.0))
    plain, _ = VoxelMap.empty(CELL).add_view(picture(), depth, camera, 0)
    scaled, _ = VoxelMap.empty(CELL * unit).add_view(picture(), depth * unit, camera, 0)
    assert scaled.num_points == pytest.approx(plain.num_points, rel=0.02)
    assert torch.isfinite(scaled.to_points().xyz).all()


def test_a_cloud_is_fused_clip_by_clip():
    xyz = torch.tensor([[0.01, 0.0, 0.0], [0.02, 0.0, 0.0], [5.0, 0.0, 0.0]])
    points = PointCloud(xyz, torch.rand(3, 3), torch.ones(3), torch.tensor([0, 1, 1], dtype=torch.int32))
    fused = VoxelMap.from_points(points, CELL)
    assert fused.to_points(min_seen=2).num_points == 1
    assert fused.to_points().num_points == 2


def test_a_large_cloud_is_fused_in_parts_as_if_at_once(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    xyz = 40 * torch.rand(3000, 3, generator=generator) - 20
    clip = torch.randint(0, 3, (3000,), generator=generator).int()
    points = PointCloud(xyz, torch.rand(3000, 3, generator=generator), torch.ones(3000), clip)
    whole = VoxelMap.from_points(points, CELL)
    monkeypatch.setattr(cells, "SLAB_POINTS", 100)
    pauses: list[int] = []
    parts = VoxelMap.from_points(points, CELL, lambda: pauses.append(1))
    assert len(pauses) > 3
    again = VoxelMap.from_points(parts.to_points(), CELL)
    for other in (parts, again):
        assert set(other.blocks) == set(whole.blocks)
        for number, block in whole.blocks.items():
            same = other.blocks[number]
            assert torch.equal(same.keys, block.keys) and torch.equal(same.seen, block.seen)
            assert_close(same.means, block.means)


def test_empty_and_bad_input():
    fused = VoxelMap.empty(CELL)
    assert fused.to_points().num_points == 0
    assert fused.carve(torch.ones(H, W), trucking(0.0))[0] is fused
    assert fused.add_points(cloud(torch.zeros(4, 3), confidence=0.0))[0] is fused
    for cell in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(WorldStereoError, match="cell: got"):
            VoxelMap.empty(cell)
    with pytest.raises(WorldStereoError, match="1 of 2 hold numbers that are not finite"):
        fused.add_points(cloud(torch.tensor([[0.0, 0, 0], [math.nan, 0, 0]])))
    with pytest.raises(WorldStereoError, match=r"cells from the origin\. Choose a larger cell"):
        fused.add_points(cloud(torch.tensor([[1e9, 0.0, 0.0]])))
    with pytest.raises(WorldStereoError, match="no pixel of the"):
        fused.add_view(picture(), torch.zeros(H, W), trucking(0.0), 1)
    with pytest.raises(ShapeError, match="expected one camera of the map's size"):
        fused.carve(torch.ones(H, W + 1), trucking(0.0))


def test_the_cloud_of_a_map_gives_the_map_again():
    fused = VoxelMap.empty(CELL)
    for clip, shift in enumerate((0.0, 0.4, 0.8)):
        camera = trucking(shift)
        fused, _ = fused.add_view(picture(), scene_depth(camera), camera, clip)
    fused, _ = fused.carve(torch.full((H, W), 3.0), trucking(0.2))
    again = VoxelMap.from_points(fused.to_points(), CELL)
    assert again.num_points == fused.num_points
    for number, block in fused.blocks.items():
        for name in ("keys", "seen", "missed", "clip", "weight"):
            assert torch.equal(getattr(again.blocks[number], name), getattr(block, name))
    # Fusing goes on as if nothing had happened.
    camera = trucking(1.2)
    one, other = (
        m.add_view(picture(), scene_depth(camera), camera, 3)[0].to_points() for m in (fused, again)
    )
    assert_close(one.xyz, other.xyz)
    assert one.evidence is not None and other.evidence is not None
    assert torch.equal(one.evidence.seen, other.evidence.seen)
