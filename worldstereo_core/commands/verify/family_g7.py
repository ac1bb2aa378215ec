"""g7: depth to points with far-depth contraction and depth-edge removal, as the released code does it."""

from __future__ import annotations

from torch import Tensor

from ...geometry.depth import contract_far_depth, depth_edges, disparity_edges, sobel
from ...geometry.point_cloud import depth_to_points
from .golden import Golden

INPUT_GLOBS = ("image", "*.K", "*.w2c", "*.depth", "*.sky_mask", "sobel.disp")


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Recompute every case that has points; those the released code refuses store none."""
    computed: dict[str, Tensor] = {}
    image = golden.input("image")[0]
    for case, facts in golden.cases.items():
        if not (isinstance(facts, dict) and golden.has_input(f"{case}.depth")):
            continue
        depth = golden.input(f"{case}.depth")[0, 0]
        mask = golden.input(f"{case}.sky_mask") if golden.has_input(f"{case}.sky_mask") else None
        threshold = facts["sobel_threshold"]
        contracted = contract_far_depth(depth)
        points = depth_to_points(
            image,
            depth,
            golden.input(f"{case}.K"),
            golden.input(f"{case}.w2c"),
            edge_threshold=threshold,
            edge_mode="official",
            mask=mask,
        )
        computed[f"{case}.depth_contracted"] = contracted[None, None]
        computed[f"{case}.boundary_mask"] = depth_edges(contracted, threshold, "official")[None, None]
        computed[f"{case}.points"] = points.xyz
        computed[f"{case}.colors"] = points.rgb
    if golden.has_input("sobel.disp"):
        disparity = golden.input("sobel.disp")[0, 0]
        computed["sobel.grad"] = sobel(disparity)[None, None]
        for name in golden.tensors:
            if name.startswith("sobel.mask"):
                threshold = float(name.removeprefix("sobel.mask"))
                computed[name] = disparity_edges(disparity, threshold)[None, None]
    return computed
