"""Growing the memory by a generated clip: views for the bank, and points from their depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras
from ..geometry.depth import EdgeMode, has_depth, lower_median
from ..geometry.trajectory import Trajectory
from ..sizes import sample_align_frames
from .alignment import (
    MIN_OVERLAP_PIXELS,
    MIN_OVERLAP_SHARE,
    AlignmentReport,
    align_clip,
    comparable_pixels,
)
from .far_depth import contract_far_from_origin, is_within_limit
from .growth import Carving, Clip, Growth, Holes, Voxels
from .update_report import UpdateReport
from .view import View, image_to_bytes

if TYPE_CHECKING:
    from .memory import GeometricMemory

Alignment = Literal["ratio", "robust"]
Fusion = Literal["holes", "voxel"]

# Frames and cameras may differ in size, but not in aspect by more than this.
ASPECT_TOLERANCE = 0.02


def update_memory(
    memory: GeometricMemory,
    frames: Tensor,
    cameras: Cameras | Trajectory,
    depths: Tensor | None = None,
    valid: Tensor | None = None,
    keep_frames: int = 8,
    clip_name: str | None = None,
    *,
    align_scale: bool = False,
    alignment: Alignment = "ratio",
    confidence: Tensor | None = None,
    contract_far: bool = True,
    edge_threshold: float = 0.35,
    edge_mode: EdgeMode = "masked",
    radius: float = 0.008,
    sky: Tensor | None = None,
    min_confidence: float = 0.0,
    percentile: float = 2.0,
    fusion: Fusion = "holes",
    cell: float | None = None,
    carving: Carving = "clips",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[GeometricMemory, UpdateReport]:
    """Return a new memory that also knows a generated clip; the old one is untouched.

    Evenly spread frames become views, and their points join the cloud in one of two ways. "holes" adds them
    frame after frame, only where a render of the memory so far into that frame is a hole: a surface the
    memory already shows is never stored twice, and the input image's own points stay what the later clips
    are built on; a new object in front of a surface that is already known adds no points. "voxel" keeps one
    weighted point per cell: what is seen again gets surer, and what a frame sees through is removed
    (``fusion.VoxelMap``).

    Args:
        memory: what to grow.
        frames: [T, 3, H, W] float 0..1; any size, kept as it is in the bank.
        cameras: T cameras in the memory's world. Another size of the same aspect is scaled to the frames'.
        depths: [T, H, W], camera z of the frames in the memory's units; 0 or non-finite marks no data. None
            adds views only, and no points.
        valid: [T, H, W] bool, False = no data.
        keep_frames: how many frames to keep, see ``sizes.sample_align_frames``.
        clip_name: prefix of the new views' names; ``"clip_01"`` and so on by default.
        align_scale: set it when depths come from an estimator, whose scale is its own: each kept frame's
            depth is then brought to the memory's depth over the pixels both see.
        alignment: how. "ratio" multiplies by the median ratio. "robust" fits a line in disparity that a
            part of the pixels may contradict, and compares the frames: one whose line is not the clip's
            takes its neighbour's or, if that does not hold either, adds a view without depth and no points.
            See ``alignment.align_clip``.
        confidence: [T, H, W] 0..1 of the depths; weighs in the robust fit and stays with the points.
        contract_far: pull far depth in by the limit the input image had; False if it already is.
        edge_threshold, edge_mode: which points on depth edges are dropped.
        radius: of a point when looking for holes, as in ``geometry.render.render_points``.
        sky: [T, H, W] bool, True = sky: no depth there, and in "voxel" fusion points before it are removed.
        min_confidence: depth below it is not used at all, 0..1.
        percentile: share of the memory's nearest and of its farthest pixels that the robust fit leaves out.
        fusion: "holes" or "voxel".
        cell: edge of a fusion cell, scene units; ``growth.DEFAULT_CELL`` median depths by default.
        carving: which points a frame may remove: those of "clips", "all", or none ("off").
        progress: called with (frames added, frames in all), while they are aligned too; it may raise to
            interrupt.

    Raises: ShapeError, PathError or WorldStereoError if counts or sizes differ, a camera is not one, the bank
        is empty, or ``align_scale`` finds no overlap.
    """
    cameras = cameras.cameras if isinstance(cameras, Trajectory) else cameras
    maps = {"depths": depths, "valid": valid, "confidence": confidence, "sky": sky}
    cameras = _check_clip(memory, frames, cameras, maps)
    _check_choice("alignment", alignment, ("ratio", "robust"))
    _check_choice("fusion", fusion, ("holes", "voxel"))
    _check_choice("carving", carving, ("clips", "all", "off"))
    kept = sample_align_frames(frames.shape[0], keep_frames)
    device = memory.points.xyz.device
    number = _next_clip(memory)
    clip = Clip(
        number=number,
        frames=frames,
        cameras=cameras,
        depths=depths,
        valid=valid,
        confidence=confidence,
        sky=sky,
        min_confidence=min_confidence,
        edge_threshold=edge_threshold,
        edge_mode=edge_mode,
        kept=kept,
        device=device,
    )
    clip_name = f"clip_{number:02d}" if clip_name is None else clip_name

    lines: AlignmentReport | None = None
    growth: Growth = Holes(memory.points, radius)
    if depths is not None and fusion == "voxel":
        pause = None if progress is None else partial(progress, 0, len(kept))
        growth = Voxels.of(memory, cell, carving, radius, pause)
    if depths is not None and align_scale and alignment == "robust":
        lines = _align_lines(memory, clip, growth, percentile, progress)
    views: list[View] = []
    ratios: list[float] = []
    residuals: list[float | None] = []
    for done, frame in enumerate(kept):
        camera = clip.camera(frame)
        depth = None
        if depths is not None:
            depth = clip.depth(frame)
            seen = growth.render(camera)
            undistorted = is_within_limit(seen.depth[0], camera, memory.views[0], memory.far_limit)
            if lines is not None:
                fit = lines.frames[done].fit
                depth = torch.zeros_like(depth) if fit is None else fit.apply(depth)
                residuals.append(lines.frames[done].residual)
            else:
                if align_scale:
                    ratios.append(_align_frame(frame, depth, seen.depth[0], undistorted))
                    depth = depth * ratios[-1]
                residuals.append(_residual(depth, seen.depth[0], undistorted))
            if contract_far:
                depth = contract_far_from_origin(depth, camera, memory.views[0], memory.far_limit)
            if bool(has_depth(depth).any()):
                growth.add(clip, frame, depth, seen, residuals[-1] or 0.0)
            else:
                growth.counts.append(0)
        views.append(
            View(
                image=image_to_bytes("frames", frames[frame].to(device)),
                w2c=camera.w2c[0].float(),
                K=camera.K[0].float(),
                name=f"{clip_name}/{frame:04d}",
                clip=number,
                depth=None if lines is not None and lines.frames[done].fit is None else depth,
            ).to(memory.views[0].image.device)
        )
        if progress is not None:
            progress(done + 1, len(kept))
    points, fused, fusion_report = growth.finish()
    report = UpdateReport(
        clip=number,
        clip_name=clip_name,
        kept_frames=tuple(kept),
        points_per_frame=tuple(growth.counts),
        scale_ratios=tuple(ratios),
        alignment=lines,
        residuals=tuple(residuals),
        fusion=fusion_report,
    )
    grown = replace(
        memory,
        points=points,
        views=(*memory.views, *views),
        history=(*memory.history, report.text),
        fused=fused or memory.fused,
    )
    return grown, report


def align_depth_scale(depth: Tensor, rendered_depth: Tensor, valid: Tensor | None = None) -> float:
    """Factor that brings an estimated depth map to the memory's scale.

    Args:
        depth: [H, W] estimated camera z in any unit; 0 or non-finite marks no data.
        rendered_depth: [H, W] camera z of the memory in the same view, scene units; 0 in holes.
        valid: [H, W] bool, pixels to use, further to both having data.

    Returns:
        Median over those pixels of rendered depth / depth: multiply the estimate by it.

    Raises: WorldStereoError if too few pixels have both.
    """
    check_shape("rendered depth", rendered_depth, tuple(depth.shape))
    both = has_depth(depth) & has_depth(rendered_depth)
    if valid is not None:
        both = both & valid
    needed = max(MIN_OVERLAP_PIXELS, math.ceil(MIN_OVERLAP_SHARE * depth.numel()))
    if int(both.sum()) < needed:
        raise WorldStereoError(
            f"depths: the estimate and the memory share {int(both.sum())} of {depth.numel()} pixels, "
            f"expected at least {needed} to compare their scales. Check that frames and trajectory belong "
            "together, give depths in the memory's own units with scale alignment off, or move the camera in "
            "smaller steps."
        )
    return float(lower_median(rendered_depth[both] / depth[both]))


def _align_frame(frame: int, depth: Tensor, rendered_depth: Tensor, undistorted: Tensor) -> float:
    try:
        return align_depth_scale(depth, rendered_depth, undistorted)
    except WorldStereoError as error:
        raise WorldStereoError(f"frame {frame} of the clip: {error}") from error


def _residual(depth: Tensor, rendered_depth: Tensor, undistorted: Tensor) -> float | None:
    """Median relative difference over the pixels both see; None if they are too few."""
    both = has_depth(depth) & has_depth(rendered_depth) & undistorted
    if int(both.sum()) < MIN_OVERLAP_PIXELS:
        return None
    return float(lower_median((depth[both] / rendered_depth[both] - 1).abs()))


def _align_lines(
    memory: GeometricMemory,
    clip: Clip,
    growth: Growth,
    percentile: float,
    progress: Callable[[int, int], None] | None,
) -> AlignmentReport:
    """Lines that bring the kept frames' depth to the memory as it was before the clip."""
    estimates, rendered, usable, weights = [], [], [], []
    for frame in clip.kept:
        camera, depth = clip.camera(frame), clip.depth(frame)
        sure = clip.sureness(frame)
        sure = torch.ones_like(depth) if sure is None else sure
        seen = growth.surface(camera)
        undistorted = is_within_limit(seen, camera, memory.views[0], memory.far_limit) & (sure > 0)
        usable.append(comparable_pixels(depth, seen, camera.K[0], valid=undistorted, percentile=percentile))
        estimates.append(depth)
        rendered.append(seen)
        weights.append(sure)
        if progress is not None:
            progress(0, len(clip.kept))  # nothing is added yet, but this is the time to stop
    return align_clip(estimates, rendered, usable, frame_numbers=clip.kept, confidence=weights)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise WorldStereoError(f'{name}: got "{value}", expected {" or ".join(f"{c!r}" for c in choices)}.')


def _next_clip(memory: GeometricMemory) -> int:
    from_points = int(memory.points.clip.max()) if memory.points.num_points else 0
    return 1 + max(from_points, *(view.clip for view in memory.views))


def _check_clip(
    memory: GeometricMemory,
    frames: Tensor,
    cameras: Cameras,
    maps: Mapping[str, Tensor | None],
) -> Cameras:
    """Check that everything describes the same clip; return the cameras at the frames' size."""
    if not memory.views:
        raise WorldStereoError(
            "memory: its bank holds no views, expected at least the input image. "
            "Create the memory from an image, or load one that was saved with its views."
        )
    size = check_shape("frames", frames, ("T", 3, "H", "W"), "Give the key frames of one clip.")
    check_cameras("trajectory", cameras)
    if cameras.num_frames != size["T"]:
        raise ShapeError(
            f"frames and trajectory differ in frames: got {size['T']} frames and {cameras.num_frames} "
            "cameras, expected as many of both. Give the trajectory the clip was generated with, or "
            "resample it."
        )
    for name, given in maps.items():
        if given is not None and tuple(given.shape) != (size["T"], size["H"], size["W"]):
            raise ShapeError(
                f"{name}: got a tensor of shape {list(given.shape)}, expected "
                f"{[size['T'], size['H'], size['W']]} as the frames have. Give one map per frame."
            )
    confidence = maps["confidence"]
    if confidence is not None and not bool(((confidence >= 0) & (confidence <= 1)).all()):
        raise WorldStereoError(
            f"confidence: got values from {float(confidence.min()):.4g} to {float(confidence.max()):.4g}, "
            "expected 0 to 1. Rescale it, and set it to 0 where the estimator gave none."
        )
    aspect, wanted = size["W"] / size["H"], cameras.width / cameras.height
    if abs(aspect / wanted - 1) > ASPECT_TOLERANCE:
        raise ShapeError(
            f"frames: got height {size['H']}, width {size['W']}, but the trajectory is made for height "
            f"{cameras.height}, width {cameras.width}, another aspect. Give the frames as they were "
            "generated, or the trajectory they were generated with."
        )
    return cameras.resized(size["H"], size["W"])
