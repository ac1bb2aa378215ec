"""The point renderer written as its definition reads: one pixel at a time. For tests and benchmarks only."""

from __future__ import annotations

import torch

from .cameras import Cameras, project
from .point_cloud import PointCloud
from .render import FADE, RenderedFrames


def render_points_reference(
    points: PointCloud,
    cameras: Cameras,
    *,
    radius: float = 0.008,
    points_per_pixel: int = 8,
    background: float = 0.5,
) -> RenderedFrames:
    """Do what ``render_points`` does, slowly; arguments and result as there."""
    height, width = cameras.height, cameras.width
    image = torch.full((cameras.num_frames, 3, height, width), float(background))
    hole_mask = torch.ones(cameras.num_frames, height, width)
    depth = torch.zeros(cameras.num_frames, height, width)
    for frame in range(cameras.num_frames):
        xy, z = project(points.xyz, cameras.K[frame], cameras.w2c[frame])
        for row in range(height):
            for column in range(width):
                centre = torch.tensor([column + 0.5, row + 0.5])
                distance2 = ((xy - centre) / (min(height, width) / 2)).square().sum(-1)
                covers = torch.nonzero((distance2 < radius**2) & (z >= 0))[:, 0]
                if len(covers) == 0:
                    continue
                nearest = covers[torch.sort(z[covers], stable=True).indices[:points_per_pixel]]
                colour, through = torch.zeros(3), 1.0
                for point in nearest:
                    alpha = 1 - distance2[point] / radius**2
                    colour = colour + through * alpha * points.rgb[point]
                    through = through * (1 - alpha)
                image[frame, :, row, column] = colour + through * FADE
                hole_mask[frame, row, column] = 0
                depth[frame, row, column] = z[nearest[0]]
    return RenderedFrames(image, hole_mask, depth)
