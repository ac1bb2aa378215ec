"""Measured depth of slanted planes, where discs of points would be too near."""

from __future__ import annotations

import torch
from torch import Tensor

from worldstereo_core.geometry.cameras import Cameras, fov_to_K, pixel_directions, unproject
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.geometry.render import render_points
from worldstereo_core.geometry.surface import render_surface

H, W = 48, 64
K = fov_to_K(1.2, H, W)


def camera(shift: float = 0.0) -> Cameras:
    w2c = torch.eye(4)
    w2c[0, 3] = -shift
    return Cameras(w2c[None], K[None], H, W)


def slope(at: Cameras) -> Tensor:
    """Exact depth [1, H, W] of the plane z = 3 + 1.5 x."""
    rays = pixel_directions(at.K, H, W)
    eye = at.centers[:, 0, None, None]
    return (3 + 1.5 * eye) / (1 - 1.5 * rays[..., 0])


def cloud(xyz: Tensor) -> PointCloud:
    count = len(xyz)
    return PointCloud(
        xyz, torch.full((count, 3), 0.5), torch.ones(count), torch.zeros(count, dtype=torch.int32)
    )


def test_a_slanted_plane_is_measured_where_it_is_and_not_before_it():
    # Twice as many points as pixels per side, seen from elsewhere.
    fine = camera().resized(2 * H, 2 * W)
    rays = pixel_directions(fine.K, 2 * H, 2 * W)
    depth = 3 / (1 - 1.5 * rays[..., 0])
    points = cloud(unproject(depth, fine.K, fine.w2c)[0].reshape(-1, 3))
    points = points.select(torch.isfinite(points.xyz).all(1) & (points.xyz[:, 2] < 20))
    here = camera(0.4)
    truth = slope(here)
    measured = render_surface(points, here)
    drawn = render_points(points, here, radius=2 * 1.5 / H, points_per_pixel=1).depth
    own, discs = (((d / truth - 1)[d > 0]) for d in (measured, drawn))
    assert own.numel() > 0.5 * truth.numel()
    assert own.mean().abs() < 1e-3 and own.abs().max() < 0.05
    assert discs.mean() < -0.02


def test_what_shows_through_gaps_of_near_points_is_left_out():
    grid = torch.stack(
        torch.meshgrid(torch.arange(-2, 2, 0.25), torch.arange(-2, 2, 0.25), indexing="xy"), -1
    )
    near = torch.cat([grid.reshape(-1, 2), torch.full((256, 1), 2.0)], dim=1)
    wall = unproject(torch.full((1, H, W), 8.0), K[None], torch.eye(4)[None])[0].reshape(-1, 3)
    points = cloud(torch.cat([near, wall]))
    cover = render_points(points, camera(), radius=0.3, points_per_pixel=1).depth
    through, hidden = render_surface(points, camera()), render_surface(points, camera(), cover)
    assert (through > 7).any() and (cover[through > 7] < 3).any()
    assert not ((hidden > 7) & (cover < 3)).any() and (hidden > 0).any()


def test_nothing_to_see_is_no_data():
    assert not render_surface(cloud(torch.zeros(0, 3)), camera()).any()
    assert not render_surface(cloud(torch.tensor([[0.0, 0, -1]])), camera()).any()
    at_camera = render_surface(cloud(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])), camera())
    assert torch.isfinite(at_camera).all()
