"""How a clip's points join the cloud: where it had holes, or one point per cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from ..geometry.cameras import Cameras, unproject
from ..geometry.depth import EdgeMode, depth_edges, has_depth
from ..geometry.point_cloud import PointCloud
from ..geometry.render import RenderedFrames, render_points
from ..geometry.surface import render_surface
from .fusion import FusedCloud, VoxelMap
from .update_report import FusionReport

if TYPE_CHECKING:
    from .memory import GeometricMemory

Carving = Literal["clips", "all", "off"]

# Edge of a fusion cell by default, median depths: about one pixel of a released picture at the median depth.
DEFAULT_CELL = 0.0015
# A point must be nearer than what a frame shows by this share of the depth before the frame removes it.
CARVING_MARGIN = 0.03


@dataclass(frozen=True, eq=False)
class Clip:
    """A checked clip and how to read it.

    Attributes:
        number: stored with its points.
        frames: [T, 3, H, W]; the other maps are [T, H, W] or None. ``sky`` is True where there is sky.
        kept: numbers of the frames to keep.
    """

    number: int
    frames: Tensor
    cameras: Cameras
    depths: Tensor | None
    valid: Tensor | None
    confidence: Tensor | None
    sky: Tensor | None
    min_confidence: float
    edge_threshold: float
    edge_mode: EdgeMode
    kept: Sequence[int]
    device: torch.device

    def camera(self, frame: int) -> Cameras:
        return self.cameras[frame].to(self.device)

    def depth(self, frame: int) -> Tensor:
        """[H, W] estimate, 0 wherever it must not be used."""
        assert self.depths is not None
        depth = self.depths[frame]
        usable = has_depth(depth)
        if self.valid is not None:
            usable = usable & self.valid[frame].bool()
        if self.sky is not None:
            usable = usable & ~self.sky[frame].bool()
        if self.confidence is not None and self.min_confidence > 0:
            usable = usable & (self.confidence[frame] >= self.min_confidence)
        return torch.where(usable, depth.float(), 0.0).to(self.device)

    def sureness(self, frame: int) -> Tensor | None:
        return None if self.confidence is None else self.confidence[frame].float().to(self.device)

    def sky_of(self, frame: int) -> Tensor | None:
        return None if self.sky is None else self.sky[frame].bool().to(self.device)


class Growth(Protocol):
    """A cloud while a clip joins it.

    Attributes:
        counts: points added by each frame so far.
    """

    counts: list[int]

    def render(self, camera: Cameras) -> RenderedFrames:
        """Draw the cloud as it is now into one camera."""
        ...

    def surface(self, camera: Cameras) -> Tensor:
        """[H, W] depth of the cloud in one camera, for measuring; see ``geometry.surface``."""
        ...

    def add(self, clip: Clip, frame: int, depth: Tensor, seen: RenderedFrames, residual: float) -> None:
        """Add a frame.

        Args:
            depth: [H, W] in the memory's units, with data somewhere.
            seen: ``render`` of the frame's camera.
            residual: relative error of the depth.
        """
        ...

    def finish(self) -> tuple[PointCloud, FusedCloud | None, FusionReport | None]:
        """The grown cloud; if it was fused, with its map and what fusing did."""
        ...


class Holes:
    """A cloud that grows where it had holes."""

    def __init__(self, points: PointCloud, radius: float) -> None:
        self.points, self.radius = points, radius
        self.counts: list[int] = []

    def render(self, camera: Cameras) -> RenderedFrames:
        # One layer is enough: only the nearest depth and the holes matter here.
        return render_points(self.points, camera, radius=self.radius, points_per_pixel=1)

    def surface(self, camera: Cameras) -> Tensor:
        return render_surface(self.points, camera, self.render(camera).depth)[0]

    def add(self, clip: Clip, frame: int, depth: Tensor, seen: RenderedFrames, residual: float) -> None:
        keep = (seen.hole_mask[0] > 0.5) & has_depth(depth)
        if bool(keep.any()):
            keep = keep & ~depth_edges(depth, clip.edge_threshold, clip.edge_mode)
        camera, sure = clip.camera(frame), clip.sureness(frame)
        xyz = unproject(depth[None], camera.K, camera.w2c)[0][keep]
        added = PointCloud(
            xyz=xyz.float(),
            rgb=clip.frames[frame].to(depth.device).permute(1, 2, 0)[keep].float(),
            confidence=xyz.new_ones(len(xyz)) if sure is None else sure[keep],
            clip=torch.full((len(xyz),), clip.number, dtype=torch.int32, device=xyz.device),
        )
        self.counts.append(added.num_points)
        self.points = PointCloud.concat([self.points, added]) if added.num_points else self.points

    def finish(self) -> tuple[PointCloud, FusedCloud | None, FusionReport | None]:
        return self.points, None, None


class Voxels:
    """A cloud with one point per cell."""

    def __init__(self, grid: VoxelMap, carving: Carving, radius: float) -> None:
        self.grid, self.carving, self.radius = grid, carving, radius
        self.counts: list[int] = []
        self.num_updated = self.num_carved = 0

    @classmethod
    def of(
        cls,
        memory: GeometricMemory,
        cell: float | None,
        carving: Carving,
        radius: float,
        pause: Callable[[], None] | None = None,
    ) -> Voxels:
        """Of the memory's own map if it has one of this cell; else all its points are fused first."""
        cell = DEFAULT_CELL * memory.median_depth if cell is None else cell
        known = memory.fused
        grid = known.grid if known is not None and known.grid.cell == cell else None
        return cls(grid or VoxelMap.from_points(memory.points, cell, pause), carving, radius)

    def render(self, camera: Cameras) -> RenderedFrames:
        points = self.grid.points_in_view(camera)
        return render_points(points, camera, radius=self.radius, points_per_pixel=1)

    def surface(self, camera: Cameras) -> Tensor:
        points = self.grid.points_in_view(camera)
        drawn = render_points(points, camera, radius=self.radius, points_per_pixel=1)
        return render_surface(points, camera, drawn.depth)[0]

    def add(self, clip: Clip, frame: int, depth: Tensor, seen: RenderedFrames, residual: float) -> None:
        self.grid, step = self.grid.add_view(
            clip.frames[frame].float(),
            depth,
            clip.camera(frame),
            clip.number,
            confidence=clip.sureness(frame),
            sky=clip.sky_of(frame),
            edge_threshold=clip.edge_threshold,
            edge_mode=clip.edge_mode,
            # Depth that is itself this uncertain must not remove what lies within its error.
            margin=max(CARVING_MARGIN, 3 * residual),
            is_carving=self.carving != "off",
            protected_clips=(0,) if self.carving == "clips" else (),
        )
        self.counts.append(step.num_new)
        self.num_updated += step.num_updated
        self.num_carved += step.num_carved

    def finish(self) -> tuple[PointCloud, FusedCloud | None, FusionReport | None]:
        fused = FusedCloud.of(self.grid)
        report = FusionReport(self.grid.cell, sum(self.counts), self.num_updated, self.num_carved)
        return fused.points, fused, report
