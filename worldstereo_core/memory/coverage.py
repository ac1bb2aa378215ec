"""How well a memory knows its world: how many views saw each point, from above and along a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras, check_cameras, project_to_pixels
from ..geometry.depth import has_depth
from ..geometry.rasterize import rasterize_points
from ..geometry.render import render_points
from .memory import GeometricMemory
from .view import View

# Colours of points by how many views saw them; the last one stands for all higher counts.
COUNT_COLOURS = (
    (0.45, 0.08, 0.10),
    (0.85, 0.35, 0.10),
    (0.95, 0.70, 0.15),
    (0.70, 0.85, 0.25),
    (0.25, 0.70, 0.40),
    (0.15, 0.55, 0.75),
)
HOLE_COLOUR = (0.06, 0.06, 0.08)
# Views without depth of their own are compared with the points drawn at this size.
_DRAWN_SIDE = 256


@dataclass(frozen=True, eq=False)
class Coverage:
    """How many views of the bank saw each point of a memory.

    Attributes:
        counts: [N] int32.
        num_views: in the bank.
    """

    counts: Tensor
    num_views: int

    @property
    def colours(self) -> Tensor:
        """[N, 3] from dark red (no view) over yellow (few) to blue (many)."""
        return counts_to_colours(self.counts)

    @property
    def text(self) -> str:
        """The counts in one sentence."""
        total = max(1, len(self.counts))
        shares = [float((self.counts == number).sum()) / total for number in (0, 1)]
        return (
            f"{len(self.counts):,} points and {self.num_views} views: {shares[0]:.0%} of the points seen by "
            f"no view, {shares[1]:.0%} by one, {1 - sum(shares):.0%} by two or more."
        )


@dataclass(frozen=True, eq=False)
class PathCoverage:
    """What cameras see of a memory, by how often it was seen before.

    Attributes:
        picture: [T, 3, H, W] in 0..1, pixels in the colour of their count, holes nearly black.
        holes: [T] share of pixels without points: the model invents them.
        once: [T] share of pixels whose surface one view saw, or none.
        often: [T] share of pixels whose surface two views saw, or more.
    """

    picture: Tensor
    holes: Tensor
    once: Tensor
    often: Tensor

    @property
    def text(self) -> str:
        """The shares in two sentences."""
        worst = int(self.holes.argmax())
        means = [float(share.mean()) for share in (self.holes, self.once, self.often)]
        return (
            f"Along {len(self.holes)} frames {means[0]:.0%} of the pixels are holes, {means[1]:.0%} show "
            f"what at most one view saw, {means[2]:.0%} what two or more saw. Frame {worst} has most holes: "
            f"{float(self.holes[worst]):.0%}."
        )


def measure_coverage(
    memory: GeometricMemory,
    *,
    depth_tolerance: float = 0.05,
    radius: float = 0.008,
    progress: Callable[[int, int], None] | None = None,
) -> Coverage:
    """Count for every point the views that saw it.

    A view saw a point if the point falls into its picture and is at most ``depth_tolerance`` of its depth
    behind, or before, what the view's depth shows there.

    Args:
        radius: of a point, where a view has no depth and the points are drawn instead, as in
            ``geometry.render.render_points``.
        progress: called with (views done, views in all); it may raise to interrupt.
    """
    if not depth_tolerance >= 0:
        raise WorldStereoError(f"depth_tolerance: got {depth_tolerance}, expected a share of 0 or more.")
    points = memory.points
    counts = torch.zeros(points.num_points, dtype=torch.int32, device=points.xyz.device)
    for done, view in enumerate(memory.views):
        counts += _saw(view, memory, depth_tolerance, radius)
        if progress is not None:
            progress(done + 1, len(memory.views))
    return Coverage(counts, len(memory.views))


def coverage_along(
    memory: GeometricMemory,
    coverage: Coverage,
    cameras: Cameras,
    *,
    radius: float = 0.008,
    progress: Callable[[int, int], None] | None = None,
) -> PathCoverage:
    """Draw the counts as cameras see them.

    Args:
        coverage: of this memory.
        cameras: T cameras at the size to draw.
        radius, progress: as in ``geometry.render.render_points``.
    """
    check_cameras("trajectory", cameras)
    if len(coverage.counts) != memory.points.num_points:
        raise WorldStereoError(
            f"coverage: got counts of {len(coverage.counts):,} points, expected the memory's "
            f"{memory.points.num_points:,}. Measure the coverage of this very memory."
        )
    xyz, device = memory.points.xyz, memory.points.xyz.device
    table = torch.cat([coverage.colours.to(device), torch.tensor([HOLE_COLOUR], device=device)])
    counts = torch.cat([coverage.counts.to(device), coverage.counts.new_tensor([-1]).to(device)])
    pictures, shares = [], []
    for frame in range(cameras.num_frames):
        camera = cameras[frame].to(device)
        fragments = rasterize_points(xyz, camera.K[0], camera.w2c[0], camera.height, camera.width, radius, 1)
        nearest = fragments.index[..., 0]  # -1, the last row of the tables, in holes
        seen = counts[nearest]
        pictures.append(table[nearest].movedim(-1, 0))
        shares.append(torch.stack([(seen < 0), (seen == 0) | (seen == 1), (seen >= 2)]).float().mean((1, 2)))
        if progress is not None:
            progress(frame + 1, cameras.num_frames)
    holes, once, often = torch.stack(shares, dim=1)
    return PathCoverage(torch.stack(pictures), holes, once, often)


def counts_to_colours(counts: Tensor) -> Tensor:
    """Colours [N, 3] of counts [N]; fractions lie between the colours of whole numbers."""
    table = torch.tensor(COUNT_COLOURS, dtype=torch.float32, device=counts.device)
    last = len(COUNT_COLOURS) - 1
    counts = counts.float().clamp(0, last)
    lower = counts.floor().long().clamp(max=last - 1)
    share = (counts - lower)[:, None]
    return (1 - share) * table[lower] + share * table[lower + 1]


def column_means(xyz: Tensor, counts: Tensor, cells: int = 128) -> Tensor:
    """Average counts over what stands on the same spot of the ground.

    Args:
        xyz, counts: [N, 3] world points and [N].
        cells: along the longer side of the middle 98 % of the points in world x and z.

    Returns:
        [N] float, for each point the mean count of the points above and below it.
    """
    if len(xyz) == 0:
        return counts.float()
    plan = xyz[:, (0, 2)].double()
    ranked, last = plan.sort(dim=0).values, len(xyz) - 1
    extent = float((ranked[round(0.99 * last)] - ranked[round(0.01 * last)]).max())
    cell = torch.floor(plan / max(extent / cells, 1e-12)).long()
    _, owner = torch.unique(cell[:, 0] * (1 << 32) + cell[:, 1], return_inverse=True)
    total = torch.zeros(int(owner.max()) + 1, dtype=torch.float64, device=xyz.device)
    number = torch.zeros_like(total).index_add_(0, owner, torch.ones_like(plan[:, 0]))
    return (total.index_add_(0, owner, counts.double()) / number)[owner].float()


def _saw(view: View, memory: GeometricMemory, tolerance: float, radius: float) -> Tensor:
    """[N] bool points that a view saw."""
    xyz = memory.points.xyz
    camera = view.camera.to(xyz.device)
    if view.depth is None:
        factor = min(1.0, _DRAWN_SIDE / max(view.height, view.width))
        camera = camera.resized(max(1, round(view.height * factor)), max(1, round(view.width * factor)))
        shown = render_points(memory.points, camera, radius=radius, points_per_pixel=1).depth[0]
    else:
        shown = view.depth.to(xyz.device)
    row, column, z, inside = project_to_pixels(xyz, camera)
    there = shown[row, column]
    return inside & has_depth(there) & ((z - there).abs() <= tolerance * there)
