"""Rotary position embedding of video tokens: interleaved pairs, split over time, rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor

from .backbone import TokenGrid

THETA = 10000.0


def axis_widths(head_width: int) -> tuple[int, int, int]:
    """Channels of a head that turn with time, row and column; time takes what does not divide."""
    spatial = 2 * (head_width // 6)
    return head_width - 2 * spatial, spatial, spatial


def axis_angles(positions: Tensor, width: int) -> Tensor:
    """[n] positions -> [n, width / 2] angles in radians, float64."""
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    return torch.outer(positions.to(torch.float64), THETA**-exponents)


def grid_rope(grid: TokenGrid, head_width: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Cosines and sines of a whole token grid, positions counted from 0.

    Returns:
        Two [1, tokens, 1, head_width / 2] float32 tensors; one value per channel pair.
    """
    cosines, sines = [], []
    sizes = (grid.frames, grid.rows, grid.columns)
    for axis, (count, width) in enumerate(zip(sizes, axis_widths(head_width), strict=True)):
        # One axis at a time and on the CPU: these tables are tiny, and not every device has float64.
        angles = axis_angles(torch.arange(count), width)
        shape = [1, 1, 1, width // 2]
        shape[axis] = count
        for table, values in ((cosines, angles.cos()), (sines, angles.sin())):
            table.append(values.to(device, torch.float32).view(shape).expand(*sizes, width // 2))
    shape = (1, grid.num_tokens, 1, head_width // 2)
    return torch.cat(cosines, dim=-1).reshape(shape), torch.cat(sines, dim=-1).reshape(shape)


def apply_rope(tokens: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate channel pairs (0, 1), (2, 3), ... of [B, tokens, heads, head_width] by the rope, in float32."""
    cosine, sine = rope
    first, second = tokens.float().unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack((first * cosine - second * sine, first * sine + second * cosine), dim=-1)
    return rotated.flatten(-2).to(tokens.dtype)
