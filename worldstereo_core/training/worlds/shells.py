"""What surrounds the solids of a world: the inside of a room, or flat ground under a sky."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from .rays import Rays
from .units import FAR


@dataclass(frozen=True, eq=False)
class Surface:
    """N points on surfaces.

    Attributes:
        normal: [3, N] unit, world axes, towards the side it is seen from.
        tile: [N] int64 texture. u, v: [N] in tiles. scale: [N] metres per tile.
        tint: [3, N] factor on the texture's colour, or None for 1.
        light: [N] share of all light that the shell itself lets through, or None for 1.
        thing: [N] int64 instance.
    """

    normal: Tensor
    tile: Tensor
    u: Tensor
    v: Tensor
    scale: Tensor
    thing: Tensor
    tint: Tensor | None = None
    light: Tensor | None = None


class Shell(Protocol):
    """The background that rays meet where no solid is in the way."""

    def enter(self, rays: Rays) -> Tensor:
        """Ray parameter [N] at the shell; FAR where there is only sky."""
        ...

    def surface(self, points: Tensor) -> Surface:
        """The surface at points [3, N] of the shell."""
        ...

    def distance(self, points: Tensor) -> Tensor:
        """A lower bound of the way from points [3, N] to the shell, [N]; negative behind it."""
        ...

    def to(self, device: torch.device | str) -> Shell: ...


@dataclass(frozen=True, eq=False)
class Room:
    """A box seen from inside. Instances: 1 floor, 2 ceiling, 3 to 6 walls (-x, +x, -z, +z).

    Attributes:
        low, high: [3] corners, metres; y points down, so the floor is at high[1].
        tiles: [6] int64 textures and scales: [6] metres per tile, in the order of the instances.
    """

    low: Tensor
    high: Tensor
    tiles: Tensor
    scales: Tensor

    def enter(self, rays: Rays) -> Tensor:
        inverse = (rays.direction + 1e-12).reciprocal_()
        middle = rays.of_each(((self.low + self.high) / 2)[:, None] - rays.origin)
        half = ((self.high - self.low) / 2)[:, None]
        return (middle * inverse + half * inverse.abs()).amin(0)

    def surface(self, points: Tensor) -> Surface:
        half = ((self.high - self.low) / 2)[:, None]
        offset = points - ((self.low + self.high) / 2)[:, None]
        gap = half - offset.abs()  # the wall a point is on is the one it has no gap to
        on = (gap <= gap.amin(0)).float()
        on = on * (1 - torch.stack([on[0] * 0, on[0], torch.maximum(on[0], on[1])]))  # corners: one wall only
        side = (offset > 0).float()
        face = (on[1] * (1 - side[1]) + on[0] * (2 + side[0]) + on[2] * (4 + side[2])).long()
        x, y, z = points
        u = torch.lerp(x, z, on[0])
        v = torch.lerp(y, z, on[1])
        scale = self.scales[face]
        return Surface(-on * offset.sign(), self.tiles[face], u / scale, v / scale, scale, face + 1)

    def distance(self, points: Tensor) -> Tensor:
        offset = points - ((self.low + self.high) / 2)[:, None]
        return (((self.high - self.low) / 2)[:, None] - offset.abs()).amin(0)

    def to(self, device: torch.device | str) -> Room:
        return Room(self.low.to(device), self.high.to(device), self.tiles.to(device), self.scales.to(device))


@dataclass(frozen=True, eq=False)
class Ground:
    """A plane at world y ``level`` that ends ``reach`` metres from the ray's start. Instance 1."""

    level: float
    reach: float
    tile: int
    scale: float

    def enter(self, rays: Rays) -> Tensor:
        direction = rays.direction
        time = rays.of_each(self.level - rays.origin[1]) / direction[1].clamp(min=1e-9)
        flat = direction[::2].square().sum(0).sqrt()
        beyond = (time * flat > self.reach).float()
        return torch.lerp(time, torch.full_like(time, FAR), beyond).clamp(max=FAR)

    def surface(self, points: Tensor) -> Surface:
        normal = torch.zeros_like(points)
        normal[1] = -1
        tile = torch.full_like(points[0], self.tile, dtype=torch.int64)
        scale = torch.full_like(points[0], self.scale)
        return Surface(
            normal, tile, points[0] / self.scale, points[2] / self.scale, scale, torch.ones_like(tile)
        )

    def distance(self, points: Tensor) -> Tensor:
        return self.level - points[1]

    def to(self, device: torch.device | str) -> Ground:
        return replace(self)
