"""A box room seen by a panorama with exact distance: memory, views and renders against ray-cast truth."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, look_at, pixel_directions, project
from worldstereo_core.geometry.panorama import look_around, panorama_directions
from worldstereo_core.memory.memory import GeometricMemory
from worldstereo_core.memory.panorama import initialise_panorama_memory
from worldstereo_core.memory.storage import load_memory, save_memory

H, W = 192, 384
LOW, HIGH = torch.tensor([-3.0, -1.5, -2.0]), torch.tensor([4.0, 1.2, 5.0])
SMALL = {"view_set": "cube", "height": 32, "width": 48, "fov_deg": 90.0}


def wall_distance(origin: Tensor, directions: Tensor) -> Tensor:
    """Exact distance to the room's walls along directions [..., 3], in their lengths."""
    safe = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    return torch.maximum((LOW - origin) / safe, (HIGH - origin) / safe).amin(-1)


def paint(points: Tensor) -> Tensor:
    """Smooth colours [3, ...] of world points [..., 3]."""
    return torch.stack([0.5 + 0.4 * torch.sin(1.3 * points[..., axis] + axis) for axis in range(3)])


def room(height: int = H, width: int = W) -> tuple[Tensor, Tensor]:
    """Panorama [3, H, W] and its exact distance [H, W]."""
    directions = panorama_directions(height, width)
    distance = wall_distance(torch.zeros(3), directions)
    return paint(directions * distance[..., None]), distance


def truth(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Ray-cast pictures [T, 3, h, w] and depth [T, h, w]."""
    rays = pixel_directions(cameras.K, cameras.height, cameras.width).flatten(1, 2)
    rays = (rays @ cameras.w2c[:, :3, :3]).reshape(len(cameras), cameras.height, cameras.width, 3)
    depth = torch.stack([wall_distance(eye, own) for eye, own in zip(cameras.centers, rays, strict=True)])
    points = cameras.centers[:, None, None] + rays * depth[..., None]
    return paint(points).movedim(0, 1), depth


@pytest.fixture(scope="module")
def memory() -> GeometricMemory:
    return initialise_panorama_memory(*room(), edge_threshold=0.0, **SMALL)


def test_points_lie_on_the_walls_and_carry_their_colour(memory: GeometricMemory):
    xyz = memory.points.xyz
    on_wall = torch.minimum((xyz - LOW).abs(), (xyz - HIGH).abs()).amin(-1)
    assert on_wall.max() < 1e-5
    assert_close(memory.points.rgb, paint(xyz).T, atol=1e-5, rtol=0)
    assert memory.points.num_points == pytest.approx(H * W * 2 / math.pi, rel=0.1)
    assert (memory.points.clip == 0).all()


def test_views_are_what_cameras_in_the_middle_see(memory: GeometricMemory):
    assert [view.name for view in memory.views] == [f"pano_bank/{index:04d}" for index in range(6)]
    for view in memory.views:
        picture, depth = truth(view.camera)
        assert (view.image.float() / 255 - picture[0]).abs().mean() < 0.01
        assert view.depth is not None
        assert (view.depth / depth[0] - 1).abs().median() < 1e-3


def test_renders_from_moved_cameras_equal_the_truth(memory: GeometricMemory):
    turned = look_around([(0.0, 0.0), (180.0, 0.0), (135.0, 25.0), (20.0, -60.0)], 48, 64, 75.0)
    w2c = turned.w2c.clone()
    offset = torch.tensor([[0.4, 0.1, 0.3], [-0.5, 0.0, 0.2], [0.3, -0.2, 0.4], [0.0, 0.2, 0.0]])
    w2c[:, :3, 3] = -(w2c[:, :3, :3] @ offset[..., None])[..., 0]
    cameras = replace(turned, w2c=w2c)
    rendered = memory.render(cameras, radius=0.05)
    picture, depth = truth(cameras)
    seen = rendered.hole_mask < 0.5
    assert seen.float().mean() > 0.999
    error = (rendered.image - picture).abs().amax(1)[seen]
    assert error.mean() < 0.03, "half a point's disc of blur, and no more"
    assert (rendered.depth / depth - 1).abs()[seen].median() < 0.02


def test_the_seam_is_as_whole_as_the_middle(memory: GeometricMemory):
    # Two cameras turned by half a circle: one looks into the middle of the picture, one at its seam.
    cameras = look_around([(0.0, 0.0), (180.0, 0.0)], 48, 64, 75.0)
    rendered, (picture, _) = memory.render(cameras, radius=0.03), truth(cameras)
    assert not rendered.hole_mask.any()
    middle = slice(30, 34)
    for own, expected in zip(rendered.image, picture, strict=True):
        error = (own - expected).abs().mean((0, 1))
        assert error[middle].max() < 1.5 * error.median() + 0.01


def test_median_is_over_the_sphere_and_far_points_are_contracted_as_by_later_clips():
    image, distance = room()
    distance = distance.clone()
    far = panorama_directions(H, W)[..., 2] < -0.9
    distance[far] = 500.0
    contracted = initialise_panorama_memory(image, distance, edge_threshold=0.0, far_contraction=4.0, **SMALL)
    plain = initialise_panorama_memory(image, distance, edge_threshold=0.0, far_contraction=0.0, **SMALL)
    limit = 4 * contracted.median_depth
    assert contracted.far_limit == pytest.approx(limit) and plain.far_limit == math.inf
    weight = torch.cos((0.5 - (torch.arange(H) + 0.5) / H) * math.pi)[:, None].expand(H, W)
    below = weight[distance <= contracted.median_depth].sum() / weight.sum()
    assert below == pytest.approx(0.5, abs=0.01)
    assert contracted.points.xyz.abs().max() <= 2 * limit * 1.001 < plain.points.xyz.abs().max()
    # Points and the views' depth stay one surface.
    back = contracted.views[2]
    assert back.depth is not None
    xy, z = project(contracted.points.xyz, back.K, back.w2c)
    inside = (z > 100) & ((xy - 24).abs().amax(-1) < 4)
    assert not inside.any()
    behind = (z > limit) & ((xy[:, 0] - 24).abs() < 5) & ((xy[:, 1] - 16).abs() < 5)
    column, row = xy[behind].long().unbind(-1)
    assert behind.any()
    assert_close(back.depth[row, column], z[behind], rtol=0.02, atol=0)


def test_a_memory_from_a_panorama_grows_by_a_clip(memory: GeometricMemory):
    eye = torch.tensor([[0.0, 0, 0], [0.3, 0.0, 0.2], [0.6, 0.0, 0.4]])
    w2c = look_at(eye, torch.tensor([1.0, 0.2, 4.0]).expand(3, 3))
    cameras = replace(look_around([(0.0, 0.0)] * 3, 36, 48, 70.0), w2c=w2c)
    frames, depths = truth(cameras)
    settings = {"keep_frames": 2, "align_scale": True, "alignment": "robust", "edge_threshold": 0.0}
    grown, report = memory.update(frames, cameras, depths * 7.0, radius=0.05, fusion="voxel", **settings)
    assert report.alignment is not None and report.alignment.with_status("fitted") == (1, 2)
    scales = [frame.fit.scale / 7.0 for frame in report.alignment.frames if frame.fit is not None]
    assert scales == pytest.approx([1.0, 1.0], abs=0.01)
    new = grown.points.select(grown.points.clip == 1).xyz
    assert torch.minimum((new - LOW).abs(), (new - HIGH).abs()).amin(-1).median() < 0.02


def test_more_points_per_pixel_lie_on_the_walls_too():
    fine = initialise_panorama_memory(*room(48, 96), density=2, edge_threshold=0.0, **SMALL)
    coarse = initialise_panorama_memory(*room(48, 96), edge_threshold=0.0, **SMALL)
    assert fine.points.num_points == pytest.approx(4 * coarse.points.num_points, rel=0.1)
    on_wall = torch.minimum((fine.points.xyz - LOW).abs(), (fine.points.xyz - HIGH).abs()).amin(-1)
    assert on_wall.median() < 2e-3


def test_sky_and_missing_distance_make_no_points_and_edges_are_cut():
    image, distance = room()
    sky = torch.zeros(H, W, dtype=torch.bool)
    sky[:20] = True
    distance[-10:] = 0
    memory = initialise_panorama_memory(image, distance, sky=sky, **SMALL)
    directions = memory.points.xyz / memory.points.xyz.norm(dim=-1, keepdim=True)
    elevation = torch.rad2deg(torch.asin(-directions[:, 1]))
    assert elevation.max() < 90 - 20 / H * 180 and elevation.min() > -(90 - 10 / H * 180)
    ceiling = memory.views[4]
    assert ceiling.depth is not None and (ceiling.depth == 0).any()
    assert "depth, median distance" in memory.history[0] and "89% of" not in memory.history[0]


def test_it_is_saved_and_loaded(memory: GeometricMemory, tmp_path: Path):
    save_memory(tmp_path / "room.safetensors", memory)
    loaded = load_memory(tmp_path / "room.safetensors")
    assert torch.equal(loaded.points.xyz, memory.points.xyz) and len(loaded.views) == 6


def test_progress_is_told_and_may_interrupt():
    def stop(done: int, total: int) -> None:
        assert total == 6
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        initialise_panorama_memory(*room(48, 96), progress=stop, **SMALL)


def test_bad_input():
    image, distance = room(48, 96)
    with pytest.raises(ShapeError, match="expected exactly 2 : 1"):
        initialise_panorama_memory(image[..., :-3], distance[..., :-3], **SMALL)
    with pytest.raises(ShapeError, match="distance"):
        initialise_panorama_memory(image, distance[:-1], **SMALL)
    for nothing in (torch.zeros(48, 96), torch.full((48, 96), torch.nan)):
        with pytest.raises(WorldStereoError, match="distance: no pixel"):
            initialise_panorama_memory(image, nothing, **SMALL)
    single = torch.zeros(48, 96)
    single[24, 48] = 2.0
    with pytest.raises(WorldStereoError, match="expected more than 8"):
        initialise_panorama_memory(image, single, edge_threshold=0.0, **SMALL)
    with pytest.raises(WorldStereoError, match="density: got 9"):
        initialise_panorama_memory(image, distance, density=9, **SMALL)


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_tiny_and_huge_rooms(unit: float):
    image, distance = room(48, 96)
    memory = initialise_panorama_memory(image, distance * unit, **SMALL)
    plain = initialise_panorama_memory(image, distance, **SMALL)
    # The edge filter adds 1e-6 to disparities, which tells in huge units.
    assert memory.points.num_points == pytest.approx(plain.points.num_points, rel=0.05)
    assert memory.median_depth == pytest.approx(unit * plain.median_depth, rel=1e-5)
