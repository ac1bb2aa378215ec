"""Render a point cloud along cameras: image, holes, depth. Plain torch, on the points' device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..checks import PathError, ShapeError, WorldStereoError, check_shape
from .cameras import Cameras
from .composite import composite
from .point_cloud import PointCloud
from .rasterize import check_raster_settings, project_and_sort, rasterize_bands

logger = logging.getLogger(__name__)

# The released renderer blends colours in -1..1 over nothing, so what no point covers fully fades to this.
FADE = 0.5


@dataclass(frozen=True, eq=False)
class RenderedFrames:
    """What T cameras see of a point cloud.

    Attributes:
        image: [T, 3, H, W] float 0..1.
        hole_mask: [T, H, W] float, 1 = hole: no point covers the pixel.
        depth: [T, H, W] float, camera z of the nearest point in scene units; 0 in holes.
        confidence: [T, H, W] float 0..1, that of the points blended into the pixel; 0 in holes. None unless
            it was asked for.
    """

    image: Tensor
    hole_mask: Tensor
    depth: Tensor
    confidence: Tensor | None = None

    @property
    def num_frames(self) -> int:
        return self.image.shape[0]

    def to(self, device: torch.device | str) -> RenderedFrames:
        return RenderedFrames(
            self.image.to(device),
            self.hole_mask.to(device),
            self.depth.to(device),
            None if self.confidence is None else self.confidence.to(device),
        )


def render_points(
    points: PointCloud,
    cameras: Cameras,
    *,
    radius: float = 0.008,
    points_per_pixel: int = 8,
    background: float | Sequence[float] = 0.5,
    min_confidence: float = 0.0,
    with_confidence: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RenderedFrames:
    """Draw a point cloud into every camera, as the released renderer does.

    Args:
        points: colours in 0..1.
        cameras: at the size to draw.
        radius: of a point's disc, in units of half the image's shorter side, at any depth.
        points_per_pixel: the nearest points of a pixel that are blended.
        background: colour of holes, one number or three, 0..1. Pixels that points cover only thinly fade to
            mid-grey whatever it is: the released models were trained with that.
        min_confidence: points below it are left out, 0..1.
        with_confidence: also draw the points' confidence, blended as their colours are.
        progress: called with (frames done, frames in all) after each frame, and within long ones; it may
            raise to interrupt.

    Returns:
        Frames on the device of the points.

    Raises: ShapeError, PathError or WorldStereoError for cameras, points or settings that cannot be drawn.
    """
    check_raster_settings(radius, points_per_pixel)
    num_frames = _check_cameras(cameras)
    if not bool(torch.isfinite(points.xyz).all()):
        bad = int((~torch.isfinite(points.xyz).all(-1)).sum())
        raise WorldStereoError(
            f"points: {bad} of {points.num_points} positions are not finite, expected numbers. "
            "Drop them where the cloud is made."
        )
    hole_colour = _background(background, points.xyz.device)
    if min_confidence > 0:
        points = points.select(points.confidence >= min_confidence)
        if points.num_points == 0:
            logger.warning("No point reaches the confidence %g: every pixel is a hole.", min_confidence)

    height, width = cameras.height, cameras.width
    image = points.rgb.new_empty((num_frames, 3, height, width))
    depth = points.rgb.new_empty((num_frames, height, width))
    hole_mask = torch.empty_like(depth)
    confidence = torch.empty_like(depth) if with_confidence else None
    values = torch.cat([points.rgb, points.confidence[:, None]], dim=1) if with_confidence else points.rgb
    for frame in range(num_frames):
        projected = project_and_sort(points.xyz, cameras.K[frame], cameras.w2c[frame], height, width, radius)
        # A dense cloud takes seconds per frame: the way out must not wait for its end.
        pause = None if progress is None else partial(progress, frame, num_frames)
        bands = rasterize_bands(projected, height, width, radius, points_per_pixel, pause)
        for rows, fragments in bands:
            blended, weight = composite(fragments, values, radius)
            colour = blended[:, :3]
            hole = fragments.index[:, 0] < 0
            colour = torch.where(hole[:, None], hole_colour, colour + FADE * (1 - weight[:, None]))
            image[frame, :, rows] = colour.T.reshape(3, -1, width)
            hole_mask[frame, rows] = hole.reshape(-1, width).to(hole_mask.dtype)
            if confidence is not None:
                # Unlike colour it does not fade where points cover thinly: few sure points are sure.
                sure = (blended[:, 3] / weight.clamp_min(1e-12)).clamp(0, 1).masked_fill(hole, 0)
                confidence[frame, rows] = sure.reshape(-1, width)
            depth[frame, rows] = fragments.depth[:, 0].masked_fill(hole, 0).reshape(-1, width)
            if pause is not None and rows.stop < height:
                pause()
        if progress is not None:
            progress(frame + 1, num_frames)
    return RenderedFrames(image, hole_mask, depth, confidence)


def _check_cameras(cameras: Cameras) -> int:
    num_frames = check_shape("cameras: world-to-camera matrices", cameras.w2c, ("T", 4, 4))["T"]
    if cameras.K.shape[0] != num_frames:
        raise ShapeError(
            f"cameras: got {num_frames} world-to-camera matrices but {cameras.K.shape[0]} intrinsics K, "
            "expected one K per frame."
        )
    check_shape("cameras: intrinsics K", cameras.K, (num_frames, 3, 3))
    if num_frames == 0:
        raise PathError("cameras: got no frame to draw, expected at least one.")
    if not bool(torch.isfinite(cameras.w2c).all() & torch.isfinite(cameras.K).all()):
        raise PathError(
            "cameras: a matrix holds a number that is not finite. Check the file or the path that made them."
        )
    return num_frames


def _background(background: float | Sequence[float], device: torch.device) -> Tensor:
    colour = torch.as_tensor(background, dtype=torch.float32, device=device)
    if colour.shape not in ((), (3,)):
        raise ShapeError(f"background: got {tuple(colour.shape)} numbers, expected one or three in 0..1.")
    return colour.expand(3)
