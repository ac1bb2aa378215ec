"""Panoramas (equirectangular, 2:1): directions, seam-safe sampling, perspective views cut out of them.

The middle of the picture looks along +z, its right quarter along +x, its top along -y (OpenCV axes, y down).
Column x of W is at longitude (x / W - 1/2) * 360 degrees to the right, row y of H at latitude
(1/2 - y / H) * 180 degrees up; pixel centres lie at half numbers.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from .cameras import Cameras, fov_to_K, pixel_directions, pixel_grid
from .depth import EdgeMode, depth_edges, has_depth

ViewSet = Literal["released", "horizon", "cube"]
VIEW_SETS: tuple[ViewSet, ...] = ("released", "horizon", "cube")

# The released bank: nine azimuths on each of three circles, one at the horizon, one with half as much up as
# forward in its direction, one with half as much down.
_NUM_AZIMUTHS = 9
_CIRCLE_ELEVATION = math.degrees(math.atan(0.5))
# Depth of a view is interpolated where disparity bends by no more than this share from pixel to pixel.
_STRAIGHT = 0.02
# A view gets at least this many samples of the panorama per pixel and side where the panorama is that fine.
_SAMPLES_PER_SIDE = 2


def check_panorama(name: str, height: int, width: int) -> None:
    """Raise ShapeError unless a picture is exactly twice as wide as high."""
    if height > 1 and width == 2 * height:
        return
    raise ShapeError(
        f"{name}: got {width} x {height} pixels (width x height), that is {width / max(height, 1):.4g} : 1; "
        f"expected exactly 2 : 1, the whole sphere, for example {2 * height} x {height} or {width} x "
        f"{width / 2:g}. If the picture does show the whole sphere, resize it to that; if a part of the "
        "sphere is missing, pad it (top and bottom alike). Used as it is, everything would be bent."
    )


def panorama_directions(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """[H, W, 3] float32 unit directions of the pixel centres of a panorama, OpenCV axes."""
    xy = pixel_grid(height, width, device=device, dtype=torch.float64)
    longitude, latitude = (xy[..., 0] / width - 0.5) * 2 * math.pi, (0.5 - xy[..., 1] / height) * math.pi
    flat = torch.cos(latitude)
    return torch.stack(
        [torch.sin(longitude) * flat, -torch.sin(latitude), torch.cos(longitude) * flat], dim=-1
    ).float()


def directions_to_pixels(directions: Tensor, height: int, width: int) -> Tensor:
    """Where a panorama shows directions.

    Args:
        directions: [..., 3], any length but 0.

    Returns:
        [..., 2] xy; x in [0, width], y in [0, height].
    """
    x, y, z = directions.unbind(-1)
    longitude = torch.atan2(x, z)
    latitude = torch.atan2(-y, torch.hypot(x, z))
    return torch.stack(
        [(longitude / (2 * math.pi) + 0.5) * width, (0.5 - latitude / math.pi) * height], dim=-1
    )


def sample_panorama(
    values: Tensor, directions: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Read a panorama in any directions, across the seam and over the poles as if there were none.

    Args:
        values: [C, H, W], W = 2 H.
        directions: [..., 3], any length but 0.

    Returns:
        [C, ...].
    """
    channels, height, width = values.shape
    padded = pad_panorama(values)
    xy = directions_to_pixels(directions, height, width).reshape(1, 1, -1, 2) + 1
    grid = xy * 2 / xy.new_tensor([width + 2, height + 2]) - 1
    found = F.grid_sample(padded[None], grid.to(padded), mode=mode, align_corners=False)
    return found.reshape(channels, *directions.shape[:-1])


def pad_panorama(values: Tensor) -> Tensor:
    """[C, H, W] -> [C, H + 2, W + 2], one pixel more on every side as the sphere goes on there."""
    half = values.shape[-1] // 2
    # Beyond a pole the picture comes back on the opposite meridian.
    over = [values[:, row : row + 1].roll(half, dims=-1) for row in (0, values.shape[1] - 1)]
    tall = torch.cat([over[0], values, over[1]], dim=1)
    return torch.cat([tall[..., -1:], tall, tall[..., :1]], dim=-1)


def panorama_cameras(
    view_set: ViewSet = "released", height: int = 480, width: int = 832, fov_deg: float = 120.0
) -> Cameras:
    """The cameras that a panorama's bank of views is cut with; all stand in the middle of the sphere.

    Args:
        view_set: "released" are 27 views, nine all around at each of three elevations (0 and 26.6 degrees up
            and down), in the released order; "horizon" the nine at elevation 0; "cube" six views along the
            axes, front, right, back, left, up, down.
        height, width: of a view, pixels.
        fov_deg: horizontal field of view; 120 is the released bank's (at 832 x 480 that is 90 vertically).

    Returns:
        Cameras in the panorama's axes; the first looks into its middle.
    """
    if view_set not in VIEW_SETS:
        raise WorldStereoError(f"view_set: got {view_set!r}, expected one of {', '.join(VIEW_SETS)}.")
    turns = [360 / _NUM_AZIMUTHS * step for step in range(1, _NUM_AZIMUTHS)]
    up, down = _CIRCLE_ELEVATION, -_CIRCLE_ELEVATION
    if view_set == "cube":
        angles = [(0.0, 0.0), (90.0, 0.0), (180.0, 0.0), (-90.0, 0.0), (0.0, 90.0), (0.0, -90.0)]
    elif view_set == "horizon":
        angles = [(turn, 0.0) for turn in (0.0, *turns)]
    else:
        angles = [(0.0, 0.0), (0.0, up), (0.0, down)]
        angles += [(turn, elevation) for elevation in (0.0, up, down) for turn in turns]
    return look_around(angles, height, width, fov_deg)


def look_around(angles_deg: list[tuple[float, float]], height: int, width: int, fov_deg: float) -> Cameras:
    """Cameras in the middle of a panorama.

    Args:
        angles_deg: (yaw, pitch) of each in degrees: how far it is turned to the right, then up.
        fov_deg: horizontal field of view, degrees, below 180.

    Raises: WorldStereoError for a field of view that no flat picture has.
    """
    if not 0 < fov_deg < 180:
        raise WorldStereoError(f"fov_deg: got {fov_deg}, expected more than 0 and less than 180 degrees.")
    yaw, pitch = torch.deg2rad(torch.tensor(angles_deg, dtype=torch.float64).reshape(-1, 2)).unbind(-1)
    zero = torch.zeros_like(yaw)
    right = torch.stack([yaw.cos(), zero, -yaw.sin()], dim=-1)
    forward = torch.stack([yaw.sin() * pitch.cos(), -pitch.sin(), yaw.cos() * pitch.cos()], dim=-1)
    w2c = torch.eye(4, dtype=torch.float64).repeat(len(yaw), 1, 1)
    w2c[:, :3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=-2)
    K = fov_to_K(math.radians(fov_deg), height, width)
    return Cameras(w2c.float(), K.expand(len(yaw), 3, 3), height, width)


def panorama_to_views(panorama: Tensor, cameras: Cameras) -> Tensor:
    """Cut perspective pictures out of a panorama.

    Args:
        panorama: [3, H, W] 0..1.
        cameras: T cameras in the panorama's axes; only their rotation counts.

    Returns:
        [T, 3, height, width]. A panorama finer than the views is averaged down, so that nothing flickers.
    """
    size = check_shape("panorama", panorama, (3, "H", "W"))
    check_panorama("panorama", size["H"], size["W"])
    panorama = panorama.float()
    # Panorama pixels per view pixel in the middle of the view, where the view is coarsest.
    finest = size["W"] / (2 * math.pi * float(cameras.K[:, 0, 0].max()))
    if finest > _SAMPLES_PER_SIDE:
        height = max(2, round(size["H"] * _SAMPLES_PER_SIDE / finest))
        panorama = F.interpolate(panorama[None], size=(height, 2 * height), mode="area")[0]
    samples = _SAMPLES_PER_SIDE if finest > 1 else 1
    fine = cameras.resized(cameras.height * samples, cameras.width * samples)
    views = [sample_panorama(panorama, rays) for rays in _world_rays(fine)]
    return F.avg_pool2d(torch.stack(views), samples)


def distance_to_view_depth(distance: Tensor, cameras: Cameras) -> Tensor:
    """Depth maps of perspective views of a panorama.

    Args:
        distance: [H, W] along the ray, scene units; 0 or non-finite marks no data.
        cameras: T cameras in the panorama's axes; only their rotation counts.

    Returns:
        [T, height, width] camera z, scene units; 0 = no data. Interpolated on surfaces, not across edges.
    """
    valid = has_depth(distance)
    disparity = torch.where(valid, 1 / distance.float(), 0.0)
    is_smooth = _is_smooth(disparity)
    maps = []
    for rays in _world_rays(cameras):
        nearby = sample_panorama(torch.stack([disparity, is_smooth.float()]), rays, "nearest")
        between = sample_panorama(disparity[None], rays)[0]
        found = torch.where(nearby[1] > 0, between, nearby[0])
        # Rays have z = 1, so their length is distance over depth.
        maps.append(torch.where(found > 0, 1 / (found * rays.norm(dim=-1)), 0.0))
    return torch.stack(maps)


def _is_smooth(disparity: Tensor) -> Tensor:
    """[H, W] pixels across which disparity goes straight on in all four directions: no edge, all data."""
    around = pad_panorama(disparity[None])[0]
    height, width = disparity.shape
    smooth = disparity > 0
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = around[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        other = around[1 - down : 1 - down + height, 1 - right : 1 - right + width]
        bend = (one + other - 2 * disparity).abs()
        smooth = smooth & (one > 0) & (other > 0) & (bend <= _STRAIGHT * disparity)
    return smooth


def panorama_edges(
    distance: Tensor, threshold: float = 0.35, mode: EdgeMode = "masked", valid: Tensor | None = None
) -> Tensor:
    """``geometry.depth.depth_edges`` of a panorama's distances [H, W], without a rim at seam and poles."""
    padded = pad_panorama(distance[None])[0]
    usable = None if valid is None else pad_panorama(valid[None].float())[0] > 0.5
    return depth_edges(padded, threshold, mode, valid=usable)[1:-1, 1:-1]


def even_pixels(height: int, width: int) -> Tensor:
    """[H, W] bool: columns thinned out towards the poles, so that what is left covers the sphere evenly."""
    latitude = (0.5 - (torch.arange(height) + 0.5) / height) * math.pi
    stride = (1 / torch.cos(latitude)).round().clamp(1, width).long()
    return torch.arange(width)[None] % stride[:, None] == 0


def finer_panorama(values: Tensor, factor: int) -> Tensor:
    """[C, H, W] -> [C, factor * H, factor * W] by bilinear sampling that knows no seam."""
    height, width = values.shape[1:]
    return sample_panorama(values, panorama_directions(height * factor, width * factor, values.device))


def _world_rays(cameras: Cameras) -> Tensor:
    """[T, height, width, 3] directions in the panorama's axes whose camera z is 1."""
    rays = pixel_directions(cameras.K, cameras.height, cameras.width)
    return (rays.flatten(1, 2) @ cameras.w2c[:, :3, :3]).reshape(rays.shape)
