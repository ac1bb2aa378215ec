"""A line drawn on a picture becomes a camera path, and a pixel a point to look at: lifted by depth."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import PathError, check_shape
from .camera_path import CameraPath, Waypoint, spread_times, waypoint_from_camera
from .cameras import Cameras, look_at
from .depth import has_depth, lower_median
from .poses import invert_se3, matrix_to_quaternion
from .trajectory import DEFAULT_FPS, check_choice

PLACES = ("towards the surface", "above the surface")
LOOKS = ("along the path", "as at the start", "at the end of the line")
# Depth is the median of a window this wide, so that one wrong pixel does not bend the path.
WINDOW = 5
_WORLD_UP = (0.0, -1.0, 0.0)

Quaternion = tuple[float, float, float, float]


def lift_pixels(name: str, xy: Tensor, depth: Tensor, K: Tensor, w2c: Tensor) -> Tensor:
    """World points under pixels of a picture.

    Args:
        name: the input as the user sees it.
        xy: [N, 2] pixels; the picture spans [0, W] x [0, H].
        depth: [H, W] camera z, scene units; 0 or non-finite = no data.
        K, w2c: [3, 3] and [4, 4] of the picture's camera.

    Returns:
        [N, 3] float64 world coordinates.

    Raises: PathError for a pixel outside the picture or without depth.
    """
    size = check_shape("depth", depth, ("H", "W"))
    check_shape(name, xy, ("N", 2))
    height, width = size["H"], size["W"]
    xy, depth = xy.double().cpu(), depth.detach().cpu()
    found = []
    for number, (x, y) in enumerate(xy.tolist()):
        if not (0 <= x <= width and 0 <= y <= height):
            raise PathError(
                f"{name}: point {number + 1} at ({x:g}, {y:g}) lies outside the picture of {width} x "
                f"{height} pixels (width x height). Move it inside."
            )
        column, row = min(int(x), width - 1), min(int(y), height - 1)
        reach = WINDOW // 2
        window = depth[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        known = window[has_depth(window)]
        if len(known) == 0:
            raise PathError(
                f"{name}: there is no depth at point {number + 1} ({x:g}, {y:g}): sky, or a pixel the depth "
                "map leaves out. Move it onto a surface."
            )
        found.append(float(lower_median(known)))
    in_camera = torch.cat([xy, torch.ones(len(xy), 1, dtype=torch.float64)], dim=1)
    in_camera = in_camera @ torch.linalg.inv(K.detach().cpu().double()).mT
    in_camera = in_camera * torch.tensor(found, dtype=torch.float64)[:, None]
    c2w = invert_se3(w2c.detach().cpu().double())
    return in_camera @ c2w[:3, :3].mT + c2w[:3, 3]


def lift_pixel(name: str, x: float, y: float, depth: Tensor, camera: Cameras) -> tuple[float, float, float]:
    """The world point under one pixel; see ``lift_pixels``."""
    return _three(lift_pixels(name, torch.tensor([[x, y]]), depth, camera.K[0], camera.w2c[0])[0])


def thinned_line(xy: Tensor, count: int) -> Tensor:
    """``count`` points spread evenly along a line of [N, 2] pixels, ends included; as it is if it has fewer.

    A freehand line has hundreds of points whose tremor would shake the camera.
    """
    if len(xy) <= count:
        return xy
    steps = (xy[1:] - xy[:-1]).norm(dim=-1)
    way = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    wanted = torch.linspace(0, 1, count, dtype=way.dtype) * way[-1]
    after = torch.searchsorted(way, wanted, right=True).clamp(1, len(way) - 1)
    share = ((wanted - way[after - 1]) / (way[after] - way[after - 1]).clamp(min=1e-12)).clamp(0, 1)
    return torch.lerp(xy[after - 1], xy[after], share[:, None])


def draw_path(
    xy: Tensor,
    depth: Tensor,
    camera: Cameras,
    *,
    place: str = "towards the surface",
    reach: float = 0.5,
    height: float = 0.3,
    look: str = "along the path",
    scale: float = 1.0,
    starts_at_camera: bool = True,
    max_waypoints: int = 12,
    fps: float = DEFAULT_FPS,
) -> CameraPath:
    """A path from a line on a picture.

    Args:
        xy: [N, 2] pixels of the picture, in order.
        depth: [H, W] camera z of the picture, scene units; 0 = no data.
        camera: the picture's camera, one frame, at the size of ``depth``.
        place: "towards the surface": each waypoint lies on the ray through its pixel, ``reach`` of the way to
            what is seen there; the picture's own geometry then keeps the camera in free space while ``reach``
            is below 1. "above the surface": ``height`` over what is seen there, world up being -y; for lines
            along a floor.
        reach: share of the depth, 0 to 1.
        height: in units of ``scale``.
        look: "along the path" looks where it goes, "as at the start" keeps the picture's view direction, "at
            the end of the line" looks at the surface under the last pixel.
        scale: scene units that count as one: the memory's median depth.
        starts_at_camera: put the picture's own camera first, so that the clip starts with the picture.
        max_waypoints: longer lines are thinned to so many points.

    Raises: PathError for points outside the picture or without depth, or settings out of range.
    """
    check_choice("place", place, PLACES)
    check_choice("look", look, LOOKS)
    for label, value, low, high in (("reach", reach, 0.0, 1.0), ("height", height, -math.inf, math.inf)):
        if not (math.isfinite(value) and low <= value <= high):
            raise PathError(
                f"{label}: got {value}, expected a number from {low:g} to {high:g}. Correct the number."
            )
    if max_waypoints < 2:
        raise PathError(f"waypoints: got {max_waypoints}, expected at least 2. Ask for more.")
    if len(xy) < (1 if starts_at_camera else 2):
        raise PathError(
            f"line: got {len(xy)} points, expected at least {1 if starts_at_camera else 2}. Draw a longer "
            "line."
        )
    surface = lift_pixels("line", thinned_line(xy.double(), max_waypoints), depth, camera.K[0], camera.w2c[0])
    start = waypoint_from_camera(camera)
    center = torch.tensor(start.position, dtype=torch.float64)
    if place == PLACES[0]:
        places = center + reach * (surface - center)
    else:
        places = surface + height * scale * surface.new_tensor(_WORLD_UP)
    if starts_at_camera:
        places = torch.cat([center[None], places])
    waypoints = [
        Waypoint(_three(at), wxyz, start.fov_deg)
        for at, wxyz in zip(places, _turns(places, surface[-1], start, look), strict=True)
    ]
    if starts_at_camera:
        waypoints[0] = start
    return CameraPath(
        spread_times(waypoints),
        width=camera.width,
        height=camera.height,
        scale=scale,
        fps=fps,
        name="drawn path",
    )


def _turns(places: Tensor, end: Tensor, start: Waypoint, look: str) -> list[Quaternion]:
    """wxyz of each waypoint."""
    if look == LOOKS[1]:
        return [start.wxyz] * len(places)
    if look == LOOKS[2]:
        aims = end - places
    else:
        # The direction at each waypoint is that between its neighbours.
        around = torch.cat([places[:1], places, places[-1:]])
        aims = around[2:] - around[:-2]
    turns: list[Quaternion] = []
    for aim in aims:
        sideways = torch.linalg.vector_norm(aim[[0, 2]])
        if sideways < 1e-3 * torch.linalg.vector_norm(aim) or not bool(aim.any()):
            turns.append(turns[-1] if turns else start.wxyz)  # straight up or down, or nowhere: keep looking
            continue
        w2c = look_at(torch.zeros(3, dtype=torch.float64), aim)
        w, x, y, z = matrix_to_quaternion(w2c[:3, :3].mT).tolist()
        turns.append((w, x, y, z))
    return turns


def _three(values: Tensor) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
