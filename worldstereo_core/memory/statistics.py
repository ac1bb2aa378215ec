"""A memory in more numbers than its summary: what it covers, how sure it is, what it weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.render import render_points
from .memory import GeometricMemory

# Shares and percentiles of larger clouds are measured on every n-th point.
_MAX_MEASURED = 500_000
# More views than this are not listed one by one.
_MAX_LISTED = 40


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
        views: what each view is, in the same order.
        history: see ``GeometricMemory``.
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
    views: tuple[str, ...]
    history: tuple[str, ...]

    @property
    def text(self) -> str:
        """The numbers as lines to read."""
        views = "1 view" if self.num_views == 1 else f"{self.num_views} views"
        lines = [f"{self.num_points:,} points, {views}, {self.num_bytes / 2**20:,.1f} MiB"]
        if self.low is not None and self.high is not None:
            sizes = [b - a for a, b in zip(self.low, self.high, strict=True)]
            size = " x ".join(f"{side:.4g}" for side in sizes)
            depths = " x ".join(f"{side / self.median_depth:.3g}" for side in sizes)
            lines.append(
                f"extent {size} scene units, {depths} median depths (right, down, forward; the middle 98 % "
                "of the points)"
            )
        lines.append(
            f"median depth of the input image {self.median_depth:.4g} scene units; these are metres if the "
            "depth estimator was metric"
        )
        lines.append("points have normals" if self.has_normals else "points have no normals")
        for entry in self.clips:
            name = "input image" if entry.clip == 0 else f"clip {entry.clip}"
            sure = "" if entry.mean_confidence is None else f", mean confidence {entry.mean_confidence:.2f}"
            shown = "1 view" if entry.num_views == 1 else f"{entry.num_views} views"
            lines.append(f"{name}: {entry.num_points:,} points, {shown}{sure}")
        if self.coverage:
            mean = sum(self.coverage) / len(self.coverage)
            lines.append(f"points cover {mean:.0%} of the views, least {min(self.coverage):.0%}")
        for number, view in enumerate(self.views[:_MAX_LISTED]):
            covered = f", {self.coverage[number]:.0%} covered" if self.coverage else ""
            lines.append(f"view {number}: {view}{covered}")
        if len(self.views) > _MAX_LISTED:
            lines.append(f"and {len(self.views) - _MAX_LISTED} views more")
        return "\n".join([*lines, *self.history])


def memory_statistics(
    memory: GeometricMemory,
    *,
    longest_side: int = 96,
    radius: float = 0.02,
    progress: Callable[[int, int], None] | None = None,
) -> MemoryStatistics:
    """Measure a memory.

    Args:
        longest_side: views are redrawn at this size to measure their coverage, pixels; 0 leaves coverage out.
        radius: of a drawn point, as in ``geometry.render.render_points``.
        progress: called with (views drawn, views in all); it may raise to interrupt.
    """
    if longest_side < 0:
        raise WorldStereoError(f"longest_side: got {longest_side}, expected pixels, or 0 for no coverage.")
    points = memory.points
    some = points.select(slice(None, None, 1 + points.num_points // _MAX_MEASURED))
    low = high = None
    if points.num_points:
        ranked, last = some.xyz.sort(dim=0).values, some.num_points - 1
        low, high = (tuple(ranked[round(share * last)].tolist()) for share in (0.01, 0.99))
    coverage = []
    for done, view in enumerate(memory.views if longest_side else ()):
        factor = min(1.0, longest_side / max(view.height, view.width))
        small = view.camera.resized(max(1, round(view.height * factor)), max(1, round(view.width * factor)))
        drawn = render_points(some, small.to(points.xyz.device), radius=radius, points_per_pixel=1)
        coverage.append(1 - float(drawn.hole_mask.mean()))
        if progress is not None:
            progress(done + 1, len(memory.views))
    return MemoryStatistics(
        num_points=points.num_points,
        num_views=len(memory.views),
        num_bytes=_num_bytes(memory),
        low=low,
        high=high,
        median_depth=memory.median_depth,
        has_normals=points.normal is not None,
        clips=_clips(memory),
        coverage=tuple(coverage),
        views=tuple(
            f"{view.name}, clip {view.clip}, {view.width} x {view.height} pixels"
            + ("" if view.depth is not None else ", without depth")
            for view in memory.views
        ),
        history=memory.history,
    )


def _clips(memory: GeometricMemory) -> tuple[ClipStatistics, ...]:
    points = memory.points
    ids, owner = points.clip.unique(return_inverse=True)
    counts = torch.bincount(owner, minlength=len(ids)).tolist()
    sums = torch.bincount(owner, weights=points.confidence.double(), minlength=len(ids)).tolist()
    of_points = {
        clip: (count, total / count) for clip, count, total in zip(ids.tolist(), counts, sums, strict=True)
    }
    of_views = Counter(view.clip for view in memory.views)
    return tuple(
        ClipStatistics(
            clip=clip,
            num_points=of_points[clip][0] if clip in of_points else 0,
            num_views=of_views[clip],
            mean_confidence=of_points[clip][1] if clip in of_points else None,
        )
        for clip in sorted({*of_points, *of_views})
    )


def _num_bytes(memory: GeometricMemory) -> int:
    points = memory.points
    tensors: list[Tensor | None] = [points.xyz, points.rgb, points.confidence, points.clip, points.normal]
    if points.evidence is not None:
        tensors += [points.evidence.weight, points.evidence.seen, points.evidence.missed]
    for view in memory.views:
        tensors += [view.image, view.w2c, view.K, view.depth, view.latent]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
