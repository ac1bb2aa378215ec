"""g7: depth to points with far-depth contraction and depth-edge removal, as the released code does it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...geometry.depth import contract_far_depth, depth_edges, disparity_edges, sobel
from ...geometry.point_cloud import depth_to_points
from .golden import Golden

RELEASED_CONTRACTION = 8.0  # where a golden says nothing

INPUT_GLOBS = ("image", "*.image", "*.K", "*.w2c", "*.depth", "*.sky_mask", "*.disp")


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Recompute every case that has points; those the released code refuses store none."""
    computed: dict[str, Tensor] = {}
    for case, facts in golden.cases.items():
        if not (isinstance(facts, dict) and golden.has_input(f"{case}.depth")):
            continue
        own_image = f"{case}.image"
        image = golden.input(own_image if golden.has_input(own_image) else "image")[0]
        depth = golden.input(f"{case}.depth")[0, 0]
        mask = golden.input(f"{case}.sky_mask") if golden.has_input(f"{case}.sky_mask") else None
        threshold = facts["sobel_threshold"]
        factor = contraction(golden, facts)
        contracted = contract_far_depth(depth, factor)
        points = depth_to_points(
            image,
            depth,
            golden.input(f"{case}.K").view(-1, 3, 3)[0],
            golden.input(f"{case}.w2c").view(-1, 4, 4)[0],
            edge_threshold=threshold,
            edge_mode="official",
            far_contraction=factor,
            mask=mask,
        )
        computed[f"{case}.depth_contracted"] = contracted[None, None]
        computed[f"{case}.boundary_mask"] = depth_edges(contracted, threshold, "official")[None, None]
        computed[f"{case}.points"] = points.xyz
        computed[f"{case}.colors"] = points.rgb
    for name in golden.names:
        prefix, _, quantity = name.partition(".")
        if not golden.has_input(f"{prefix}.disp"):
            continue
        disparity = golden.input(f"{prefix}.disp")[0, 0]
        if quantity == "grad":
            computed[name] = sobel(disparity)[None, None]
        elif match := re.fullmatch(r"mask(\d*\.?\d+)", quantity):
            computed[name] = disparity_edges(disparity, float(match[1]))[None, None]
    return computed


def contraction(golden: Golden, facts: Mapping[str, Any]) -> float:
    """Multiple of the median depth from which depth is contracted: of the case, else as ``what`` says."""
    match = re.search(r"contract=(\d*\.?\d+)", golden.manifest.get("what", ""))
    return float(facts.get("contract", match[1] if match else RELEASED_CONTRACTION))
