"""Rigid transforms and unit quaternions (wxyz, w >= 0)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

# Below this 1 - cos(angle) slerp's sines lose their digits, and a straight line is exact.
_NEARLY_PARALLEL = 1e-6


def invert_se3(transform: Tensor) -> Tensor:
    """Invert rigid transforms by transposing the rotation.

    Args:
        transform: [..., 4, 4], rotation and translation, last row 0 0 0 1.

    Returns:
        [..., 4, 4]; w2c becomes c2w and back.
    """
    rotation = transform[..., :3, :3].mT
    translation = -(rotation @ transform[..., :3, 3:])
    return torch.cat([torch.cat([rotation, translation], dim=-1), transform[..., 3:, :]], dim=-2)


def matrix_to_quaternion(rotation: Tensor) -> Tensor:
    """Convert rotation matrices to unit quaternions.

    Each of the four components can be recovered first and the other three divided by it; the largest one is
    taken (the first on ties) because dividing by it loses the fewest digits. A real part of exactly 0 leaves
    the sign as the formula produced it.

    Args:
        rotation: [..., 3, 3].

    Returns:
        [..., 4] wxyz with w >= 0.
    """
    m = rotation.flatten(-2).unbind(-1)
    xx, yy, zz = m[0], m[4], m[8]
    # 4 w², 4 x², 4 y², 4 z²; rounding can push a zero below zero.
    squares = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], dim=-1)
    doubled = torch.where(squares > 0, squares, torch.zeros_like(squares)).sqrt()
    wx, wy, wz = m[7] - m[5], m[2] - m[6], m[3] - m[1]
    xy, xz, yz = m[1] + m[3], m[2] + m[6], m[5] + m[7]
    candidates = torch.stack(
        [
            torch.stack([doubled[..., 0] ** 2, wx, wy, wz], dim=-1),
            torch.stack([wx, doubled[..., 1] ** 2, xy, xz], dim=-1),
            torch.stack([wy, xy, doubled[..., 2] ** 2, yz], dim=-1),
            torch.stack([wz, xz, yz, doubled[..., 3] ** 2], dim=-1),
        ],
        dim=-2,
    )
    candidates = candidates / (2 * doubled[..., None].clamp(min=0.1))
    largest = doubled.argmax(dim=-1)[..., None, None].expand(*doubled.shape[:-1], 1, 4)
    quaternion = candidates.gather(-2, largest).squeeze(-2)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Convert quaternions to rotation matrices.

    Args:
        quaternion: [..., 4] wxyz of any non-zero length.

    Returns:
        [..., 3, 3].
    """
    w, x, y, z = normalize(quaternion, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def slerp(start: Tensor, end: Tensor, fraction: Tensor) -> Tensor:
    """Interpolate rotations at constant angular speed along the shorter arc.

    Args:
        start, end: [..., 4] unit wxyz.
        fraction: [...], 0 gives start, 1 gives end.

    Returns:
        [..., 4] unit wxyz with w >= 0.
    """
    cosine = (start * end).sum(-1, keepdim=True)
    end = torch.where(cosine < 0, -end, end)
    cosine = cosine.abs().clamp(max=1)
    angle = torch.acos(cosine)
    fraction = fraction[..., None]
    is_line = 1 - cosine < _NEARLY_PARALLEL
    sine = torch.where(is_line, torch.ones_like(angle), torch.sin(angle))
    weight_start = torch.where(is_line, 1 - fraction, torch.sin((1 - fraction) * angle) / sine)
    weight_end = torch.where(is_line, fraction.expand_as(angle), torch.sin(fraction * angle) / sine)
    result = normalize(weight_start * start + weight_end * end, dim=-1)
    return torch.where(result[..., :1] < 0, -result, result)
