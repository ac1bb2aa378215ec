"""Far depth of any view, contracted by one rule so that the same far surface stays one surface."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..geometry.cameras import Cameras, unproject
from .view import View


def contract_far_from_origin(depth: Tensor, camera: Cameras, origin: View, limit: float) -> Tensor:
    """Contract far depth of any view the way the input image's was.

    The input image contracts camera z beyond the limit m to 2m - m^2 / z. Another view that contracted by its
    own z, or by a limit of its own, would put the same far surface elsewhere. So a point's reach is measured
    from the input image's camera (its z inside that picture, continued to all sides like the faces of a
    cube) and the point moves along the ray of its own pixel by the factor that the reach asks for. In the
    input image's own view this is exactly its contraction, under pure rotation the same world point meets
    itself, and a point never leaves the pixel that shows it.

    Args:
        depth: [H, W], camera z in scene units; no data stays as it is.
        camera: one camera at H x W.
        origin: the input image's view.
        limit: m, scene units; inf changes nothing.
    """
    if math.isinf(limit):
        return depth
    reach = _reach_of_depth(depth, camera, origin)
    return torch.where(reach > limit, depth * contraction_factor(reach, limit), depth)


def contraction_factor(reach: Tensor, limit: float) -> Tensor:
    """What a point at ``reach`` beyond the limit is pulled in by, any shape; 0 .. 1."""
    return (2 * limit - limit**2 / reach) / reach


def is_within_limit(depth: Tensor, camera: Cameras, origin: View, limit: float) -> Tensor:
    """[H, W] pixels whose depth would not be contracted, so that memory and estimate can be compared."""
    return _reach_of_depth(depth, camera, origin) <= limit


def reach_from(origin: View, world: Tensor, eye: Tensor | None = None) -> Tensor:
    """[...] how far world points [..., 3] are from the origin view's camera or an eye [3], by its cube."""
    K, w2c = origin.K, origin.w2c.to(world)
    moved = w2c[:3, 3] if eye is None else -(w2c[:3, :3] @ eye.to(world))
    x, y, z = (world @ w2c[:3, :3].mT + moved).abs().unbind(-1)
    # Inside the origin's picture its own z must win, also if it is wider than a cube's face.
    half_width = max(1.0, float(torch.maximum(K[0, 2], origin.width - K[0, 2]) / K[0, 0]))
    half_height = max(1.0, float(torch.maximum(K[1, 2], origin.height - K[1, 2]) / K[1, 1]))
    return torch.maximum(z, torch.maximum(x / half_width, y / half_height))


def _reach_of_depth(depth: Tensor, camera: Cameras, origin: View) -> Tensor:
    """[H, W] reach of each pixel's point; NaN: no data."""
    world = unproject(depth[None], camera.K, camera.w2c)[0]
    return torch.minimum(reach_from(origin, world), reach_from(origin, world, camera.centers[0]))
