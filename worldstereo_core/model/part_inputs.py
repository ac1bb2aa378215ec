"""What the optional parts of a control are shown: trajectory, pictures, geometry, warped references."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..checks import ShapeError, check_shape
from ..geometry.cameras import Cameras, pixel_directions
from ..geometry.depth import has_depth, lower_median
from ..memory.memory import GeometricMemory
from ..memory.retrieval import References
from ..memory.view import View
from ..memory.warping import warp_views
from .condition import ControlCondition
from .conditioning import GREY, VAE
from .config import WorldStereoConfig
from .control_parts import GLOBAL_INPUTS, PICTURE_CHANNELS
from .latents import PIXELS_PER_CELL

logger = logging.getLogger(__name__)

OBJECT_WINDOW, LOCAL_WINDOW = 1 / 4, 1 / 16  # of the picture's height, for depth relative to its surroundings
EDGE_STEP = 0.1  # neighbours whose depths differ by more, as a share, span no surface
FED_OTHERWISE = ("modulation", "attention")  # by nothing, and by ``build_condition``
SEEN_CELL = 0.5  # share of a cell's pixels that must be seen by a reference
RELEASED_RADIUS = 0.008  # of points in renders, half picture heights


def global_features(cameras: Cameras, depth: Tensor, hole_mask: Tensor) -> Tensor:
    """Numbers that say how far a clip goes and how large its scene is; none depends on the scene's unit.

    Args:
        cameras: T cameras.
        depth: [T, H, W] of the memory along them, camera z; 0 = none.
        hole_mask: [T, H, W], 1 = hole.

    Returns:
        [1, 16] float32: displacement x, y, z from the first to the last camera in the first one's axes, the
        box of all centres along those axes, the length of the way (seven distances in median depths of the
        first picture, log1p); angle turned in all, rotation vector from first to last camera (radians / pi);
        horizontal field of view (radians); shares of holes, over all and in the last picture; log of nearest
        and of farthest visible depth in median depths (5th and 95th percentile).
    """
    frames = cameras.num_frames
    check_shape("depth", depth, (frames, "H", "W"), "Render the memory along this very trajectory.")
    check_shape("holes", hole_mask, tuple(depth.shape))
    w2c = cameras.w2c.double()
    scene = _scene_depth(depth)
    relative = w2c[:1] @ torch.linalg.inv(w2c)  # cameras in the first one's frame
    centers = relative[:, :3, 3] / scene
    steps = centers.diff(dim=0).norm(dim=1).sum()[None]
    distances = torch.cat([centers[-1], centers.amax(0) - centers.amin(0), steps])
    turns = relative[1:, :3, :3] @ relative[:-1, :3, :3].mT
    total = _angle(turns).sum()[None] / math.pi
    last = _rotation_vector(relative[-1, :3, :3]) / math.pi
    fov = 2 * torch.atan(cameras.width / (2 * cameras.K[:1, 0, 0].double()))
    holes = torch.stack([hole_mask.double().mean(), hole_mask[-1].double().mean()]).to(fov)
    visible = depth[has_depth(depth)].double()
    span = torch.ones(2, dtype=torch.float64)
    if len(visible):
        # Percentiles of a sample: `quantile` refuses more than 16 million numbers.
        sample = visible[:: max(1, len(visible) // 100_000)].sort().values
        span = sample[[int(0.05 * (len(sample) - 1)), int(0.95 * (len(sample) - 1))]] / scene
    parts = (distances.sign() * distances.abs().log1p(), total, last, fov, holes, span.log().to(fov))
    features = torch.cat([part.cpu() for part in parts]).float()[None]
    assert features.shape[1] == GLOBAL_INPUTS
    return features


def _scene_depth(depth: Tensor) -> float:
    """Median depth of the first picture that shows anything; 1 if none does."""
    for one in depth:
        valid = one[has_depth(one)]
        if len(valid):
            return float(lower_median(valid))
    return 1.0


def _angle(rotation: Tensor) -> Tensor:
    """Angles of rotations [..., 3, 3], radians."""
    # atan2 keeps small angles, which acos of the trace loses.
    skew = torch.stack([rotation[..., 2, 1] - rotation[..., 1, 2], rotation[..., 0, 2] - rotation[..., 2, 0],
                        rotation[..., 1, 0] - rotation[..., 0, 1]], dim=-1)  # fmt: skip
    return torch.atan2(skew.norm(dim=-1), rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)


def _rotation_vector(rotation: Tensor) -> Tensor:
    """Axis times angle [3] of one rotation; at exactly half a turn the axis is lost and 0 is returned."""
    skew = torch.stack(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    return normalize(skew, dim=0, eps=1e-9) * _angle(rotation)


def picture_maps(
    depth: Tensor | None = None, edges: Tensor | None = None, semantic: Tensor | None = None
) -> Tensor:
    """Further pictures as channels; those not given are 0.

    Args:
        depth: [M, H, W] camera z of the clip's frames, any unit, 0 = none.
        edges: [M, H, W] 0..1, for instance ``geometry.edges.canny``.
        semantic: [M, 3, H, W] 0..1, a colour per class or instance.

    Returns:
        [1, 5, M, H, W]: median / (median + depth), so near is 1 and none is 0; edges; semantic.

    Raises: ShapeError if none is given or they differ in size.
    """
    given = [pictures for pictures in (depth, edges, semantic) if pictures is not None]
    if not given:
        raise ShapeError("pictures: got none, expected depth, edges or a semantic picture. Wire one of them.")
    frames, height, width = given[0].shape[0], *given[0].shape[-2:]
    maps = torch.zeros(PICTURE_CHANNELS, frames, height, width, device=given[0].device)
    if depth is not None:
        check_shape("depth", depth, (frames, height, width))
        maps[0] = _nearness(depth)
    if edges is not None:
        check_shape("edges", edges, (frames, height, width), "It must have the size of the depth.")
        maps[1] = edges.float()
    if semantic is not None:
        check_shape("semantic", semantic, (frames, 3, height, width), "It must have the size of the others.")
        maps[2:] = semantic.float().transpose(0, 1)
    return maps[None]


def _nearness(depth: Tensor) -> Tensor:
    """Scene depth / (scene depth + depth), 0 where there is none."""
    scene = _scene_depth(depth)
    return torch.where(has_depth(depth), scene / (scene + depth), 0.0).float()


def geometry_maps(depth: Tensor, K: Tensor) -> Tensor:
    """The rasterised cloud as a network can use it: where, how it stands out, which way it faces.

    Args:
        depth: [M, H, W] of the memory along the clip, camera z; 0 = none.
        K: [M, 3, 3], pixels of an H x W picture.

    Returns:
        [1, 7, M, H, W]: nearness in the scene, as in ``picture_maps``; nearness relative to its surroundings
        as large as objects, and to those close by, -1..1; unit normals in camera axes (0 at edges); 1 where
        there is depth.
    """
    sizes = check_shape("depth", depth, ("M", "H", "W"))
    check_shape("K", K, (sizes["M"], 3, 3))
    near, valid = _nearness(depth), has_depth(depth).float()
    maps = [near]
    for share in (OBJECT_WINDOW, LOCAL_WINDOW):
        side = max(3, round(share * sizes["H"]) // 2 * 2 + 1)
        around = _box_sum(near, side) / _box_sum(valid, side).clamp(min=1)
        maps.append(((near - around) / around.clamp(min=1e-6)).clamp(-1, 1) * valid)
    normal = _normals(depth, K)
    return torch.stack([*maps, *normal.unbind(1), valid])[None]


def _box_sum(maps: Tensor, side: int) -> Tensor:
    """Sum of [M, H, W] over a side x side window around each pixel; outside counts as 0."""
    reach = side // 2
    for axis in (1, 2):
        size = maps.shape[axis]
        total = torch.nn.functional.pad(maps.double().cumsum(axis), (1, 0) if axis == 2 else (0, 0, 1, 0))
        index = torch.arange(size, device=maps.device)
        upper, lower = (index + reach + 1).clamp(max=size), (index - reach).clamp(min=0)
        maps = total.index_select(axis, upper) - total.index_select(axis, lower)
    return maps.float()


def _normals(depth: Tensor, K: Tensor) -> Tensor:
    """[M, 3, H, W] from neighbours right and below; 0 where one is missing or lies on another surface."""
    points = pixel_directions(K, *depth.shape[1:]) * depth[..., None]
    right, down = points[:, :-1, 1:] - points[:, :-1, :-1], points[:, 1:, :-1] - points[:, :-1, :-1]
    here = depth[:, :-1, :-1]
    steps = torch.stack([depth[:, :-1, 1:] - here, depth[:, 1:, :-1] - here]).abs().amax(0)
    valid = has_depth(depth).float()
    whole = (valid[:, :-1, :-1] * valid[:, :-1, 1:] * valid[:, 1:, :-1] > 0) & (steps < EDGE_STEP * here)
    normal = normalize(torch.linalg.cross(down, right), dim=-1)
    normal = torch.where(whole[..., None], normal, 0.0)
    return torch.nn.functional.pad(normal.permute(0, 3, 1, 2), (0, 1, 0, 1))


def warped_latents(
    vae: VAE,
    memory: GeometricMemory,
    cameras: Cameras,
    views: Sequence[View],
    *,
    radius: float | None = None,
) -> Tensor:
    """Reference views carried over into the clip's key frames by geometry, encoded.

    Args:
        vae: encodes the pictures.
        memory: its points give the geometry.
        cameras: one per key frame, at the clip's size.
        views: of the memory's bank.
        radius: of the points drawn for depth; None = ``point_radius``.

    Returns:
        [1, 17, F, h, w]: latents of the warped pictures, grey where no view sees the place, and a mask of
        cells, 1 = at least half seen.
    """
    if radius is None:
        radius = point_radius(cameras.height, cameras.width)
    pictures, holes = warp_views(memory, cameras, views, radius=radius)
    pictures = torch.where(holes[:, None] > 0, GREY, pictures)
    latents = vae.encode_keyframes(pictures)
    cells = (cameras.height // PIXELS_PER_CELL, cameras.width // PIXELS_PER_CELL)
    seen = interpolate(1 - holes[None].float(), cells, mode="area") >= SEEN_CELL
    return torch.cat([latents, seen[:, None].to(latents)], dim=1)


def point_radius(height: int, width: int) -> float:
    """Radius of points that leaves no gaps: the released one, and at least a pixel of small pictures."""
    return max(RELEASED_RADIUS, 2 / min(height, width))


def memory_depth(
    memory: GeometricMemory, cameras: Cameras, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """[T, H, W] depth of the memory that the parts are shown, camera z; 0 = none."""
    radius = point_radius(cameras.height, cameras.width)
    return memory.render(cameras, radius=radius, points_per_pixel=1, progress=progress).depth


def with_part_inputs(
    condition: ControlCondition,
    config: WorldStereoConfig,
    cameras: Cameras,
    depth: Tensor,
    hole_mask: Tensor,
    *,
    vae: VAE | None = None,
    memory: GeometricMemory | None = None,
    views: Sequence[View] = (),
    pictures: Tensor | None = None,
) -> ControlCondition:
    """The condition with what the control's optional parts take; those it does not have cost nothing.

    Args:
        condition: of the clip.
        config: of the WorldStereo file.
        cameras, depth, hole_mask: the trajectory and the memory's render along it, [T, H, W].
        vae, memory, views: for warped references; without them that part gets none.
        pictures: what ``picture_maps`` made, or None.
    """
    parts, device = config.parts, condition.render_latents.device
    cameras = cameras.resized(*depth.shape[1:])
    changes: dict[str, Tensor] = {}
    if parts.global_inputs:
        changes["global_vector"] = global_features(cameras, depth, hole_mask)
    if parts.picture_channels and pictures is not None:
        changes["pictures"] = pictures
    if parts.geometry_channels:
        changes["geometry"] = geometry_maps(depth, cameras.K.to(depth))
    if parts.warped_channels and vae is not None and memory is not None and views:
        key_cameras = cameras[:: config.control.mask_kernel]
        changes["warped_references"] = warped_latents(vae, memory, key_cameras, views)
    return replace(condition, **{name: value.to(device) for name, value in changes.items()})


def add_part_inputs(
    condition: ControlCondition,
    config: WorldStereoConfig,
    vae: VAE,
    cameras: Cameras,
    hole_mask: Tensor,
    memory: GeometricMemory | None,
    references: References | None = None,
    *,
    edges: Tensor | None = None,
    semantic: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ControlCondition:
    """Give the optional parts of a control what they take, from the memory that was rendered.

    Args:
        condition: of the clip, as ``conditioning.build_condition`` made it.
        config: of the WorldStereo file; one without parts gets its condition back as it is.
        vae: encodes warped references.
        cameras: one per render; K may refer to another picture size.
        hole_mask: [M, H, W] of the renders.
        memory: gives depth; without it only edges and semantic pictures reach their part.
        references: the clip's, to be warped.
        edges, semantic: [M, 3, H, W] 0..1, one per render; see ``picture_maps``.
        progress: called with (frames drawn, frames in all); it may raise to interrupt.

    Raises: ShapeError if pictures differ from the renders in number or size.
    """
    fed = [name for name in config.parts.names if name not in FED_OTHERWISE]
    if not fed:
        return condition
    for name, given in (("edges", edges), ("semantic", semantic)):
        if given is not None:
            hint = "Give one picture per render, at its size."
            check_shape(name, given, (hole_mask.shape[0], 3, *hole_mask.shape[1:]), hint)
    cameras = cameras.resized(*hole_mask.shape[1:])
    lines = None if edges is None else edges.mean(dim=1)
    if memory is None:
        logger.warning(
            "The file has the optional parts %s, which take their inputs from the memory; none is given, so "
            "they are off. Wire the memory that was rendered into Encode Control.",
            ", ".join(fed),
        )
        if not config.parts.picture_channels or (edges is None and semantic is None):
            return condition
        return replace(
            condition, pictures=picture_maps(None, lines, semantic).to(condition.render_latents.device)
        )
    depth = memory_depth(memory, cameras, progress).to(hole_mask.device)
    return with_part_inputs(
        condition,
        config,
        cameras,
        depth,
        hole_mask,
        vae=vae,
        memory=memory,
        views=() if references is None else references.views,
        pictures=picture_maps(depth, lines, semantic) if config.parts.picture_channels else None,
    )
