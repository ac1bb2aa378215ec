"""Where to look next: camera moves from a start camera, by how much they show that the memory has not seen.

Every candidate is drawn small from a thinned cloud, so that all of them take a few seconds. No model is asked
and no walkable floor is built: what is unseen are holes of the render that no view of the memory looked into,
what is forbidden are collisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import PathError, WorldStereoError
from ..geometry.cameras import Cameras, unproject
from ..geometry.point_cloud import PointCloud
from ..geometry.poses import invert_se3
from ..geometry.render import RenderedFrames, render_points
from ..geometry.trajectory import (
    DEFAULT_FPS,
    Trajectory,
    build_trajectory,
    check_choice,
    evenly_spaced_frames,
)
from .memory import GeometricMemory
from .trajectory_check import CheckLimits, TrajectoryCheck, check_trajectory, sight_of_places

# Rows of the small renders; their discs are a pixel and a half wide, so that a thinned cloud stays closed.
ROWS = 60
RADIUS = 1.5 / ROWS
POINTS = 40_000
FRAMES_DRAWN = 5
# Unseen places are counted once per cube of this edge, median depths.
CELL = 0.05
GOLDEN_RATIO = (5**0.5 - 1) / 2

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Move:
    """A candidate: a preset, how far, and how much closer it gets meanwhile (in median depths)."""

    preset: str
    amount_deg: float = 0.0
    distance: float = 0.0
    closer: float = 0.0

    @property
    def name(self) -> str:
        if self.closer:
            return f"arc {self.preset.split()[1]} {self.amount_deg:g}°, {self.closer:g} closer"
        turns = self.preset.split()[0] in ("orbit", "pan")
        return f"{self.preset} {self.amount_deg:g}°" if turns else f"{self.preset} {self.distance:g}"


MOVES = (
    *(Move(f"orbit {side}", degrees) for degrees in (30, 60, 90) for side in ("left", "right")),
    *(Move(f"orbit {side}", 20) for side in ("up", "down")),
    *(Move("dolly in", distance=distance) for distance in (0.3, 0.6)),
    Move("dolly out", distance=0.3),
    *(Move(f"truck {side}", distance=0.4) for side in ("left", "right")),
    Move("pedestal up", distance=0.3),
    *(Move(f"pan {side}", 45) for side in ("left", "right")),
    *(Move(f"orbit {side}", degrees, closer=0.3) for degrees in (45, 75) for side in ("left", "right")),
)


KINDS = ("all", "orbits and arcs", "dolly, truck and pedestal", "pans")
_PRESETS_OF = {
    KINDS[1]: ("orbit",),
    KINDS[2]: ("dolly", "truck", "pedestal"),
    KINDS[3]: ("pan",),
}


def moves_of(kind: str) -> tuple[Move, ...]:
    """The candidates of a kind, one of ``KINDS``."""
    check_choice("moves", kind, KINDS)
    presets = _PRESETS_OF.get(kind)
    return tuple(move for move in MOVES if presets is None or move.preset.split()[0] in presets)


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A candidate and what it is worth.

    Attributes:
        trajectory: at the size and number of frames that were asked for.
        new_area: how much unseen area it shows, square median depths; see ``new_area``.
        check: against the memory; holes from the small renders.
        last_frame: [3, h, w] small render of its last frame.
    """

    trajectory: Trajectory
    new_area: float
    check: TrajectoryCheck
    last_frame: Tensor

    @property
    def is_usable(self) -> bool:
        """Neither a collision nor behind a wall, not too fast, and no frame is nearly all hole."""
        check = self.check
        return not bool((check.collides | check.behind | check.is_too_fast | check.has_big_holes).any())

    @property
    def text(self) -> str:
        holes = self.check.hole_share
        share = "" if holes is None else f", holes up to {float(holes.max()):.0%}"
        reasons = [
            word
            for word, frames in (
                ("collides", self.check.collides),
                ("goes behind walls", self.check.behind),
                ("too fast", self.check.is_too_fast),
                ("too many holes", self.check.has_big_holes),
            )
            if bool(frames.any())
        ]
        if bool(self.check.beyond.any()) and not reasons:
            share += ", leaves the seen volume"
        return f"{self.trajectory.name}: {self.new_area:.2f} new{share}" + (
            f" ({', '.join(reasons)})" if reasons else ""
        )


def suggest_trajectories(
    memory: GeometricMemory,
    start: Cameras,
    num_frames: int = 21,
    *,
    moves: tuple[Move, ...] = MOVES,
    limits: CheckLimits | None = None,
    easing: str = "smooth",
    fps: float = DEFAULT_FPS,
    progress: Progress | None = None,
) -> tuple[Suggestion, ...]:
    """Rank camera moves by the unseen area they show.

    Args:
        memory: on any device; drawing happens there.
        start: the camera of the first frame, at the size of the clip.
        num_frames: T of the trajectories.
        moves: the candidates.
        limits: what makes a candidate unusable.
        progress: called with (candidates done, candidates in all); it may raise to interrupt.

    Returns:
        All candidates, in groups by falling new area: usable ones that stay in the seen volume, usable ones
        that leave it, the rest.

    Raises: WorldStereoError for a memory without points, PathError for no candidates or no frames.
    """
    if memory.points.num_points == 0:
        raise WorldStereoError("memory: has no points, expected some. Create it from a picture with depth.")
    if not moves:
        raise PathError("moves: got none, expected at least one candidate. Allow one kind of move.")
    limits = CheckLimits() if limits is None else limits
    small = thinned(memory.points, POINTS)
    found = []
    for number, move in enumerate(moves):
        trajectory = build_move(move, start, memory.median_depth, num_frames, easing, fps)
        rendered, cameras = _small_render(small, trajectory)
        check = check_trajectory(memory, trajectory, limits=limits)
        holes = rendered.hole_mask.mean(dim=(1, 2)).cpu()
        check = replace(check, hole_share=_spread(holes, num_frames))
        area = new_area(memory, rendered, cameras, CELL * memory.median_depth) / memory.median_depth**2
        found.append(Suggestion(trajectory, area, check, rendered.image[-1].cpu()))
        if progress is not None:
            progress(number + 1, len(moves))
    return tuple(
        sorted(found, key=lambda one: (not one.is_usable, bool(one.check.beyond.any()), -one.new_area))
    )


def build_move(
    move: Move, start: Cameras, median_depth: float, num_frames: int, easing: str, fps: float
) -> Trajectory:
    """The trajectory of a candidate."""
    trajectory = build_trajectory(
        move.preset,
        start=(start.w2c[0], start.K[0]),
        height=start.height,
        width=start.width,
        amount_deg=move.amount_deg,
        distance=move.distance,
        easing=easing,
        num_frames=num_frames,
        pivot_depth=median_depth,
        fps=fps,
        name=move.name,
    )
    if not move.closer:
        return trajectory
    # Progress along the arc is that of its angle, so that both ease alike.
    c2w = invert_se3(trajectory.w2c.double())
    chord = (c2w[:, :3, 3] - c2w[0, :3, 3]).norm(dim=-1) / (2 * median_depth)
    angle = 2 * torch.asin(chord.clamp(max=1))
    closer = move.closer * median_depth * angle / angle[-1].clamp(min=1e-12)
    w2c = trajectory.w2c.clone()
    w2c[:, 2, 3] -= closer.to(w2c)
    return replace(trajectory, cameras=replace(trajectory.cameras, w2c=w2c))


def new_area(memory: GeometricMemory, rendered: RenderedFrames, cameras: Cameras, cell: float) -> float:
    """Area of the places that holes hide and no view of the memory has seen, square scene units.

    A hole is taken to be as deep as the deepest surface beside it: what appears behind a moving edge lies at
    the depth of the background. Places are counted once per cube of edge ``cell``, whatever number of
    frames uncovers them.
    """
    depth = filled_depth(rendered.depth)
    holes = (rendered.hole_mask > 0.5) & (depth > 0)
    places = unproject(depth, cameras.K.to(depth), cameras.w2c.to(depth))[holes]
    if len(places) == 0:
        return 0.0
    cells = torch.unique(torch.floor(places / cell), dim=0)
    seen, _ = sight_of_places(memory, ((cells + 0.5) * cell).cpu(), cell)
    return int((~seen).sum()) * cell**2


def filled_depth(depth: Tensor) -> Tensor:
    """[T, H, W] depth whose holes (0) took the deepest of the surfaces next to them in row and column."""
    found = depth
    for axis in (1, 2):
        for flips in (False, True):
            given = depth.flip(axis) if flips else depth
            # The last place before this one that has data; 0 has none if its depth is 0, which then stays.
            place = torch.arange(depth.shape[axis], device=depth.device)
            place = place[:, None] if axis == 1 else place
            last = torch.where(given > 0, place, 0).cummax(dim=axis).values
            carried = given.gather(axis, last)
            found = torch.maximum(found, carried.flip(axis) if flips else carried)
    return torch.where(depth > 0, depth, found)


def thinned(points: PointCloud, most: int) -> PointCloud:
    """About so many of the points, spread evenly over their order.

    Multiples of the golden ratio choose them: every n-th point would take whole columns of a picture's grid.
    """
    share = most / max(points.num_points, 1)
    if share >= 1:
        return points
    index = torch.arange(points.num_points, device=points.xyz.device, dtype=torch.float64)
    return points.select(((index * GOLDEN_RATIO) % 1 < share).nonzero()[:, 0])


def _small_render(points: PointCloud, trajectory: Trajectory) -> tuple[RenderedFrames, Cameras]:
    rows = min(ROWS, trajectory.height)
    columns = max(1, round(trajectory.width * rows / trajectory.height))
    chosen = evenly_spaced_frames(trajectory.num_frames, min(FRAMES_DRAWN, trajectory.num_frames))
    cameras = trajectory.cameras[chosen].resized(rows, columns).to(points.xyz.device)
    return render_points(points, cameras, radius=RADIUS, points_per_pixel=4), cameras


def _spread(values: Tensor, count: int) -> Tensor:
    """[M] values at evenly spaced frames as [count]: straight lines between them."""
    if len(values) == 1 or count == 1:
        return values[:1].expand(count).clone()
    position = torch.linspace(0, len(values) - 1, count)
    before = position.floor().long().clamp(max=len(values) - 2)
    return torch.lerp(values[before], values[before + 1], position - before)
