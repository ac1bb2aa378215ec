"""Heightfields: smooth hills over a square, met by rays without a mesh."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .rays import Rays
from .shells import Surface
from .units import FAR

PLANES, RADII = 160, 112  # of the fan that finds where rays end, distances growing by a twentieth each
FIRST_RADIUS, RADIUS_RATIO = 0.4, 1.057
PIECES, REFINEMENTS = 6, 7


@dataclass(frozen=True, eq=False)
class Terrain:
    """Bilinear patches over [-extent, extent]² in x and z, flat beyond. Instances: 1 land, 2 water.

    Attributes:
        corners: [G * G, 4] heights in metres above y = 0 at the corners of each cell: here, +x, +z, both.
        paint: [G * G, 4] colour factor and the light let through, at each corner.
        size: G. extent: metres. water: height below which land is under water (already filled in).
        low, high: lowest and highest height.
        tile, scale: the detail texture and its metres per tile.
    """

    corners: Tensor
    paint: Tensor
    size: int
    extent: float
    water: float
    low: float
    high: float
    tile: int
    scale: float

    @classmethod
    def of(
        cls,
        heights: Tensor,
        colours: Tensor,
        light: Tensor,
        extent: float,
        water: float,
        tile: int,
        scale: float,
    ) -> Terrain:
        """From heights [G, G] (rows along z), colour factors [G, G, 3] and light let through [G, G]."""
        size = len(heights)
        heights = heights.clamp(min=water)
        ring = pad(heights[None, None], (0, 1, 0, 1), mode="replicate")[0, 0]
        corners = torch.stack([ring[:-1, :-1], ring[:-1, 1:], ring[1:, :-1], ring[1:, 1:]], -1)
        paint = torch.cat([colours, light[..., None]], -1)
        return cls(
            corners.reshape(-1, 4).contiguous(),
            paint.reshape(-1, 4).contiguous(),
            size,
            extent,
            water,
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

    def enter(self, rays: Rays) -> Tensor:
        """Where rays first go below the surface.

        Heights along a fan of vertical planes through a camera, as slopes seen from it, tell where a ray
        of a plane goes under: where the running maximum passes the ray's own slope. That leaves a short
        piece of each ray to look at; the few that pass over it by a hair walk on.
        """
        speed = rays.direction[::2].square().sum(0).sqrt().clamp(min=1e-6)
        slope = -rays.direction[1] / speed
        radii = FIRST_RADIUS * RADIUS_RATIO ** torch.arange(RADII, device=speed.device)
        radii = radii.to(speed)
        passed = torch.cat(
            [
                self._passed(origin, direction, slope[run], radii)
                for run, origin, direction in rays.by_camera()
            ]
        )
        result = torch.full_like(speed, FAR)
        chosen = (passed < RADII).nonzero()[:, 0]
        if len(chosen):
            ring = passed[chosen]
            begin = radii[(ring - 2).clamp(min=0)] * (ring > 1) / speed[chosen]
            end = radii[(ring + 1).clamp(max=RADII - 1)] / speed[chosen]
            origin = rays.of_each(rays.origin).expand(3, len(speed))
            self._search(origin, rays.direction, chosen, begin, end, result)
        return result

    def _passed(self, origin: Tensor, direction: Tensor, slope: Tensor, radii: Tensor) -> Tensor:
        """How many of the radii rays from one origin [3, 1] are seen to pass over the ground, [N]."""
        turn, low, step = _fan(direction)
        planes = low + step * torch.arange(PLANES, device=direction.device)
        middle = torch.atan2(direction[0].sum(), direction[2].sum())
        x = origin[0] + torch.sin(middle + planes)[:, None] * radii
        z = origin[2] + torch.cos(middle + planes)[:, None] * radii
        seen = (self.height(x.reshape(-1), z.reshape(-1)).view(PLANES, RADII) + origin[1]) / radii
        seen = torch.maximum(seen[:-1], seen[1:]).cummax(1).values  # between two planes: the higher one
        plane = ((turn - low) / step).long().clamp(0, PLANES - 2)
        return _count_below(seen, plane, slope)

    def _search(
        self, origin: Tensor, direction: Tensor, rays: Tensor, begin: Tensor, end: Tensor, result: Tensor
    ) -> None:
        """Fill in the crossings of rays [R], the piece begin..end of each first, then further out."""
        speed = direction[::2].square().sum(0).sqrt()
        limit = FIRST_RADIUS * RADIUS_RATIO ** (RADII - 1)
        share = torch.linspace(0, 1, PIECES + 1, device=direction.device)[:, None]
        found: list[tuple[Tensor, ...]] = []
        for _ in range(RADII):
            o, d = origin[:, rays], direction[:, rays]
            times = torch.lerp(begin, end, share)
            x, y, z = o[:, None] + d[:, None] * times
            clear = -self.height(x.reshape(-1), z.reshape(-1)).view_as(y) - y
            below = clear <= 0
            hit = below.any(0)
            first = below.int().argmax(0).clamp(min=1)[None]
            bracket = [part.gather(0, first + shift)[0] for part in (times, clear) for shift in (-1, 0)]
            found.append((rays[hit], *(part[hit] for part in bracket)))
            going = ~hit & (end * speed[rays] < limit)
            rays, begin, end = rays[going], end[going], end[going] * RADIUS_RATIO**PIECES
            if not len(rays):
                break
        rays, low, high, over, under = (torch.cat(parts) for parts in zip(*found, strict=True))
        result[rays] = self._refine(origin[:, rays], direction[:, rays], low, high, over, under)

    def _refine(
        self, origin: Tensor, direction: Tensor, low: Tensor, high: Tensor, over: Tensor, under: Tensor
    ) -> Tensor:
        """The crossing between a parameter above the surface and one below it, given the clearance at both.

        False position; the end that stays counts half next time (the Illinois rule), so both ends close in.
        """
        over = over.clamp(min=0)
        for _ in range(REFINEMENTS):
            middle = low + (high - low) * (over / (over - under).clamp(min=1e-12))
            point = torch.addcmul(origin, direction, middle)
            clear = -self.height(point[0], point[2]) - point[1]
            above = (clear > 0).float()
            low, high = torch.lerp(low, middle, above), torch.lerp(middle, high, above)
            over = torch.lerp(over / 2, clear, above)
            under = torch.lerp(clear, under / 2, above)
        return low + (high - low) * (over / (over - under).clamp(min=1e-12))

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
        thing = (
            1 + (torch.lerp(torch.lerp(here, right, x), torch.lerp(below, both, x), z) <= self.water).long()
        )
        scale = torch.full_like(x, self.scale)
        return Surface(
            normal, tile, points[0] / self.scale, points[2] / self.scale, scale, thing, tint[:3], tint[3]
        )

    def distance(self, points: Tensor) -> Tensor:
        clear = -self.height(points[0], points[2]) - points[1]
        # True up to slopes of 45 degrees, which is steeper than where cameras go.
        return clear * 0.5**0.5

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


def _fan(direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn [N] of directions about the vertical from their mean; the lowest one and the step of PLANES."""
    middle = torch.atan2(direction[0].sum(), direction[2].sum())
    turn = torch.atan2(direction[0], direction[2]) - middle
    turn = torch.atan2(torch.sin(turn), torch.cos(turn))
    low = turn.amin() - 1e-4
    return turn, low, (turn.amax() + 1e-4 - low) / (PLANES - 1)


def _count_below(table: Tensor, row: Tensor, values: Tensor) -> Tensor:
    """How many entries of its row of a table [R, C], ascending along rows, each value [N] is not below."""
    columns = table.shape[1]
    flat, start = table.reshape(-1), row * columns
    low, size = torch.zeros_like(row), 1 << (columns.bit_length() - 1)
    while size:
        probe = low + size
        inside = flat.index_select(0, start + (probe - 1).clamp(max=columns - 1)) <= values
        low = torch.where(inside & (probe <= columns), probe, low)
        size >>= 1
    return low
