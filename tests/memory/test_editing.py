"""Edits of a memory: a wall at z = 4 with a box at z = 2 in front, seen by one input image and one clip."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, look_at, project, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.poses import quaternion_to_matrix
from worldstereo_core.geometry.similarity import Similarity
from worldstereo_core.memory.editing import (
    clean_memory,
    crop_to_box,
    crop_to_frustum,
    crop_to_sphere,
    delete_by_mask,
    remove_clip,
    transform_memory,
)
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

H, W = 12, 16
K = torch.tensor([[8.0, 0, W / 2], [0, 8.0, H / 2], [0, 0, 1]])
RADIUS = 0.2
MOVED = torch.tensor([5.0, -2.0, 1.0], dtype=torch.float64)
HERE = Cameras(torch.eye(4)[None], K[None], H, W)


def box_before_wall() -> Tensor:
    """Depth [H, W]: the box covers rows 4..7 and columns 6..9."""
    depth = torch.full((H, W), 4.0)
    depth[4:8, 6:10] = 2.0
    return depth


@pytest.fixture
def memory() -> GeometricMemory:
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    start = initialise_memory(image, box_before_wall(), K, edge_threshold=0.0)
    w2c = torch.eye(4).repeat(2, 1, 1)
    w2c[1, 0, 3] = -1.0
    frames = torch.rand(2, 3, H, W, generator=torch.Generator().manual_seed(1))
    depths = torch.full((2, H, W), 4.0)
    cameras = Cameras(w2c, K.expand(2, 3, 3), H, W)
    return start.update(frames, cameras, depths, keep_frames=1, radius=RADIUS, edge_threshold=0.0)[0]


def snapshot(memory: GeometricMemory) -> list[Tensor]:
    tensors = [memory.points.xyz, memory.points.rgb, memory.points.confidence, memory.points.clip]
    for view in memory.views:
        tensors += [view.image, view.w2c, view.K, view.depth]
    return [tensor.clone() for tensor in tensors]


EDITS = {
    "box": lambda m: crop_to_box(m, (-1, -9, 0), (9, 9, 9)),
    "sphere": lambda m: crop_to_sphere(m, (0, 0, 2), 1.0, keep="outside"),
    "frustum": lambda m: crop_to_frustum(m, HERE, far=3.0),
    "mask": lambda m: delete_by_mask(m, box_before_wall() < 3, HERE, radius=RADIUS),
    "move": lambda m: transform_memory(m, Similarity.of(2.0, translation=(1, 2, 3))),
    "remove clip": lambda m: remove_clip(m, 1),
    "clean": lambda m: clean_memory(m, 0.05),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_leaves_the_old_memory_as_it_was_and_tells_what_it_did(memory: GeometricMemory, name: str):
    before = snapshot(memory)
    lines = memory.history
    edited = EDITS[name](memory)
    assert edited is not memory
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(memory), strict=True))
    assert memory.history == lines and edited.history[:-1] == lines
    assert torch.isfinite(edited.points.xyz).all()
    assert edited.render(HERE, radius=RADIUS).image.shape == (1, 3, H, W)


def test_inside_and_outside_of_a_box_are_the_whole(memory: GeometricMemory):
    low, high = (-0.6, -0.6, 1.9), (0.6, 0.6, 2.1)
    inside = crop_to_box(memory, low, high)
    outside = crop_to_box(memory, low, high, keep="outside")
    assert inside.points.num_points == 16  # the box's pixels
    assert inside.points.num_points + outside.points.num_points == memory.points.num_points
    assert (outside.points.xyz[:, 2] == 4).all()


def test_a_turned_box_is_measured_along_its_own_axes(memory: GeometricMemory):
    # A box turned by 90 degrees about y: its x axis is the world's -z.
    turn = torch.eye(4)
    turn[:3, :3] = torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    cut = crop_to_box(memory, (-3, -math.inf, -math.inf), (0, math.inf, math.inf), axes_from_world=turn)
    assert (cut.points.xyz[:, 2] == 2).all() and cut.points.num_points == 16


def test_a_sphere_keeps_what_is_within_its_radius(memory: GeometricMemory):
    cut = crop_to_sphere(memory, (0.0, 0.0, 4.0), 1.5)
    assert cut.points.num_points > 0
    assert ((cut.points.xyz - torch.tensor([0.0, 0, 4])).norm(dim=1) <= 1.5).all()


def test_a_frustum_keeps_what_the_camera_frames_hidden_or_not(memory: GeometricMemory):
    right = crop_to_frustum(memory, HERE, keep="outside").points
    # Only the clip, taken one unit further right, knows what is right of the picture: 8 px * 1 / 4.
    assert (right.clip == 1).all()
    xy, _ = project(right.xyz, K, torch.eye(4))
    assert (xy[:, 0] > W).all()
    assert (crop_to_frustum(memory, HERE, near=3.0).points.xyz[:, 2] == 4).all()


def test_what_is_cut_from_the_points_is_cut_from_the_views_depth(memory: GeometricMemory):
    cut = crop_to_box(memory, (-9, -9, 0), (9, 9, 3))
    assert torch.equal(cut.views[0].depth > 0, box_before_wall() < 3)
    untouched = crop_to_box(memory, (-9, -9, 0), (9, 9, 9))
    assert untouched.points is memory.points
    assert all(a is b for a, b in zip(untouched.views, memory.views, strict=True))


def test_a_painted_mask_deletes_the_surface_it_covers_and_not_what_is_behind(memory: GeometricMemory):
    # From the side the wall behind the box is known; from the front the mask must not reach it.
    behind = torch.tensor([[0.0, 0.0, 4.0]])
    points = memory.points
    extended = torch.cat([points.xyz, behind])
    full = GeometricMemory(
        points=type(points)(
            extended,
            torch.cat([points.rgb, torch.ones(1, 3)]),
            torch.cat([points.confidence, torch.ones(1)]),
            torch.cat([points.clip, torch.ones(1, dtype=torch.int32)]),
        ),
        views=memory.views,
        median_depth=memory.median_depth,
    )
    mask = torch.zeros(H, W)
    mask[4:8, 6:10] = 1.0
    cut = delete_by_mask(full, mask, HERE, radius=0.1)
    assert full.points.num_points - cut.points.num_points == 16
    assert (cut.points.xyz == behind).all(1).any()
    assert (cut.views[0].depth > 0).sum() == H * W - 16
    through = delete_by_mask(full, mask, HERE, depth_tolerance=None)
    assert not (through.points.xyz == behind).all(1).any()


def test_a_moved_world_looks_the_same_through_its_moved_views(memory: GeometricMemory):
    rotation = quaternion_to_matrix(torch.tensor([0.9, 0.1, -0.3, 0.2]))
    moved = transform_memory(memory, Similarity.of(3.0, rotation, MOVED))
    assert moved.median_depth == pytest.approx(3 * memory.median_depth)
    assert moved.far_limit == pytest.approx(3 * memory.far_limit)
    for old, new in zip(memory.views, moved.views, strict=True):
        assert_close(new.depth, 3 * old.depth)
        cameras = [view.camera for view in (old, new)]
        a, b = memory.render(cameras[0], radius=0.1), moved.render(cameras[1], radius=0.1)
        assert_close(b.depth, 3 * a.depth, atol=1e-3, rtol=1e-4)
        assert_close(a.image, b.image, atol=1e-3, rtol=0)
        # Every pixel of the view's depth is still a point of the moved memory where it was one before.
        world, was = (unproject(view.depth[None], view.K[None], view.w2c[None])[0] for view in (new, old))
        assert_close(world.double(), 3 * (was.double() @ rotation.double().mT) + MOVED, atol=1e-4, rtol=1e-5)


def test_a_moved_world_moves_back(memory: GeometricMemory):
    move = Similarity.of(0.25, quaternion_to_matrix(torch.tensor([0.5, 0.5, -0.5, 0.5])), (1, 2, 3))
    back = transform_memory(transform_memory(memory, move), move.inverse)
    assert_close(back.points.xyz, memory.points.xyz, atol=1e-5, rtol=1e-5)
    assert_close(back.views[1].w2c, memory.views[1].w2c, atol=1e-5, rtol=1e-5)
    assert back.far_limit == pytest.approx(memory.far_limit)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_extreme_scales_keep_the_picture(memory: GeometricMemory, scale: float):
    moved = transform_memory(memory, Similarity.of(scale))
    before, after = (m.render(HERE, radius=0.1) for m in (memory, moved))
    assert_close(after.image, before.image, atol=1e-3, rtol=0)


def test_normals_turn_with_the_world(memory: GeometricMemory):
    points = memory.points
    normal = torch.tensor([0.0, 0.0, -1.0]).expand(points.num_points, 3)
    with_normals = GeometricMemory(
        type(points)(points.xyz, points.rgb, points.confidence, points.clip, normal),
        memory.views,
        memory.median_depth,
    )
    turn = look_at(torch.zeros(3), torch.tensor([1.0, 0.0, 0.0]))[:3, :3]
    moved = transform_memory(with_normals, Similarity.of(7.0, turn))
    assert_close(moved.points.normal, (normal @ turn.mT))


def test_removing_a_clip_gives_back_the_memory_before_it(memory: GeometricMemory):
    before = remove_clip(memory, 1)
    assert before.points.num_points == H * W and len(before.views) == 1
    assert (before.points.clip == 0).all()
    assert "Clip 1 removed" in before.history[-1]


def test_cleaning_joins_points_and_removes_planted_floaters(memory: GeometricMemory):
    floaters = torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.2, 1.2], [-0.4, 0.1, 0.9]])
    planted = PointCloud(floaters, torch.rand(3, 3), torch.ones(3), torch.full((3,), 1, dtype=torch.int32))
    dirty = replace(memory, points=PointCloud.concat([memory.points, memory.points, planted]))
    clean = clean_memory(dirty, 0.05)
    assert clean.points.num_points == memory.points.num_points
    assert clean.points.xyz[:, 2].min() >= 2.0
    assert "3 that views saw through were removed" in clean.history[-1]
    # What the input image saw stays, even if a later view claims to see through it.
    kept = replace(dirty, points=replace(dirty.points, clip=torch.zeros_like(dirty.points.clip)))
    assert clean_memory(kept, 0.05).points.xyz[:, 2].min() < 1.0
    with pytest.raises(WorldStereoError, match="clean: none of"):
        clean_memory(memory, 0.05, min_seen=9)


def test_edits_that_make_no_sense_are_refused(memory: GeometricMemory):
    with pytest.raises(WorldStereoError, match=r"none be left"):
        crop_to_sphere(memory, (0, 0, 100), 1.0)
    with pytest.raises(WorldStereoError, match="box: got corners"):
        crop_to_box(memory, (0, 0, 0), (0, 1, 1))
    with pytest.raises(WorldStereoError, match="radius: got nan"):
        crop_to_sphere(memory, (0, 0, 0), math.nan)
    with pytest.raises(WorldStereoError, match="near and far"):
        crop_to_frustum(memory, HERE, near=2.0, far=1.0)
    with pytest.raises(ShapeError, match=r"expected one\. Choose a frame"):
        crop_to_frustum(memory, HERE[[0, 0]])
    with pytest.raises(ShapeError, match=r"mask: got height 3, width 3.*another aspect"):
        delete_by_mask(memory, torch.ones(3, 3), HERE)
    with pytest.raises(WorldStereoError, match="nothing is painted"):
        delete_by_mask(memory, torch.zeros(H, W), HERE)
    with pytest.raises(WorldStereoError, match="clip: got 0"):
        remove_clip(memory, 0)
    with pytest.raises(WorldStereoError, match=r"clip: got 5, expected one the memory holds: \[0, 1\]"):
        remove_clip(memory, 5)
    with pytest.raises(WorldStereoError, match="too large for float32"):
        transform_memory(memory, Similarity.of(1e38))
