"""Apply a selection made in a 3D view to the whole memory: which points it means, cut them, move them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import Cameras, project_to_pixels
from ..geometry.point_cloud import PointCloud
from ..geometry.poses import quaternion_to_matrix
from ..geometry.render import render_points
from ..geometry.selection import VISIBLE, BoxPart, PaintedPart, SelectionPart, WorldSelection
from ..geometry.similarity import Similarity
from .editing import Keep, keep_region, without_depth
from .mask import ClipRegion, Region, painted_region
from .memory import GeometricMemory

DEPTH_TOLERANCE = 0.05
# Discs of the points in view cover the picture twice when it is told what hides what, within these bounds in
# halves of its shorter side: few points must hide what is behind them as well as many do.
COVER, RADII = 2.0, (0.008, 0.05)
TINT, TINT_SHARE = (1.0, 0.55, 0.1), 0.65
BACKGROUND = 0.1

Progress = Callable[[int, int], None]


def selected_region(
    points: PointCloud, selection: WorldSelection, progress: Progress | None = None
) -> ClipRegion:
    """Which points of which clips a selection means; an empty one means none.

    Args:
        points: what hides what from the views that were painted on.
        progress: called with (parts done, parts in all); it may raise to interrupt.
    """
    steps: list[tuple[str, ClipRegion]] = []
    for _, parts in groupby(enumerate(selection.parts), key=lambda entry: _group(*entry)):
        same = [part for _, part in parts]
        steps.append((same[0].mode, _part_region(points, same)))
        if progress is not None:
            progress(len(steps), len(selection.parts))

    def is_selected(xyz: Tensor, clip: Tensor) -> Tensor:
        found = torch.zeros(len(xyz), dtype=torch.bool, device=xyz.device)
        for mode, region in steps:
            here = region(xyz, clip)
            found = found | here if mode == "add" else found & (here if mode == "intersect" else ~here)
        return found

    return is_selected


def select_points(
    memory: GeometricMemory, selection: WorldSelection, progress: Progress | None = None
) -> Tensor:
    """[N] bool: the memory's points that a selection means."""
    points = memory.points
    return selected_region(points, selection, progress)(points.xyz, points.clip)


def crop_to_selection(
    memory: GeometricMemory,
    selection: WorldSelection,
    *,
    keep: Keep = "outside",
    max_lost: float = 1.0,
    progress: Progress | None = None,
) -> GeometricMemory:
    """Keep what is selected ("inside") or all the rest ("outside").

    Args:
        max_lost: as in ``editing.delete_by_mask``: views that lose a larger share of their pixels leave.

    Raises: WorldStereoError if nothing would be left.
    """
    region = selected_region(memory.points, selection, progress)
    return keep_region(memory, region, keep, "selection", max_lost)


def transform_selection(
    memory: GeometricMemory,
    selection: WorldSelection,
    similarity: Similarity,
    progress: Progress | None = None,
) -> GeometricMemory:
    """Move, turn and scale the selected points alone; cameras, pictures and the median depth stay.

    The views' depth is taken out where the points were, as their pictures show a place that has changed.

    Raises: WorldStereoError if nothing is selected.
    """
    points = memory.points
    region = selected_region(points, selection, progress)
    chosen = region(points.xyz, points.clip)
    count = int(chosen.sum())
    check_selected(count, "moved")
    xyz = torch.where(chosen[:, None], similarity.to_points(points.xyz), points.xyz)
    if not bool(torch.isfinite(xyz).all()):
        raise WorldStereoError(
            "transform: the moved points are too large for float32 numbers. Choose a smaller scale or move."
        )
    normal = points.normal
    if normal is not None:
        normal = torch.where(chosen[:, None], similarity.to_directions(normal), normal)
    shift = ", ".join(f"{value:.4g}" for value in similarity.translation.tolist())
    line = f"Selection of {count:,} points scaled by {similarity.scale:.4g}, turned, and moved by ({shift})."
    return replace(
        memory,
        points=replace(points, xyz=xyz, normal=normal),
        views=tuple(without_depth(view, region) for view in memory.views),
        history=(*memory.history, line),
    )


def middle_of_selection(
    memory: GeometricMemory, selection: WorldSelection, progress: Progress | None = None
) -> Tensor:
    """[3] median per axis of the selected points. Raises: WorldStereoError if there are none."""
    chosen = select_points(memory, selection, progress)
    check_selected(int(chosen.sum()), "turned about")
    return memory.points.xyz[chosen].median(dim=0).values.cpu()


def draw_selection(
    memory: GeometricMemory, chosen: Tensor, camera: Cameras, progress: Progress | None = None
) -> Tensor:
    """What a camera sees of the memory, chosen points in orange.

    Args:
        chosen: [N] bool.
        camera: one frame, at the size to draw.

    Returns: [3, H, W] in 0..1.
    """
    points = memory.points
    tint = points.rgb.new_tensor(TINT)
    rgb = torch.where(chosen[:, None], (1 - TINT_SHARE) * points.rgb + TINT_SHARE * tint, points.rgb)
    drawn = render_points(
        replace(points, rgb=rgb), camera.to(rgb.device), background=BACKGROUND, progress=progress
    )
    return drawn.image[0].cpu()


def check_selected(count: int, what: str) -> None:
    """Raise WorldStereoError if a selection that must not be empty means no point."""
    if count == 0:
        raise WorldStereoError(
            f"selection: no point is selected, so nothing can be {what}. Draw a box or a stroke over points "
            "in View World, or unplug the selection."
        )


def _group(number: int, part: SelectionPart) -> tuple[object, ...]:
    # Boxes stay alone; strokes from one view are painted into one picture, which spares a render each.
    return part.group if isinstance(part, PaintedPart) else (number,)


def _part_region(points: PointCloud, parts: list[SelectionPart]) -> ClipRegion:
    first = parts[0]
    region = _box_region(first) if isinstance(first, BoxPart) else _painted(points, parts)
    if first.clips is None:
        return lambda xyz, clip: region(xyz)
    wanted = torch.tensor(first.clips, dtype=torch.int64)
    return lambda xyz, clip: region(xyz) & torch.isin(clip, wanted.to(clip))


def _box_region(box: BoxPart) -> Region:
    turn = quaternion_to_matrix(torch.tensor(box.wxyz, dtype=torch.float64)).float()
    centre, half = torch.tensor(box.centre), torch.tensor(box.size) / 2

    def is_inside(xyz: Tensor) -> Tensor:
        here = (xyz - centre.to(xyz)) @ turn.to(xyz)  # rows times R: into the box's axes
        return (here.abs() <= half.to(xyz)).all(-1)

    return is_inside


def _painted(points: PointCloud, parts: list[SelectionPart]) -> Region:
    strokes = [part for part in parts if isinstance(part, PaintedPart)]
    mask = torch.stack([stroke.mask() for stroke in strokes]).any(dim=0)
    if not bool(mask.any()):  # a stroke beside the picture
        return lambda xyz: torch.zeros(len(xyz), dtype=torch.bool, device=xyz.device)
    first = strokes[0]
    if first.clips is not None:
        points = points.select(torch.isin(points.clip, points.clip.new_tensor(first.clips)))
    camera: Cameras = first.view.camera()
    tolerance = DEPTH_TOLERANCE if first.reach == VISIBLE else None
    radius = _closed_radius(points, camera) if first.reach == VISIBLE else RADII[0]
    return painted_region(points, mask, camera, depth_tolerance=tolerance, radius=radius)


def _closed_radius(points: PointCloud, camera: Cameras) -> float:
    """Radius of discs that leave no gap where the picture's points are spread evenly."""
    in_view = int(project_to_pixels(points.xyz, camera.to(points.xyz.device))[3].sum())
    pixels = math.sqrt(COVER * camera.height * camera.width / (math.pi * max(in_view, 1)))
    low, high = RADII
    return min(max(pixels / (min(camera.height, camera.width) / 2), low), high)
