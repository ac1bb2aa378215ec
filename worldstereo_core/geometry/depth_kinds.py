"""Other ways to store depth, brought to camera z."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from .cameras import pixel_directions
from .depth import has_depth

DepthKind = Literal["depth", "disparity", "distance"]


def stored_to_depth(
    values: Tensor, kind: DepthKind = "depth", scale: float = 1.0, K: Tensor | None = None
) -> Tensor:
    """Convert stored maps to camera z.

    Args:
        values: [T, H, W] as stored; 0, negative or non-finite marks no data.
        kind: ``"depth"`` camera z, ``"disparity"`` 1 / camera z, ``"distance"`` along the ray.
        scale: scene units per stored unit; it multiplies depth and distance, and the depth that a disparity
            means.
        K: [T, 3, 3], pixels of an H x W image; only needed for distance.

    Returns:
        [T, H, W] camera z in scene units; 0 where there is no data.

    Raises: WorldStereoError for distance without K.
    """
    sizes = check_shape("depth", values, ("T", "H", "W"))
    valid = has_depth(values)
    if kind == "disparity":
        depth = scale / values
    elif kind == "distance":
        if K is None:
            raise WorldStereoError(
                "fov_deg: got 0 and a file without K, but distance along the line of sight needs a field "
                "of view "
                "to become depth. Set the horizontal field of view in degrees."
            )
        # A ray with z = 1 is as long as distance is larger than z.
        depth = scale * values / pixel_directions(K, sizes["H"], sizes["W"]).norm(dim=-1)
    elif kind == "depth":
        depth = scale * values
    else:
        raise WorldStereoError(f'kind: got "{kind}", expected depth, disparity or distance.')
    return torch.where(valid, depth, 0.0)
