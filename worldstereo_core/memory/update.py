"""Growing the memory by a generated clip: views for the bank, and points where the memory had none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras, unproject
from ..geometry.depth import EdgeMode, depth_edges, has_depth, lower_median
from ..geometry.point_cloud import PointCloud
from ..geometry.render import render_points
from ..geometry.trajectory import Trajectory
from ..sizes import sample_align_frames
from .alignment import AlignmentReport, align_clip, comparable_pixels
from .view import View, image_to_bytes

if TYPE_CHECKING:
    from .memory import GeometricMemory

Alignment = Literal["ratio", "robust"]

# Fewer shared pixels than this (count, share of the picture) say nothing about scale.
MIN_OVERLAP_PIXELS = 8
MIN_OVERLAP_SHARE = 0.001
# Frames and cameras may differ in size, but not in aspect by more than this.
ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes:
        clip: number of the new clip.
        clip_name: prefix of its views' names.
        kept_frames: frames of the clip that became views.
        points_per_frame: points added from each kept frame; empty without geometry.
        scale_ratios: factor that brought each kept frame's depth to the memory's scale; empty when the depth
            was taken as it came, or aligned by lines.
        alignment: the lines of the frames under ``alignment="robust"``, else None.
    """

    clip: int
    clip_name: str
    kept_frames: tuple[int, ...]
    points_per_frame: tuple[int, ...] = ()
    scale_ratios: tuple[float, ...] = ()
    alignment: AlignmentReport | None = None

    @property
    def num_views(self) -> int:
        return len(self.kept_frames)

    @property
    def num_points(self) -> int:
        return sum(self.points_per_frame)

    @property
    def scale_ratio(self) -> float | None:
        """Median of the frames' ratios; None when the depth was taken as it came."""
        return median(self.scale_ratios) if self.scale_ratios else None

    @property
    def text(self) -> str:
        """The report in short sentences."""
        kept = ", ".join(str(frame) for frame in self.kept_frames)
        parts = [f"{self.clip_name}: {self.num_views} views added (frames {kept})"]
        if not self.points_per_frame:
            parts.append(
                "no points added, because no geometry was given: later renders show only what the memory "
                "already had"
            )
        else:
            parts.append(f"{self.num_points:,} points added where the memory had holes")
        if self.scale_ratios:
            parts.append(
                f"depth multiplied by {self.scale_ratio:.4g} to meet the memory's scale "
                f"({min(self.scale_ratios):.4g} to {max(self.scale_ratios):.4g} over the frames)"
            )
        if self.alignment is not None:
            parts.append(self.alignment.text.rstrip("."))
        return "; ".join(parts) + "."


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
    progress: Callable[[int, int], None] | None = None,
) -> tuple[GeometricMemory, UpdateReport]:
    """Return a new memory that also knows a generated clip; the old one is untouched.

    Evenly spread frames become views. Their points are added frame after frame, only where a render of the
    memory so far into that frame is a hole: a surface the memory already shows is never stored twice, and
    the input image's own points stay what the later clips are built on. A new object in front of a surface
    that is already known therefore adds no points.

    Args:
        memory: what to grow.
        frames: [T, 3, H, W] float 0..1; any size, kept as it is in the bank.
        cameras: T cameras in the memory's world. Another size of the same aspect is scaled to the frames'.
        depths: [T, H, W], camera z of the frames in the memory's units; 0 or non-finite marks no data. None
            adds views only, and no points.
        valid: [T, H, W] bool, False = no data (sky).
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
        progress: called with (frames done, frames in all); it may raise to interrupt.

    Raises: ShapeError, PathError or WorldStereoError if counts or sizes differ, a camera is not one, the bank
        is empty, or ``align_scale`` finds no overlap.
    """
    cameras = cameras.cameras if isinstance(cameras, Trajectory) else cameras
    cameras = _check_clip(memory, frames, cameras, depths, valid, confidence)
    if alignment not in ("ratio", "robust"):
        raise WorldStereoError(f'alignment: got "{alignment}", expected "ratio" or "robust".')
    kept = sample_align_frames(frames.shape[0], keep_frames)
    clip = _next_clip(memory)
    clip_name = f"clip_{clip:02d}" if clip_name is None else clip_name
    points, views = memory.points, list(memory.views)
    counts: list[int] = []
    ratios: list[float] = []
    device = points.xyz.device
    lines: AlignmentReport | None = None
    if depths is not None and align_scale and alignment == "robust":
        lines = _align_lines(memory, kept, cameras.to(device), depths, valid, confidence, radius)
    for done, frame in enumerate(kept):
        image, camera = frames[frame].to(device), cameras[frame].to(device)
        depth = None
        if depths is not None:
            depth = _usable_depth(depths[frame], None if valid is None else valid[frame]).to(device)
            # One layer is enough: only the nearest depth and the holes matter here.
            seen = render_points(points, camera, radius=radius, points_per_pixel=1)
            if lines is not None:
                fit = lines.frames[done].fit
                depth = torch.zeros_like(depth) if fit is None else fit.apply(depth)
            elif align_scale:
                undistorted = _is_within_limit(seen.depth[0], camera, memory)
                ratios.append(_align_frame(frame, depth, seen.depth[0], undistorted))
                depth = depth * ratios[-1]
            if contract_far:
                depth = contract_far_from_origin(depth, camera, memory.views[0], memory.far_limit)
            sure = None if confidence is None else confidence[frame].to(device)
            added = _points_in_holes(
                image, depth, camera, seen.hole_mask[0] > 0.5, clip, edge_threshold, edge_mode, sure
            )
            counts.append(added.num_points)
            points = PointCloud.concat([points, added]) if added.num_points else points
        views.append(
            View(
                image=image_to_bytes("frames", image),
                w2c=camera.w2c[0].float(),
                K=camera.K[0].float(),
                name=f"{clip_name}/{frame:04d}",
                clip=clip,
                depth=None if lines is not None and lines.frames[done].fit is None else depth,
            ).to(memory.views[0].image.device)
        )
        if progress is not None:
            progress(done + 1, len(kept))
    report = UpdateReport(clip, clip_name, tuple(kept), tuple(counts), tuple(ratios), lines)
    grown = replace(memory, points=points, views=tuple(views), history=(*memory.history, report.text))
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
    reach = _reach(depth, camera, origin)
    factor = (2 * limit - limit**2 / reach) / reach
    return torch.where(reach > limit, depth * factor, depth)


def _reach(depth: Tensor, camera: Cameras, origin: View) -> Tensor:
    """[H, W] how far each pixel's point is from the origin view's camera by the cube rule; NaN: no data."""
    world = unproject(depth[None], camera.K, camera.w2c)[0]
    K, w2c = origin.K, origin.w2c.to(world)
    x, y, z = (world @ w2c[:3, :3].mT + w2c[:3, 3]).abs().unbind(-1)
    # Inside the origin's picture its own z must win, also if it is wider than a cube's face.
    half_width = max(1.0, float(torch.maximum(K[0, 2], origin.width - K[0, 2]) / K[0, 0]))
    half_height = max(1.0, float(torch.maximum(K[1, 2], origin.height - K[1, 2]) / K[1, 1]))
    return torch.maximum(z, torch.maximum(x / half_width, y / half_height))


def _is_within_limit(rendered_depth: Tensor, camera: Cameras, memory: GeometricMemory) -> Tensor:
    """[H, W] pixels whose memory depth is not contracted, so that it can be compared with an estimate."""
    return _reach(rendered_depth, camera, memory.views[0]) <= memory.far_limit


def _align_frame(frame: int, depth: Tensor, rendered_depth: Tensor, undistorted: Tensor) -> float:
    try:
        return align_depth_scale(depth, rendered_depth, undistorted)
    except WorldStereoError as error:
        raise WorldStereoError(f"frame {frame} of the clip: {error}") from error


def _align_lines(
    memory: GeometricMemory,
    kept: list[int],
    cameras: Cameras,
    depths: Tensor,
    valid: Tensor | None,
    confidence: Tensor | None,
    radius: float,
) -> AlignmentReport:
    """Lines that bring the kept frames' depth to the memory as it was before the clip."""
    estimates, rendered, usable, weights = [], [], [], []
    for frame in kept:
        camera = cameras[frame]
        mask = None if valid is None else valid[frame]
        depth = _usable_depth(depths[frame], mask).to(memory.points.xyz.device)
        sure = torch.ones_like(depth) if confidence is None else confidence[frame].to(depth)
        seen = render_points(memory.points, camera, radius=radius, points_per_pixel=1).depth[0]
        undistorted = _is_within_limit(seen, camera, memory) & (sure > 0)
        usable.append(comparable_pixels(depth, seen, camera.K[0], valid=undistorted))
        estimates.append(depth)
        rendered.append(seen)
        weights.append(sure)
    return align_clip(estimates, rendered, usable, frame_numbers=kept, confidence=weights)


def _usable_depth(depth: Tensor, valid: Tensor | None) -> Tensor:
    usable = has_depth(depth) if valid is None else has_depth(depth) & valid.bool()
    return torch.where(usable, depth.float(), 0.0)


def _points_in_holes(
    image: Tensor,  # [3, H, W]
    depth: Tensor,  # [H, W]
    camera: Cameras,
    is_hole: Tensor,  # [H, W] bool
    clip: int,
    edge_threshold: float,
    edge_mode: EdgeMode,
    confidence: Tensor | None = None,  # [H, W]
) -> PointCloud:
    keep = is_hole & has_depth(depth)
    if bool(keep.any()):
        keep = keep & ~depth_edges(depth, edge_threshold, edge_mode)
    xyz = unproject(depth[None], camera.K, camera.w2c)[0][keep]
    return PointCloud(
        xyz=xyz.float(),
        rgb=image.permute(1, 2, 0)[keep].float(),
        confidence=xyz.new_ones(len(xyz)) if confidence is None else confidence[keep].float(),
        clip=torch.full((len(xyz),), clip, dtype=torch.int32, device=xyz.device),
    )


def _next_clip(memory: GeometricMemory) -> int:
    from_points = int(memory.points.clip.max()) if memory.points.num_points else 0
    return 1 + max(from_points, *(view.clip for view in memory.views))


def _check_clip(
    memory: GeometricMemory,
    frames: Tensor,
    cameras: Cameras,
    depths: Tensor | None,
    valid: Tensor | None,
    confidence: Tensor | None,
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
    for name, maps in (("depths", depths), ("valid", valid), ("confidence", confidence)):
        if maps is not None and tuple(maps.shape) != (size["T"], size["H"], size["W"]):
            raise ShapeError(
                f"{name}: got a tensor of shape {list(maps.shape)}, expected "
                f"{[size['T'], size['H'], size['W']]} as the frames have. Give one map per frame."
            )
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
