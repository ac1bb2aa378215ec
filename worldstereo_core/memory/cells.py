"""Cells of a voxel grid: their keys, and how the points of one cell become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..geometry.point_cloud import Evidence, PointCloud

# A cell's key packs three signed cell numbers of 21 bits: 14 bits of block and 7 bits inside it per axis. A
# view of 832 pixels meets a few hundred blocks of this size; smaller ones cost more by their number.
BLOCK_BITS = 7
AXIS_BITS = 14
_HALF = 1 << (AXIS_BITS + BLOCK_BITS - 1)
LOCAL_BITS = 3 * BLOCK_BITS
# Columns of the means.
XYZ, RGB, NORMAL, CONFIDENCE = slice(0, 3), slice(3, 6), slice(6, 9), 9
# Points made into cells at once: bounds the memory that takes, and the time between pauses.
SLAB_POINTS = 1_000_000


@dataclass(frozen=True, eq=False)
class Cells:
    """Occupied cells, ordered by key.

    Attributes:
        keys: [M] int64, unique.
        means: [M, 10] float32: position, colour, normal (shorter than 1 where directions differ, 0 if
            unknown), confidence.
        weight: [M] float32, sum of the confidence of what was seen in the cell.
        seen: [M] int32, views or clouds that saw the cell.
        missed: [M] int32, views that saw through it.
        clip: [M] int32, the first clip that saw it.
    """

    keys: Tensor
    means: Tensor
    weight: Tensor
    seen: Tensor
    missed: Tensor
    clip: Tensor

    def select(self, index: Tensor | slice) -> Cells:
        """Cells of a mask, of indices, or of a slice; a copy, so that no larger tensor is kept alive."""
        parts = (self.keys, self.means, self.weight, self.seen, self.missed, self.clip)
        chosen = (part[index] for part in parts)
        return Cells(*(part.clone() for part in chosen) if isinstance(index, slice) else chosen)

    def to(self, device: torch.device | str) -> Cells:
        parts = (self.keys, self.means, self.weight, self.seen, self.missed, self.clip)
        return Cells(*(part.to(device) for part in parts))


def points_to_cells(points: PointCloud, cell: float) -> Cells:
    """The cells of one cloud: weighted means, each seen once unless the points say otherwise."""
    normal = torch.zeros_like(points.xyz) if points.normal is None else points.normal
    means = torch.cat([points.xyz, points.rgb, normal, points.confidence[:, None]], dim=1).float()
    if not bool(torch.isfinite(means).all()):
        bad = int((~torch.isfinite(means).all(1)).sum())
        raise WorldStereoError(
            f"points: {bad} of {points.num_points} hold numbers that are not finite. Drop them before fusing."
        )
    place = torch.floor(points.xyz.double() / cell)
    if bool((place.abs() >= _HALF).any()):
        raise WorldStereoError(
            f"cell: {cell:g} puts a point at {float(points.xyz.abs().max()):.4g} scene units beyond "
            f"{_HALF:,} cells from the origin. Choose a larger cell, or crop the far points."
        )
    evidence = points.evidence or Evidence.of_one_sighting(points.confidence.float())
    keys = _pack(place.long() + _HALF)
    rows = Cells(keys, means, evidence.weight, evidence.seen, evidence.missed, points.clip)
    return merge_cells(rows, counts="amax")


def split_points(points: PointCloud, cell: float) -> Iterator[PointCloud]:
    """Parts of a cloud, about ``SLAB_POINTS`` each, that share no block of cells; order within is kept."""
    if points.num_points <= SLAB_POINTS:
        yield points
        return
    slab = torch.floor(points.xyz[:, 0].double() / cell).long() >> BLOCK_BITS
    slab, order = slab.sort(stable=True)
    start = 0
    while start < len(slab):
        last = slab[min(start + SLAB_POINTS, len(slab)) - 1]
        end = int(torch.searchsorted(slab, last, right=True))
        yield points.select(order[start:end])
        start = end


def merge_cells(cells: Cells, counts: Literal["sum", "amax"] = "sum") -> Cells:
    """Join rows of the same key: weighted means, sums (or maxima) of counts, the lowest clip."""
    keys, owner = torch.unique(cells.keys, return_inverse=True)
    count = len(keys)
    weight = cells.weight.double()
    total = weight.new_zeros(count).index_add_(0, owner, weight)
    means = weight.new_zeros(count, cells.means.shape[1])
    means.index_add_(0, owner, cells.means.double() * weight[:, None])
    clip = torch.full((count,), torch.iinfo(torch.int32).max, dtype=torch.int32, device=keys.device)
    zero = torch.zeros_like(clip)
    return Cells(
        keys=keys,
        means=(means / total[:, None]).float(),
        weight=total.float(),
        seen=zero.scatter_reduce(0, owner, cells.seen.int(), counts),
        missed=zero.scatter_reduce(0, owner, cells.missed.int(), counts),
        clip=clip.scatter_reduce(0, owner, cells.clip.int(), "amin"),
    )


def join_cells(parts: list[Cells]) -> Cells:
    """All rows one after another; blocks of ascending number stay ordered."""
    if not parts:
        counts = torch.zeros(0, dtype=torch.int32)
        nothing = torch.zeros(0)
        return Cells(counts.long(), torch.zeros(0, 10), nothing, counts, counts, counts)
    return Cells(
        keys=torch.cat([part.keys for part in parts]),
        means=torch.cat([part.means for part in parts]),
        weight=torch.cat([part.weight for part in parts]),
        seen=torch.cat([part.seen for part in parts]),
        missed=torch.cat([part.missed for part in parts]),
        clip=torch.cat([part.clip for part in parts]),
    )


def split_cells(cells: Cells) -> dict[int, Cells]:
    """Rows grouped by block; rows of a block must be neighbours."""
    numbers, counts = torch.unique_consecutive(cells.keys >> LOCAL_BITS, return_counts=True)
    ends = counts.cumsum(0).tolist()
    starts = [0, *ends][: len(ends)]
    return {
        number: cells.select(slice(start, end))
        for number, start, end in zip(numbers.tolist(), starts, ends, strict=True)
    }


def _pack(place: Tensor) -> Tensor:
    """[N, 3] cell numbers from 0 -> [N] keys: the block's number, then the cell's inside it."""
    block, local = place >> BLOCK_BITS, place & ((1 << BLOCK_BITS) - 1)

    def joined(parts: Tensor, bits: int) -> Tensor:
        return (parts[:, 0] << (2 * bits)) | (parts[:, 1] << bits) | parts[:, 2]

    return (joined(block, AXIS_BITS) << LOCAL_BITS) | joined(local, BLOCK_BITS)


def unpack_key(numbers: Tensor, bits: int) -> Tensor:
    """[N] -> [N, 3], the inverse of packing three numbers of so many bits."""
    low = (1 << bits) - 1
    return torch.stack([numbers >> (2 * bits), (numbers >> bits) & low, numbers & low], dim=-1)
