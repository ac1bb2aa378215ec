"""Control signals for other models, drawn from a memory along cameras: depth, edges, normals, clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras, check_cameras
from ..geometry.composite import composite
from ..geometry.depth import has_depth, normals_from_depth
from ..geometry.edges import canny
from ..geometry.pictures import depth_to_linear, depth_to_pictures
from ..geometry.point_cloud import PointCloud
from ..geometry.rasterize import Fragments, check_raster_settings, project_and_sort, rasterize_bands
from .pictures import CLIP_COLOURS

DepthStyle = Literal["near is white", "far is white"]
EdgeSource = Literal["picture", "depth", "both"]

# Points this share of their depth behind the nearest one of a pixel belong to another surface.
_SAME_SURFACE = 0.02
# The nearest and the farthest pixels do not set the scale of depth pictures: one point beside a camera would
# leave the rest flat.
_TAIL = 0.01
# Normals are taken from depth smoothed over so many pixels (sigma).
_NORMAL_SIGMA = 1.5


@dataclass(frozen=True, eq=False)
class ControlFrames:
    """What T cameras see of a memory, as control signals.

    Attributes:
        picture: [T, 3, H, W] in 0..1, mid-grey in holes.
        depth: [T, H, W] camera z of the nearest surface, scene units; 0 in holes.
        edges: [T, H, W] bool.
        normals: [T, 3, H, W] unit normals in OpenCV camera axes, towards the camera; 0 where unknown.
        clips: [T, H, W] int32 clip number of the nearest point; -1 in holes.
        hole_mask: [T, H, W] float, 1 = hole, after narrow gaps were closed.
    """

    picture: Tensor
    depth: Tensor
    edges: Tensor
    normals: Tensor
    clips: Tensor
    hole_mask: Tensor

    def depth_pictures(self, style: DepthStyle = "near is white") -> Tensor:
        """[T, 3, H, W] depth for the eye and for control networks; one scale for all frames, holes black.

        "near is white" draws disparity, as depth control networks are trained with, its scale set by all but
        the outermost 1 % of the pixels; "far is white" draws depth itself, 1 = the farthest.
        """
        if style == "near is white":
            return depth_to_pictures(self.depth, _TAIL)
        if style == "far is white":
            return depth_to_linear(self.depth)[:, None].expand(-1, 3, -1, -1)
        raise WorldStereoError(f'depth_style: got "{style}", expected "near is white" or "far is white".')

    def edge_pictures(self) -> Tensor:
        """[T, 3, H, W] white edges on black."""
        return self.edges.float()[:, None].expand(-1, 3, -1, -1)

    def normal_pictures(self) -> Tensor:
        """[T, 3, H, W] normals as colours: red right, green up, blue towards the camera; holes black."""
        axes = self.normals.new_tensor([1.0, -1.0, -1.0])[:, None, None]
        known = (self.normals != 0).any(dim=1, keepdim=True)
        return torch.where(known, (self.normals * axes + 1) / 2, 0.0)

    def clip_pictures(self) -> Tensor:
        """[T, 3, H, W] one flat colour per clip, as on the memory's other pictures; holes black."""
        table = self.picture.new_tensor([(0.0, 0.0, 0.0), *CLIP_COLOURS])
        index = torch.where(self.clips < 0, 0, 1 + self.clips % len(CLIP_COLOURS))
        return table[index.long()].movedim(-1, 1)

    def contact_pictures(self, style: DepthStyle = "near is white") -> Tensor:
        """[T, 3, 2 H, 2 W] picture, depth, edges and normals in one, to look at."""
        upper = torch.cat([self.picture, self.depth_pictures(style)], dim=-1)
        return torch.cat([upper, torch.cat([self.edge_pictures(), self.normal_pictures()], dim=-1)], dim=-2)

    def clip_mask(self, clip: int) -> Tensor:
        """[T, H, W] float, 1 where the nearest point came from a clip."""
        return (self.clips == clip).float()

    def to(self, device: torch.device | str) -> ControlFrames:
        parts = (self.picture, self.depth, self.edges, self.normals, self.clips, self.hole_mask)
        return ControlFrames(*(part.to(device) for part in parts))


def render_controls(
    points: PointCloud,
    cameras: Cameras,
    *,
    radius: float = 0.008,
    points_per_pixel: int = 8,
    close_gaps: int = 2,
    edge_source: EdgeSource = "both",
    low: float = 100.0,
    high: float = 200.0,
    progress: Callable[[int, int], None] | None = None,
) -> ControlFrames:
    """Draw the control signals of a memory's points.

    Args:
        cameras: T cameras at the size to draw.
        radius, points_per_pixel: as in ``geometry.render.render_points``.
        close_gaps: holes up to twice so many pixels wide are filled from around, so that they do not show up
            as structure; larger holes keep their outline. 0 fills none.
        edge_source: what Canny's detector looks at: the picture, the depth (as disparity in 8 bits over the
            frame), or both, joined.
        low, high: thresholds, as in ``cv2.Canny``.
        progress: called with (steps done, steps in all), three steps per frame; it may raise to interrupt.

    Returns:
        Frames on the device of the points. Along the outline of holes there are no edges.

    Raises: WorldStereoError for cameras or settings that cannot be drawn.
    """
    check_cameras("trajectory", cameras)
    check_raster_settings(radius, points_per_pixel)
    if close_gaps < 0:
        raise WorldStereoError(f"close_gaps: got {close_gaps}, expected 0 or more pixels. 2 is usual.")
    if edge_source not in ("picture", "depth", "both"):
        raise WorldStereoError(f'edges_from: got "{edge_source}", expected "picture", "depth" or "both".')
    cameras = cameras.to(points.xyz.device)

    def report(done: int) -> None:
        if progress is not None:
            progress(done, 3 * cameras.num_frames)

    frames = []
    for frame in range(cameras.num_frames):
        drawn = _closed(_draw(points, cameras[frame], radius, points_per_pixel), close_gaps)
        report(3 * frame + 1)
        edges = _edges(drawn, edge_source, low, high)
        report(3 * frame + 2)
        frames.append((*drawn, edges, _normals(drawn, cameras[frame])))
        report(3 * frame + 3)
    picture, depth, _, clips, edges, normals = (torch.stack(parts) for parts in zip(*frames, strict=True))
    return ControlFrames(
        picture=picture,
        depth=depth,
        edges=edges,
        normals=normals,
        clips=clips,
        hole_mask=(depth == 0).float(),
    )


# Picture [3, H, W], nearest depth [H, W], mean depth of the nearest surface [H, W], clips [H, W] of a frame.
_Drawn = tuple[Tensor, Tensor, Tensor, Tensor]


def _draw(points: PointCloud, camera: Cameras, radius: float, points_per_pixel: int) -> _Drawn:
    height, width = camera.height, camera.width
    projected = project_and_sort(points.xyz, camera.K[0], camera.w2c[0], height, width, radius)
    colours, nearest, means, clips = [], [], [], []
    for _, fragments in rasterize_bands(projected, height, width, radius, points_per_pixel):
        colour, weight = composite(fragments, points.rgb, radius)
        hole = fragments.index[:, 0] < 0
        # Divided by the weight: fading towards the rim of a disc would be structure to a control network.
        colours.append(torch.where(hole[:, None], 0.5, colour / weight.clamp_min(1e-6)[:, None]))
        nearest.append(fragments.depth[:, 0].masked_fill(hole, 0))
        means.append(_surface_depth(fragments, radius).masked_fill(hole, 0))
        first = points.clip.take(fragments.index[:, 0].clamp_min(0)) if points.num_points else hole.int()
        clips.append(first.masked_fill(hole, -1))
    shape = (height, width)
    return (
        torch.cat(colours).T.reshape(3, *shape),
        torch.cat(nearest).reshape(shape),
        torch.cat(means).reshape(shape),
        torch.cat(clips).reshape(shape),
    )


def _surface_depth(fragments: Fragments, radius: float) -> Tensor:
    """Mean depth of the points of each pixel's nearest surface, weighted by how near the pixel they are."""
    depth = fragments.depth
    weight = (1 - fragments.distance2 / (radius * radius)).masked_fill(fragments.index < 0, 0)
    weight = torch.where(depth <= depth[:, :1] * (1 + _SAME_SURFACE), weight.clamp_min(1e-6), 0.0)
    weight = weight.masked_fill(fragments.index < 0, 0)
    return (weight * depth).sum(-1) / weight.sum(-1).clamp_min(1e-12)


def _closed(drawn: _Drawn, gap: int) -> _Drawn:
    """The frame with narrow gaps filled, ring by ring, from the pixels around them."""
    picture, depth, mean, clips = drawn
    known = depth > 0
    if gap == 0:
        return drawn
    size = 2 * gap + 1
    # Beyond the frame counts as drawn for the second step, so that the frame's rim does not shrink.
    grown = F.max_pool2d(known.float()[None], size, stride=1, padding=gap)
    closed = (-F.max_pool2d(-F.pad(grown, (gap,) * 4, value=1.0), size, stride=1))[0] > 0.5
    values = torch.cat([picture, depth[None], mean[None]])
    for _ in range(gap):
        missing = closed & ~known
        if not bool(missing.any()):
            break
        count = F.avg_pool2d(known.float()[None], 3, stride=1, padding=1)[0]
        total = F.avg_pool2d((values * known)[None], 3, stride=1, padding=1)[0]
        highest = F.max_pool2d(torch.where(known, clips, -1).float()[None], 3, stride=1, padding=1)[0].int()
        fills = missing & (count > 0)
        values = torch.where(fills, total / count.clamp_min(1e-6), values)
        clips = torch.where(fills, highest.to(clips.dtype), clips)
        known = known | fills
    return values[:3], values[3], values[4], clips


def _edges(drawn: _Drawn, source: EdgeSource, low: float, high: float) -> Tensor:
    """[H, W] bool edges of what is drawn; the outline of holes is none."""
    picture, depth, mean, _ = drawn
    hole = ~has_depth(depth)
    found = torch.zeros_like(hole)
    if source in ("picture", "both"):
        found |= canny(picture[None], low, high)[0]
    if source in ("depth", "both") and not bool(hole.all()):
        found |= canny(depth_to_pictures(mean[None], _TAIL)[:, :1], low, high)[0]
    near_hole = F.max_pool2d(hole.float()[None], 5, stride=1, padding=2)[0] > 0
    return found & ~near_hole


def _normals(drawn: _Drawn, camera: Cameras) -> Tensor:
    """[3, H, W] unit normals in camera axes from the depth that is drawn; 0 where unknown."""
    mean = drawn[2]
    if min(mean.shape) < 3 or not bool((mean > 0).any()):
        return mean.new_zeros(3, *mean.shape)
    here = torch.eye(4, device=mean.device)
    normals = normals_from_depth(_smoothed(mean), camera.K[0], here)
    return torch.nan_to_num(normals).movedim(-1, 0)


def _smoothed(depth: Tensor) -> Tensor:
    """Disparity blurred within each surface, as depth: the terraces that discs of one depth each leave."""
    reach = round(3 * _NORMAL_SIGMA)
    offsets = range(-reach, reach + 1)
    height, width = depth.shape
    disparity = torch.where(depth > 0, 1 / depth, 0.0)
    padded = F.pad(disparity, (reach,) * 4)
    total, weights = torch.zeros_like(depth), torch.zeros_like(depth)
    for down in offsets:
        for right in offsets:
            other = padded[reach + down : reach + down + height, reach + right : reach + right + width]
            # Farther pixels of a slanted surface differ more: the limit grows with the step.
            limit = disparity * _SAME_SURFACE * (1 + abs(down) + abs(right))
            weight = 2.718281828 ** (-(down**2 + right**2) / (2 * _NORMAL_SIGMA**2))
            weight = weight * ((other > 0) & ((other - disparity).abs() <= limit))
            total += weight * other
            weights += weight
    return torch.where(depth > 0, weights / total.clamp_min(1e-20), 0.0)
