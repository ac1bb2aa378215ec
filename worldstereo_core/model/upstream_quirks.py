"""Camera maths that the released weights were trained with, oddities included.

Everything here reproduces the released model's inputs to the last digit that matters, so nothing here is to
be tidied: each oddity has a reason stated beside it and a test of its own. Non-finite cameras spread through
these functions as they do in the released code; nodes, commands and readers refuse them before they get here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..geometry.cameras import pixel_directions
from ..geometry.poses import matrix_to_quaternion

# (x, y): training sampled each row at its centre but each column half a pixel left of its edge, a whole pixel
# from its centre. The weights saw only such rays.
RELEASED_PIXEL_OFFSET = (-0.5, 0.5)

# The first camera ends this far from the middle of all cameras.
RELEASED_CAMERA_DISTANCE = 2.0

_STANDS_IN_THE_MIDDLE = 1e-5
_OUTLIER_QUANTILE = 0.97
_OUTLIER_FACTOR = 10.0
_OUTLIER_LIMIT = 1e6


def normalize_camera_centers(
    w2c: Tensor, num_frames: int, scale: float = RELEASED_CAMERA_DISTANCE, is_w2c: bool = True
) -> Tensor:
    """Bring camera paths to the frame and scale the released models expect.

    The world becomes that of each path's first camera, is then moved so that the mean camera centre is its
    origin, and scaled so that the very first camera stands ``scale`` from it. A first camera that already
    stands in the middle has no distance to correct: then translations are multiplied by ``scale``.

    Args:
        w2c: [paths * num_frames, 4, 4], whole paths one after the other.
        num_frames: frames of one path.
        scale: distance of the first camera from the origin afterwards.
        is_w2c: False multiplies by the first camera's inverse on the other side, which is no change of world;
            weights of the Uni3C lineage were trained with it.

    Returns:
        [paths * num_frames, 4, 4] w2c.
    """
    first = _inverse(w2c[::num_frames]).repeat_interleave(num_frames, dim=0)
    w2c = w2c @ first if is_w2c else first @ w2c
    return _center_and_scale(w2c, w2c, scale)


def unified_camera_normalization(
    targets: Tensor, references: Tensor, scale: float = RELEASED_CAMERA_DISTANCE
) -> tuple[Tensor, Tensor]:
    """Normalise a path and its reference cameras together, as measured on the path alone.

    Args:
        targets: [T, 4, 4] w2c of the path.
        references: [V, 4, 4] w2c in the same world.
        scale: distance of the first target from the origin afterwards.

    Returns:
        The normalised targets [T, 4, 4] and references [V, 4, 4].
    """
    first = _inverse(targets[:1])
    targets, references = targets @ first, references @ first
    normalized = _center_and_scale(torch.cat([targets, references]), targets, scale)
    return normalized[: len(targets)], normalized[len(targets) :]


def w2c_to_camera_tokens(w2c: Tensor) -> Tensor:
    """[..., 4, 4] normalised w2c -> [..., 7]: quaternion wxyz of its rotation, then its translation."""
    return torch.cat([matrix_to_quaternion(w2c[..., :3, :3]), w2c[..., :3, 3]], dim=-1)


def released_camera_rays(K: Tensor, w2c: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Origins and unit directions of every pixel's ray at the released sampling positions.

    Args:
        K: [T, 3, 3], pixels of a ``height`` x ``width`` image.
        w2c: [T, 4, 4].

    Returns:
        Camera centres [T, 3] and directions [T, H, W, 3], both in world coordinates.
    """
    c2w = _inverse(w2c)
    in_camera = pixel_directions(K, height, width, RELEASED_PIXEL_OFFSET)
    direction = normalize(in_camera.flatten(1, 2) @ c2w[:, :3, :3].mT, dim=-1)
    return c2w[:, :3, 3], direction.unflatten(1, (height, width))


def released_rays(
    K: Tensor, w2c: Tensor, height: int, width: int, normalize: bool = True, is_w2c: bool = True
) -> Tensor:
    """The camera-ray channels of the released control branch.

    One non-finite number anywhere empties the whole embedding: in training such samples went without rays.

    Args:
        K: [T, 3, 3], pixels of a ``height`` x ``width`` image.
        w2c: [T, 4, 4] of one path.
        normalize: apply ``normalize_camera_centers`` first.
        is_w2c: passed on to it.

    Returns:
        [1, 6, T, H, W]: direction, then moment = origin x direction.
    """
    if normalize:
        w2c = normalize_camera_centers(w2c, len(w2c), is_w2c=is_w2c)
    origin, direction = released_camera_rays(K, w2c, height, width)
    moment = torch.linalg.cross(origin[:, None, None].expand_as(direction), direction)
    rays = torch.cat([direction, moment], dim=-1)
    if not torch.isfinite(rays).all():
        rays = torch.zeros_like(rays)
    return rays.permute(3, 0, 1, 2)[None]  # [T, H, W, 6] -> [1, 6, T, H, W]


def _center_and_scale(w2c: Tensor, measured: Tensor, scale: float) -> Tensor:
    """Move ``w2c`` and scale it by what the camera centres of ``measured`` [M, 4, 4] say."""
    centers = _inverse(measured)[:, :3, 3]
    # torch's median of an even count is the lower of the two middle values; the released code relies on it.
    distance = (centers - centers.median(dim=0).values).norm(dim=-1)
    limit = (_OUTLIER_FACTOR * distance.quantile(_OUTLIER_QUANTILE)).clamp(max=_OUTLIER_LIMIT)
    mean = centers[distance <= limit].mean(dim=0)

    c2w = _inverse(w2c)
    moved = torch.cat([c2w[:, :3, 3:] - mean[:, None], c2w[:, 3:, 3:]], dim=1)
    w2c = _inverse(torch.cat([c2w[:, :, :3], moved], dim=2))

    first_distance = (centers[0] - mean).norm()
    stands_in_the_middle = first_distance <= _STANDS_IN_THE_MIDDLE
    factor = torch.where(stands_in_the_middle, torch.full_like(first_distance, scale), scale / first_distance)
    return torch.cat([w2c[:, :, :3], torch.cat([w2c[:, :3, 3:] * factor, w2c[:, 3:, 3:]], dim=1)], dim=2)


def _inverse(matrices: Tensor) -> Tensor:
    """General inverse in which one NaN makes the whole matrix NaN, without raising."""
    return torch.linalg.inv_ex(matrices)[0]
