"""The geometric memory: global points and a bank of views. Immutable; an update returns a new object."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras
from ..geometry.depth import EdgeMode, check_has_data, contract_far_depth, has_depth, lower_median
from ..geometry.point_cloud import PointCloud, depth_to_points
from ..geometry.render import RenderedFrames, render_points
from ..geometry.trajectory import Trajectory
from .fusion import FusedCloud
from .retrieval import References, retrieve_references
from .update import update_memory
from .update_report import UpdateReport
from .view import View, image_to_bytes

__all__ = ["GeometricMemory", "MemorySummary", "View", "initialise_memory"]


@dataclass(frozen=True)
class ClipCount:
    """What one clip contributed; clip 0 is the input image."""

    clip: int
    num_points: int
    num_views: int


@dataclass(frozen=True)
class MemorySummary:
    """A memory in numbers.

    Attributes:
        extent: size of the points' bounding box along world x, y, z, scene units.
        median_depth: see ``GeometricMemory``.
        clips: counts per clip, ascending.
    """

    num_points: int
    num_views: int
    extent: tuple[float, float, float]
    median_depth: float
    clips: tuple[ClipCount, ...]
    history: tuple[str, ...]

    @property
    def text(self) -> str:
        """The numbers as lines to read."""
        width, height, length = self.extent
        lines = [
            f"{self.num_points:,} points, {_count_views(self.num_views)}",
            f"extent {width:.4g} x {height:.4g} x {length:.4g} scene units (right, down, forward)",
            f"median depth of the input image {self.median_depth:.4g} scene units",
        ]
        for count in self.clips:
            source = "input image" if count.clip == 0 else f"clip {count.clip}"
            lines.append(f"{source}: {count.num_points:,} points, {_count_views(count.num_views)}")
        return "\n".join([*lines, *self.history])


def _count_views(count: int) -> str:
    return f"{count} view" if count == 1 else f"{count} views"


@dataclass(frozen=True, eq=False)
class GeometricMemory:
    """Global memory (points) and stereo memory (views) of one world.

    Attributes:
        points: the global point cloud.
        views: the stereo bank, in order of arrival; views may differ in size. The first is the input image.
        median_depth: median camera z of the input image's valid depth before far contraction, scene units;
            the unit that distances on nodes refer to.
        history: one sentence per step that made this memory, oldest first.
        far_limit: camera z of the input image beyond which depth was contracted, scene units; inf = nowhere.
            Updates contract by the same limit.
        fused: the map whose cloud ``points`` is, kept so that the next clip costs the same however large the
            world is. Dropped when the points are replaced; ``points.evidence`` is enough to build it again.

    Raises: WorldStereoError if a point's position, colour or confidence is not finite.
    """

    points: PointCloud
    views: tuple[View, ...]
    median_depth: float
    history: tuple[str, ...] = ()
    far_limit: float = math.inf
    fused: FusedCloud | None = None

    def __post_init__(self) -> None:
        _check_finite(self.points)
        if self.fused is not None and self.fused.points is not self.points:
            object.__setattr__(self, "fused", None)

    def render(self, cameras: Cameras | Trajectory, **settings: Any) -> RenderedFrames:
        """Draw the points along a trajectory; settings as in ``geometry.render.render_points``."""
        cameras = cameras.cameras if isinstance(cameras, Trajectory) else cameras
        return render_points(self.points, cameras, **settings)

    def retrieve(self, cameras: Cameras | Trajectory, max_references: int = 8, **settings: Any) -> References:
        """Choose the views a trajectory should see again; settings: ``retrieval.retrieve_references``."""
        return retrieve_references(self, cameras, max_references, **settings)

    def update(
        self, frames: Tensor, cameras: Cameras | Trajectory, depths: Tensor | None = None, **settings: Any
    ) -> tuple[GeometricMemory, UpdateReport]:
        """Return this memory with a clip added; settings as in ``update.update_memory``."""
        return update_memory(self, frames, cameras, depths, **settings)

    def summary(self) -> MemorySummary:
        """Count points and views."""
        xyz = self.points.xyz
        extent = (xyz.amax(dim=0) - xyz.amin(dim=0)).tolist() if len(xyz) else [0.0, 0.0, 0.0]
        ids, counts = self.points.clip.unique(return_counts=True)
        points = Counter(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
        views = Counter(view.clip for view in self.views)
        clips = tuple(ClipCount(clip, points[clip], views[clip]) for clip in sorted({*points, *views}))
        return MemorySummary(
            num_points=self.points.num_points,
            num_views=len(self.views),
            extent=(extent[0], extent[1], extent[2]),
            median_depth=self.median_depth,
            clips=clips,
            history=self.history,
        )

    def to(self, device: torch.device | str) -> GeometricMemory:
        """Return the memory with points and views on another device."""
        points, fused = self.points.to(device), self.fused
        if fused is not None:
            is_there = points.xyz.device == self.points.xyz.device
            fused = FusedCloud(fused.grid if is_there else fused.grid.to(device), points)
        return replace(self, points=points, views=tuple(view.to(device) for view in self.views), fused=fused)


def _check_finite(points: PointCloud) -> None:
    for name, values in (
        ("positions", points.xyz),
        ("colours", points.rgb),
        ("confidence", points.confidence),
    ):
        # A sum is several times faster than looking at every number; only one that overflows tells nothing.
        if not math.isfinite(float(values.sum())):
            bad = int((~torch.isfinite(values)).reshape(len(values), -1).any(1).sum())
            if bad:
                raise WorldStereoError(
                    f"memory: the {name} of {bad:,} of {points.num_points:,} points are not finite, expected "
                    "numbers. Check the depth and its scale, the cameras, and the pictures used."
                )


def initialise_memory(
    image: Tensor,
    depth: Tensor,
    K: Tensor,
    w2c: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    edge_threshold: float = 0.35,
    far_contraction: float = 8.0,
    edge_mode: EdgeMode = "masked",
    name: str = "image",
    confidence: Tensor | None = None,
    normals: Tensor | None = None,
) -> GeometricMemory:
    """Make a memory from one picture: its points, and a bank that holds the picture alone.

    Args:
        image: [3, H, W] float 0..1.
        depth: [H, W], camera z in scene units; 0 or non-finite marks no data.
        K: [3, 3], pixels of the H x W image.
        w2c: [4, 4]; the world's origin is this camera by default.
        mask: [H, W] bool, True = no points there (sky).
        edge_threshold, edge_mode: points on depth edges are dropped, see ``geometry.depth.depth_edges``.
        far_contraction: depth beyond this many median depths is pulled in; 0 switches it off.
        confidence: [H, W] 0..1; 1 by default.
        normals: [H, W, 3] unit vectors in world coordinates.

    Raises: ShapeError, PathError or WorldStereoError if sizes differ, the camera is no camera, or there is no
        depth.
    """
    size = check_shape("image", image, (3, "H", "W"))
    _check_size("depth", depth, size)
    if mask is not None:
        _check_size("mask", mask, size)
    source = torch.eye(4, device=K.device) if w2c is None else w2c
    check_shape("K", K, (3, 3))
    check_shape("w2c", source, (4, 4))
    check_cameras("image camera", Cameras(source[None], K[None], size["H"], size["W"]))

    # Where the mask drops a pixel, its depth must not weigh in the median either.
    usable = torch.ones_like(depth, dtype=torch.bool) if mask is None else ~mask.bool()
    depth = torch.where(usable & torch.isfinite(depth), depth.float(), 0.0)
    check_has_data("depth", has_depth(depth))
    median_depth = float(lower_median(depth[has_depth(depth)]))
    points = depth_to_points(
        image,
        depth,
        K,
        source,
        edge_threshold=edge_threshold,
        edge_mode=edge_mode,
        far_contraction=far_contraction,
        mask=mask,
        confidence=confidence,
        normals=normals,
    )
    view = View(
        image=image_to_bytes(name, image),
        w2c=source.float(),
        K=K.float(),
        name=name,
        depth=contract_far_depth(depth, far_contraction),
    )
    return GeometricMemory(
        points=points,
        views=(view,),
        median_depth=median_depth,
        history=(
            f"{name}: {points.num_points:,} points from {size['H']}x{size['W']} pixels, "
            f"median depth {median_depth:.4g}.",
        ),
        far_limit=far_contraction * median_depth if far_contraction > 0 else math.inf,
    )


def _check_size(name: str, values: Tensor, size: dict[str, int]) -> None:
    if tuple(values.shape) != (size["H"], size["W"]):
        raise ShapeError(
            f"{name}: got a map of shape {list(values.shape)}, expected [{size['H']}, {size['W']}] as the "
            f"image has. Resize the {name} or the image so that both agree."
        )
