"""A memory in more numbers than its summary: what it covers, how sure it is, what it weighs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.render import render_points
from .memory import GeometricMemory


@dataclass(frozen=True)
class ClipStatistics:
    """One clip; clip 0 is the input image.

    Attributes:
        mean_confidence: of its points; None without points.
    """

    clip: int
    num_points: int
    num_views: int
    mean_confidence: float | None


@dataclass(frozen=True)
class MemoryStatistics:
    """Numbers of a memory.

    Attributes:
        num_bytes: of points and views in memory.
        low, high: the box of the middle 98 % of the points along each world axis, scene units; None without
            points.
        median_depth: the scene's unit, see ``GeometricMemory``.
        has_normals: whether points carry normals.
        clips: per clip, ascending.
        coverage: share of each view's pixels on which points are drawn, in order of the views.
    """

    num_points: int
    num_views: int
    num_bytes: int
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    median_depth: float
    has_normals: bool
    clips: tuple[ClipStatistics, ...]
    coverage: tuple[float, ...]

    @property
    def text(self) -> str:
        """The numbers as lines to read."""
        lines = [f"{self.num_points:,} points, {self.num_views} views, {self.num_bytes / 2**20:,.1f} MiB"]
        if self.low is not None and self.high is not None:
            size = " x ".join(f"{b - a:.4g}" for a, b in zip(self.low, self.high, strict=True))
            lines.append(f"middle 98 % of the points: {size} scene units (right, down, forward)")
        lines.append(f"median depth {self.median_depth:.4g} scene units; normals: {self.has_normals}")
        for entry in self.clips:
            sure = "" if entry.mean_confidence is None else f", mean confidence {entry.mean_confidence:.2f}"
            lines.append(f"clip {entry.clip}: {entry.num_points:,} points, {entry.num_views} views{sure}")
        if self.coverage:
            mean = sum(self.coverage) / len(self.coverage)
            lines.append(f"points cover {mean:.0%} of the views, least {min(self.coverage):.0%}")
        return "\n".join(lines)


def memory_statistics(
    memory: GeometricMemory, *, longest_side: int = 96, radius: float = 0.02
) -> MemoryStatistics:
    """Measure a memory.

    Args:
        longest_side: views are redrawn at this size to measure their coverage, pixels; 0 leaves coverage out.
        radius: of a drawn point, as in ``geometry.render.render_points``.
    """
    if longest_side < 0:
        raise WorldStereoError(f"longest_side: got {longest_side}, expected pixels, or 0 for no coverage.")
    points = memory.points
    tensors: list[Tensor | None] = [points.xyz, points.rgb, points.confidence, points.clip, points.normal]
    for view in memory.views:
        tensors += [view.image, view.w2c, view.K, view.depth]
    clips = []
    for clip in sorted({*points.clip.unique().tolist(), *(view.clip for view in memory.views)}):
        own = points.clip == clip
        count = int(own.sum())
        clips.append(
            ClipStatistics(
                clip=clip,
                num_points=count,
                num_views=sum(view.clip == clip for view in memory.views),
                mean_confidence=float(points.confidence[own].mean()) if count else None,
            )
        )
    low = high = None
    if points.num_points:
        last = points.num_points - 1
        ranked = points.xyz.sort(dim=0).values
        low, high = (tuple(ranked[round(share * last)].tolist()) for share in (0.01, 0.99))
    coverage = []
    for view in memory.views if longest_side else ():
        camera = Cameras(view.w2c[None], view.K[None], view.height, view.width)
        factor = min(1.0, longest_side / max(view.height, view.width))
        small = camera.resized(max(1, round(view.height * factor)), max(1, round(view.width * factor)))
        holes = render_points(
            points, small.to(points.xyz.device), radius=radius, points_per_pixel=1
        ).hole_mask
        coverage.append(1 - float(holes.mean()))
    return MemoryStatistics(
        num_points=points.num_points,
        num_views=len(memory.views),
        num_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None),
        low=low,
        high=high,
        median_depth=memory.median_depth,
        has_normals=points.normal is not None,
        clips=tuple(clips),
        coverage=tuple(coverage),
    )
