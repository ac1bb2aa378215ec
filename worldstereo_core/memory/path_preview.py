"""A first look at a path in a second or two: small renders, and what the check says of the path."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..geometry.render import render_points
from ..geometry.trajectory import Trajectory, evenly_spaced_frames
from .memory import GeometricMemory
from .trajectory_check import CheckLimits, TrajectoryCheck, check_trajectory

LONGER_SIDE = 208
MAX_DRAWN_FRAMES = 41
MAX_DRAWN_POINTS = 400_000
RADIUS, POINTS_PER_PIXEL = 0.008, 4
# Discs below the size of a pixel would slip between the pixels' centres. Pixels.
MIN_RADIUS = 0.75

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class PathPreview:
    """What small renders along a trajectory of T frames show.

    Attributes:
        drawn: numbers of the F frames that were drawn, ascending; all T of a short trajectory.
        image: [F, 3, h, w] float 0..1, mid-grey in holes.
        hole_share: share of hole of each drawn frame.
        check: all T frames; its holes only if all were drawn.
    """

    drawn: tuple[int, ...]
    image: Tensor
    hole_share: tuple[float, ...]
    check: TrajectoryCheck

    @property
    def holes(self) -> list[float | None]:
        """Share of hole per frame of the trajectory; None where no picture was drawn."""
        found = dict(zip(self.drawn, self.hole_share, strict=True))
        return [found.get(frame) for frame in range(self.check.num_frames)]


def preview_path(
    memory: GeometricMemory,
    trajectory: Trajectory,
    limits: CheckLimits | None = None,
    *,
    longer_side: int = LONGER_SIDE,
    progress: Progress | None = None,
) -> PathPreview:
    """Draw small pictures along a trajectory and check it.

    The share of holes is an estimate: pictures are small, and of a large memory fewer, wider points are
    drawn.

    Args:
        memory: on the device to draw on.
        longer_side: of the pictures, pixels.
        progress: called with (steps done, steps in all); it may raise to interrupt.
    """
    drawn = tuple(evenly_spaced_frames(trajectory.num_frames, min(trajectory.num_frames, MAX_DRAWN_FRAMES)))
    scale = min(1.0, longer_side / max(trajectory.height, trajectory.width))
    height, width = max(1, round(trajectory.height * scale)), max(1, round(trajectory.width * scale))
    points = memory.points.thinned(MAX_DRAWN_POINTS)
    # Fewer points of the same area in all: what was closed stays closed.
    radius = RADIUS * math.sqrt(memory.points.num_points / max(points.num_points, 1))
    device = points.xyz.device
    rendered = render_points(
        points,
        trajectory.cameras[list(drawn)].resized(height, width).to(device),
        radius=max(radius, MIN_RADIUS / (min(height, width) / 2)),
        points_per_pixel=POINTS_PER_PIXEL,
        progress=progress,
    ).to("cpu")
    is_whole = len(drawn) == trajectory.num_frames
    check = check_trajectory(memory, trajectory, rendered if is_whole else None, limits, progress)
    return PathPreview(
        drawn=drawn,
        image=rendered.image,
        hole_share=tuple(rendered.hole_mask.mean(dim=(1, 2)).tolist()),
        check=check,
    )
