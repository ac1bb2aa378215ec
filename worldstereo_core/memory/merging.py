"""Two memories: joined into one world, or compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras
from ..geometry.point_cloud import PointCloud
from ..geometry.render import RenderedFrames, render_points
from ..geometry.similarity import Similarity, SimilarityFit, fit_similarity
from .editing import transform_memory
from .memory import GeometricMemory

ADDED_COLOUR = (0.25, 0.80, 0.35)
REMOVED_COLOUR = (0.90, 0.30, 0.25)
# An odd multiplier without structure (2^64 / golden ratio, signed), as in splitmix64.
_MIX = -7046029254386353131


@dataclass(frozen=True, eq=False)
class MergeReport:
    """How a second memory came into a first.

    Attributes:
        similarity: first world from second world.
        fit: the matches it was found from; None if it was given.
        clip_offset: added to the second memory's clip numbers.
    """

    similarity: Similarity
    fit: SimilarityFit | None
    clip_offset: int

    @property
    def text(self) -> str:
        """The report in one sentence."""
        if self.fit is None:
            how = "by the given transform"
        else:
            how = (
                f"over {int(self.fit.is_inlier.sum())} of {len(self.fit.is_inlier)} matched points, median "
                f"error {self.fit.residual:.4g} scene units"
            )
        scale = self.similarity.scale
        return f"Second memory scaled by {scale:.4g} {how}; its clips count from {self.clip_offset}."


def merge_memories(
    first: GeometricMemory,
    second: GeometricMemory,
    *,
    transform: Similarity | None = None,
    matches: tuple[Tensor, Tensor] | None = None,
    voxel_size: float = 0.0,
    keep_views: bool = True,
) -> tuple[GeometricMemory, MergeReport]:
    """Bring a second memory into the world of a first.

    Units, median depth and far limit stay the first's; what the second contracted stays where it is. The
    second's input image becomes an ordinary clip.

    Args:
        transform: first world from second world; give this or matches, or neither if the worlds are the same.
        matches: points [N, 3] of the first world and the same points [N, 3] of the second.
        voxel_size: edge of the cubes in which points of both become one, scene units; 0 keeps every point.
        keep_views: False leaves the second's views out, e.g. of a thing that was copied and moved: they show
            it where it was.

    Raises: WorldStereoError if both transform and matches are given, or the matches determine none.
    """
    if transform is not None and matches is not None:
        raise WorldStereoError("merge: got a transform and matched points, expected one of them. Remove one.")
    fit = None
    if matches is not None:
        fit = fit_similarity(source=matches[1], target=matches[0])
        transform = fit.similarity
    moved = second if transform is None else transform_memory(second, transform)
    used = [int(first.points.clip.max())] if first.points.num_points else []
    offset = 1 + max([*used, *(view.clip for view in first.views)], default=-1)
    names = {view.name for view in first.views}
    views = tuple(
        replace(view, clip=view.clip + offset, name=_new_name(view.name, names))
        for view in (moved.views if keep_views else ())
    )
    points = PointCloud.concat([first.points, replace(moved.points, clip=moved.points.clip + offset)])
    if voxel_size > 0:
        points = points.voxel_downsample(voxel_size)
    report = MergeReport(Similarity.of() if transform is None else transform, fit, offset)
    merged = replace(
        first,
        points=points,
        views=(*first.views, *views),
        history=(*first.history, *(f"second memory: {line}" for line in second.history), report.text),
    )
    return merged, report


def _new_name(name: str, taken: set[str]) -> str:
    """The name, or with the first free ending; marks it as taken."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


@dataclass(frozen=True, eq=False)
class MemoryDiff:
    """What changed from one memory to another.

    Attributes:
        before, after: their points.
        is_removed: [N before] bool, points without a counterpart after.
        is_added: [N after] bool, points without a counterpart before.
        views_removed, views_added: names.
    """

    before: PointCloud
    after: PointCloud
    is_removed: Tensor
    is_added: Tensor
    views_removed: tuple[str, ...]
    views_added: tuple[str, ...]

    @property
    def num_added(self) -> int:
        return int(self.is_added.sum())

    @property
    def num_removed(self) -> int:
        return int(self.is_removed.sum())

    @property
    def text(self) -> str:
        """The counts in one sentence."""
        return (
            f"{self.num_added:,} points added, {self.num_removed:,} removed, "
            f"{len(self.is_added) - self.num_added:,} kept; {len(self.views_added)} views added, "
            f"{len(self.views_removed)} removed."
        )

    @property
    def short_text(self) -> str:
        """The counts of points, for a picture."""
        return f"+{self.num_added:,}  -{self.num_removed:,}  ={len(self.is_added) - self.num_added:,} points"

    def coloured(self) -> PointCloud:
        """Both memories in one cloud to look at: added green, removed red, kept in greys of their own."""
        grey = 0.25 + 0.5 * self.after.rgb.mean(dim=1, keepdim=True)
        added = grey.new_tensor(ADDED_COLOUR)
        after = replace(self.after, rgb=torch.where(self.is_added[:, None], added, grey.expand(-1, 3)))
        gone = self.before.select(self.is_removed)
        gone = replace(gone, rgb=gone.rgb.new_tensor(REMOVED_COLOUR).expand(gone.num_points, 3))
        return PointCloud.concat([replace(after, normal=None), replace(gone, normal=None)])

    def render(
        self, cameras: Cameras, *, progress: Callable[[int, int], None] | None = None
    ) -> RenderedFrames:
        """Draw ``coloured`` into cameras, on their device; progress as in ``render_points``."""
        return render_points(self.coloured().to(cameras.w2c.device), cameras, progress=progress)


def diff_memories(before: GeometricMemory, after: GeometricMemory, *, cube: float = 0.0) -> MemoryDiff:
    """Compare two memories of one world.

    Args:
        cube: points in the same cube of this edge (scene units) count as the same; 0 compares exact
            positions.
    """
    if not cube >= 0:
        raise WorldStereoError(
            f"cube: got {cube}, expected a length in scene units, or 0 for exact positions."
        )
    old, new = (_places(memory.points.xyz.to(before.points.xyz.device), cube) for memory in (before, after))
    is_removed, is_added = _unmatched(old, new)
    old_names, new_names = ([view.name for view in memory.views] for memory in (before, after))
    return MemoryDiff(
        before=before.points,
        after=after.points.to(before.points.xyz.device),
        is_removed=is_removed,
        is_added=is_added,
        views_removed=tuple(name for name in old_names if name not in set(new_names)),
        views_added=tuple(name for name in new_names if name not in set(old_names)),
    )


def _places(xyz: Tensor, cube: float) -> Tensor:
    """[N] int64 that are equal where points count as the same."""
    if cube == 0:
        rows = (xyz.float() + 0.0).view(torch.int32).long()  # + 0.0 turns -0.0 into 0.0
    else:
        rows = torch.floor(xyz.double() / cube).long()
    # Three numbers mixed into one: of 20 million points two meet by chance once in 100,000 times.
    mixed = torch.zeros_like(rows[:, 0])
    for column in rows.unbind(-1):
        mixed = (mixed ^ column) * _MIX
        mixed = mixed ^ (mixed >> 29)
    return mixed


def _unmatched(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the old numbers [N] are not among the new ones [M], and which new ones not among the old."""
    ranked, order = torch.cat([old, new]).sort()
    group = torch.zeros_like(ranked)
    group[1:] = (ranked[1:] != ranked[:-1]).cumsum(0)
    is_new = order >= len(old)
    lacks_new, lacks_old = (torch.ones(len(ranked), dtype=torch.bool, device=old.device) for _ in range(2))
    lacks_new[group[is_new]] = False
    lacks_old[group[~is_new]] = False
    removed = torch.zeros_like(old, dtype=torch.bool)
    added = torch.zeros_like(new, dtype=torch.bool)
    removed[order[~is_new]] = lacks_new[group[~is_new]]
    added[order[is_new] - len(old)] = lacks_old[group[is_new]]
    return removed, added
