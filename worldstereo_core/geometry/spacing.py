"""How far apart the points of a cloud are, place by place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import WorldStereoError

NEIGHBOURS = 3  # as many as Gaussian-splat trainers take
WINDOW = 12  # places before and after a point along the curve, in which its neighbours are looked for
# Lone points would get splats as large as their loneliness; none is taken as larger than this many medians.
LARGEST = 20.0
BITS = 21
_CHUNK = 2**17


def local_spacing(xyz: Tensor, progress: Callable[[int, int], None] | None = None) -> Tensor:
    """Distance from each point to its neighbours: the root mean square of the three nearest.

    Neighbours are looked for along a space-filling curve (Morton order), so the result is exact or a little
    too large, in a time that grows as sorting does. Points in the very same place do not count as neighbours.

    Args:
        xyz: [N, 3], any length unit.
        progress: called with (steps done, steps in all); it may raise to stop.

    Returns:
        [N] float32 in the same unit, above 0 and at most 20 times the median.

    Raises: WorldStereoError if fewer than two places are different.
    """
    # A curve jumps at the faces of its cubes; there the other, whose cubes lie elsewhere, does not.
    found = torch.fmin(_along_curve(xyz, 0.0, 0, progress), _along_curve(xyz, 1 / 3, 1, progress))
    known = found[torch.isfinite(found)]
    if len(known) == 0:
        raise WorldStereoError(
            f"points: all {len(xyz)} stand in one place, expected at least two places, so that splats can "
            "have a size. Export points instead."
        )
    median = known.median()
    return torch.where(torch.isfinite(found), found, median).clamp_(max=LARGEST * median)


def _along_curve(xyz: Tensor, shift: float, turn: int, progress: Callable[[int, int], None] | None) -> Tensor:
    """[N] spacing from neighbours along one curve; NaN for points that have none."""
    order = _morton_codes(xyz, shift).argsort()
    placed = xyz[order]
    count = len(placed)
    steps = [step for step in range(-WINDOW, WINDOW + 1) if step]
    found = xyz.new_empty(count)
    for first in range(0, count, _CHUNK):
        here = torch.arange(first, min(first + _CHUNK, count), device=xyz.device)
        nearest = xyz.new_full((NEIGHBOURS, len(here)), torch.inf)
        for step in steps:
            other = here + step
            is_there = (other >= 0) & (other < count)
            apart = (placed[here] - placed[other.clamp_(0, count - 1)]).square().sum(-1)
            apart = torch.where(is_there & (apart > 0), apart, torch.inf)
            for place in range(NEIGHBOURS):  # keeps the smallest, in order
                nearest[place], apart = (
                    torch.minimum(nearest[place], apart),
                    torch.maximum(nearest[place], apart),
                )
        is_found = torch.isfinite(nearest)
        found[here] = (torch.where(is_found, nearest, 0).sum(0) / is_found.sum(0)).sqrt()
        if progress is not None:
            progress(turn * count + first + len(here), 2 * count)
    spacing = torch.empty_like(found)
    spacing[order] = found
    return spacing


def _morton_codes(xyz: Tensor, shift: float) -> Tensor:
    """[N] int64: the bits of 21-bit cell numbers along x, y and z, interleaved; shift in extents."""
    codes = torch.empty(len(xyz), dtype=torch.int64, device=xyz.device)
    if not len(xyz):
        return codes
    low, high = xyz.amin(0).double(), xyz.amax(0).double()
    extent = (high - low).amax().clamp(min=torch.finfo(torch.float64).tiny)
    cell = extent * (1 + shift) / (2**BITS - 1)
    low = low - extent * shift
    for first in range(0, len(xyz), _CHUNK):
        place = ((xyz[first : first + _CHUNK].double() - low) / cell).long().clamp_(0, 2**BITS - 1)
        x, y, z = _spread(place).unbind(1)
        codes[first : first + _CHUNK] = (x << 2) | (y << 1) | z
    return codes


def _spread(bits: Tensor) -> Tensor:
    """Move bit i to bit 3 i."""
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        bits = (bits | (bits << shift)) & mask
    return bits
