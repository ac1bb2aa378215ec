"""Is this camera path worth minutes of sampling? Collisions, holes, speed, places nobody has seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import PathError, ShapeError
from ..geometry.cameras import project_to_pixels
from ..geometry.path_spline import turn_angles
from ..geometry.poses import invert_se3
from ..geometry.render import RenderedFrames
from ..geometry.trajectory import Trajectory
from .memory import GeometricMemory

# The fastest of the camera paths that the released model comes with (half turns in 20 steps around a room of
# median depth 0.83, at a radius of 0.85): 9 degrees and 0.162 median depths from key frame to key frame.
MAX_TURN_DEG = 9.0
MAX_TRAVEL = 0.17
# The same paths leave up to 0.72 of a picture to the model, and its reference pairs were trained with views
# that overlap by 30 to 90 percent.
MAX_HOLES = 0.75
# Steps of a released clip. A longer trajectory has its frames closer together: 81 poses, not 21 key frames.
CLIP_STEPS = 20
DEFAULT_CLEARANCE = 0.05
# Fewer points than this near the way are floaters, not a wall.
MIN_HIT_POINTS = 3
# Clearance is measured up to this many median depths; what is further away does not matter.
REACH = 0.5
# A camera counts as behind what a view saw if it is deeper by this share and the clearance.
BEHIND_SHARE = 0.02
POINTS_AT_ONCE = 200_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CheckLimits:
    """What is still fine.

    Attributes:
        holes: share of a frame that may be hole, 0..1.
        clearance: distance to the nearest points, median depths.
        turn_deg, travel: degrees and median depths from one key frame of a 21 frame clip to the next.
    """

    holes: float = MAX_HOLES
    clearance: float = DEFAULT_CLEARANCE
    turn_deg: float = MAX_TURN_DEG
    travel: float = MAX_TRAVEL

    def __post_init__(self) -> None:
        for label, value, high in (
            ("max holes", self.holes, 1.0),
            ("clearance", self.clearance, math.inf),
            ("max turn", self.turn_deg, math.inf),
            ("max travel", self.travel, math.inf),
        ):
            if not (math.isfinite(value) and 0 <= value <= high):
                raise PathError(f"{label}: got {value}, expected a number from 0 to {high:g}. Correct it.")

    def per_step(self, num_frames: int) -> tuple[float, float]:
        """Degrees and median depths allowed between frames of a trajectory of so many."""
        share = min(1.0, CLIP_STEPS / max(num_frames - 1, 1))
        return self.turn_deg * share, self.travel * share


@dataclass(frozen=True, eq=False)
class TrajectoryCheck:
    """A trajectory of T frames against a memory.

    Attributes:
        hole_share: [T] share of each frame that no point covers, or None if it was not rendered.
        clearance: [T] distance from the way between the frame before and this one to the nearest points
            (``MIN_HIT_POINTS`` of them), median depths; inf = more than ``REACH``.
        turn_deg, travel: [T] degrees and median depths since the frame before; 0 for the first.
        behind: [T] bool, the camera stands behind a surface that a view saw, and no view saw its place free.
        beyond: [T] bool, the camera stands outside the box around all points and views.
        limits: what was allowed.
        median_depth: scene units.
    """

    hole_share: Tensor | None
    clearance: Tensor
    turn_deg: Tensor
    travel: Tensor
    behind: Tensor
    beyond: Tensor
    limits: CheckLimits
    median_depth: float

    @property
    def num_frames(self) -> int:
        return len(self.clearance)

    @property
    def collides(self) -> Tensor:
        return self.clearance < self.limits.clearance

    @property
    def has_big_holes(self) -> Tensor:
        """[T] bool."""
        if self.hole_share is None:
            return torch.zeros_like(self.behind)
        return self.hole_share > self.limits.holes

    @property
    def is_too_fast(self) -> Tensor:
        """[T] bool: the step that leads to the frame."""
        turn, travel = self.limits.per_step(self.num_frames)
        slack = 1 + 1e-4
        return (self.turn_deg > turn * slack) | (self.travel > travel * slack)

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence per trouble, with what to do."""
        return tuple(
            filter(None, (self._collision(), self._behind(), self._beyond(), self._speed(), self._holes()))
        )

    @property
    def text(self) -> str:
        """The figures, then the warnings."""
        turn, travel = self.limits.per_step(self.num_frames)
        nearest = float(self.clearance.min())
        parts = [f"{self.num_frames} frames"]
        if self.hole_share is not None:
            low, high = float(self.hole_share.min()), float(self.hole_share.max())
            parts.append(f"holes {low:.0%} to {high:.0%}, mean {float(self.hole_share.mean()):.0%}")
        parts.append(
            f"nearest points {nearest:.3g} median depths ({nearest * self.median_depth:.3g} scene units)"
            if math.isfinite(nearest)
            else f"no points within {REACH:g} median depths ({REACH * self.median_depth:.3g} scene units)"
        )
        parts.append(
            f"fastest step {float(self.turn_deg.max()):.3g}° and {float(self.travel.max()):.3g} median "
            f"depths (up to {turn:.3g}° and {travel:.3g})"
        )
        head = "; ".join(parts) + "."
        return "\n".join([head, *(f"Warning: {line}" for line in self.warnings)])

    def _collision(self) -> str | None:
        if not bool(self.collides.any()):
            return None
        nearest = float(self.clearance.min())
        return (
            f"Collision: {frames_text(self.collides)}: the camera comes within {nearest:.2g} median depths "
            f"({nearest * self.median_depth:.2g} scene units) of the points; expected at least "
            f"{self.limits.clearance:g}. Move the path away from them or make the move smaller."
        )

    def _behind(self) -> str | None:
        if not bool(self.behind.any()):
            return None
        return (
            f"Unseen: {frames_text(self.behind)}: the camera goes behind surfaces that the memory has seen. "
            "It would look out of a wall; shorten the move."
        )

    def _beyond(self) -> str | None:
        if not bool(self.beyond.any()):
            return None
        return (
            f"Unseen: {frames_text(self.beyond)}: the camera leaves the volume that the memory has seen. "
            "Nothing says what is there; shorten the move, or look at the render."
        )

    def _speed(self) -> str | None:
        if not bool(self.is_too_fast.any()):
            return None
        turn, travel = self.limits.per_step(self.num_frames)
        return (
            f"Too fast: {frames_text(self.is_too_fast)}: up to {float(self.turn_deg.max()):.3g}° and "
            f"{float(self.travel.max()):.2g} median depths from frame to frame; the paths released with the "
            f"model stay below {turn:.3g}° and {travel:.2g}. Make the move smaller, or split it into two "
            "clips."
        )

    def _holes(self) -> str | None:
        if self.hole_share is None or not bool(self.has_big_holes.any()):
            return None
        return (
            f"Holes: {frames_text(self.has_big_holes)}: up to {float(self.hole_share.max()):.0%} of the "
            f"picture is hole; expected at most {self.limits.holes:.0%}. Turn or travel less, or make a clip "
            "first that sees this side."
        )


def check_trajectory(
    memory: GeometricMemory,
    trajectory: Trajectory,
    rendered: RenderedFrames | None = None,
    limits: CheckLimits | None = None,
    progress: Progress | None = None,
) -> TrajectoryCheck:
    """Measure a trajectory against a memory before it costs anything.

    Args:
        memory: on any device; points are measured there.
        trajectory: T cameras.
        rendered: the memory along this trajectory, for the holes; left out, holes are not judged.
        limits: the released model's by default.
        progress: called with (steps done, steps in all); it may raise to interrupt.

    Raises: ShapeError if the render has another number of frames.
    """
    limits = CheckLimits() if limits is None else limits
    if rendered is not None and rendered.num_frames != trajectory.num_frames:
        raise ShapeError(
            f"render: has {rendered.num_frames} frames, expected {trajectory.num_frames} as the trajectory. "
            "Render the memory along this trajectory."
        )
    c2w = invert_se3(trajectory.w2c.detach().cpu().double())
    centers, zero = c2w[:, :3, 3], c2w.new_zeros(1)
    scale = memory.median_depth
    behind, beyond = unseen_places(memory, centers.float(), limits.clearance * scale)
    return TrajectoryCheck(
        hole_share=None if rendered is None else rendered.hole_mask.float().mean(dim=(1, 2)).cpu(),
        clearance=path_clearance(memory.points.xyz, centers, REACH * scale, progress) / scale,
        turn_deg=torch.cat([zero, torch.rad2deg(turn_angles(c2w))]),
        travel=torch.cat([zero, centers.diff(dim=0).norm(dim=-1) / scale]),
        behind=behind,
        beyond=beyond,
        limits=limits,
        median_depth=scale,
    )


def path_clearance(xyz: Tensor, centers: Tensor, reach: float, progress: Progress | None = None) -> Tensor:
    """Distance from each part of a way to the points.

    Args:
        xyz: [N, 3] points, world coordinates, scene units.
        centers: [T, 3] camera centres; part t leads from centre t - 1 to centre t, part 0 is centre 0.
        reach: how far to look, scene units.

    Returns:
        [T] float64 on the CPU: distance of the ``MIN_HIT_POINTS``-th nearest point, inf beyond the reach.
    """
    ends = centers.to(xyz.device, torch.float32)
    starts = torch.cat([ends[:1], ends[:-1]])
    low, high = ends.amin(dim=0) - reach, ends.amax(dim=0) + reach
    along = ends - starts
    squared = (along**2).sum(-1).clamp(min=1e-20)
    nearest = torch.full((len(ends), MIN_HIT_POINTS), math.inf, device=xyz.device)
    blocks = range(0, len(xyz), POINTS_AT_ONCE)
    for done, first in enumerate(blocks):
        block = xyz[first : first + POINTS_AT_ONCE]
        block = block[((block >= low) & (block <= high)).all(dim=1)]
        # Point times part would be large: parts are taken one after another.
        for part in range(len(ends) if len(block) else 0):
            offset = block - starts[part]
            share = ((offset @ along[part]) / squared[part]).clamp(0, 1)
            distance = (offset - share[:, None] * along[part]).norm(dim=-1)
            both = torch.cat([nearest[part], distance])
            nearest[part] = both.topk(MIN_HIT_POINTS, largest=False).values
        if progress is not None:
            progress(done + 1, len(blocks))
    found = nearest[:, -1].double().cpu()
    return torch.where(found <= reach, found, math.inf)


def unseen_places(memory: GeometricMemory, places: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Which places no view has seen.

    Args:
        places: [T, 3] world coordinates.
        margin: scene units that count as nothing.

    Returns:
        [T] bool: behind a surface that a view saw, and not in front of what another saw there; and [T] bool:
        outside the box around all points and views.
    """
    eyes = torch.stack([invert_se3(view.w2c)[:3, 3].cpu() for view in memory.views])
    low, high = eyes.amin(dim=0), eyes.amax(dim=0)
    if memory.points.num_points:
        ends = torch.aminmax(memory.points.xyz, dim=0)
        low, high = torch.minimum(low, ends.min.cpu()), torch.maximum(high, ends.max.cpu())
    beyond = ((places < low - margin) | (places > high + margin)).any(dim=1)
    free, behind = sight_of_places(memory, places, margin)
    return behind & ~free, beyond


def sight_of_places(memory: GeometricMemory, places: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """What the views' depth says about places.

    Args:
        places: [M, 3] world coordinates, on the CPU.
        margin: scene units that count as nothing.

    Returns:
        [M] bool: some view looks there and sees nothing in front of it; and [M] bool: some view looks there
        and sees a surface in front. Both can hold, and neither.
    """
    free, behind = torch.zeros(len(places), dtype=torch.bool), torch.zeros(len(places), dtype=torch.bool)
    for view in memory.views:
        if view.depth is None:
            continue
        row, column, z, inside = project_to_pixels(places, view.camera.to("cpu"))
        depth = view.depth.cpu()[row, column]
        known = inside & (depth > 0)
        is_behind = z > depth * (1 + BEHIND_SHARE) + margin
        behind |= known & is_behind
        free |= known & ~is_behind
    return free, behind


def frames_text(chosen: Tensor, most: int = 4) -> str:
    """Frames of a [T] bool tensor as people write them: "frames 3 to 7, 9"."""
    runs: list[list[int]] = []
    for frame in chosen.nonzero()[:, 0].tolist():
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    words = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs[:most]]
    if len(runs) > most:
        words.append("and others")
    return f"{'frame' if len(runs) == 1 and runs[0][0] == runs[0][1] else 'frames'} {', '.join(words)}"
