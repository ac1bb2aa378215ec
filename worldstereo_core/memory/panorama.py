"""A memory made from a panorama: points all around, and a bank of perspective views."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import WorldStereoError, check_shape
from ..geometry.depth import EdgeMode, check_has_data, has_depth
from ..geometry.panorama import (
    ViewSet,
    check_panorama,
    distance_to_view_depth,
    even_pixels,
    finer_panorama,
    panorama_cameras,
    panorama_directions,
    panorama_edges,
    panorama_to_views,
)
from ..geometry.point_cloud import TOO_FEW_POINTS, PointCloud
from .export_views import PANORAMA_FOLDER
from .far_depth import contract_far_from_origin, contraction_factor, reach_from
from .memory import GeometricMemory
from .view import View, image_to_bytes


def initialise_panorama_memory(
    image: Tensor,
    distance: Tensor,
    *,
    sky: Tensor | None = None,
    view_set: ViewSet = "released",
    height: int = 480,
    width: int = 832,
    fov_deg: float = 120.0,
    edge_threshold: float = 0.35,
    edge_mode: EdgeMode = "masked",
    far_contraction: float = 8.0,
    density: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> GeometricMemory:
    """Make a memory from a panorama.

    The world's origin is the panorama's viewpoint, its z axis looks into the picture's middle. Points are
    thinned out towards the poles. The bank holds perspective views; the first looks along z.

    Args:
        image: [3, H, W] float 0..1, W = 2 H.
        distance: [H, W] from the viewpoint along each ray, scene units; 0 or non-finite marks no data.
        sky: [H, W] bool, True = no points there.
        view_set, height, width, fov_deg: of the bank's views, see ``geometry.panorama.panorama_cameras``.
        edge_threshold, edge_mode: points on edges of the distance are dropped, see
            ``geometry.depth.depth_edges``.
        far_contraction: distance beyond this many median distances is pulled in; 0 switches it off. Measured
            as later clips are, see ``far_depth.contract_far_from_origin``.
        density: points per panorama pixel and side, 1 to 4; more for clips that zoom in.
        progress: called with (views done, views in all); it may raise to interrupt.

    Returns:
        A memory whose median depth is the median distance over the sphere.

    Raises: ShapeError or WorldStereoError for a picture that is not 2:1, sizes that differ, no data, or
        fewer than nine points.
    """
    size = check_shape("image", image, (3, "H", "W"))
    check_panorama("image", size["H"], size["W"])
    check_shape("distance", distance, (size["H"], size["W"]), "Take both from the same panorama.")
    if not 1 <= density <= 4:
        raise WorldStereoError(f"density: got {density}, expected 1 to 4 points per pixel and side.")
    if far_contraction < 0:
        raise WorldStereoError(f"far_contraction: got {far_contraction}, expected 0 (off) or more.")
    usable = has_depth(distance)
    if sky is not None:
        check_shape("sky", sky, (size["H"], size["W"]), "Take it from the same panorama.")
        usable = usable & ~sky.bool()
    check_has_data("distance", usable)
    distance = torch.where(usable, distance.float(), 0.0)
    median = _median_over_sphere(distance)
    limit = far_contraction * median if far_contraction > 0 else math.inf

    cameras = panorama_cameras(view_set, height, width, fov_deg)
    views: list[View] = []
    for index in range(len(cameras)):
        camera = cameras[index]
        depth = distance_to_view_depth(distance, camera)[0]
        picture = image_to_bytes("image", panorama_to_views(image, camera)[0])
        view = View(picture, camera.w2c[0], camera.K[0], f"{PANORAMA_FOLDER}/{index:04d}", depth=depth)
        views.append(view)
        if progress is not None:
            progress(index + 1, len(cameras))
    origin = views[0]
    views = [
        View(
            image=view.image,
            w2c=view.w2c,
            K=view.K,
            name=view.name,
            depth=None if view.depth is None else contract_far_from_origin(view.depth, camera, origin, limit),
        )
        for view, camera in zip(views, (cameras[index] for index in range(len(cameras))), strict=True)
    ]
    points = _to_points(image, distance, edge_threshold, edge_mode, density)
    if math.isfinite(limit):
        reach = reach_from(origin, points.xyz)
        factor = torch.where(reach > limit, contraction_factor(reach, limit), 1.0)
        points = PointCloud(
            points.xyz * factor[:, None], points.rgb, points.confidence, points.clip, points.normal
        )
    covered = float((distance > 0).float().mean())
    return GeometricMemory(
        points=points,
        views=tuple(views),
        median_depth=median,
        history=(
            f"panorama: {points.num_points:,} points from {size['W']} x {size['H']} pixels, {covered:.0%} of "
            f"them with depth, median distance {median:.4g}; {len(views)} views of {width} x {height}, "
            f"{fov_deg:g} degrees wide.",
        ),
        far_limit=limit,
    )


def _to_points(
    image: Tensor, distance: Tensor, edge_threshold: float, edge_mode: EdgeMode, density: int
) -> PointCloud:
    """Points of a panorama [3, H, W] with distances [H, W], edges left out."""
    valid = distance > 0
    keep = valid & ~panorama_edges(distance, edge_threshold, edge_mode, valid)
    if density > 1:
        # Interpolated only where all neighbours are kept: the others would be mixed with no data.
        keep = finer_panorama(keep[None].float(), density)[0] > 0.999
        disparity = torch.where(valid, 1 / distance, 0.0)
        fine = finer_panorama(torch.cat([image.float(), disparity[None]]), density)
        image, distance = fine[:3], torch.where(keep, 1 / fine[3], 0.0)
    height, width = distance.shape
    keep = keep & even_pixels(height, width).to(keep.device)
    count = int(keep.sum())
    if count <= TOO_FEW_POINTS:
        raise WorldStereoError(
            f"geometry: {count} points are left of {int(valid.sum())} panorama pixels with depth after "
            f"removing edges at threshold {edge_threshold}, expected more than {TOO_FEW_POINTS}. Lower the "
            "edge threshold (0 keeps all) or check the depth and the sky mask."
        )
    xyz = (panorama_directions(height, width, distance.device) * distance[..., None])[keep]
    return PointCloud(
        xyz=xyz,
        rgb=image.float().permute(1, 2, 0)[keep],
        confidence=torch.ones_like(xyz[:, 0]),
        clip=torch.zeros(count, dtype=torch.int32, device=xyz.device),
    )


def _median_over_sphere(distance: Tensor) -> float:
    """Median of the distances [H, W] that have data, each pixel weighted by the sphere it covers."""
    height, width = distance.shape
    rows = torch.cos((0.5 - (torch.arange(height) + 0.5) / height) * math.pi).to(distance.device)
    weight = rows[:, None].expand(height, width)[distance > 0].double()
    ranked, order = distance[distance > 0].sort()
    total = weight[order].cumsum(0)
    return float(ranked[int(torch.searchsorted(total, total[-1] / 2))])
