"""One weighted point per cell of a voxel hash; adding a view costs the same however large the world is.

Cells lie in blocks of 128 x 128 x 128, blocks in a hash. A step replaces the blocks it changes and shares all
others with the map it started from, which stays valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras, project_to_pixels, unproject
from ..geometry.depth import EdgeMode, depth_edges, has_depth, normals_from_depth
from ..geometry.point_cloud import Evidence, PointCloud
from .cells import (
    AXIS_BITS,
    BLOCK_BITS,
    CONFIDENCE,
    LOCAL_BITS,
    NORMAL,
    RGB,
    XYZ,
    Cells,
    join_cells,
    merge_cells,
    points_to_cells,
    split_cells,
    split_points,
    unpack_key,
)


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
    def from_points(
        cls, points: PointCloud, cell: float, pause: Callable[[], None] | None = None
    ) -> VoxelMap:
        """Fuse a cloud; clip by clip, so that a cell counts how many clips saw it.

        The cloud of a map of the same cell gives that map again: its evidence is taken over. Points that
        share a cell but came apart (merged memories, another cell size) count as the one seen most often.

        Args:
            pause: called between parts of a large cloud; it may raise to interrupt.
        """
        fused = cls.empty(cell)
        if points.evidence is not None:
            points = points.select(points.evidence.weight > 0)
        for part in split_points(points, cell):
            if pause is not None:
                pause()
            if part.evidence is not None:
                blocks = {**fused.blocks, **split_cells(points_to_cells(part, cell))}
                fused = replace(fused, blocks=MappingProxyType(blocks))
                continue
            for clip in part.clip.unique().tolist():
                fused, _ = fused.add_points(part.select(part.clip == clip))
        return fused

    def to(self, device: torch.device | str) -> VoxelMap:
        """Return the map on another device."""
        blocks = {number: block.to(device) for number, block in self.blocks.items()}
        return replace(self, blocks=MappingProxyType(blocks))

    @property
    def num_points(self) -> int:
        return sum(len(block.keys) for block in self.blocks.values())

    def to_points(self, min_seen: int = 1) -> PointCloud:
        """One point per cell that was seen at least so often, ordered by block.

        Normals are given if any cell has one, and are zero where a cell has none.
        """
        cells = join_cells([self.blocks[number] for number in sorted(self.blocks)])
        return _to_points(cells.select(cells.seen >= min_seen) if min_seen > 1 else cells)

    def points_in_view(self, camera: Cameras) -> PointCloud:
        """Every point that a camera may see, and some around: at a cost that does not grow with the world.

        Args:
            camera: Cameras of one frame.
        """
        return _to_points(join_cells([self.blocks[number] for number in self._blocks_in_view(camera)]))

    def add_points(self, points: PointCloud) -> tuple[VoxelMap, FusionStep]:
        """Fuse a cloud as one observation: each cell becomes the mean weighted by confidence.

        Points of confidence 0 add nothing.

        Raises: WorldStereoError if a position or colour is not finite, or lies outside of 2 million cells
            along an axis.
        """
        points = points.select(points.confidence > 0)
        if points.num_points == 0:
            return self, FusionStep(0, 0, 0, 0)
        fresh = points_to_cells(points, self.cell)
        numbers = (fresh.keys >> LOCAL_BITS).unique().tolist()
        old = [self.blocks[number] for number in numbers if number in self.blocks]
        merged = merge_cells(join_cells([*old, fresh]))
        blocks = {**self.blocks, **split_cells(merged)}
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
        cells = join_cells([self.blocks[number] for number in numbers])
        is_free = _is_seen_through(cells.means[:, XYZ], depth, camera, sky, margin, self.cell)
        if protected_clips:
            is_free &= ~torch.isin(cells.clip, cells.clip.new_tensor(sorted(protected_clips)))
        if not bool(is_free.any()):
            return self, FusionStep(0, 0, 0, 0)
        missed = cells.missed + is_free.int()
        is_gone = is_free & (missed >= cells.seen)
        changed = (cells.keys[is_free] >> LOCAL_BITS).unique()
        is_changed = torch.isin(cells.keys >> LOCAL_BITS, changed)
        kept = replace(cells, missed=missed).select(is_changed & ~is_gone)
        blocks = dict(self.blocks)
        for number in changed.tolist():
            del blocks[number]
        blocks.update(split_cells(kept))
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
        edge_mode: EdgeMode = "masked",
        margin: float = 0.03,
        is_carving: bool = True,
        protected_clips: Collection[int] = (),
    ) -> tuple[VoxelMap, FusionStep]:
        """Carve by a view, then fuse the points it shows, with normals from its depth.

        Args:
            image: [3, H, W] float 0..1.
            depth, camera, sky, margin, protected_clips: as in ``carve``. Sky adds no points.
            clip: stored with cells that are new.
            confidence: [H, W] 0..1; 1 by default.
            edge_threshold, edge_mode: points on depth edges are dropped, see ``geometry.depth.depth_edges``.
            is_carving: False only adds.

        Raises: WorldStereoError if sizes differ or the depth is empty.
        """
        check_shape("image", image, (3, camera.height, camera.width))
        carved, cut = self, FusionStep(0, 0, 0, 0)
        if is_carving:
            carved, cut = self.carve(depth, camera, sky=sky, margin=margin, protected_clips=protected_clips)
        valid = has_depth(depth) if sky is None else has_depth(depth) & ~sky.bool()
        depth = torch.where(valid, depth, 0.0)
        keep = valid & ~depth_edges(depth, edge_threshold, edge_mode)
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
        edge = self.cell * (1 << BLOCK_BITS)
        centres = (unpack_key(numbers, AXIS_BITS).double() - (1 << (AXIS_BITS - 1)) + 0.5) * edge
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


@dataclass(frozen=True, eq=False)
class FusedCloud:
    """A map and its cloud, so that the next clip need not build the map again.

    Attributes:
        points: ``grid.to_points()``.
    """

    grid: VoxelMap
    points: PointCloud

    @classmethod
    def of(cls, grid: VoxelMap) -> FusedCloud:
        return cls(grid, grid.to_points())


def _to_points(cells: Cells) -> PointCloud:
    normal = F.normalize(cells.means[:, NORMAL], dim=-1)
    return PointCloud(
        xyz=cells.means[:, XYZ].contiguous(),
        rgb=cells.means[:, RGB].contiguous(),
        confidence=cells.means[:, CONFIDENCE].contiguous(),
        clip=cells.clip,
        normal=normal if bool((normal != 0).any()) else None,
        evidence=Evidence(cells.weight, cells.seen, cells.missed),
    )


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
    row, column, z, inside = project_to_pixels(xyz.to(free), camera)
    limit = free[row, column] * (1 - margin) - 2 * cell
    return (inside & (z < limit)).to(xyz.device)
