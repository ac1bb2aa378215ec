"""One weighted point per cell of a voxel hash; adding a view costs the same however large the world is.

Cells lie in blocks of 32 x 32 x 32, blocks in a hash. A step replaces the blocks it changes and shares all
others with the map it started from, which stays valid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras, project, unproject
from ..geometry.depth import depth_edges, has_depth, normals_from_depth
from ..geometry.point_cloud import Evidence, PointCloud

# A cell's key packs three signed cell numbers of 21 bits: 16 bits of block and 5 bits inside it per axis.
_BLOCK_BITS = 5
_AXIS_BITS = 16
_HALF = 1 << (_AXIS_BITS + _BLOCK_BITS - 1)
_LOCAL_BITS = 3 * _BLOCK_BITS
# Columns of the means.
_XYZ, _RGB, _NORMAL, _CONFIDENCE = slice(0, 3), slice(3, 6), slice(6, 9), 9


@dataclass(frozen=True, eq=False)
class Cells:
    """Occupied cells, ordered by key.

    Attributes:
        keys: [M] int64, unique.
        means: [M, 10] float32: position, colour, normal (shorter than 1 where directions differ, 0 if
            unknown), confidence.
        weight: [M] float32, sum of the confidence of what was seen in the cell.
        seen: [M] int32, views or clouds that saw the cell.
        missed: [M] int32, views that saw through it.
        clip: [M] int32, the first clip that saw it.
    """

    keys: Tensor
    means: Tensor
    weight: Tensor
    seen: Tensor
    missed: Tensor
    clip: Tensor

    def select(self, index: Tensor | slice) -> Cells:
        """Cells of a mask, of indices, or of a slice; a copy, so that no larger tensor is kept alive."""
        parts = (self.keys, self.means, self.weight, self.seen, self.missed, self.clip)
        chosen = (part[index] for part in parts)
        return Cells(*(part.clone() for part in chosen) if isinstance(index, slice) else chosen)


@dataclass(frozen=True)
class FusionStep:
    """What adding one view or cloud did.

    Attributes:
        num_new: cells that were empty before.
        num_updated: cells that were seen again.
        num_carved: cells removed because the view saw through them.
        num_blocks: blocks that were replaced; all others are shared with the map before.
    """

    num_new: int
    num_updated: int
    num_carved: int
    num_blocks: int


@dataclass(frozen=True, eq=False)
class VoxelMap:
    """A fused world. Immutable: adding returns a new map.

    Attributes:
        cell: edge of a cell, scene units; cells are aligned to the world's origin.
        blocks: block number -> its cells.
    """

    cell: float
    blocks: Mapping[int, Cells]

    @classmethod
    def empty(cls, cell: float) -> VoxelMap:
        """A map without points.

        Raises: WorldStereoError if the cell is not a positive length.
        """
        if not (cell > 0 and math.isfinite(cell)):
            raise WorldStereoError(f"cell: got {cell}, expected a positive length in scene units.")
        return cls(cell, MappingProxyType({}))

    @classmethod
    def from_points(cls, points: PointCloud, cell: float) -> VoxelMap:
        """Fuse a cloud; clip by clip, so that a cell counts how many clips saw it.

        The cloud of a map of the same cell gives that map again: its evidence is taken over. Points that
        share a cell but came apart (merged memories, another cell size) count as the one seen most often.
        """
        fused = cls.empty(cell)
        if points.evidence is not None:
            cells = _observe(points.select(points.evidence.weight > 0), cell)
            return replace(fused, blocks=MappingProxyType(_split(cells)))
        for clip in points.clip.unique().tolist():
            fused, _ = fused.add_points(points.select(points.clip == clip))
        return fused

    @property
    def num_points(self) -> int:
        return sum(len(block.keys) for block in self.blocks.values())

    def to_points(self, min_seen: int = 1) -> PointCloud:
        """One point per cell that was seen at least so often, ordered by block.

        Normals are given if any cell has one, and are zero where a cell has none.
        """
        cells = _join([self.blocks[number] for number in sorted(self.blocks)])
        if min_seen > 1:
            cells = cells.select(cells.seen >= min_seen)
        normal = F.normalize(cells.means[:, _NORMAL], dim=-1)
        return PointCloud(
            xyz=cells.means[:, _XYZ].contiguous(),
            rgb=cells.means[:, _RGB].contiguous(),
            confidence=cells.means[:, _CONFIDENCE].contiguous(),
            clip=cells.clip,
            normal=normal if bool((normal != 0).any()) else None,
            evidence=Evidence(cells.weight, cells.seen, cells.missed),
        )

    def add_points(self, points: PointCloud) -> tuple[VoxelMap, FusionStep]:
        """Fuse a cloud as one observation: each cell becomes the mean weighted by confidence.

        Points of confidence 0 add nothing.

        Raises: WorldStereoError if a position or colour is not finite, or lies outside of 2 million cells
            along an axis.
        """
        points = points.select(points.confidence > 0)
        if points.num_points == 0:
            return self, FusionStep(0, 0, 0, 0)
        fresh = _observe(points, self.cell)
        numbers = (fresh.keys >> _LOCAL_BITS).unique().tolist()
        old = [self.blocks[number] for number in numbers if number in self.blocks]
        merged = _merge(_join([*old, fresh]))
        blocks = {**self.blocks, **_split(merged)}
        num_new = len(merged.keys) - sum(len(block.keys) for block in old)
        step = FusionStep(num_new, len(fresh.keys) - num_new, 0, len(numbers))
        return replace(self, blocks=MappingProxyType(blocks)), step

    def carve(
        self,
        depth: Tensor,
        camera: Cameras,
        *,
        sky: Tensor | None = None,
        margin: float = 0.03,
        protected_clips: Collection[int] = (),
    ) -> tuple[VoxelMap, FusionStep]:
        """Remove what a view sees through: points between its camera and the surface it shows.

        A cell goes when as many views have seen through it as have seen it. Nothing is decided at pixels
        without data and beside them, and closer to the surface than two cells plus the margin.

        Args:
            depth: [H, W], camera z in scene units; 0 or non-finite marks no data.
            camera: Cameras of one frame, at H x W.
            sky: [H, W] bool, True where the view sees nothing at any distance.
            margin: share of the depth by which a point must be nearer than the surface.
            protected_clips: cells these clips saw first stay, e.g. 0 for the input image.
        """
        _check_view(depth, camera)
        camera = camera.to(depth.device)
        numbers = self._blocks_in_view(camera)
        if not numbers:
            return self, FusionStep(0, 0, 0, 0)
        cells = _join([self.blocks[number] for number in numbers])
        is_free = _is_seen_through(cells.means[:, _XYZ], depth, camera, sky, margin, self.cell)
        if protected_clips:
            is_free &= ~torch.isin(cells.clip, cells.clip.new_tensor(sorted(protected_clips)))
        if not bool(is_free.any()):
            return self, FusionStep(0, 0, 0, 0)
        missed = cells.missed + is_free.int()
        is_gone = is_free & (missed >= cells.seen)
        changed = (cells.keys[is_free] >> _LOCAL_BITS).unique()
        is_changed = torch.isin(cells.keys >> _LOCAL_BITS, changed)
        kept = replace(cells, missed=missed).select(is_changed & ~is_gone)
        blocks = dict(self.blocks)
        for number in changed.tolist():
            del blocks[number]
        blocks.update(_split(kept))
        step = FusionStep(0, 0, int(is_gone.sum()), len(changed))
        return replace(self, blocks=MappingProxyType(blocks)), step

    def add_view(
        self,
        image: Tensor,
        depth: Tensor,
        camera: Cameras,
        clip: int,
        *,
        confidence: Tensor | None = None,
        sky: Tensor | None = None,
        edge_threshold: float = 0.35,
        margin: float = 0.03,
        protected_clips: Collection[int] = (),
    ) -> tuple[VoxelMap, FusionStep]:
        """Carve by a view, then fuse the points it shows, with normals from its depth.

        Args:
            image: [3, H, W] float 0..1.
            depth, camera, sky, margin, protected_clips: as in ``carve``. Sky adds no points.
            clip: stored with cells that are new.
            confidence: [H, W] 0..1; 1 by default.
            edge_threshold: points on depth edges are dropped, see ``geometry.depth.depth_edges``.

        Raises: WorldStereoError if sizes differ or the depth is empty.
        """
        check_shape("image", image, (3, camera.height, camera.width))
        carved, cut = self.carve(depth, camera, sky=sky, margin=margin, protected_clips=protected_clips)
        valid = has_depth(depth) if sky is None else has_depth(depth) & ~sky.bool()
        depth = torch.where(valid, depth, 0.0)
        keep = valid & ~depth_edges(depth, edge_threshold)
        camera = camera.to(depth.device)
        xyz = unproject(depth[None], camera.K, camera.w2c)[0][keep]
        sure = torch.ones_like(depth) if confidence is None else confidence.to(depth)
        normal = normals_from_depth(depth, camera.K[0], camera.w2c[0])[keep]
        fused, added = carved.add_points(
            PointCloud(
                xyz=xyz.float(),
                rgb=image.to(depth.device).permute(1, 2, 0)[keep].float(),
                confidence=sure[keep].float(),
                clip=torch.full((len(xyz),), clip, dtype=torch.int32, device=depth.device),
                normal=torch.nan_to_num(normal).float(),
            )
        )
        return fused, replace(added, num_carved=cut.num_carved, num_blocks=added.num_blocks + cut.num_blocks)

    def _blocks_in_view(self, camera: Cameras) -> list[int]:
        """Numbers of the blocks whose bounding sphere reaches into the view."""
        if not self.blocks:
            return []
        numbers = torch.tensor(list(self.blocks), dtype=torch.int64)
        edge = self.cell * (1 << _BLOCK_BITS)
        centres = (_unpack(numbers, _AXIS_BITS).double() - (1 << (_AXIS_BITS - 1)) + 0.5) * edge
        radius = edge * 3**0.5 / 2
        w2c, K = camera.w2c[0].cpu().double(), camera.K[0].cpu().double()
        x, y, z = (centres @ w2c[:3, :3].mT + w2c[:3, 3]).unbind(-1)
        visible = z > -radius
        # Each side plane goes through the camera; a sphere is outside if its centre is a radius beyond it.
        for along, focal, middle, size in (
            (x, K[0, 0], K[0, 2], camera.width),
            (y, K[1, 1], K[1, 2], camera.height),
        ):
            for bound, sign in ((0.0, 1.0), (float(size), -1.0)):
                beyond = sign * (focal * along + (middle - bound) * z) / torch.hypot(focal, middle - bound)
                visible &= beyond > -radius
        return numbers[visible].tolist()


def _check_view(depth: Tensor, camera: Cameras) -> None:
    check_shape("depth", depth, ("H", "W"))
    check_cameras("camera", camera)
    if camera.num_frames != 1 or tuple(depth.shape) != (camera.height, camera.width):
        raise ShapeError(
            f"depth and camera: got a map of shape {list(depth.shape)} and {camera.num_frames} cameras of "
            f"height {camera.height}, width {camera.width}; expected one camera of the map's size. Resize "
            "the camera."
        )


def _is_seen_through(
    xyz: Tensor, depth: Tensor, camera: Cameras, sky: Tensor | None, margin: float, cell: float
) -> Tensor:
    """[N] points in front of everything the view shows at and around their pixel."""
    free = torch.where(has_depth(depth), depth.float(), 0.0)
    if sky is not None:
        free = torch.where(sky.bool(), torch.inf, free)
    # The nearest surface of 3 x 3 pixels: beside a silhouette or unknown pixels nothing is carved.
    free = -F.max_pool2d(-free[None], 3, stride=1, padding=1)[0]
    height, width = free.shape
    xy, z = project(xyz.to(free), camera.K[0], camera.w2c[0])
    inside = (z > 0) & ((xy >= 0) & (xy < xy.new_tensor([width, height]))).all(-1)
    column, row = torch.where(inside[:, None], xy, 0.0).long().unbind(-1)
    limit = free[row.clamp(max=height - 1), column.clamp(max=width - 1)] * (1 - margin) - 2 * cell
    return (inside & (z < limit)).to(xyz.device)


def _observe(points: PointCloud, cell: float) -> Cells:
    """The cells of one cloud: weighted means, each seen once unless the points say otherwise."""
    normal = torch.zeros_like(points.xyz) if points.normal is None else points.normal
    means = torch.cat([points.xyz, points.rgb, normal, points.confidence[:, None]], dim=1).float()
    if not bool(torch.isfinite(means).all()):
        bad = int((~torch.isfinite(means).all(1)).sum())
        raise WorldStereoError(
            f"points: {bad} of {points.num_points} hold numbers that are not finite. Drop them before fusing."
        )
    place = torch.floor(points.xyz.double() / cell)
    if bool((place.abs() >= _HALF).any()):
        raise WorldStereoError(
            f"cell: {cell:g} puts a point at {float(points.xyz.abs().max()):.4g} scene units beyond "
            f"{_HALF:,} cells from the origin. Choose a larger cell, or crop the far points."
        )
    evidence = points.evidence or Evidence.of_one_sighting(points.confidence.float())
    keys = _pack(place.long() + _HALF)
    rows = Cells(keys, means, evidence.weight, evidence.seen, evidence.missed, points.clip)
    return _merge(rows, counts="amax")


def _merge(cells: Cells, counts: Literal["sum", "amax"] = "sum") -> Cells:
    """Join rows of the same key: weighted means, sums (or maxima) of counts, the lowest clip."""
    keys, owner = torch.unique(cells.keys, return_inverse=True)
    count = len(keys)
    weight = cells.weight.double()
    total = weight.new_zeros(count).index_add_(0, owner, weight)
    means = weight.new_zeros(count, cells.means.shape[1])
    means.index_add_(0, owner, cells.means.double() * weight[:, None])
    clip = torch.full((count,), torch.iinfo(torch.int32).max, dtype=torch.int32, device=keys.device)
    zero = torch.zeros_like(clip)
    return Cells(
        keys=keys,
        means=(means / total[:, None]).float(),
        weight=total.float(),
        seen=zero.scatter_reduce(0, owner, cells.seen.int(), counts),
        missed=zero.scatter_reduce(0, owner, cells.missed.int(), counts),
        clip=clip.scatter_reduce(0, owner, cells.clip.int(), "amin"),
    )


def _join(parts: list[Cells]) -> Cells:
    """All rows one after another; blocks of ascending number stay ordered."""
    if not parts:
        counts = torch.zeros(0, dtype=torch.int32)
        nothing = torch.zeros(0)
        return Cells(counts.long(), torch.zeros(0, 10), nothing, counts, counts, counts)
    return Cells(
        keys=torch.cat([part.keys for part in parts]),
        means=torch.cat([part.means for part in parts]),
        weight=torch.cat([part.weight for part in parts]),
        seen=torch.cat([part.seen for part in parts]),
        missed=torch.cat([part.missed for part in parts]),
        clip=torch.cat([part.clip for part in parts]),
    )


def _split(cells: Cells) -> dict[int, Cells]:
    """Rows grouped by block; rows of a block must be neighbours."""
    numbers, counts = torch.unique_consecutive(cells.keys >> _LOCAL_BITS, return_counts=True)
    ends = counts.cumsum(0).tolist()
    starts = [0, *ends][: len(ends)]
    return {
        number: cells.select(slice(start, end))
        for number, start, end in zip(numbers.tolist(), starts, ends, strict=True)
    }


def _pack(place: Tensor) -> Tensor:
    """[N, 3] cell numbers from 0 -> [N] keys: the block's number, then the cell's inside it."""
    block, local = place >> _BLOCK_BITS, place & ((1 << _BLOCK_BITS) - 1)

    def joined(parts: Tensor, bits: int) -> Tensor:
        return (parts[:, 0] << (2 * bits)) | (parts[:, 1] << bits) | parts[:, 2]

    return (joined(block, _AXIS_BITS) << _LOCAL_BITS) | joined(local, _BLOCK_BITS)


def _unpack(numbers: Tensor, bits: int) -> Tensor:
    """[N] -> [N, 3], the inverse of packing three numbers of so many bits."""
    low = (1 << bits) - 1
    return torch.stack([numbers >> (2 * bits), (numbers >> bits) & low, numbers & low], dim=-1)
