"""Pictures fitted to a size, and depth maps made visible."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import WorldStereoError, check_shape
from .cameras import central_window
from .depth import has_depth
from .render import RenderedFrames

Fit = Literal["crop", "stretch"]


def fit_pictures(pictures: Tensor, height: int, width: int, fit: Fit = "crop") -> Tensor:
    """Bring pictures to a size.

    Args:
        pictures: [T, 3, H, W], 0..1.
        height, width: the size wanted, pixels.
        fit: ``"crop"`` keeps proportions and cuts what is over, evenly on both sides; ``"stretch"`` keeps
            everything.

    Returns:
        [T, 3, height, width], 0..1; bicubic, clipped, since the filter overshoots. Pictures that already have
        the size come back unchanged.
    """
    sizes = check_shape("image", pictures, ("T", 3, "H", "W"), "Wire an RGB picture.")
    if fit not in ("crop", "stretch"):
        raise WorldStereoError(f'fit: got "{fit}", expected "crop" or "stretch".')
    if (sizes["H"], sizes["W"]) == (height, width):
        return pictures
    if fit == "crop":
        rows, columns, top, left = central_window((sizes["H"], sizes["W"]), (height, width))
        pictures = pictures[..., top : top + rows, left : left + columns]
    resized = interpolate(pictures, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1)


def limit_size(pictures: Tensor, longer_side: int) -> Tensor:
    """[T, 3, H, W] pictures made smaller, with their proportions, until no side is longer; never larger."""
    height, width = pictures.shape[-2:]
    scale = longer_side / max(height, width)
    if scale >= 1:
        return pictures
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return interpolate(pictures, size=size, mode="area")


def depth_to_pictures(depth: Tensor, tail: float = 0.0) -> Tensor:
    """Draw depth maps for the eye: disparity, near is bright, no data is black.

    Args:
        depth: [T, H, W], camera z; 0 or non-finite marks no data.
        tail: share of the data at either end that the scale leaves out: those few pixels come out as bright
            as the nearest or as dark as the farthest of the others.

    Returns:
        [T, 3, H, W] in 0..1; the scale is shared by all maps.
    """
    check_shape("depth", depth, ("T", "H", "W"))
    valid = has_depth(depth)
    if not bool(valid.any()):
        return torch.zeros_like(depth)[:, None].expand(-1, 3, -1, -1)
    disparity = torch.where(valid, 1 / depth, 0.0)
    ranked = disparity[valid].sort().values
    last = len(ranked) - 1
    far, near = ranked[round(tail * last)], ranked[round((1 - tail) * last)]
    # The farthest data stays visibly brighter than no data.
    scaled = 0.1 + 0.9 * ((disparity - far) / (near - far).clamp_min(1e-12)).clamp(0, 1)
    return torch.where(valid, scaled, 0.0)[:, None].expand(-1, 3, -1, -1)


def depth_to_linear(depth: Tensor) -> Tensor:
    """Scale depth maps into 0..1 and keep them linear: 1 = the farthest data of all maps, 0 = no data."""
    valid = has_depth(depth)
    if not bool(valid.any()):
        return torch.zeros_like(depth)
    return torch.where(valid, depth / depth[valid].max(), 0.0)


def paste_first_frame(rendered: RenderedFrames, picture: Tensor) -> RenderedFrames:
    """Put a picture in place of frame 0 of a render; nothing of that frame is a hole then.

    Args:
        rendered: frames of H x W pixels.
        picture: [3, H, W], 0..1.

    Raises: ShapeError if the sizes differ.
    """
    height, width = rendered.image.shape[-2:]
    check_shape(
        "first_frame",
        picture,
        (3, height, width),
        "Give the start picture at the trajectory's size (Fit Image to WorldStereo Size).",
    )
    image, hole_mask, confidence = rendered.image.clone(), rendered.hole_mask.clone(), rendered.confidence
    image[0], hole_mask[0] = picture, 0.0
    if confidence is not None:
        confidence = confidence.clone()
        confidence[0] = 1.0
    return replace(rendered, image=image, hole_mask=hole_mask, confidence=confidence)


def fade_uncertain(
    rendered: RenderedFrames, threshold: float, softness: float = 0.0, background: float = 0.5
) -> RenderedFrames:
    """Turn what is drawn from points of low confidence into holes, so that the model makes it up anew.

    Args:
        rendered: with confidence.
        threshold: confidence at which a pixel is half a hole, 0..1; 0 with softness 0 changes nothing.
        softness: width of the transition around it, 0..1; 0 cuts hard: below the threshold is a hole.
        background: colour that holes fade to, 0..1.

    Returns:
        Frames whose image has faded to the background by the share that the hole mask, now 0..1, tells.
    """
    if rendered.confidence is None:
        raise WorldStereoError("render: it carries no confidence. Render it with confidence first.")
    for name, value in (("threshold", threshold), ("softness", softness)):
        if not 0 <= value <= 1:
            raise WorldStereoError(f"uncertain {name}: got {value}, expected a number from 0 to 1.")
    uncertain = 1 - soft_step(rendered.confidence, threshold, softness)
    hole_mask = torch.maximum(rendered.hole_mask, uncertain)
    # Holes already have their colour.
    share = torch.where(rendered.hole_mask >= 1, 0.0, uncertain)[:, None]
    image = torch.lerp(rendered.image, torch.full_like(rendered.image, background), share)
    return replace(rendered, image=image, hole_mask=hole_mask)


def soft_step(values: Tensor, middle: float, width: float) -> Tensor:
    """0 below ``middle`` - width / 2, 1 above ``middle`` + width / 2, a ramp between; width 0: 0 or 1."""
    if width == 0:
        return (values >= middle).to(values)
    return ((values - middle) / width + 0.5).clamp(0, 1)
