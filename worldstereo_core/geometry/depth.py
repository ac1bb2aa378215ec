"""Depth maps: data or no data, far-depth contraction, depth edges, normals."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from .cameras import unproject

EdgeMode = Literal["masked", "official"]


def has_depth(depth: Tensor) -> Tensor:
    """Return a bool mask of the pixels that carry data: finite and greater than 0; any shape."""
    return torch.isfinite(depth) & (depth > 0)


def lower_median(values: Tensor) -> Tensor:
    """Return the median of a non-empty tensor; of an even count the lower of the two middle values."""
    return torch.median(values.flatten())


def contract_far_depth(depth: Tensor, factor: float = 8.0, valid: Tensor | None = None) -> Tensor:
    """Pull very far depth in, so that sky and horizon end at twice the limit instead of at infinity.

    With the limit m = factor * median, a depth d beyond m becomes 2m - m^2 / d; nearer depth is untouched.

    Args:
        depth: [H, W], camera z in scene units; 0 or non-finite marks no data and stays as it is.
        factor: the limit in units of the median depth; 0 switches the contraction off.
        valid: [H, W] bool, pixels the median is taken over; by default those with data.

    Returns:
        [H, W] a new tensor.

    Raises: WorldStereoError if no pixel has data.
    """
    if factor < 0:
        raise WorldStereoError(f"far_contraction: got {factor}, expected 0 (off) or a positive factor.")
    usable = has_depth(depth) if valid is None else valid & has_depth(depth)
    check_has_data("depth", usable)
    if factor == 0:
        return depth.clone()
    limit = factor * lower_median(depth[usable])
    contracted = 2 * limit - limit**2 / (depth + 1e-6)
    return torch.where(torch.isfinite(depth) & (depth > limit), contracted, depth)


def depth_edges(
    depth: Tensor,  # [H, W]
    threshold: float = 0.35,
    mode: EdgeMode = "masked",
    valid: Tensor | None = None,  # [H, W] bool
) -> Tensor:
    """Find pixels on depth discontinuities, whose unprojected points would float between two surfaces.

    The disparity, scaled to 0..1 over the map, is run through a 3x3 Sobel filter; a pixel is an edge where
    exp(-10 * gradient) falls below the threshold.

    Args:
        depth: [H, W], camera z in scene units; 0 or non-finite marks no data.
        threshold: 0..1; higher removes more. 0.35 means a gradient above 0.105. 0 finds no edge.
        mode: ``"masked"`` scales over valid pixels only; a valid pixel that touches an invalid one counts as
            an edge. ``"official"`` scales over all pixels as the released code does: one pixel without depth
            becomes so near (disparity 1e7) that every real edge vanishes and only the rim of the invalid
            region is left.
            With all pixels valid the two agree.
        valid: pixels to use, further to having data; ignored in ``"official"`` mode.

    Returns:
        [H, W] bool, True on an edge. In ``"masked"`` mode only valid pixels can be edges.

    Raises: WorldStereoError if no pixel is valid, or in ``"official"`` mode if a depth is not finite.
    """
    check_shape("depth", depth, ("H", "W"))
    if not 0 <= threshold <= 1:
        raise WorldStereoError(f"edge_threshold: got {threshold}, expected a number from 0 to 1.")
    if mode == "official":
        if not torch.isfinite(depth).all():
            raise WorldStereoError(
                "depth: some values are not finite, which the official edge removal refuses. "
                'Set them to 0, or choose edge mode "masked".'
            )
        return disparity_edges(_scale_disparity(1 / (depth + 1e-7)), threshold)
    if mode != "masked":
        raise WorldStereoError(f'edge_mode: got "{mode}", expected "masked" or "official".')
    usable = has_depth(depth) if valid is None else valid & has_depth(depth)
    check_has_data("depth", usable)
    disparity = 1 / (depth[usable] + 1e-7)
    # The fill is never seen: pixels whose 3x3 window contains it are replaced by the rim below.
    scaled = torch.zeros_like(depth).masked_scatter(usable, _scale_disparity(disparity))
    touches_invalid = F.max_pool2d((~usable).float()[None], 3, stride=1, padding=1)[0] > 0
    if threshold == 0:
        return torch.zeros_like(usable)
    return (disparity_edges(scaled, threshold) | touches_invalid) & usable


def disparity_edges(disparity: Tensor, threshold: float) -> Tensor:
    """Return where exp(-10 * Sobel gradient) of a disparity map [H, W] in 0..1 is below the threshold."""
    gradient = sobel(disparity)
    return torch.exp(-10 * gradient.square().sum(0).sqrt()) < threshold


def sobel(image: Tensor) -> Tensor:
    """Return the un-normalised 3x3 Sobel derivatives [2, H, W] of a map [H, W]: along x, along y."""
    kernel_x = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=image.dtype, device=image.device)
    kernels = torch.stack([kernel_x, kernel_x.T])[:, None]
    padded = F.pad(image[None, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernels)[0]


def normals_from_depth(depth: Tensor, K: Tensor, w2c: Tensor) -> Tensor:
    """Estimate surface normals from a depth map by differences of neighbouring points.

    Args:
        depth: [H, W], camera z in scene units; 0 or non-finite marks no data.
        K: [3, 3], pixels of the H x W map.
        w2c: [4, 4].

    Returns:
        [H, W, 3] unit normals in world coordinates, turned towards the camera; NaN where the pixel or a
        neighbour that is needed has no data.
    """
    height, width = check_shape("depth", depth, ("H", "W")).values()
    if height < 3 or width < 3:
        raise ShapeError(f"depth: got {height} x {width} pixels, normals need at least 3 x 3.")
    camera = torch.eye(4, dtype=torch.float64, device=depth.device)
    points = unproject(depth.double()[None], K.double()[None], camera[None])[0]
    along_x = torch.gradient(points, dim=1)[0]
    along_y = torch.gradient(points, dim=0)[0]
    normal = torch.linalg.cross(along_x, along_y)
    normal = normal / normal.norm(dim=-1, keepdim=True)
    faces_away = (normal * points).sum(-1, keepdim=True) > 0
    normal = torch.where(faces_away, -normal, normal)
    normal = torch.where(has_depth(depth)[..., None], normal, torch.nan)
    return (normal @ w2c[:3, :3].double()).to(depth.dtype)


def check_has_data(name: str, valid: Tensor) -> None:
    """Raise WorldStereoError unless some pixel of a bool mask is True."""
    if not bool(valid.any()):
        raise WorldStereoError(
            f"{name}: no pixel of the {list(valid.shape)} map has data (0, non-finite and masked pixels do "
            "not count), expected camera z > 0. Check the depth input, its scale and the mask."
        )


def _scale_disparity(disparity: Tensor) -> Tensor:
    low, high = disparity.min(), disparity.max()
    return (disparity - low) / (high - low + 1e-6)
