"""Which views of the bank show which points of the memory, as tracks for reconstruction programs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.cameras import project
from ..geometry.tracks import Tracks
from .correspondence import depth_error
from .export_views import camera_id
from .memory import GeometricMemory
from .view import View
from .warping import view_depth


def build_tracks(
    memory: GeometricMemory,
    max_points: int = 50_000,
    min_views: int = 2,
    *,
    tolerance: float = 0.03,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Follow points of the memory through the views that see them.

    A view sees a point if the view's depth at its place is the point's, see ``correspond``; a view without
    depth is compared with the memory's own depth.

    Args:
        max_points: so many points, evenly taken from the cloud, are followed.
        min_views: points that fewer views see are left out.
        tolerance: share of the depth by which a point may miss a view's surface.
        progress: called with (views done, views in all); it may raise to interrupt.

    Raises: WorldStereoError if nothing is left.
    """
    points = memory.points
    if max_points < 1 or min_views < 1:
        raise WorldStereoError(
            f"max_points and min_views: got {max_points} and {min_views}, expected at least 1 of each."
        )
    if points.num_points == 0 or not memory.views:
        raise WorldStereoError(
            f"memory: got {points.num_points} points and {len(memory.views)} views, expected some of both. "
            "Create it from a picture with depth."
        )
    count = min(max_points, points.num_points)
    taken = torch.arange(count, device=points.xyz.device) * points.num_points // count
    xyz = points.xyz[taken]
    seen_by, places = [], []
    for number, view in enumerate(memory.views):
        seen, xy = _sight(xyz, view, view_depth(memory, view), tolerance)
        seen_by.append(seen)
        places.append(xy[seen])
        if progress is not None:
            progress(number + 1, len(memory.views))
    seen = torch.stack(seen_by)  # [views, points]
    kept = seen.sum(dim=0) >= min_views
    if not bool(kept.any()):
        raise WorldStereoError(
            f"min_views: none of {count:,} points is seen by {min_views} of {len(memory.views)} views, "
            "expected at least one. Lower min_views, or update the memory with a clip that looks at the same "
            "things."
        )
    view, point = seen.nonzero(as_tuple=True)
    xy = torch.cat(places)
    wanted = kept[point]
    view, point, xy = view[wanted], point[wanted], xy[wanted]
    order = point.argsort(stable=True)
    renumbered = kept.long().cumsum(dim=0) - 1
    return Tracks(
        cameras=tuple(one.camera for one in memory.views),
        names=tuple(_file_name(number, one) for number, one in enumerate(memory.views)),
        xyz=xyz[kept],
        rgb=points.rgb[taken][kept],
        point=renumbered[point[order]],
        view=view[order],
        xy=xy[order],
    )


def _sight(xyz: Tensor, view: View, depth: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """[P] bool whether a view sees each point, and [P, 2] where."""
    xy, z = project(xyz, view.K.to(xyz), view.w2c.to(xyz))
    size = xy.new_tensor([view.width, view.height])
    inside = (z > 0) & ((xy > 0) & (xy < size)).all(dim=-1)
    error = depth_error(depth, torch.where(inside[:, None], xy, 0.0), z)
    return inside & (error <= tolerance), xy


def _file_name(number: int, view: View) -> str:
    """A name without spaces and folders that sorts in bank order."""
    return f"{number:04d}_{'_'.join(camera_id(view.name).split())}.png"
