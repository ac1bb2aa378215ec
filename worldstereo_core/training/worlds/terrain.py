"""Heightfields: smooth hills over a square, met by rays without a mesh."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .shapes import FAR
from .shells import Surface

FIRST_STEP, GROWTH = 0.15, 0.05
MAX_STEPS, REFINEMENTS = 160, 10


@dataclass(frozen=True, eq=False)
class Terrain:
    """Bilinear patches over [-extent, extent]² in x and z, flat beyond. Instances: 1 land, 2 water.

    Attributes:
        corners: [G * G, 4] heights in metres above y = 0 at the corners of each cell: here, +x, +z, both.
        paint: [G * G, 4] colour factor and the light let through, at each corner.
        size: G. extent: metres. water: height below which land is under water (already filled in).
        slope: the steepest slope anywhere. low, high: lowest and highest height.
        tile, scale: the detail texture and its metres per tile.
    """

    corners: Tensor
    paint: Tensor
    size: int
    extent: float
    water: float
    slope: float
    low: float
    high: float
    tile: int
    scale: float

    @classmethod
    def of(
        cls, heights: Tensor, colours: Tensor, light: Tensor, extent: float, water: float, tile: int, scale: float
    ) -> Terrain:
        """From heights [G, G] (rows along z), colour factors [G, G, 3] and light let through [G, G]."""
        size = len(heights)
        heights = heights.clamp(min=water)
        step = 2 * extent / (size - 1)
        x, z = heights.diff(dim=1)[:-1] / step, heights.diff(dim=0)[:, :-1] / step
        ring = pad(heights[None, None], (0, 1, 0, 1), mode="replicate")[0, 0]
        corners = torch.stack([ring[:-1, :-1], ring[:-1, 1:], ring[1:, :-1], ring[1:, 1:]], -1)
        paint = torch.cat([colours, light[..., None]], -1)
        return cls(
            corners.reshape(-1, 4).contiguous(),
            paint.reshape(-1, 4).contiguous(),
            size,
            extent,
            water,
            max(float((x * x + z * z).sqrt().max()), 0.05),
            float(heights.min()),
            float(heights.max()),
            tile,
            scale,
        )

    def _cell(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The cell of positions, and where they are inside it in 0..1."""
        scale = (self.size - 1) / (2 * self.extent)
        x = ((x + self.extent) * scale).clamp(0, self.size - 1.001)
        z = ((z + self.extent) * scale).clamp(0, self.size - 1.001)
        column, row = x.floor(), z.floor()
        return (row * self.size + column).long(), x - column, z - row

    def height(self, x: Tensor, z: Tensor) -> Tensor:
        """Metres above y = 0 at positions [N]."""
        index, x, z = self._cell(x, z)
        here, right, below, both = self.corners.index_select(0, index).unbind(1)
        return torch.lerp(torch.lerp(here, right, x), torch.lerp(below, both, x), z)

    def enter(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where rays first go below the surface.

        Steps are as long as the steepest slope allows, but at least a twentieth of the way so far: a ridge
        thinner than that can be missed, which the smoothness of the hills rules out nearby.
        """
        num_rays = direction.shape[1]
        origin = origin.expand(3, num_rays)
        result = torch.full_like(direction[0], FAR)
        fall = direction[1] + 1e-9 * (direction[1] == 0)
        first = (-self.high - origin[1]) / fall
        last = (-self.low - origin[1]) / fall
        start = torch.minimum(first, last).clamp(min=0)
        # Rays that already start between highest and lowest begin where they are.
        speed = direction[::2].square().sum(0).sqrt()
        end = torch.minimum(torch.maximum(first, last), (self.extent * 2.2) / speed.clamp(min=1e-6))
        active = (start < end).nonzero()[:, 0]
        o, d, time, end = origin[:, active], direction[:, active], start[active], end[active]
        rate = 1 / (self.slope * speed[active] + d[1].clamp(min=0))
        before = time
        brackets: list[tuple[Tensor, Tensor, Tensor]] = []
        for step in range(MAX_STEPS):
            if not len(active):
                break
            point = torch.addcmul(o, d, time)
            clear = -self.height(point[0], point[2]) - point[1]
            below = clear <= 0
            if bool(below.any()):
                brackets.append((active[below], before[below], time[below]))
            going = ~below & (time < end)
            before = time
            time = time + torch.maximum(clear * rate, FIRST_STEP + GROWTH * time)
            # Only every few steps: selecting costs as much as a step.
            if step % 4 == 3 or bool(below.any()):
                active, o, d = active[going], o[:, going], d[:, going]
                time, before, end, rate = time[going], before[going], end[going], rate[going]
        if brackets:
            rays, low, high = (torch.cat(parts) for parts in zip(*brackets, strict=True))
            result[rays] = self._refine(origin[:, rays], direction[:, rays], low, high)
        return result

    def _refine(self, origin: Tensor, direction: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The crossing between a parameter above the surface and one below it, by halving."""
        for _ in range(REFINEMENTS):
            middle = (low + high) / 2
            point = torch.addcmul(origin, direction, middle)
            above = (-self.height(point[0], point[2]) > point[1]).float()
            low, high = torch.lerp(low, middle, above), torch.lerp(middle, high, above)
        point = torch.addcmul(origin, direction, low)
        other = torch.addcmul(origin, direction, high)
        gap = (-self.height(point[0], point[2]) - point[1]).clamp(min=0)
        over = (self.height(other[0], other[2]) + other[1]).clamp(min=0)
        return torch.lerp(low, high, gap / (gap + over).clamp(min=1e-12))

    def surface(self, points: Tensor) -> Surface:
        index, x, z = self._cell(points[0], points[2])
        here, right, below, both = self.corners.index_select(0, index).unbind(1)
        step = 2 * self.extent / (self.size - 1)
        slope_x = torch.lerp(right - here, both - below, z) / step
        slope_z = torch.lerp(below - here, both - right, x) / step
        normal = torch.stack([-slope_x, -torch.ones_like(slope_x), -slope_z])
        normal = normal / normal.square().sum(0).sqrt()
        paint = self.paint
        near = torch.lerp(paint.index_select(0, index), paint.index_select(0, index + 1), x[:, None])
        far = torch.lerp(
            paint.index_select(0, index + self.size), paint.index_select(0, index + self.size + 1), x[:, None]
        )
        tint = torch.lerp(near, far, z[:, None]).T
        tile = torch.full_like(index, self.tile)
        thing = 1 + (torch.lerp(torch.lerp(here, right, x), torch.lerp(below, both, x), z) <= self.water).long()
        scale = torch.full_like(x, self.scale)
        return Surface(
            normal, tile, points[0] / self.scale, points[2] / self.scale, scale, thing, tint[:3], tint[3]
        )

    def distance(self, points: Tensor) -> Tensor:
        clear = -self.height(points[0], points[2]) - points[1]
        return clear / (1 + self.slope**2) ** 0.5

    def to(self, device: torch.device | str) -> Terrain:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Terrain(**{**values, "corners": self.corners.to(device), "paint": self.paint.to(device)})


def cast_light(heights: Tensor, extent: float, sun: Tensor) -> Tensor:
    """The share of light that reaches each corner of a heightfield [G, G]: sun over ridges, and open sky.

    Args:
        heights: metres, rows along z. sun: [3] unit direction towards the sun, world axes (y down).
    """
    size = len(heights)
    step = 2 * extent / (size - 1)
    flat = float((sun[0] ** 2 + sun[2] ** 2).sqrt().clamp(min=1e-3))
    rise = float(-sun[1]) / flat * step  # of the sun ray per cell of way
    z, x = torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="ij")
    lit = torch.ones_like(heights)
    for reach in range(1, size // 3, 2):
        column = (x + float(sun[0]) / flat * reach).round().clamp(0, size - 1).long()
        row = (z + float(sun[2]) / flat * reach).round().clamp(0, size - 1).long()
        over = heights[row, column] - (heights + rise * reach)
        lit = torch.minimum(lit, (1 - over / (0.06 * reach * step + 0.1)).clamp(0, 1))
    blurred = avg_pool2d(heights[None, None], 9, 1, 4, count_include_pad=False)[0, 0]
    hollow = ((blurred - heights) / (4 * step)).clamp(-0.5, 1)
    return (0.25 + 0.75 * lit) * (1 - 0.45 * hollow).clamp(0.4, 1.15)
