"""Cut, move and clean a memory. Every function returns a new memory; the old one stays, so undo is free.

Whatever takes points away also takes their pixels out of the views' depth maps, so that points and views keep
telling of the same world. The views' pictures stay: a reference still shows what was cut from the points,
until its clip is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from ..geometry.cameras import Cameras, check_cameras, project, unproject
from ..geometry.depth import has_depth
from ..geometry.similarity import Similarity
from .fusion import VoxelMap
from .mask import ClipRegion, painted_region
from .memory import GeometricMemory
from .view import View

Keep = Literal["inside", "outside"]
Pivot = Literal["first camera", "middle of the points", "world origin"]


def crop_to_box(
    memory: GeometricMemory,
    low: Tensor | tuple[float, float, float],
    high: Tensor | tuple[float, float, float],
    *,
    keep: Keep = "inside",
    axes_from_world: Tensor | None = None,
    max_lost: float = 1.0,
) -> GeometricMemory:
    """Keep the points inside or outside a box.

    Args:
        low, high: [3] corners, scene units; infinite sides are open. The faces belong to the box.
        axes_from_world: [4, 4] rigid, brings world points into the axes of ``low`` and ``high``; the world's
            own axes by default.
        max_lost: as in ``delete_by_mask``; every view stays by default.

    Raises: WorldStereoError if a corner is not below the other, or nothing would be left.
    """
    corners = torch.stack([torch.as_tensor(corner, dtype=torch.float32) for corner in (low, high)])
    check_shape("box", corners, (2, 3))
    if not bool((corners[0] < corners[1]).all()):
        raise WorldStereoError(
            f"box: got corners {corners[0].tolist()} and {corners[1].tolist()}, expected every number of "
            "the first below the second's. Swap them or widen the box."
        )

    def is_inside(xyz: Tensor, _: Tensor) -> Tensor:
        near, far = corners.to(xyz.device)
        xyz = _in_axes(xyz, axes_from_world)
        return ((xyz >= near) & (xyz <= far)).all(-1)

    return keep_region(memory, is_inside, keep, "box", max_lost)


def crop_to_sphere(
    memory: GeometricMemory,
    centre: Tensor | tuple[float, float, float],
    radius: float,
    *,
    keep: Keep = "inside",
    axes_from_world: Tensor | None = None,
    max_lost: float = 1.0,
) -> GeometricMemory:
    """Keep the points inside or outside a sphere.

    Args:
        centre, radius: [3] and a length, scene units.
        axes_from_world: [4, 4] rigid, brings world points into the axes of ``centre``; the world's own axes
            by default.
        max_lost: as in ``delete_by_mask``; every view stays by default.

    Raises: WorldStereoError if the radius is not positive, or nothing would be left.
    """
    middle = torch.as_tensor(centre, dtype=torch.float32)
    check_shape("centre", middle, (3,))
    if not radius > 0:
        raise WorldStereoError(f"radius: got {radius}, expected a length above 0 in scene units.")

    def is_inside(xyz: Tensor, _: Tensor) -> Tensor:
        return (_in_axes(xyz, axes_from_world) - middle.to(xyz.device)).norm(dim=-1) <= radius

    return keep_region(memory, is_inside, keep, "sphere", max_lost)


def crop_to_frustum(
    memory: GeometricMemory,
    camera: Cameras,
    *,
    near: float = 0.0,
    far: float = float("inf"),
    keep: Keep = "inside",
) -> GeometricMemory:
    """Keep the points inside or outside what one camera sees, hidden points included.

    Args:
        camera: Cameras of one frame.
        near, far: camera z, scene units.

    Raises: WorldStereoError if near is not below far, or nothing would be left.
    """
    _check_one_camera(camera)
    if not 0 <= near < far:
        raise WorldStereoError(
            f"near and far: got {near} and {far}, expected 0 <= near < far in scene units."
        )

    def is_inside(xyz: Tensor, _: Tensor) -> Tensor:
        here = camera.to(xyz.device)
        xy, z = project(xyz, here.K[0], here.w2c[0])
        size = xyz.new_tensor([here.width, here.height])
        return (z > near) & (z <= far) & ((xy >= 0) & (xy <= size)).all(-1)

    return keep_region(memory, is_inside, keep, "view volume")


def delete_by_mask(
    memory: GeometricMemory,
    mask: Tensor,
    camera: Cameras,
    *,
    depth_tolerance: float | None = 0.05,
    radius: float = 0.008,
    max_lost: float = 1.0,
    within: ClipRegion | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GeometricMemory:
    """Delete what a painted mask covers in one view, or in several.

    Args:
        mask, camera, depth_tolerance, radius, progress: the part of space that goes, see
            ``mask.painted_region``.
        max_lost: a view that loses more than this share of its pixels with depth leaves the bank, so that
            no reference shows what was deleted. The first view, the input image, always stays; so do views
            without depth. 1 keeps every view.
        within: only what lies in it goes; everywhere by default.

    Raises: WorldStereoError if mask and camera do not fit, the mask is empty, or nothing would be left.
    """
    if not 0 <= max_lost <= 1:
        raise WorldStereoError(f"max_lost: got {max_lost}, expected a share from 0 to 1. 1 keeps every view.")
    region = painted_region(
        memory.points, mask, camera, depth_tolerance=depth_tolerance, radius=radius, progress=progress
    )

    def is_painted(xyz: Tensor, clip: Tensor) -> Tensor:
        return region(xyz) if within is None else region(xyz) & within(xyz, clip)

    return keep_region(memory, is_painted, "outside", "painted mask", max_lost)


def transform_memory(memory: GeometricMemory, similarity: Similarity) -> GeometricMemory:
    """Move, turn and scale the world and everything that looks at it.

    Points, normals, view cameras, view depth, the median depth and the limit of far contraction change
    together: each view sees the moved world exactly as it saw the old one. Trajectories that were made
    before do not move.
    """
    points = replace(
        memory.points,
        xyz=similarity.to_points(memory.points.xyz),
        normal=None if memory.points.normal is None else similarity.to_directions(memory.points.normal),
    )
    _check_finite(points.xyz)
    views = tuple(
        replace(
            view,
            w2c=similarity.to_w2c(view.w2c),
            depth=None if view.depth is None else view.depth * similarity.scale,
        )
        for view in memory.views
    )
    shift = ", ".join(f"{value:.4g}" for value in similarity.translation.tolist())
    return replace(
        memory,
        points=points,
        views=views,
        median_depth=memory.median_depth * similarity.scale,
        far_limit=memory.far_limit * similarity.scale,
        history=(*memory.history, f"World scaled by {similarity.scale:.4g}, turned, and moved by ({shift})."),
    )


def pivot_of(memory: GeometricMemory, pivot: Pivot) -> Tensor:
    """[3] the world point that a word names, for ``Similarity.about``; the middle is a median per axis."""
    if pivot == "world origin":
        return torch.zeros(3)
    if pivot == "middle of the points":
        if memory.points.num_points == 0:
            raise WorldStereoError("pivot: the memory has no points, so no middle. Choose the first camera.")
        return memory.points.xyz.median(dim=0).values
    if pivot == "first camera":
        if not memory.views:
            raise WorldStereoError("pivot: the memory has no pictures. Choose the world origin.")
        return memory.views[0].camera.centers[0]
    raise WorldStereoError(f'pivot: got "{pivot}", expected one of {", ".join(get_args(Pivot))}.')


def remove_clip(memory: GeometricMemory, clip: int) -> GeometricMemory:
    """Forget a clip: its points and its views. Other clips keep their numbers.

    Raises: WorldStereoError for clip 0, the input image every memory rests on, and for clips it does not
        hold.
    """
    if clip == 0:
        raise WorldStereoError(
            "clip: got 0, which is the input image; the memory's units and far limit come from it. Choose "
            "a clip from 1, or make a new memory."
        )
    keep = memory.points.clip != clip
    views = tuple(view for view in memory.views if view.clip != clip)
    removed_points, removed_views = int((~keep).sum()), len(memory.views) - len(views)
    if removed_points == removed_views == 0:
        held = sorted({*memory.points.clip.unique().tolist(), *(view.clip for view in memory.views)})
        raise WorldStereoError(f"clip: got {clip}, expected one the memory holds: {held}.")
    return replace(
        memory,
        points=memory.points.select(keep),
        views=views,
        history=(*memory.history, f"Clip {clip} removed: {removed_points:,} points, {removed_views} views."),
    )


def clean_memory(
    memory: GeometricMemory,
    cell: float,
    *,
    margin: float = 0.03,
    protected_clips: Collection[int] = (0,),
    min_seen: int = 1,
) -> GeometricMemory:
    """Fuse the points into one per cell and remove floaters that the bank's views see through.

    Args:
        cell: edge of a cell, scene units.
        margin, protected_clips: as in ``fusion.VoxelMap.carve``; the input image's points stay by default.
        min_seen: cells that fewer clips have seen are dropped.

    Raises: WorldStereoError if the cell is not positive, or nothing would be left.
    """
    fused = VoxelMap.from_points(memory.points, cell)
    num_cells, num_carved = fused.num_points, 0
    for view in memory.views:
        if view.depth is not None:
            camera = view.camera
            fused, step = fused.carve(view.depth, camera, margin=margin, protected_clips=protected_clips)
            num_carved += step.num_carved
    points = fused.to_points(min_seen).to(memory.points.xyz.device)
    if points.num_points == 0:
        raise WorldStereoError(
            f"clean: none of {num_cells:,} cells is left. Lower the least count (got {min_seen}), or "
            "protect clips."
        )
    line = (
        f"Cleaned: {memory.points.num_points:,} points became {points.num_points:,}, one per {cell:.4g} "
        f"scene units; {num_carved:,} that views saw through were removed."
    )
    return replace(memory, points=points, history=(*memory.history, line))


def keep_region(
    memory: GeometricMemory, region: ClipRegion, keep: Keep, what: str, max_lost: float = 1.0
) -> GeometricMemory:
    """The memory with only the points inside or outside of a region, in points and view depth alike.

    Args:
        what: the region as the user knows it, for messages and the history.
        max_lost: a view other than the first leaves if it loses more than this share of its depth.

    Raises: WorldStereoError if nothing would be left.
    """
    if keep not in ("inside", "outside"):
        raise WorldStereoError(f'keep: got "{keep}", expected "inside" or "outside".')

    def goes(xyz: Tensor, clip: Tensor) -> Tensor:
        return region(xyz, clip) if keep == "outside" else ~region(xyz, clip)

    gone = goes(memory.points.xyz, memory.points.clip)
    left = memory.points.num_points - int(gone.sum())
    if left == 0:
        raise WorldStereoError(
            f"{what}: all {memory.points.num_points:,} points would go and none be left. Check its place "
            "and size in scene units, and whether inside or outside is kept."
        )
    points = memory.points if left == memory.points.num_points else memory.points.select(~gone)
    views = tuple(without_depth(view, goes) for view in memory.views)
    kept = tuple(
        new
        for index, (old, new) in enumerate(zip(memory.views, views, strict=True))
        if index == 0 or _share_lost(old, new) <= max_lost
    )
    line = f"Cut by a {what}, {keep} kept: {int(gone.sum()):,} points removed, {left:,} left."
    if len(kept) < len(views):
        gone_views = len(views) - len(kept)
        line += (
            f" {gone_views} view{'s' * (gone_views > 1)} that showed them left the bank, {len(kept)} stay."
        )
    return replace(memory, points=points, views=kept, history=(*memory.history, line))


def without_depth(view: View, goes: ClipRegion) -> View:
    """The view without the depth of pixels whose world point goes; the same object if none does."""
    gone = region_in_view(view, goes)
    if view.depth is None or not bool(gone.any()):
        return view
    return replace(view, depth=torch.where(gone, 0.0, view.depth))


def region_in_view(view: View, region: ClipRegion) -> Tensor:
    """[H, W] bool: pixels of a view whose world point lies in a region; none without depth."""
    if view.depth is None:
        return torch.zeros(view.height, view.width, dtype=torch.bool)
    xyz = unproject(view.depth[None], view.K[None], view.w2c[None])[0].reshape(-1, 3)
    clip = torch.full(xyz.shape[:1], view.clip, dtype=torch.int32, device=xyz.device)
    inside = region(torch.nan_to_num(xyz), clip).reshape(view.depth.shape)
    return inside & has_depth(view.depth)


def _share_lost(old: View, new: View) -> float:
    """Which share of its pixels with depth a view lost."""
    if old.depth is None or new.depth is None or new is old:
        return 0.0
    before = int(has_depth(old.depth).sum())
    return (before - int(has_depth(new.depth).sum())) / before


def _in_axes(xyz: Tensor, axes_from_world: Tensor | None) -> Tensor:
    """World points [N, 3] in other rigid axes."""
    if axes_from_world is None:
        return xyz
    check_shape("axes", axes_from_world, (4, 4))
    axes = axes_from_world.to(xyz)
    return xyz @ axes[:3, :3].mT + axes[:3, 3]


def _check_one_camera(camera: Cameras) -> None:
    check_cameras("camera", camera)
    if camera.num_frames != 1:
        raise ShapeError(
            f"camera: got {camera.num_frames} frames, expected one. Choose a frame of the trajectory."
        )


def _check_finite(xyz: Tensor) -> None:
    if not bool(torch.isfinite(xyz).all()):
        raise WorldStereoError(
            "transform: the moved points are too large for float32 numbers. Choose a smaller scale or move."
        )
