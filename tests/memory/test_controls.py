"""Control signals of a sphere before a tilted plane, beside what ray casting says: depth, normals, edges."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, pixel_directions
from worldstereo_core.geometry.trajectory import build_trajectory
from worldstereo_core.memory.controls import ControlFrames, render_controls
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory
from worldstereo_core.memory.pictures import CLIP_COLOURS

H, W = 120, 192
K = torch.tensor([[150.0, 0, W / 2], [0, 150.0, H / 2], [0, 0, 1]])
PLANE = torch.tensor([0.3, -0.5, -0.8]) / math.sqrt(0.98)  # through (0, 0, 3)
CENTRE, RADIUS = torch.tensor([0.2, -0.1, 2.2]), 0.5
POINT = 0.016  # 0.96 pixels


def cast(w2c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Depth [H, W], normals [H, W, 3] in camera axes, and where the sphere is seen."""
    rotation, translation = w2c[:3, :3], w2c[:3, 3]
    origin = -rotation.T @ translation
    rays = pixel_directions(K[None], H, W)[0] @ rotation
    plane = (3 * PLANE[2] - PLANE @ origin) / (rays @ PLANE)
    plane = torch.where(plane > 0, plane, torch.inf)
    a, b = (rays**2).sum(-1), rays @ (CENTRE - origin)
    root = b * b - a * ((CENTRE - origin) @ (CENTRE - origin) - RADIUS**2)
    sphere = torch.where(root > 0, (b - root.clamp_min(0).sqrt()) / a, torch.inf)
    is_sphere = sphere < plane
    depth = torch.minimum(sphere, plane)
    there = origin + rays * torch.where(torch.isfinite(depth), depth, 0.0)[..., None]
    normals = torch.where(is_sphere[..., None], (there - CENTRE) / RADIUS, PLANE.expand(H, W, 3))
    return depth, normals @ rotation.T, is_sphere


@pytest.fixture(scope="module")
def memory() -> GeometricMemory:
    return initialise_memory(torch.full((3, H, W), 0.7), cast(torch.eye(4))[0], K)


@pytest.fixture(scope="module")
def cameras(memory: GeometricMemory) -> Cameras:
    start = (torch.eye(4), K)
    return build_trajectory(
        "orbit right", start=start, height=H, width=W, amount_deg=20, num_frames=3, pivot_depth=2.8
    ).cameras


@pytest.fixture(scope="module")
def drawn(memory: GeometricMemory, cameras: Cameras) -> ControlFrames:
    return render_controls(memory.points, cameras, radius=POINT, edge_source="depth", low=20, high=40)


def test_depth_is_that_of_the_surface(drawn: ControlFrames, cameras: Cameras):
    for frame in range(3):
        truth, _, _ = cast(cameras.w2c[frame])
        seen = drawn.depth[frame] > 0
        error = (drawn.depth[frame] / truth - 1).abs()[seen]
        assert error.median() < 0.003 and error.quantile(0.9) < 0.006


def test_normals_are_those_of_the_surface_in_camera_axes(drawn: ControlFrames, cameras: Cameras):
    for frame in range(3):
        _, truth, is_sphere = cast(cameras.w2c[frame])
        normals = drawn.normals[frame].movedim(0, -1)
        known = normals.norm(dim=-1) > 0
        torch.testing.assert_close(normals.norm(dim=-1)[known], torch.ones(int(known.sum())))
        angle = torch.rad2deg(torch.acos((normals * truth).sum(-1).clamp(-1, 1)))
        assert angle[known & ~is_sphere].median() < 1.0
        assert angle[known & is_sphere].median() < 1.5
        assert known.float().mean() > 0.6


def test_normal_pictures_are_red_to_the_right_green_up_and_blue_towards_the_camera():
    normals = torch.zeros(1, 3, 1, 4)
    normals[0, :, 0, 0] = torch.tensor([1.0, 0, 0])
    normals[0, :, 0, 1] = torch.tensor([0.0, -1, 0])
    normals[0, :, 0, 2] = torch.tensor([0.0, 0, -1])
    flat = torch.zeros(1, 1, 4)
    frames = ControlFrames(flat[:, None].expand(1, 3, 1, 4), flat, flat.bool(), normals, flat.int(), flat)
    expected = [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1], [0, 0, 0]]
    assert frames.normal_pictures()[0, :, 0].T.tolist() == expected


def test_depth_edges_follow_the_outline_and_nothing_else(memory: GeometricMemory):
    # The ring of points that depth edges removed is up to 6 pixels wide here.
    frames = render_controls(
        memory.points,
        memory.views[0].camera,
        radius=POINT,
        close_gaps=4,
        edge_source="depth",
        low=40,
        high=80,
    )
    rows, columns = torch.nonzero(frames.edges[0], as_tuple=True)
    centre, distance = torch.tensor([W / 2 + 150 * 0.2 / 2.2, H / 2 - 150 * 0.1 / 2.2]), RADIUS / 2.2 * 150
    away = torch.stack([columns, rows], 1) + 0.5 - centre
    assert ((away.norm(dim=1) - distance).abs() < 5).all()
    # All the way round: an edge in every sector of 20 degrees.
    sectors = torch.floor(torch.rad2deg(torch.atan2(away[:, 1], away[:, 0])) / 20)
    assert len(sectors.unique()) == 18


def test_no_edge_runs_along_a_hole(drawn: ControlFrames):
    hole = drawn.hole_mask[2] > 0.5
    assert hole.float().mean() > 0.1
    beside = torch.nn.functional.max_pool2d(hole.float()[None], 3, stride=1, padding=1)[0] > 0
    assert not (drawn.edges[2] & beside).any()


def test_depth_pictures_share_one_scale_and_holes_are_black(drawn: ControlFrames):
    near = drawn.depth_pictures("near is white")[:, 0]
    far = drawn.depth_pictures("far is white")[:, 0]
    hole = drawn.hole_mask > 0.5
    assert near[hole].max() == far[hole].max() == 0
    assert near[~hole].min() >= 0.1 - 1e-6
    torch.testing.assert_close(far[~hole] * drawn.depth.max(), drawn.depth[~hole])
    order = drawn.depth[~hole].argsort()
    assert (near[~hole][order].diff() <= 1e-6).all()


def test_narrow_gaps_are_closed_and_wide_holes_keep_their_outline(memory: GeometricMemory):
    here = memory.views[0].camera
    # Every third column is missing, and a square of 20 pixels.
    column = torch.arange(memory.points.num_points) % 3 != 0
    xyz = memory.points.xyz
    pixel = 150 * xyz[:, :2] / xyz[:, 2:] + torch.tensor([W / 2, H / 2])
    inside = ((pixel > torch.tensor([20.0, 20.0])) & (pixel < torch.tensor([40.0, 40.0]))).all(1)
    sparse = memory.points.select(column & ~inside)
    tight = 0.004  # less than half a pixel: a point covers its own pixel only
    open_ = render_controls(sparse, here, radius=tight, close_gaps=0)
    closed = render_controls(sparse, here, radius=tight, close_gaps=2)
    assert open_.hole_mask.mean() > 0.3
    square = closed.hole_mask[0, 22:38, 22:38]
    assert square.min() == 1
    # Rows of points that depth edges removed are wider than a gap; elsewhere nothing is open.
    rest = closed.hole_mask[0, 50:, :60]
    assert rest.max() == 0
    truth, _, _ = cast(torch.eye(4))
    error = (closed.depth[0] / truth - 1).abs()[50:, :60]
    assert error.max() < 0.02


def test_clips_are_those_of_the_nearest_points(memory: GeometricMemory):
    from dataclasses import replace

    left = memory.points.xyz[:, 0] < 0
    points = replace(memory.points, clip=torch.where(left, 3, 1).int())
    frames = render_controls(points, memory.views[0].camera, radius=POINT)
    seen = frames.clips[0] >= 0
    x = torch.arange(W).expand(H, W) + 0.5 - W / 2
    assert (frames.clips[0][seen & (x < -2)] == 3).all() and (frames.clips[0][seen & (x > 2)] == 1).all()
    assert (frames.clips[0][~seen] == -1).all()
    colour = frames.clip_pictures()[0, :, 60, 10]
    torch.testing.assert_close(colour, torch.tensor(CLIP_COLOURS[3]))
    assert torch.equal(frames.clip_mask(3)[0] > 0, frames.clips[0] == 3)


def test_a_camera_that_sees_nothing_gives_holes_and_no_nan(memory: GeometricMemory):
    away = torch.eye(4)
    away[:3, :3] = torch.diag(torch.tensor([-1.0, 1, -1]))
    frames = render_controls(memory.points, Cameras(away[None], K[None], H, W))
    assert frames.hole_mask.min() == 1 and not frames.edges.any()
    for picture in (frames.depth_pictures(), frames.normal_pictures(), frames.clip_pictures()):
        assert torch.isfinite(picture).all() and picture.max() == 0


def test_settings_that_make_no_sense_are_refused(memory: GeometricMemory):
    here = memory.views[0].camera
    with pytest.raises(WorldStereoError, match="close_gaps: got -1"):
        render_controls(memory.points, here, close_gaps=-1)
    with pytest.raises(WorldStereoError, match="edges_from"):
        render_controls(memory.points, here, edge_source="colour")  # type: ignore[arg-type]
