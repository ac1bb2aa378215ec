"""Which pixels of two views show the same place of a surface, from depth and cameras."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras, project, unproject
from ..geometry.depth import has_depth
from .view import View


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Where the source view shows what each target pixel shows.

    Attributes:
        xy: [H, W, 2] pixels of the source picture (it spans [0, width] x [0, height]); NaN where the target
            has no depth or the place lies behind the source camera.
        is_visible: [H, W] bool: inside the source picture and not hidden there.
        confidence: [H, W] 0..1: agreement of the depths times the cosine of the angle between the two lines
            of sight; 0 where not visible.
        scale: [H, W] source pixels that a target pixel spans on a surface facing both; 0 where ``xy`` is NaN.
        source_height, source_width: size of the source picture, pixels.
    """

    xy: Tensor
    is_visible: Tensor
    confidence: Tensor
    scale: Tensor
    source_height: int
    source_width: int


def correspond(
    target_depth: Tensor,
    target: Cameras,
    source_depth: Tensor,
    source: Cameras,
    *,
    tolerance: float = 0.03,
) -> Correspondences:
    """Find for each pixel of a target view the place in a source view that shows the same surface.

    Args:
        target_depth, source_depth: [H, W] and [h, w], camera z in scene units; 0 or non-finite marks no data.
        target, source: one camera each, at the size of its depth.
        tolerance: a place counts as hidden if the source sees a surface that is nearer, or none within this
            share of the depth. Between the source's pixels its disparity is interpolated; across a depth
            edge the pixel that the place falls into decides.

    Convention: OpenCV axes, half-pixel centres.
    Raises: ShapeError, PathError or WorldStereoError if sizes differ or a camera is none.
    """
    for name, depth, camera in (("target", target_depth, target), ("source", source_depth, source)):
        _check_view(name, depth, camera)
    if not tolerance > 0:
        raise WorldStereoError(f"tolerance: got {tolerance}, expected a share of the depth above 0.")
    target, source = target.to(target_depth.device), source.to(target_depth.device)
    world = unproject(target_depth[None].float(), target.K, target.w2c)[0]  # [H, W, 3]
    xy, z = project(world.reshape(-1, 3), source.K[0], source.w2c[0])
    in_front = z > 0  # False for NaN
    xy = torch.where(in_front[:, None], xy, torch.nan)
    size = xy.new_tensor([source.width, source.height])
    inside = in_front & ((xy >= 0) & (xy <= size)).all(-1)
    error = depth_error(source_depth.to(world), torch.where(inside[:, None], xy, 0.0), z)
    is_visible = inside & (error <= tolerance)
    points = world.reshape(-1, 3)
    to_target, to_source = (F.normalize(camera.centers[0] - points, dim=-1) for camera in (target, source))
    cosine = (to_target * to_source).sum(-1).clamp(0, 1)
    confidence = torch.where(is_visible, (1 - error / tolerance) * cosine, 0.0)
    span = (source.K[0, 0, 0] / z) / (target.K[0, 0, 0] / target_depth.reshape(-1))
    shape = target_depth.shape
    return Correspondences(
        xy=xy.reshape(*shape, 2),
        is_visible=is_visible.reshape(shape),
        confidence=confidence.reshape(shape),
        scale=torch.where(in_front, span, 0.0).reshape(shape),
        source_height=source.height,
        source_width=source.width,
    )


def correspond_views(target: View, source: View, *, tolerance: float = 0.03) -> Correspondences:
    """Correspondences of two views of a bank by their own depth.

    Raises: WorldStereoError if one has no depth.
    """
    for view in (target, source):
        if view.depth is None:
            raise WorldStereoError(
                f"view {view.name}: it has no depth, expected a depth map. Give depth when the clip is "
                "added to the memory, or render the memory at the view's camera."
            )
    assert target.depth is not None and source.depth is not None
    return correspond(target.depth, target.camera, source.depth, source.camera, tolerance=tolerance)


def depth_error(depth: Tensor, xy: Tensor, z: Tensor) -> Tensor:
    """[N] relative difference of places' depth to a depth map's; inf where the map has none."""
    height, width = depth.shape
    known = has_depth(depth)
    disparity = torch.where(known, 1 / torch.where(known, depth, 1.0), torch.nan)
    # Positions between pixel centres: the four pixels around, clamped at the border.
    left, top = (xy[:, 0] - 0.5).floor(), (xy[:, 1] - 0.5).floor()
    right_share, bottom_share = xy[:, 0] - 0.5 - left, xy[:, 1] - 0.5 - top
    corners = []
    for row in (top, top + 1):
        for column in (left, left + 1):
            corners.append(disparity[row.long().clamp(0, height - 1), column.long().clamp(0, width - 1)])
    upper = corners[0] * (1 - right_share) + corners[1] * right_share
    lower = corners[2] * (1 - right_share) + corners[3] * right_share
    between = upper * (1 - bottom_share) + lower * bottom_share
    own = disparity[xy[:, 1].long().clamp(0, height - 1), xy[:, 0].long().clamp(0, width - 1)]
    error = (torch.stack([between, own]) * z - 1).abs()
    nearest = torch.where(torch.isnan(error), torch.inf, error).amin(dim=0)
    return torch.where(torch.isnan(z), torch.inf, nearest)


def _check_view(name: str, depth: Tensor, camera: Cameras) -> None:
    check_shape(f"{name} depth", depth, ("H", "W"))
    check_cameras(f"{name} camera", camera)
    if camera.num_frames != 1 or tuple(depth.shape) != (camera.height, camera.width):
        raise ShapeError(
            f"{name}: got depth of shape {list(depth.shape)} and {camera.num_frames} cameras of height "
            f"{camera.height}, width {camera.width}; expected one camera of the depth's size. Resize the "
            "camera."
        )
