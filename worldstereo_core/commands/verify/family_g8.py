"""g8: point renders, against frames of a real pytorch3d build."""

from __future__ import annotations

import torch
from torch import Tensor

from ...geometry.cameras import Cameras
from ...geometry.point_cloud import PointCloud
from ...geometry.rasterize import rasterize_points
from ...geometry.render import render_points
from .golden import Golden

INPUT_GLOBS = ("points", "colors", "*.K", "*.w2c")


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Render every case. The golden's colours lie in -1..1, ours in 0..1; both ways the map is linear."""
    xyz, colours = golden.input("points"), golden.input("colors")
    cloud = PointCloud(
        xyz=xyz,
        rgb=(colours + 1) / 2,
        confidence=torch.ones(len(xyz)),
        clip=torch.zeros(len(xyz), dtype=torch.int32),
    )
    computed: dict[str, Tensor] = {}
    for case, settings in golden.cases.items():
        K, w2c = golden.input(f"{case}.K"), golden.input(f"{case}.w2c")
        height, width, radius = settings["h"], settings["w"], settings["radius"]
        points_per_pixel = settings["points_per_pixel"]
        frames = render_points(
            cloud,
            Cameras(w2c, K, height, width),
            radius=radius,
            points_per_pixel=points_per_pixel,
            background=[(value + 1) / 2 for value in settings["background"]],
        )
        hole = frames.hole_mask > 0
        computed[f"{case}.rgb"] = frames.image * 2 - 1
        computed[f"{case}.mask"] = hole[:, None].to(torch.uint8)
        computed[f"{case}.zbuf0"] = frames.depth.masked_fill(hole, -1)
        fragments = [
            rasterize_points(xyz, K[frame], w2c[frame], height, width, radius, points_per_pixel)
            for frame in range(len(K))
        ]
        index = torch.stack([kept.index for kept in fragments])
        computed[f"{case}.count"] = (index >= 0).sum(-1).to(torch.uint8)
        computed[f"{case}.idx"] = index.to(torch.int32)
        computed[f"{case}.zbuf"] = torch.stack([kept.depth for kept in fragments])
        computed[f"{case}.dists"] = torch.stack([kept.distance2 for kept in fragments])
    return computed
