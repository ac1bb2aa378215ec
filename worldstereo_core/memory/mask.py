"""Masks painted on views of a memory: which points they mean, and where other cameras see those."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras, project_to_pixels
from ..geometry.point_cloud import PointCloud
from ..geometry.render import render_points

# World points [N, 3] -> [N] bool: which of them lie in it.
Region: TypeAlias = Callable[[Tensor], Tensor]
# The same for points [N, 3] of clips [N].
ClipRegion: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_ASPECT_TOLERANCE = 0.01


def painted_region(
    points: PointCloud,
    mask: Tensor,
    cameras: Cameras,
    *,
    depth_tolerance: float | None = 0.05,
    radius: float = 0.008,
    progress: Callable[[int, int], None] | None = None,
) -> Region:
    """What a mask covers, as a part of space.

    Args:
        points: what hides what.
        mask: [H, W] or [T, H, W], bool or 0..1, set where above 0.5; of the cameras' aspect at any size.
        cameras: one per mask, the views that were painted on. What any of them covers belongs to the region.
        depth_tolerance: only points at most this share of their depth behind the nearest surface of their
            pixel belong to it; None takes everything under the mask, however deep.
        radius: of a point when looking for the nearest surface, as in ``geometry.render.render_points``.
        progress: called with (views drawn, views in all); it may raise to interrupt.

    Raises: WorldStereoError if masks and cameras differ in count or aspect, or nothing is painted.
    """
    check_cameras("camera", cameras)
    painted, cameras = _fit_to_mask(mask, cameras.to(points.xyz.device))
    if depth_tolerance is None:
        surfaces = torch.full(painted.shape, torch.inf, device=painted.device)
    else:
        if not depth_tolerance >= 0:
            raise WorldStereoError(f"depth_tolerance: got {depth_tolerance}, expected a share of 0 or more.")
        nearest = render_points(points, cameras, radius=radius, points_per_pixel=1, progress=progress).depth
        # Where no disc is drawn nothing is meant: the painter could not see it.
        surfaces = nearest * (1 + depth_tolerance)

    def is_painted(xyz: Tensor) -> Tensor:
        found = torch.zeros(len(xyz), dtype=torch.bool, device=xyz.device)
        here = cameras.to(xyz.device)
        for frame in range(here.num_frames):
            row, column, z, inside = project_to_pixels(xyz, here[frame])
            surface = surfaces[frame].to(xyz.device)[row, column]
            found |= inside & painted[frame].to(xyz.device)[row, column] & (z <= surface)
        return found

    return is_painted


def carry_mask(
    points: PointCloud,
    mask: Tensor,
    painted_on: Cameras,
    cameras: Cameras,
    *,
    depth_tolerance: float | None = 0.05,
    radius: float = 0.008,
    points_per_pixel: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Show a mask that was painted on one view, or on several, in other views of the same world.

    Args:
        mask, painted_on, depth_tolerance: as in ``painted_region``.
        cameras: T cameras to draw into.
        radius, points_per_pixel, progress: as in ``geometry.render.render_points``.

    Returns:
        [T, H, W] in 0..1: how much of what is seen there is under the mask; 0 in holes.

    Raises: WorldStereoError as ``painted_region``, or if no point lies under the mask.
    """
    region = painted_region(
        points, mask, painted_on, depth_tolerance=depth_tolerance, radius=radius, progress=progress
    )
    chosen = region(points.xyz)
    if not bool(chosen.any()):
        raise WorldStereoError(
            f"mask: none of {points.num_points:,} points lies under it, so there is nothing to carry along. "
            "Paint where the memory has points, and wire the trajectory and frame that were painted on."
        )
    # The renderer adds (1 - weight) / 2 to every channel: a channel of ones tells the weight.
    colours = torch.stack([chosen.float(), torch.ones_like(points.confidence)], dim=1)
    drawn = render_points(
        replace(points, rgb=torch.cat([colours, colours[:, 1:]], dim=1)),
        cameras.to(points.xyz.device),
        radius=radius,
        points_per_pixel=points_per_pixel,
        progress=progress,
    )
    weight = 2 * drawn.image[:, 1] - 1
    share = (drawn.image[:, 0] - (1 - weight) / 2) / weight.clamp_min(1e-6)
    return torch.where(drawn.hole_mask > 0.5, 0.0, share.clamp(0, 1))


def _fit_to_mask(mask: Tensor, cameras: Cameras) -> tuple[Tensor, Cameras]:
    """[T, H, W] bool, and the cameras at that size."""
    mask = mask[None] if mask.ndim == 2 else mask
    size = check_shape("mask", mask, ("T", "H", "W"))
    if size["T"] != cameras.num_frames:
        raise ShapeError(
            f"mask: got {size['T']} masks and {cameras.num_frames} cameras, expected one mask per camera. "
            "Choose the frame that was painted on, or paint one mask per frame of the trajectory."
        )
    painted = (mask > 0.5).to(cameras.w2c.device)
    if not bool(painted.any()):
        raise WorldStereoError(
            "mask: nothing is painted, expected at least one pixel above 0.5. Paint an area."
        )
    aspect, wanted = size["W"] / size["H"], cameras.width / cameras.height
    if abs(aspect / wanted - 1) > _ASPECT_TOLERANCE:
        raise ShapeError(
            f"mask: got height {size['H']}, width {size['W']}, but the camera it belongs to has height "
            f"{cameras.height}, width {cameras.width}, another aspect. Paint on a picture of that camera, "
            "or wire the trajectory that the picture was made with."
        )
    return painted, cameras.resized(size["H"], size["W"])
