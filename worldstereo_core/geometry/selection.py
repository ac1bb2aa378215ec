"""What a user selected in a 3D view of the world: boxes, brush strokes and outlines, one after another.

A selection is a recipe and holds no points: it means the same part of space for a memory of any number of
points, thinned for display or not. ``memory.selected_points`` applies it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ..checks import WorldStereoError
from .camera_path import UNIT_TOLERANCE, Vector
from .cameras import Cameras, fov_to_focal
from .poses import invert_se3, quaternion_to_matrix

MODES = ("add", "subtract", "intersect")
VISIBLE, EVERYTHING = "visible surface", "everything behind"
REACHES = (VISIBLE, EVERYTHING)
# Height of the picture that strokes are painted into, pixels: finer than a hand on a viewer of a few hundred.
PAINT_HEIGHT = 360
MAX_PARTS, MAX_STROKE_POINTS = 1000, 5000

Quaternion: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class ViewPoint:
    """A pinhole camera without pixels, as a viewer looks at the world.

    Attributes:
        position: camera centre in world coordinates, scene units.
        wxyz: rotation of camera-to-world (OpenCV axes), unit quaternion.
        fov_deg: HORIZONTAL field of view, degrees.
        aspect: width of the picture over its height.
    """

    position: Vector
    wxyz: Quaternion = (1.0, 0.0, 0.0, 0.0)
    fov_deg: float = 60.0
    aspect: float = 1.0

    def camera(self, height: int = PAINT_HEIGHT) -> Cameras:
        """Cameras of one frame, of this height in pixels; the aspect decides the width."""
        width = max(1, round(height * self.aspect))
        c2w = torch.eye(4, dtype=torch.float64)
        c2w[:3, :3] = quaternion_to_matrix(torch.tensor(self.wxyz, dtype=torch.float64))
        c2w[:3, 3] = torch.tensor(self.position, dtype=torch.float64)
        focal = fov_to_focal(math.radians(self.fov_deg), width)
        K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return Cameras(invert_se3(c2w).float()[None], K[None], height, width)


@dataclass(frozen=True)
class BoxPart:
    """A box.

    Attributes:
        centre: world coordinates, scene units.
        size: lengths of the sides along the box's own axes, scene units.
        wxyz: rotation from the box's axes to the world's, unit quaternion.
        mode: one of ``MODES``: what it does to the parts before it.
        clips: numbers of the clips whose points it takes; None = all.
    """

    centre: Vector
    size: Vector
    wxyz: Quaternion = (1.0, 0.0, 0.0, 0.0)
    mode: str = "add"
    clips: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PaintedPart:
    """A brush stroke or an outline, drawn on one view.

    Attributes:
        view: where it was drawn from.
        points: of the stroke or around the outline, shares of the picture's width and height, 0..1.
        radius: of the brush, as a share of the picture's height; None = ``points`` surround an area.
        reach: ``VISIBLE``, what can be seen there, or ``EVERYTHING`` along the rays.
        mode, clips: as of a box. Points of other clips hide nothing either.
    """

    view: ViewPoint
    points: tuple[tuple[float, float], ...]
    radius: float | None = None
    reach: str = VISIBLE
    mode: str = "add"
    clips: tuple[int, ...] | None = None

    @property
    def group(self) -> tuple[object, ...]:
        """What parts must share to be painted into one picture."""
        return self.view, self.reach, self.mode, self.clips

    def mask(self, height: int = PAINT_HEIGHT) -> Tensor:
        """[H, W] bool: pixels whose centre the stroke or the outline covers; empty if that is none."""
        width = max(1, round(height * self.view.aspect))
        rows = torch.arange(height, dtype=torch.float64) + 0.5
        columns = torch.arange(width, dtype=torch.float64) + 0.5
        places = torch.tensor(self.points, dtype=torch.float64) * torch.tensor([width, height])
        if self.radius is None:
            return _inside_outline(columns, rows, places)
        return _near_line(columns, rows, places, self.radius * height)


SelectionPart: TypeAlias = BoxPart | PaintedPart


@dataclass(frozen=True)
class WorldSelection:
    """Parts of the world, each of which adds to those before it, takes from them, or limits them.

    Raises: WorldStereoError, naming the part and the field, if one cannot be used.
    """

    parts: tuple[SelectionPart, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parts) > MAX_PARTS:
            raise WorldStereoError(
                f"selection: has {len(self.parts)} parts, expected at most {MAX_PARTS}. Clear it, and select "
                "with fewer strokes."
            )
        for number, part in enumerate(self.parts):
            _check_part(f"selection: part {number + 1}", part)

    @property
    def is_empty(self) -> bool:
        return not self.parts


def _near_line(columns: Tensor, rows: Tensor, places: Tensor, radius: float) -> Tensor:
    """[H, W] bool: pixel centres no farther than the radius from a line through the places, pixels."""
    found = torch.zeros(len(rows), len(columns), dtype=torch.bool)
    for start, end in zip(places[:1].tolist() + places[:-1].tolist(), places.tolist(), strict=True):
        low = [min(a, b) - radius for a, b in zip(start, end, strict=True)]
        high = [max(a, b) + radius for a, b in zip(start, end, strict=True)]
        left, right = torch.searchsorted(columns, torch.tensor([low[0], high[0]]).double()).tolist()
        top, bottom = torch.searchsorted(rows, torch.tensor([low[1], high[1]]).double()).tolist()
        x, y = columns[left:right] - start[0], rows[top:bottom, None] - start[1]
        along = (end[0] - start[0], end[1] - start[1])
        squared = along[0] ** 2 + along[1] ** 2
        share = ((x * along[0] + y * along[1]) / squared).clamp(0, 1) if squared > 0 else 0.0 * (x + y)
        near = (x - share * along[0]) ** 2 + (y - share * along[1]) ** 2 <= radius**2
        found[top:bottom, left:right] |= near
    return found


def _inside_outline(columns: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """[H, W] bool: pixel centres inside a closed outline, by the even-odd rule."""
    found = torch.zeros(len(rows), len(columns), dtype=torch.bool)
    y = rows[:, None]
    for (x0, y0), (x1, y1) in zip(places.tolist(), places.roll(-1, 0).tolist(), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        found ^= crosses & (columns < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found


def _check_part(name: str, part: SelectionPart) -> None:
    if part.mode not in MODES:
        raise WorldStereoError(f"{name}: mode is {part.mode!r}, expected one of: {', '.join(MODES)}.")
    if isinstance(part, BoxPart):
        _check_numbers(name, "centre", part.centre)
        _check_numbers(name, "size", part.size)
        if min(part.size) <= 0:
            raise WorldStereoError(
                f"{name}: size is {list(part.size)}, expected three lengths above 0 in scene units. Draw the "
                "box larger or remove it."
            )
        _check_turn(name, part.wxyz)
        return
    _check_numbers(name, "position", part.view.position)
    _check_turn(name, part.view.wxyz)
    if not (0 < part.view.fov_deg < 180 and 0.01 <= part.view.aspect <= 100):
        raise WorldStereoError(
            f"{name}: fov_deg is {part.view.fov_deg:g} and aspect {part.view.aspect:g}, expected degrees "
            "between 0 and 180 and a width over height of 0.01 to 100. Remove the stroke."
        )
    least = 3 if part.radius is None else 1
    if not least <= len(part.points) <= MAX_STROKE_POINTS:
        raise WorldStereoError(
            f"{name}: has {len(part.points)} points, expected {least} to {MAX_STROKE_POINTS}. Remove it and "
            "draw it again."
        )
    for place in part.points:
        _check_numbers(name, "a point", place)
    if part.radius is not None and not 0 < part.radius <= 10:
        raise WorldStereoError(
            f"{name}: radius is {part.radius}, expected a share of the picture's height above 0. Remove the "
            "stroke."
        )
    if part.reach not in REACHES:
        raise WorldStereoError(f"{name}: reach is {part.reach!r}, expected one of: {', '.join(REACHES)}.")


def _check_numbers(name: str, field: str, values: tuple[float, ...]) -> None:
    # Beyond this, squares overflow float32.
    if not all(math.isfinite(value) and abs(value) < 1e15 for value in values):
        raise WorldStereoError(
            f"{name}: {field} is {list(values)}, expected finite numbers. Remove the part and select again."
        )


def _check_turn(name: str, wxyz: Quaternion) -> None:
    length = math.hypot(*wxyz)
    if not abs(length - 1) <= UNIT_TOLERANCE:
        raise WorldStereoError(
            f"{name}: the quaternion wxyz {list(wxyz)} has length {length:.4g}, expected 1. Remove the part "
            "and select again."
        )
