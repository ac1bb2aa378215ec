"""Depth of the surface that points lie on, without the bias of their discs."""

from __future__ import annotations

import torch
from torch import Tensor

from .cameras import Cameras
from .point_cloud import PointCloud
from .rasterize import project_and_sort, rasterize_bands

# Discs this small cover a pixel with what lies beneath it, instead of the nearest thing around.
SPREAD_PIXELS = 0.5
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
    height, width = cameras.height, cameras.width
    radius = SPREAD_PIXELS * 2 / min(height, width)
    depth = points.xyz.new_zeros((len(cameras), height, width), dtype=torch.float32)
    for frame in range(len(cameras)):
        projected = project_and_sort(points.xyz, cameras.K[frame], cameras.w2c[frame], height, width, radius)
        for rows, fragments in rasterize_bands(projected, height, width, radius, _LAYERS):
            nearest = fragments.depth[:, :1]
            is_front = (fragments.index >= 0) & (fragments.depth <= nearest * (1 + SAME_SURFACE))
            is_between = (fragments.depth > nearest * (1 + SAME_SURFACE)) & (
                fragments.depth <= nearest * (1 + OTHER_SURFACE)
            )
            weight = torch.where(is_front, 1 - fragments.distance2 / radius**2, 0.0).clamp_min(0)
            # In disparity, which is linear across the picture of a plane.
            disparity = torch.where(is_front, 1 / fragments.depth, 0.0)
            total = weight.sum(-1)
            mean = (weight * disparity).sum(-1) / total.clamp_min(1e-12)
            is_measured = (mean > 0) & torch.isfinite(mean) & ~is_between.any(-1)
            found = torch.where(is_measured, 1 / mean, 0.0)
            depth[frame, rows] = found.reshape(-1, width)
    if cover is not None:
        depth = torch.where(depth <= cover * (1 + SAME_SURFACE), depth, 0.0)
    return depth
