"""Growing the memory: a wall at z = 4 seen by a camera that moves sideways, and far hills behind it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import PathError, ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, unproject
from worldstereo_core.memory.far_depth import contract_far_from_origin
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.update import align_depth_scale

H, W = 12, 16
FOCAL = 8.0
WALL = 4.0
K = torch.tensor([[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]])
# Discs of more than a pixel, so that sub-pixel shifts leave no holes between neighbours.
RADIUS = 0.2


def paint(xyz: Tensor) -> Tensor:
    """Colour of the wall at world points [..., 3], as [3, ...]."""
    return torch.stack([torch.sin(xyz[..., axis] * 2 + axis) * 0.4 + 0.5 for axis in range(3)])


def trucking(*shifts: float, size: tuple[int, int] = (H, W)) -> Cameras:
    """Cameras that look straight at the wall, each moved to the right."""
    w2c = torch.eye(4).repeat(len(shifts), 1, 1)
    w2c[:, 0, 3] = -torch.tensor(shifts)
    return Cameras(w2c, K.expand(len(shifts), 3, 3), H, W).resized(*size)


def wall_frames(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Pictures [T, 3, H, W] and exact depths [T, H, W]."""
    depths = torch.full((len(cameras), cameras.height, cameras.width), WALL)
    points = unproject(depths, cameras.K, cameras.w2c)
    return torch.stack([paint(frame) for frame in points]), depths


def wall_memory() -> GeometricMemory:
    frames, depths = wall_frames(trucking(0.0))
    return initialise_memory(frames[0], depths[0], K)


# One unit to the right at depth 4 moves the wall by 2 pixels.
MOVES = trucking(0.0, 1.0, 2.0)


def test_the_old_memory_is_untouched_and_its_tensors_are_shared():
    memory = wall_memory()
    before = [value.clone() for value in (memory.points.xyz, memory.points.rgb, memory.views[0].image)]
    grown, _ = memory.update(*interleave(MOVES), keep_frames=2, radius=RADIUS)
    after = [memory.points.xyz, memory.points.rgb, memory.views[0].image]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert (len(memory.views), len(memory.history)) == (1, 1)
    assert grown is not memory
    assert grown.views[0] is memory.views[0]
    frames, depths = wall_frames(MOVES)
    kept = frames.clone(), depths.clone()
    memory.update(frames, MOVES, depths, keep_frames=2, radius=RADIUS, align_scale=True)
    assert torch.equal(frames, kept[0]) and torch.equal(depths, kept[1])


def interleave(cameras: Cameras) -> tuple[Tensor, Cameras, Tensor]:
    frames, depths = wall_frames(cameras)
    return frames, cameras, depths


def test_points_are_added_only_where_the_memory_had_holes():
    memory = wall_memory()
    grown, report = memory.update(*interleave(MOVES), keep_frames=2, radius=RADIUS)
    # Each frame shows 2 new columns, of which the discs at the border already cover one.
    assert report.points_per_frame == (H, H)
    new = grown.points.select(grown.points.clip == 1)
    assert new.num_points == report.num_points
    assert new.xyz[:, 0].min() > memory.points.xyz[:, 0].max()
    assert_close(new.xyz[:, 2], torch.full((new.num_points,), WALL))


def test_frames_of_known_surfaces_add_views_but_no_points():
    memory = wall_memory()
    grown, report = memory.update(*interleave(trucking(0.0, 0.0, 0.0)), keep_frames=2, radius=RADIUS)
    assert report.num_points == 0
    assert len(grown.views) == 3
    assert "0 points added where the memory had holes" in report.text


def test_the_grown_memory_shows_the_new_frame_without_holes():
    memory = wall_memory()
    frames, cameras, depths = interleave(MOVES)
    grown, _ = memory.update(frames, cameras, depths, keep_frames=2, radius=RADIUS)
    before, after = (which.render(cameras[2], radius=RADIUS) for which in (memory, grown))
    assert before.hole_mask.sum() > 0
    assert after.hole_mask.sum() == 0
    nearest = grown.render(cameras[2], radius=0.05, points_per_pixel=1)
    shown = nearest.hole_mask[0] == 0
    assert_close(nearest.image[0][:, shown], frames[2][:, shown], atol=5e-3, rtol=0)


def test_views_carry_name_clip_camera_and_picture():
    frames, cameras, depths = interleave(MOVES)
    grown, report = wall_memory().update(frames, cameras, depths, keep_frames=2, radius=RADIUS)
    assert report.kept_frames == (1, 2)
    assert [(view.name, view.clip) for view in grown.views[1:]] == [("clip_01/0001", 1), ("clip_01/0002", 1)]
    assert torch.equal(grown.views[2].w2c, cameras.w2c[2])
    assert torch.equal(grown.views[2].image, (frames[2] * 255).round().to(torch.uint8))
    assert_close(grown.views[2].depth, depths[2])


def test_clip_numbers_increase_and_history_grows():
    memory, _ = wall_memory().update(*interleave(MOVES), keep_frames=1, radius=RADIUS)
    memory, report = memory.update(*interleave(MOVES), keep_frames=1, clip_name="second")
    assert report.clip == 2
    assert [view.clip for view in memory.views] == [0, 1, 2]
    assert memory.views[-1].name == "second/0002"
    assert len(memory.history) == 3
    assert memory.summary().clips[2].num_views == 1


def test_without_geometry_only_views_are_added_and_the_report_says_so():
    memory = wall_memory()
    frames, cameras, _ = interleave(MOVES)
    grown, report = memory.update(frames, cameras, keep_frames=2)
    assert grown.points is memory.points
    assert len(grown.views) == 3 and grown.views[1].depth is None
    assert "no points added, because no geometry was given" in report.text
    assert report.scale_ratio is None


def test_estimated_depth_is_brought_to_the_memorys_scale():
    frames, cameras, depths = interleave(MOVES)
    grown, report = wall_memory().update(
        frames, cameras, 2.5 * depths, keep_frames=2, align_scale=True, radius=RADIUS
    )
    assert_close(torch.tensor(report.scale_ratios), torch.full((2,), 0.4))
    assert report.scale_ratio == pytest.approx(0.4)
    assert "multiplied by 0.4" in report.text
    assert_close(grown.points.xyz[:, 2], torch.full((grown.points.num_points,), WALL))


def test_depth_in_memory_units_is_taken_as_it_is():
    frames, cameras, depths = interleave(MOVES)
    grown, report = wall_memory().update(frames, cameras, 1.5 * depths, keep_frames=2, radius=RADIUS)
    assert report.scale_ratios == ()
    added = grown.points.select(grown.points.clip == 1)
    assert_close(added.xyz[:, 2], torch.full((added.num_points,), 1.5 * WALL))


def test_scale_ratio_is_a_median_over_pixels_that_both_see():
    estimate = torch.full((4, 5), 2.0)
    rendered = torch.full((4, 5), 6.0)
    rendered[0] = 600.0  # outliers
    rendered[1] = 0.0  # holes
    estimate[2, 0] = torch.nan
    assert align_depth_scale(estimate, rendered) == 3.0


def test_scale_needs_pixels_that_both_see():
    with pytest.raises(WorldStereoError, match="share 0 of 192 pixels, expected at least 8"):
        align_depth_scale(torch.ones(H, W), torch.zeros(H, W))


def test_a_clip_that_leaves_the_memory_cannot_be_aligned():
    frames, cameras, depths = interleave(trucking(0.0, 500.0, 1000.0))
    with pytest.raises(
        WorldStereoError, match="frame 1 of the clip: depths: the estimate and the memory share 0"
    ):
        wall_memory().update(frames, cameras, depths, keep_frames=2, align_scale=True)


def test_pixels_without_data_or_marked_invalid_add_nothing():
    frames, cameras, depths = interleave(MOVES)
    depths[2, :4] = torch.inf
    depths[2, 4:6] = 0
    valid = torch.ones_like(depths, dtype=torch.bool)
    valid[2, 6:8] = False
    grown, report = wall_memory().update(
        frames, cameras, depths, valid=valid, keep_frames=1, edge_threshold=0.0, radius=RADIUS
    )
    assert report.points_per_frame == (3 * 4,)  # 3 new columns, rows 8..11
    stored = grown.views[-1].depth
    assert stored is not None and (stored[:8] == 0).all() and (stored[8:] == WALL).all()


def test_depth_edges_add_no_floating_points():
    frames, cameras, depths = interleave(trucking(0.0, 6.0))
    depths[1, :, 12:] = 40.0
    keep, drop = (
        wall_memory().update(frames, cameras, depths, keep_frames=1, edge_threshold=t, radius=RADIUS)[1]
        for t in (0.0, 0.35)
    )
    assert keep.num_points - drop.num_points == 2 * H


def test_frames_of_another_size_are_kept_as_they_are():
    cameras = trucking(0.0, 1.0, 2.0, size=(2 * H, 2 * W))
    frames, depths = wall_frames(cameras)
    grown, _ = wall_memory().update(frames, MOVES, depths, keep_frames=1, radius=RADIUS)
    view = grown.views[-1]
    assert (view.height, view.width) == (2 * H, 2 * W)
    assert_close(view.K, cameras.K[2])
    added = grown.points.select(grown.points.clip == 1)
    assert_close(paint(added.xyz).T, added.rgb, atol=1e-4, rtol=0)
    assert grown.retrieve(MOVES).images(H, W).shape[1:] == (3, H, W)


def test_progress_is_told_and_may_interrupt():
    frames, cameras, depths = interleave(MOVES)
    calls: list[tuple[int, int]] = []
    wall_memory().update(
        frames, cameras, depths, keep_frames=2, progress=lambda *done: calls.append(done), radius=RADIUS
    )
    assert calls == [(1, 2), (2, 2)]


def origin_and_limit(limit: float) -> GeometricMemory:
    memory = wall_memory()
    return GeometricMemory(memory.points, memory.views, memory.median_depth, (), limit)


def rotated(yaw_deg: float, shift: float = 0.0) -> Cameras:
    angle = math.radians(yaw_deg)
    w2c = torch.eye(4)
    w2c[0, 0] = w2c[2, 2] = math.cos(angle)
    w2c[0, 2], w2c[2, 0] = -math.sin(angle), math.sin(angle)
    w2c[:3, 3] = -(w2c[:3, :3] @ torch.tensor([shift, 0.0, 0.0]))
    return Cameras(w2c[None], K[None], H, W)


def test_far_contraction_of_the_input_camera_is_the_input_images():
    memory = origin_and_limit(10.0)
    depth = torch.tensor([4.0, 10.0, 40.0, 1e6]).repeat(H, W // 4)
    contracted = contract_far_from_origin(depth, rotated(0), memory.views[0], 10.0)
    assert_close(contracted[0, :4], torch.tensor([4.0, 10.0, 20 - 100 / 40, 20.0]), atol=1e-3, rtol=1e-5)


def test_a_turned_camera_contracts_the_same_world_point_to_the_same_place():
    # The plane z = 60 seen straight on and by a camera turned by 20 degrees at the same place.
    memory = origin_and_limit(10.0)
    straight, turned = rotated(0), rotated(20)
    rays = unproject(torch.ones(1, H, W), turned.K, turned.w2c)[0]
    depth = 60.0 / rays[..., 2]
    depth[rays[..., 2] <= 0.1] = 0.0
    contracted = contract_far_from_origin(depth, turned, memory.views[0], 10.0)
    world = unproject(contracted[None], turned.K, turned.w2c)[0]
    inside = (rays[..., 0] / rays[..., 2]).abs() < 1.0  # within the input picture
    expected = contract_far_from_origin(torch.full((H, W), 60.0), straight, memory.views[0], 10.0)[0, 0]
    assert inside.sum() > 20
    assert_close(world[..., 2][inside], expected.expand(int(inside.sum())), atol=1e-3, rtol=1e-4)


def test_a_moved_camera_contracts_far_points_near_where_the_input_image_put_them():
    memory = origin_and_limit(10.0)
    moved = rotated(0, shift=1.0)
    contracted = contract_far_from_origin(torch.full((H, W), 60.0), moved, memory.views[0], 10.0)
    assert_close(contracted[H // 2, W // 2], torch.tensor(20 - 100 / 60), atol=1e-3, rtol=0)
    # Its own median would have put the limit at 480 and left the hills at 60.
    assert contracted.max() < 20


def test_what_a_camera_that_walked_far_sees_nearby_stays_where_it_is():
    memory = origin_and_limit(10.0)
    walked = rotated(0, 40.0)
    near = contract_far_from_origin(torch.full((H, W), 4.0), walked, memory.views[0], 10.0)
    assert_close(near, torch.full((H, W), 4.0))
    # Far from it as well as from the input camera: contracted as ever.
    far = contract_far_from_origin(torch.full((H, W), 60.0), walked, memory.views[0], 10.0)
    assert far.max() < 20.0


def test_points_behind_the_input_camera_are_contracted_too():
    memory = origin_and_limit(10.0)
    contracted = contract_far_from_origin(torch.full((H, W), 1e4), rotated(180), memory.views[0], 10.0)
    assert contracted.max() <= 20.0


def test_contraction_can_be_left_to_the_depth_that_already_is():
    frames, cameras, depths = interleave(trucking(0.0, 8.0))
    depths = torch.full_like(depths, 500.0)
    near, far = (
        wall_memory().update(frames, cameras, depths, keep_frames=1, contract_far=flag, radius=RADIUS)[0]
        for flag in (True, False)
    )
    assert near.points.xyz[:, 2].max() < 2 * 8 * WALL
    assert far.points.xyz[:, 2].max() == 500.0


def test_contracted_surfaces_do_not_pull_the_scale():
    # Far hills fill most of the input picture; they are contracted in the memory but not in the estimate.
    depth = torch.full((H, W), 200.0)
    depth[: H // 2 + 1] = WALL
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    memory = initialise_memory(image, depth, K, edge_threshold=0.0)
    assert memory.far_limit == 8 * WALL
    depths = 3 * depth.expand(2, H, W)
    frames = image.expand(2, 3, H, W)
    _, report = memory.update(frames, trucking(0.0, 0.0), depths, keep_frames=1, align_scale=True)
    assert report.scale_ratio == pytest.approx(1 / 3)


def test_frames_and_cameras_must_be_as_many():
    frames, _, depths = interleave(MOVES)
    with pytest.raises(ShapeError, match="got 3 frames and 2 cameras"):
        wall_memory().update(frames, MOVES[:2], depths, keep_frames=1)


def test_depths_must_fit_the_frames():
    frames, cameras, depths = interleave(MOVES)
    with pytest.raises(
        ShapeError, match=r"depths: got a tensor of shape \[2, 12, 16\], expected \[3, 12, 16\]"
    ):
        wall_memory().update(frames, cameras, depths[:2], keep_frames=1)


def test_frames_of_another_aspect_are_refused():
    frames, cameras, _ = interleave(MOVES)
    with pytest.raises(ShapeError, match="another aspect"):
        wall_memory().update(frames[..., :12], cameras, keep_frames=1)


def test_keeping_more_frames_than_there_are_is_refused():
    frames, cameras, _ = interleave(MOVES)
    with pytest.raises(WorldStereoError, match="keep_frames: got 3"):
        wall_memory().update(frames, cameras, keep_frames=3)


def test_cameras_that_are_none_are_refused():
    frames, cameras, _ = interleave(MOVES)
    broken = Cameras(cameras.w2c * torch.nan, cameras.K, H, W)
    with pytest.raises(PathError, match="trajectory"):
        wall_memory().update(frames, broken, keep_frames=1)


def test_frames_with_values_that_are_no_numbers_are_refused():
    frames, cameras, _ = interleave(MOVES)
    with pytest.raises(WorldStereoError, match="frames: got values from nan"):
        wall_memory().update(frames * torch.nan, cameras, keep_frames=1)
