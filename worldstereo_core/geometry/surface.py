"""Depth of the surface that points lie on, without the bias of their discs."""

from __future__ import annotations

import torch
from torch import Tensor

from .cameras import Cameras
from .point_cloud import PointCloud
from .rasterize import project_and_sort, rasterize_bands

# Radii tried, pixels. Discs this small cover a pixel with what lies beneath it instead of the nearest thing
# around; the larger ones are for clouds that are coarser than the picture.
SPREADS = (0.5, 1.0, 2.0)
# A radius is enough when it measures this share of what ordinary discs cover.
ENOUGH = 0.25
_LAYERS = 8
# Points behind the nearest one of a pixel by up to the first share are averaged with it; one between the two
# shares tells of a surface too steep to measure, one farther behind lies on another surface.
SAME_SURFACE, OTHER_SURFACE = 0.05, 0.15


def render_surface(points: PointCloud, cameras: Cameras, cover: Tensor | None = None) -> Tensor:
    """Depth of points for measuring: of slanted surfaces too it is that of the pixel's centre.

    ``render_points`` draws discs and takes the nearest point of those that reach a pixel: on a slanted
    surface that is systematically nearer than the pixel's own depth, by the slope times the disc. Here small
    discs are averaged, so there are more holes and no such bias.

    Args:
        points: the cloud.
        cameras: T cameras at the size to measure.
        cover: [T, H, W] depth drawn with ordinary discs, 0 in holes: what lies clearly behind it shows
            through gaps between near points and is left out.

    Returns:
        [T, H, W] camera z, scene units; 0 where nothing was measured.
    """
    depth = points.xyz.new_zeros((len(cameras), cameras.height, cameras.width), dtype=torch.float32)
    for frame in range(len(cameras)):
        covered = None if cover is None else cover[frame]
        for spread in SPREADS:
            measured = _measure(points, cameras[frame], spread)
            if covered is None:
                depth[frame] = measured
                break
            depth[frame] = torch.where(measured <= covered * (1 + SAME_SURFACE), measured, 0.0)
            if int((depth[frame] > 0).sum()) >= ENOUGH * int((covered > 0).sum()):
                break
    return depth


def _measure(points: PointCloud, camera: Cameras, spread: float) -> Tensor:
    """[H, W] depth averaged over the points within some pixels; 0 where there are none, or unlike ones."""
    height, width = camera.height, camera.width
    radius = spread * 2 / min(height, width)
    depth = points.xyz.new_zeros((height, width), dtype=torch.float32)
    projected = project_and_sort(points.xyz, camera.K[0], camera.w2c[0], height, width, radius)
    for rows, fragments in rasterize_bands(projected, height, width, radius, _LAYERS):
        nearest = fragments.depth[:, :1]
        is_front = (fragments.index >= 0) & (fragments.depth <= nearest * (1 + SAME_SURFACE))
        is_between = (fragments.depth > nearest * (1 + SAME_SURFACE)) & (
            fragments.depth <= nearest * (1 + OTHER_SURFACE)
        )
        weight = torch.where(is_front, 1 - fragments.distance2 / radius**2, 0.0).clamp_min(0)
        # In disparity, which is linear across the picture of a plane.
        disparity = torch.where(is_front, 1 / fragments.depth, 0.0)
        mean = (weight * disparity).sum(-1) / weight.sum(-1).clamp_min(1e-12)
        is_measured = (mean > 0) & torch.isfinite(mean) & ~is_between.any(-1)
        depth[rows] = torch.where(is_measured, 1 / mean, 0.0).reshape(-1, width)
    return depth
