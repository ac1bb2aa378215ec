"""Pictures and features of memory views carried over into new cameras, by geometry alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras
from ..geometry.render import render_points
from .correspondence import Correspondences, correspond
from .memory import GeometricMemory
from .view import View

Progress = Callable[[int, int], None]
# The most halvings of a source picture; 2^6 source pixels per target pixel are blurred no further.
MAX_LEVELS = 6
# Pixels of one cell whose scales differ by less than this share show one surface.
SAME_SCALE = 0.1
# A grazing or barely agreeing view still beats none.
LEAST_WEIGHT = 1e-4


def carry_over(values: Tensor, correspondences: Correspondences) -> Tensor:
    """Sample a source picture or feature map at the places the target shows.

    Where a target pixel spans several pixels of ``values``, they are averaged: bilinear samples of two levels
    of a pyramid of halved maps, blended by the span (trilinear filtering, Williams 1983).

    Args:
        values: [C, h, w]; of any resolution, stretched over the source picture.

    Returns:
        [C, H, W] float; 0 where not visible.
    """
    sizes = check_shape("values", values, ("C", "h", "w"))
    size = correspondences.xy.new_tensor([correspondences.source_width, correspondences.source_height])
    # grid_sample without aligned corners spans the image's borders by -1..1, as half-pixel centres do.
    grid = 2 * correspondences.xy / size - 1
    visible = correspondences.is_visible
    grid = torch.where(visible[..., None], grid, 0.0)
    span = correspondences.scale * (sizes["w"] / correspondences.source_width)
    level = torch.where(visible, span, 1.0).clamp_min(1).log2().clamp_max(MAX_LEVELS)
    picture, below = values[None].to(grid), torch.zeros_like(level)
    sampled = _bilinear(picture, grid)
    while bool((level > below).any()) and max(picture.shape[-2:]) > 1:
        height, width = picture.shape[-2:]
        picture = F.interpolate(picture, (-(-height // 2), -(-width // 2)), mode="area")
        sampled = torch.lerp(sampled, _bilinear(picture, grid), (level - below).clamp(0, 1))
        below = below + 1
    return torch.where(visible, sampled, 0.0)


def _bilinear(picture: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(picture, grid[None], mode="bilinear", padding_mode="border", align_corners=False)[0]


def coarser(match: Correspondences, stride: int) -> Correspondences:
    """Correspondences of a target grid with fewer cells, each of the surface that its surest pixel shows.

    With a feature map per scale, ``carry_over(features[s], coarser(match, s))`` warps them all. Places are
    means over the cell's visible pixels of that surface, so that two surfaces are never averaged.

    Args:
        stride: target pixels per cell, each way; must divide the target's size.
    """
    height, width = match.is_visible.shape
    if stride < 1 or height % stride or width % stride:
        raise ShapeError(
            f"stride: got {stride}, expected a divisor of the target's {height} x {width} pixels."
        )

    def cells(values: Tensor) -> Tensor:
        split = values.unflatten(0, (-1, stride)).unflatten(2, (-1, stride)).transpose(1, 2)
        return split.flatten(2, 3)  # [rows, columns, stride * stride, ...]

    visible, confidence, scale = cells(match.is_visible), cells(match.confidence), cells(match.scale)
    surest = torch.where(visible, confidence, -1.0).argmax(dim=2, keepdim=True)
    of_surface = visible & ((scale / scale.gather(2, surest) - 1).abs() < SAME_SCALE)
    count = of_surface.sum(dim=2)

    def mean(values: Tensor) -> Tensor:
        return torch.where(of_surface, values, 0.0).sum(dim=2) / count

    return replace(
        match,
        xy=torch.stack([mean(part) for part in cells(match.xy).unbind(-1)], dim=-1),
        is_visible=count > 0,
        confidence=torch.where(count > 0, mean(confidence), 0.0),
        scale=torch.where(count > 0, mean(scale), 0.0) * stride,
    )


def blend_sources(
    values: Sequence[Tensor], matches: Sequence[Correspondences], sharpness: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Carry several sources over to one target and blend them by confidence and detail.

    Args:
        values: [C, h, w] each, see ``carry_over``.
        matches: as many, all of the same target.
        sharpness: weights are raised to this power; 0 averages, much above 1 takes the best source alone.

    Returns:
        [C, H, W] the blend, 0 in holes, and the hole mask [H, W] float, 1 where no source sees the place.
    """
    if not values or len(values) != len(matches):
        raise ShapeError(
            f"sources: got {len(values)} maps and {len(matches)} correspondences, expected one of each per "
            "source."
        )
    total = torch.zeros_like(matches[0].confidence)
    blend = total.new_zeros(values[0].shape[0], *total.shape)
    for one, match in zip(values, matches, strict=True):
        # A source that shows the place smaller than the target will knows less about it.
        weight = (match.confidence * match.scale.clamp(max=1)).clamp_min(LEAST_WEIGHT) ** sharpness
        weight = torch.where(match.is_visible, weight, 0.0)
        blend = blend + carry_over(one, match) * weight
        total = total + weight
    return torch.where(total > 0, blend / total.clamp_min(1e-38), 0.0), (total == 0).float()


def warp_views(
    memory: GeometricMemory,
    cameras: Cameras,
    views: Sequence[View],
    *,
    radius: float = 0.008,
    tolerance: float = 0.03,
    sharpness: float = 2.0,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Show what views know of new cameras' pictures.

    The targets' depth is the memory's; a view without depth of its own is compared with the memory's too.

    Args:
        memory: its points give the geometry.
        cameras: at the size wanted.
        views: of the memory's bank, on any device.
        radius: of the points drawn for depth, see ``render_points``.
        tolerance: see ``correspond``.
        sharpness: see ``blend_sources``.
        progress: called with (frames done, frames in all); it may raise to interrupt.

    Returns:
        [T, 3, H, W] float 0..1, 0 in holes, and the hole mask [T, H, W] float, 1 = hole; on the points'
        device.

    Raises: WorldStereoError if there are no views or settings make no sense.
    """
    if not views:
        raise WorldStereoError("views: got none, expected at least one view of the memory to warp.")
    if not 0 <= sharpness <= 8:
        raise WorldStereoError(f"sharpness: got {sharpness}, expected 0 (average) to 8 (best view alone).")
    device = memory.points.xyz.device
    views = [view.to(device) for view in views]
    sources = [view_depth(memory, view, radius) for view in views]
    pictures = [view.image.float() / 255 for view in views]
    images, holes = [], []
    for frame in range(cameras.num_frames):
        camera = cameras[frame].to(device)
        depth = _drawn(memory, camera, radius)
        matches = [
            correspond(depth, camera, source, view.camera, tolerance=tolerance)
            for view, source in zip(views, sources, strict=True)
        ]
        image, hole = blend_sources(pictures, matches, sharpness)
        images.append(image)
        holes.append(hole)
        if progress is not None:
            progress(frame + 1, cameras.num_frames)
    return torch.stack(images), torch.stack(holes)


def view_depth(memory: GeometricMemory, view: View, radius: float = 0.008) -> Tensor:
    """[H, W] a view's own depth, or the memory's as drawn at its camera; on the points' device."""
    device = memory.points.xyz.device
    if view.depth is not None:
        return view.depth.to(device)
    return _drawn(memory, view.camera.to(device), radius)


def _drawn(memory: GeometricMemory, camera: Cameras, radius: float) -> Tensor:
    return render_points(memory.points, camera, radius=radius, points_per_pixel=1).depth[0]
