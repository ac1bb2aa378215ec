"""A trajectory and its check as one picture: from above, from the side, and holes frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..geometry.trajectory import Trajectory
from ..geometry.trajectory_plot import BACKGROUND, DIM_TEXT, GRID, LINE, TEXT, TROUBLE, plot_trajectory
from .memory import GeometricMemory
from .trajectory_check import TrajectoryCheck

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SUPERSAMPLING = 2
Colour = tuple[int, ...]
FINE: Colour = (104, 150, 206)
UNSEEN: Colour = (244, 148, 60)
FAST: Colour = (240, 214, 80)
# Height of the strip below the two views, of a picture 512 high.
STRIP = 150


def draw_check(
    memory: GeometricMemory, trajectory: Trajectory, check: TrajectoryCheck, size: int = 512
) -> Tensor:
    """Draw a checked trajectory.

    Above: the path from above and from the side over the memory's points; rings mark frames that collide or
    stand behind a surface. Below: a bar per frame for the share that is hole, and marks for each trouble.

    Args:
        size: height of the two views, pixels; the picture is twice as wide.

    Returns:
        [H, 2 * size, 3] float32 in 0..1.
    """
    marked = (check.collides | check.behind).nonzero()[:, 0].tolist()
    views = plot_trajectory(trajectory, memory.points, size, marked)
    return torch.cat([views, _draw_strip(check, 2 * size, round(STRIP * size / 512))])


def _draw_strip(check: TrajectoryCheck, width: int, height: int) -> Tensor:
    from PIL import Image, ImageDraw

    side = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    picture = Image.new("RGB", side, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    unit = side[1] / STRIP
    left, right = 52 * unit, side[0] - 24 * unit
    top, floor = 30 * unit, 104 * unit
    draw.line([(0, 0), (side[0], 0)], fill=LINE, width=round(unit))
    _draw_legend(draw, unit, left)
    for share, word in ((0.0, "0%"), (0.5, "50%"), (1.0, "100%")):
        y = floor - share * (floor - top)
        draw.line([(left, y), (right, y)], fill=GRID, width=max(1, round(unit)))
        draw.text((left - 6 * unit, y), word, font=_font(10 * unit), fill=DIM_TEXT, anchor="rm")
    step = (right - left) / check.num_frames
    _draw_bars(draw, check, left, step, top, floor, unit)
    _draw_marks(draw, check, left, step, floor, unit)
    _draw_numbers(draw, check.num_frames, left, step, side[1] - 12 * unit, unit)
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)


def _draw_legend(draw: ImageDraw, unit: float, left: float) -> None:
    entries = (
        ("holes per frame", FINE),
        ("too many", TROUBLE),
        ("collision", TROUBLE),
        ("unseen place", UNSEEN),
        ("too fast", FAST),
    )
    x, y, font = left, 15 * unit, _font(12 * unit)
    for number, (word, colour) in enumerate(entries):
        box = [x, y - 4 * unit, x + 8 * unit, y + 4 * unit]
        if number < 2:
            draw.rectangle(box, fill=colour)
        else:
            draw.ellipse(box, fill=colour)
        draw.text((x + 13 * unit, y), word, font=font, fill=TEXT, anchor="lm")
        x += 32 * unit + font.getlength(word)


def _draw_bars(
    draw: ImageDraw, check: TrajectoryCheck, left: float, step: float, top: float, floor: float, unit: float
) -> None:
    limit = floor - check.limits.holes * (floor - top)
    if check.hole_share is None:
        draw.text(
            (left, (top + floor) / 2), "not rendered", font=_font(11 * unit), fill=DIM_TEXT, anchor="lm"
        )
        return
    gap = min(unit, 0.1 * step)
    for frame, share in enumerate(check.hole_share.tolist()):
        x, colour = left + frame * step, TROUBLE if bool(check.has_big_holes[frame]) else FINE
        if share > 0:
            draw.rectangle([x + gap, floor - share * (floor - top), x + step - gap, floor], fill=colour)
    draw.line(
        [(left, limit), (left + step * check.num_frames, limit)], fill=TROUBLE, width=max(1, round(unit))
    )


def _draw_marks(
    draw: ImageDraw, check: TrajectoryCheck, left: float, step: float, floor: float, unit: float
) -> None:
    rows = ((check.collides, TROUBLE), (check.behind | check.beyond, UNSEEN), (check.is_too_fast, FAST))
    for number, (frames, colour) in enumerate(rows):
        y = floor + (7 + 8 * number) * unit
        radius = min(3.2 * unit, 0.45 * step)
        for frame in frames.nonzero()[:, 0].tolist():
            x = left + (frame + 0.5) * step
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _draw_numbers(draw: ImageDraw, count: int, left: float, step: float, y: float, unit: float) -> None:
    steps = (1, 2, 5, 10, 20, 50, 100, 1000, 10_000)
    every = next((size for size in steps if size * step >= 22 * unit), count)
    for frame in range(0, count, every):
        x = left + (frame + 0.5) * step
        draw.text((x, y), str(frame), font=_font(10 * unit), fill=DIM_TEXT, anchor="mm")


def _font(size: float):
    from PIL import ImageFont

    return ImageFont.load_default(size)
