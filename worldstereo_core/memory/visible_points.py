"""What cameras really see of a memory: a sample of its points, and which of them each view sees.

The sample is one point per cube of a grid, so that each point stands for a surface about a cube wide. What
hides it is found with a z-buffer of several levels: a point goes to the level whose cells are as large as its
cube appears, so that near surfaces have no gaps however few points they have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..geometry.cameras import Cameras, project, project_to_pixels
from ..geometry.depth import has_depth
from ..geometry.point_cloud import PointCloud
from .view import View

if TYPE_CHECKING:
    from .memory import GeometricMemory

Progress = Callable[[int, int], None]
MAX_SAMPLES = 6000
# The cloud is thinned to this many points before cubes are tried: enough to fill every cube.
MAX_TRIED = 400_000
# Cells across the finest level, and levels; each has cells twice as large.
CELLS, LEVELS = 64, 7
# A point is hidden if something is nearer by this share of its depth and this many cubes.
DEPTH_SHARE, CUBES = 0.03, 3.0
# Cameras whose z-buffers are filled at once: bounds memory.
CAMERAS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class PointSample:
    """S points that stand for the surfaces of a memory.

    Attributes:
        xyz: [S, 3] world coordinates.
        size: edge of the cube that each point stands for, scene units.
    """

    xyz: Tensor
    size: float


@dataclass(frozen=True, eq=False)
class BankSight:
    """Which views of a bank see which points of the sample.

    Attributes:
        sample: the points.
        bits: [S, ceil(V / 8)] uint8; bit v % 8 of byte v // 8 says whether view v sees the point.
        forward: [V, 3] unit viewing direction of each view, world coordinates.
        detail: [V] see ``detail_of``.
    """

    sample: PointSample
    bits: Tensor
    forward: Tensor
    detail: Tensor

    @property
    def num_views(self) -> int:
        return self.forward.shape[0]

    def only(self, points: Tensor) -> BankSight:
        """The same for some of the points."""
        return replace(self, sample=replace(self.sample, xyz=self.sample.xyz[points]), bits=self.bits[points])

    def of_views(self, views: Tensor) -> Tensor:
        """[S, views] float, 1 = sees."""
        return ((self.bits[:, views // 8] >> (views % 8).to(torch.uint8)) & 1).float()

    def count(self, weights: Tensor, chunk: int = 256) -> Tensor:
        """[T, V] the weights [T, S] summed over the points that each view sees."""
        table = ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).float()  # byte -> 8 numbers
        total = weights.new_zeros(weights.shape[0], self.bits.shape[1] * 8)
        for start in range(0, len(self.bits), chunk):
            codes = self.bits[start : start + chunk]
            seen = table.index_select(0, codes.flatten().int()).view(len(codes), -1)
            total.addmm_(weights[:, start : start + chunk], seen)
        return total[:, : self.num_views]


_SIGHTS: WeakKeyDictionary[GeometricMemory, BankSight] = WeakKeyDictionary()


def bank_sight(memory: GeometricMemory, progress: Progress | None = None) -> BankSight:
    """What each view of the bank sees; computed once per memory object and kept as long as that lives.

    Args:
        progress: called with (views done, views in all); it may raise to interrupt.
    """
    # Memories never change, so one answer per object holds; an update makes another object.
    found = _SIGHTS.get(memory)
    if found is None:
        found = _SIGHTS[memory] = _look(memory, progress)
    return found


def _look(memory: GeometricMemory, progress: Progress | None) -> BankSight:
    sample = sample_points(memory.points)
    views = memory.views
    bits = torch.zeros(len(sample.xyz), -(-len(views) // 8), dtype=torch.uint8)
    weights = 2 ** torch.arange(8)
    details = []
    for start in range(0, len(views), CAMERAS_AT_ONCE):  # a multiple of 8
        part = views[start : start + CAMERAS_AT_ONCE]
        seen = _seen_by_views(sample, part)
        w2c = torch.stack([view.w2c.cpu().float() for view in part])
        focal = torch.tensor([float(view.K[0, 0]) / view.width for view in part])
        details.append(detail_of(sample, seen, w2c, focal))
        seen = torch.nn.functional.pad(seen, (0, 0, 0, -len(part) % 8))
        packed = (seen.unflatten(0, (-1, 8)) * weights[:, None]).sum(dim=1)
        bits[:, start // 8 : start // 8 + len(packed)] = packed.T.to(torch.uint8)
        if progress is not None:
            progress(start + len(part), len(views))
    # The third row of a w2c rotation is the camera's z axis in world coordinates.
    forward = torch.stack([view.w2c[2, :3].cpu().float() for view in views])
    return BankSight(sample, bits, forward, torch.cat(details))


def sample_points(points: PointCloud, most: int = MAX_SAMPLES) -> PointSample:
    """One point for each cube of the finest grid that has at most ``most`` cubes with points.

    Returns: the points on the CPU; those of a cube are represented by the one that comes first.
    """
    step = max(1, points.num_points // MAX_TRIED)
    xyz = points.xyz[::step].float().cpu()
    if len(xyz) == 0:
        return PointSample(xyz, 1.0)
    low, high = xyz.amin(dim=0), xyz.amax(dim=0)
    extent = max(float((high - low).max()), 1e-12)
    # Surfaces fill about n^2 cubes of an n^3 grid; the count falls fourfold per doubling of the cube.
    size = extent / (4 * math.sqrt(most))
    while True:
        cell = ((xyz - low) / size).long()
        keys = (cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2]
        _, owner = keys.unique(return_inverse=True)
        count = int(owner.max()) + 1
        if count <= most:
            break
        size *= max(1.03, math.sqrt(count / most))
    first = torch.full((count,), len(xyz)).scatter_reduce(0, owner, torch.arange(len(xyz)), "amin")
    return PointSample(xyz[first], size)


def seen_points(sample: PointSample, cameras: Cameras) -> Tensor:
    """[T, S] bool: the points inside each picture with nothing of the sample in front of them."""
    parts = [
        _unhidden(sample, cameras[start : start + CAMERAS_AT_ONCE])
        for start in range(0, cameras.num_frames, CAMERAS_AT_ONCE)
    ]
    return torch.cat(parts)


def detail_of(
    sample: PointSample,
    seen: Tensor,  # [N, S]
    w2c: Tensor,  # [N, 4, 4]
    focal: Tensor,  # [N]
) -> Tensor:
    """[N] how large cameras show what they see: picture widths per unit at its mean depth; 0 = see nothing.

    Args:
        focal: focal lengths in picture widths.
    """
    count = seen.sum(dim=1)
    middle = seen.float() @ sample.xyz / count.clamp_min(1)[:, None]
    depth = (w2c[:, 2, :3] * middle).sum(dim=1) + w2c[:, 2, 3]
    return torch.where(count > 0, focal / depth, 0.0)


def _seen_by_views(sample: PointSample, views: Sequence[View]) -> Tensor:
    """[V, S] bool; a view with depth is asked, for the others the sample itself hides what it hides."""
    seen = torch.zeros(len(views), len(sample.xyz), dtype=torch.bool)
    if len(sample.xyz) == 0:
        return seen
    blind: dict[tuple[int, int], list[int]] = {}
    for number, view in enumerate(views):
        if view.depth is None:
            blind.setdefault((view.height, view.width), []).append(number)
        else:
            seen[number] = _on_surface(sample, view, view.depth.cpu())
    for (height, width), numbers in blind.items():
        w2c = torch.stack([views[number].w2c.cpu().float() for number in numbers])
        K = torch.stack([views[number].K.cpu().float() for number in numbers])
        seen[numbers] = _unhidden(sample, Cameras(w2c, K, height, width))
    return seen


def _on_surface(sample: PointSample, view: View, depth: Tensor) -> Tensor:
    row, column, z, inside = project_to_pixels(sample.xyz, view.camera.to("cpu"))
    here = depth[row, column]
    return inside & has_depth(here) & ((here - z).abs() <= DEPTH_SHARE * z + sample.size)


def _unhidden(sample: PointSample, cameras: Cameras) -> Tensor:
    frames = cameras.num_frames
    cameras = cameras.to("cpu")
    xy, z = project(sample.xyz, cameras.K.float(), cameras.w2c.float())  # [T, S, 2], [T, S]
    x, y = xy.unbind(dim=-1)
    inside = (z > 0) & (x >= 0) & (x < cameras.width) & (y >= 0) & (y < cameras.height)
    found = inside.flatten().nonzero()[:, 0]  # flat indices: gathering by two is slower
    frame, depth = found // len(sample.xyz), z.flatten()[found]
    cell = max(cameras.height, cameras.width) / CELLS  # pixels
    column, row = (xy.flatten(0, 1)[found] / cell).long().clamp_(max=CELLS - 1).unbind(1)
    footprint = sample.size * cameras.K[frame, 0, 0] / (depth * cell)
    level = footprint.clamp(1, 2 ** (LEVELS - 1)).log2().ceil().long()
    sides = [CELLS >> number for number in range(LEVELS)]
    sizes = torch.tensor([side * side for side in sides])
    starts = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)])
    places = starts[level] + (row >> level) * (CELLS >> level) + (column >> level)
    pyramid = torch.full((frames, int(starts[-1])), torch.inf)
    pyramid.view(-1).scatter_reduce_(0, frame * pyramid.shape[1] + places, depth, "amin")
    nearest = torch.full((frames, 1, 1), torch.inf)
    for start, side in zip(starts.tolist()[-2::-1], reversed(sides), strict=True):
        finer = pyramid[:, start : start + side * side].unflatten(1, (side, side))
        scale = side // nearest.shape[1]
        nearest = nearest.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2).minimum(finer)
    hidden = nearest[frame, row, column] < depth * (1 - DEPTH_SHARE) - CUBES * sample.size
    seen = torch.zeros_like(inside)
    seen.view(-1)[found] = ~hidden
    return seen
