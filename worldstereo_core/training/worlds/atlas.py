"""Textures of a world in one table: tiles with their smaller levels, and a sky around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .tiles import TILE

LEVELS = TILE.bit_length()  # 128, 64, ... 1
PER_TILE = (4**LEVELS - 1) // 3


@dataclass(frozen=True, eq=False)
class Atlas:
    """M seamless tiles with all their halved levels.

    Attributes:
        texels: [M * texels per tile, 4] linear rgb and one unused column, level after level, row after row.
        sizes, starts: [LEVELS] int64, side of a level and where it begins inside a tile's texels.
    """

    texels: Tensor
    sizes: Tensor
    starts: Tensor

    @classmethod
    def of(cls, tiles: Sequence[Tensor]) -> Atlas:
        """Build the levels of tiles [TILE, TILE, 3]."""
        level = torch.stack(list(tiles)).permute(0, 3, 1, 2)
        levels = [level]
        while level.shape[-1] > 1:
            level = avg_pool2d(level, 2)
            levels.append(level)
        flat = torch.cat([part.flatten(2) for part in levels], dim=2)
        flat = torch.cat([flat, torch.zeros_like(flat[:, :1])], dim=1).permute(0, 2, 1).reshape(-1, 4)
        sizes = torch.tensor([part.shape[-1] for part in levels])
        squares = sizes * sizes
        return cls(flat.contiguous(), sizes, squares.cumsum(0) - squares)

    def sample(self, tile: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
        """Colours [3, N] at positions in tile units, each from the level as coarse as its footprint.

        Args:
            tile: [N] int64. u, v: [N], one tile is 0..1 and repeats. footprint: [N] tile units per pixel.
        """
        level = torch.log2((footprint * TILE).clamp(1, TILE)).round().long()
        size, start = self.sizes[level], self.starts[level]
        last = size - 1
        x, y = (u - u.floor()) * size - 0.5, (v - v.floor()) * size - 0.5
        left, top = x.floor(), y.floor()
        x, y = x - left, y - top
        column, row = left.long(), top.long()
        first = tile * PER_TILE + start
        here, below = first + (row & last) * size, first + (row + 1 & last) * size
        column, right = column & last, column + 1 & last
        above = torch.lerp(self._rows(here + column), self._rows(here + right), x[:, None])
        under = torch.lerp(self._rows(below + column), self._rows(below + right), x[:, None])
        return torch.lerp(above, under, y[:, None])[:, :3].T

    def _rows(self, index: Tensor) -> Tensor:
        return self.texels.index_select(0, index)

    def to(self, device: torch.device | str) -> Atlas:
        return replace(
            self, texels=self.texels.to(device), sizes=self.sizes.to(device), starts=self.starts.to(device)
        )


@dataclass(frozen=True, eq=False)
class Sky:
    """What lies behind everything, by direction.

    Attributes:
        texels: [height * width, 3] linear rgb; columns turn about the vertical, rows go from straight up to
            straight down.
    """

    texels: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, picture: Tensor) -> Sky:
        """A sky from its picture [height, width, 3]."""
        return cls(picture.reshape(-1, 3).contiguous(), picture.shape[0], picture.shape[1])

    def sample(self, direction: Tensor) -> Tensor:
        """Colours [3, N] along unit directions [3, N] in world axes."""
        turn = torch.atan2(direction[0], direction[2]) / (2 * math.pi) + 0.5
        fall = torch.asin(direction[1].clamp(-1, 1)) / math.pi + 0.5
        x, y = turn * self.width - 0.5, (fall * self.height - 0.5).clamp(0, self.height - 1)
        left, top = x.floor(), y.floor()
        x, y = (x - left)[:, None], (y - top)[:, None]
        column, row = left.long() % self.width, top.long()
        right, below = (column + 1) % self.width, (row + 1).clamp(max=self.height - 1) * self.width
        row = row * self.width
        texels = self.texels
        above = torch.lerp(texels.index_select(0, row + column), texels.index_select(0, row + right), x)
        under = torch.lerp(texels.index_select(0, below + column), texels.index_select(0, below + right), x)
        return torch.lerp(above, under, y).T

    def to(self, device: torch.device | str) -> Sky:
        return replace(self, texels=self.texels.to(device))
