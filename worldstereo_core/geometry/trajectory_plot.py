"""A picture of a trajectory from above and from the side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .point_cloud import PointCloud
from .poses import invert_se3
from .trajectory import Trajectory

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SUPERSAMPLING = 3
MAX_POINTS = 60_000
NUM_ARROWS = 7

Colour = tuple[int, ...]
BACKGROUND: Colour = (24, 26, 31)
GRID: Colour = (37, 40, 47)
LINE: Colour = (72, 78, 90)
TEXT: Colour = (228, 231, 237)
DIM_TEXT: Colour = (146, 153, 166)
START: Colour = (74, 208, 120)
MIDDLE: Colour = (232, 204, 96)
END: Colour = (242, 84, 84)
PIVOT: Colour = (112, 178, 255)
TROUBLE: Colour = (255, 64, 64)


@dataclass(frozen=True)
class _Scene:
    """What is drawn, in the axes of the first camera: x right, y down, z forward, scene units."""

    centers: np.ndarray  # [T, 3]
    arrows: np.ndarray  # [T, 3] from each centre along the view
    frusta: np.ndarray  # [T, 4, 3] from each centre to the corners of what it sees
    marked: tuple[int, ...]  # frames with a ring
    pivot: np.ndarray | None  # [3]
    xyz: np.ndarray  # [N, 3]
    rgb: np.ndarray  # [N, 3] uint8


@dataclass(frozen=True)
class _View:
    """An orthographic view: which scene direction goes to the right and which goes up in the picture."""

    title: str
    right: tuple[str, np.ndarray]
    up: tuple[str, np.ndarray]

    def flat(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] scene -> [..., 2] right and up, scene units."""
        return np.stack([points @ self.right[1], points @ self.up[1]], axis=-1)


ABOVE = _View("from above", ("right", np.array([1.0, 0, 0])), ("forward", np.array([0.0, 0, 1])))
ASIDE = _View("from the side", ("forward", np.array([0.0, 0, 1])), ("up", np.array([0.0, -1, 0])))


def plot_trajectory(
    trajectory: Trajectory,
    points: PointCloud | None = None,
    size: int = 512,
    marked: Sequence[int] = (),
) -> Tensor:
    """Draw a trajectory from above and from the side, in the axes of its first camera.

    Start is green, end is red; arrows show where the camera looks, outlines how much it sees, the blue cross
    the pivot. Both views have the same scale.

    Args:
        trajectory: what to draw.
        points: the memory's points, drawn behind it.
        size: height of the picture, pixels; it is twice as wide.
        marked: frames that get a red ring, such as those that collide.

    Returns:
        [size, 2 * size, 3] float32 in 0..1.
    """
    from PIL import Image, ImageDraw

    scene = _scene(trajectory, points, tuple(marked))
    side = size * SUPERSAMPLING
    unit = side / 512
    boxes = [_bounds(scene, view) for view in (ABOVE, ASIDE)]
    room = (side - 48 * unit, side - 132 * unit)  # inside the margins: right and up
    scale = min(room[axis] / max(high[axis] - low[axis], 1e-9) for low, high in boxes for axis in (0, 1))
    step = _round_step(side / scale / 6)

    picture = Image.new("RGB", (2 * side, side), BACKGROUND)
    for number, (view, (low, high)) in enumerate(zip((ABOVE, ASIDE), boxes, strict=True)):
        middle = (low + high) / 2
        origin = np.array([side / 2 - middle[0] * scale, side / 2 + 2 * unit + middle[1] * scale])
        panel = _Panel(scene, view, origin, scale, side, unit)
        picture.paste(panel.draw(step), (number * side, 0))
    draw = ImageDraw.Draw(picture)
    draw.line([(side, 0), (side, side)], fill=LINE, width=round(unit))
    _caption(draw, trajectory, scene, side, unit)
    small = picture.resize((2 * size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)


def _scene(trajectory: Trajectory, points: PointCloud | None, marked: tuple[int, ...]) -> _Scene:
    w2c, K = trajectory.w2c.detach().cpu().double(), trajectory.K.detach().cpu().double()
    first = w2c[0]
    first_from_camera = first @ invert_se3(w2c)
    centers = first_from_camera[:, :3, 3].numpy()
    pivot = None
    if trajectory.pivot is not None:
        pivot = (first @ torch.tensor([*trajectory.pivot, 1.0], dtype=torch.float64))[:3].numpy()
    xyz, rgb = np.zeros((0, 3)), np.zeros((0, 3), dtype=np.uint8)
    if points is not None and points.num_points:
        chosen = slice(None, None, math.ceil(points.num_points / MAX_POINTS))
        xyz = (points.xyz[chosen].detach().cpu().double() @ first[:3, :3].T + first[:3, 3]).numpy()
        colours = points.rgb[chosen].detach().cpu().clamp(0, 1).numpy()
        # Faded towards the background, so that the cameras stand out in front.
        rgb = (0.62 * 255 * colours + 0.38 * np.array(BACKGROUND)).astype(np.uint8)

    solid = centers if pivot is None else np.concatenate([centers, pivot[None]])
    extent = float(np.ptp(solid, axis=0).max())
    if extent < 1e-9:
        extent = float(np.median(np.abs(xyz[:, 2]))) if len(xyz) else 1.0
    reach = 0.2 * max(extent, 1e-9)

    size = (trajectory.width, trajectory.height)
    corners = torch.tensor([[x, y, 1.0] for x, y in ((0, 0), (size[0], 0), size, (0, size[1]))]).double()
    frusta = corners @ torch.linalg.inv(K).mT @ first_from_camera[:, :3, :3].mT
    # Wide lenses get shallower outlines, so that these never cover the path.
    depth = reach / frusta.norm(dim=-1, keepdim=True).amax(dim=1, keepdim=True) * 1.5
    arrows = reach * first_from_camera[:, :3, 2].numpy()
    return _Scene(centers, arrows, (depth * frusta).numpy(), marked, pivot, xyz, rgb)


def _bounds(scene: _Scene, view: _View) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest right and up of what must be visible; points only as far as they are near."""
    parts = [
        scene.centers,
        scene.centers + scene.arrows,
        *(scene.centers[[0, -1], None] + scene.frusta[[0, -1]]),
    ]
    if scene.pivot is not None:
        parts.append(scene.pivot[None])
    drawn = view.flat(np.concatenate(parts))
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    if len(scene.xyz):
        cloud = view.flat(scene.xyz)
        slack = 0.5 * (high - low).max()
        low = np.minimum(low, np.maximum(np.percentile(cloud, 3, axis=0), low - slack))
        high = np.maximum(high, np.minimum(np.percentile(cloud, 97, axis=0), high + slack))
    return low, high


@dataclass(frozen=True)
class _Panel:
    """One view on its square picture; lengths in pixels, `unit` is one pixel of a 512 high picture."""

    scene: _Scene
    view: _View
    origin: np.ndarray  # [2] pixel of the scene's origin
    scale: float  # pixels per scene unit
    side: int
    unit: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] scene -> [..., 2] pixels."""
        return self.origin + self.view.flat(points) * np.array([self.scale, -self.scale])

    def draw(self, step: float):
        from PIL import Image, ImageDraw

        image = Image.fromarray(self._backdrop(step))
        draw = ImageDraw.Draw(image, "RGBA")
        self._draw_pivot(draw)
        self._draw_path(draw)
        self._draw_labels(draw, step)
        return image

    def _backdrop(self, step: float) -> np.ndarray:
        """Grid lines every `step` scene units, and the points over them."""
        pixels = np.empty((self.side, self.side, 3), dtype=np.uint8)
        pixels[:] = BACKGROUND
        thick = max(1, round(self.unit))
        for axis in (0, 1):
            spacing = step * self.scale
            start = self.origin[axis] % spacing
            for line in np.arange(start, self.side, spacing).astype(int):
                pixels[(slice(None), slice(line, line + thick))[:: 1 if axis == 0 else -1]] = GRID
        dot = max(1, round(1.2 * self.unit))
        xy = np.round(self.place(self.scene.xyz)).astype(int)
        inside = ((xy >= 0) & (xy < self.side - dot)).all(axis=1)
        for dx in range(dot):
            for dy in range(dot):
                pixels[xy[inside, 1] + dy, xy[inside, 0] + dx] = self.scene.rgb[inside]
        return pixels

    def _draw_pivot(self, draw: ImageDraw) -> None:
        if self.scene.pivot is None:
            return
        x, y = self.place(self.scene.pivot)
        for center in self.place(self.scene.centers[[0, -1]]):
            _dashed(draw, center, np.array([x, y]), (*PIVOT, 110), self.unit)
        arm, width = 9 * self.unit, round(2 * self.unit)
        draw.line([(x - arm, y), (x + arm, y)], fill=PIVOT, width=width)
        draw.line([(x, y - arm), (x, y + arm)], fill=PIVOT, width=width)
        radius = 5 * self.unit
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=PIVOT, width=width)

    def _draw_path(self, draw: ImageDraw) -> None:
        scene, unit = self.scene, self.unit
        path = self.place(scene.centers)
        last = len(path) - 1
        shown = sorted({round(share * last) for share in np.linspace(0, 1, NUM_ARROWS)})
        for frame in shown[1:-1]:
            self._draw_frustum(draw, scene.centers[frame], 0.6 * scene.frusta[frame], _mix(frame / last), 0.4)
        for end, colour in ((0, START), (-1, END)):
            self._draw_frustum(draw, scene.centers[end], scene.frusta[end], colour)
        for frame in range(last):
            colour = _mix(frame / last)
            draw.line([*map(tuple, path[frame : frame + 2])], fill=colour, width=round(3 * unit))
        for frame in range(len(path)):
            self._draw_dot(draw, path[frame], 2.2 * unit, _mix(frame / max(last, 1)))
        tips = self.place(scene.centers + scene.arrows)
        for frame in shown:
            _arrow(draw, path[frame], tips[frame], _mix(frame / max(last, 1)), unit)
        self._draw_dot(draw, path[-1], 6.5 * unit, END)
        self._draw_dot(draw, path[0], 5 * unit, START)
        for frame in scene.marked:
            x, y = path[frame]
            radius = 8 * unit
            box = [x - radius, y - radius, x + radius, y + radius]
            draw.ellipse(box, outline=TROUBLE, width=round(2.5 * unit))

    def _draw_dot(self, draw: ImageDraw, center: np.ndarray, radius: float, colour: Colour) -> None:
        x, y = center
        rim = self.unit
        draw.ellipse(
            [x - radius - rim, y - radius - rim, x + radius + rim, y + radius + rim], fill=BACKGROUND
        )
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)

    def _draw_frustum(
        self, draw: ImageDraw, center: np.ndarray, rays: np.ndarray, colour: Colour, strength: float = 1.0
    ) -> None:
        apex = tuple(self.place(center))
        corners = [tuple(corner) for corner in self.place(center + rays)]
        width = max(1, round(1.3 * self.unit))
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            draw.polygon([apex, a, b], fill=(*colour, round(16 * strength)))
            draw.line([a, b], fill=(*colour, round(190 * strength)), width=width)
            draw.line([apex, a], fill=(*colour, round(120 * strength)), width=width)

    def _draw_labels(self, draw: ImageDraw, step: float) -> None:
        unit, side = self.unit, self.side
        font = _font(13 * unit)
        veil = (*BACKGROUND, 200)  # keeps words readable over points
        draw.rectangle([0, 0, side, 60 * unit], fill=veil)
        draw.rectangle([0, side - 34 * unit, side, side], fill=veil)
        draw.text((24 * unit, 46 * unit), self.view.title, font=_font(15 * unit), fill=TEXT, anchor="lm")
        # The two directions, as small arrows in the lower right corner.
        x, y = side - 100 * unit, side - 48 * unit
        draw.rectangle([x - 34 * unit, y - 50 * unit, side, y + 14 * unit], fill=veil)
        for (label, _), tip, anchor, place in (
            (self.view.right, (x + 26 * unit, y), "lm", (x + 32 * unit, y)),
            (self.view.up, (x, y - 26 * unit), "mb", (x, y - 32 * unit)),
        ):
            _arrow(draw, np.array([x, y]), np.array(tip), DIM_TEXT, 0.7 * unit)
            draw.text(place, label, font=font, fill=DIM_TEXT, anchor=anchor)
        # A ruler in the lower left corner.
        x, length = 24 * unit, step * self.scale
        draw.rectangle([0, y - 28 * unit, max(x + length, 112 * unit) + 8 * unit, y + 14 * unit], fill=veil)
        draw.line([(x, y), (x + length, y)], fill=DIM_TEXT, width=round(2 * unit))
        for end in (x, x + length):
            draw.line([(end, y - 4 * unit), (end, y + 4 * unit)], fill=DIM_TEXT, width=round(2 * unit))
        words = f"{step:g} scene unit{'' if step == 1 else 's'}"
        draw.text((x, y - 9 * unit), words, font=font, fill=DIM_TEXT, anchor="lb")


def _caption(draw: ImageDraw, trajectory: Trajectory, scene: _Scene, side: int, unit: float) -> None:
    """Name and figures at the top, what the colours mean at the bottom."""
    length = float(np.linalg.norm(np.diff(scene.centers, axis=0), axis=-1).sum())
    focal = float(trajectory.K[-1, 0, 0] / trajectory.K[0, 0, 0])
    facts = [f"{trajectory.num_frames} frames", f"{trajectory.fps:g} fps", f"path {length:.3g} units"]
    if scene.pivot is not None:
        facts.append(f"pivot {np.linalg.norm(scene.pivot):.3g} units ahead")
    if abs(focal - 1) > 1e-3:
        facts.append(f"focal length x {focal:.3g}")
    draw.text((24 * unit, 22 * unit), trajectory.name[:60], font=_font(18 * unit), fill=TEXT, anchor="lm")
    draw.text(
        (2 * side - 24 * unit, 22 * unit), ", ".join(facts), font=_font(13 * unit), fill=DIM_TEXT, anchor="rm"
    )
    x, y, font = 24 * unit, side - 18 * unit, _font(13 * unit)
    entries = [("start", START), ("end", END)] + ([("pivot", PIVOT)] if scene.pivot is not None else [])
    for word, colour in entries:
        draw.ellipse([x, y - 5 * unit, x + 10 * unit, y + 5 * unit], fill=colour)
        draw.text((x + 16 * unit, y), word, font=font, fill=TEXT, anchor="lm")
        x += 40 * unit + font.getlength(word)


def _font(size: float):
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _mix(share: float) -> Colour:
    """The colour of a moment: start, then middle, then end."""
    a, b, share = (START, MIDDLE, 2 * share) if share < 0.5 else (MIDDLE, END, 2 * share - 1)
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))


def _arrow(draw: ImageDraw, start: np.ndarray, tip: np.ndarray, colour: Colour, unit: float) -> None:
    """A line with a head; nothing where the arrow points into or out of the picture."""
    length = float(np.linalg.norm(tip - start))
    if length < 6 * unit:
        return
    along = (tip - start) / length
    head = min(9 * unit, 0.6 * length)
    across = np.array([-along[1], along[0]]) * 0.5 * head
    base = tip - along * head
    draw.line([tuple(start), tuple(base)], fill=colour, width=max(1, round(1.8 * unit)))
    draw.polygon([tuple(tip), tuple(base + across), tuple(base - across)], fill=colour)


def _dashed(draw: ImageDraw, start: np.ndarray, end: np.ndarray, colour: Colour, unit: float) -> None:
    length = float(np.linalg.norm(end - start))
    count = int(length / (5 * unit))
    for dash in range(0, count, 2):
        a, b = (start + (end - start) * share / count for share in (dash, min(dash + 1, count)))
        draw.line([tuple(a), tuple(b)], fill=colour, width=max(1, round(1.2 * unit)))


def _round_step(length: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(length))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= length * (1 + 1e-9))
