"""Convex solids in one table: where rays enter them, how far points are from them, which way they face.

Each solid is a unit one moved, turned about the vertical and stretched: box [-1, 1]³, ball of radius 1,
upright cylinder, cone (apex up, at y = -1) and gable (ridge along x at y = -1, base at y = 1). Rays are taken
into the unit frame without being normalised, so the parameter along the ray stays what it is in the world.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

BOX, BALL, CYLINDER, CONE, GABLE = range(5)
NUM_KINDS = 5
FAR = 1e8  # beyond every scene; finite, so that arithmetic on misses stays arithmetic
MISS = 1e12
EPSILON = 1e-4
# Low bits of a distance that carry the solid's number while the nearest one is searched.
INDEX_BITS = 7
MAX_SHAPES = 1 << INDEX_BITS


@dataclass(frozen=True)
class Solid:
    """One solid as a builder states it.

    Attributes:
        kind: BOX, BALL, CYLINDER, CONE or GABLE.
        center, half: world position of the middle and half the size along its own x, y, z; metres.
        side, top: texture tiles of its walls and of what faces up or down.
        yaw: turn about the vertical, radians.
        tile: metres that one texture tile covers; 0 fits one tile to each face.
        glow: share of the texture that shines by itself.
        thing: solids with one number are one instance.
    """

    kind: int
    center: tuple[float, float, float]
    half: tuple[float, float, float]
    side: int
    top: int
    yaw: float = 0.0
    tile: float = 1.0
    glow: float = 0.0
    thing: int = 0


@dataclass(frozen=True, eq=False)
class Shapes:
    """P solids, sorted by kind.

    Attributes:
        kind: [P] int64. to_unit: [3, P, 3] and shift: [3, P, 1], to the unit frames; their axis comes first.
        center: [P, 3] and reach: [P], a ball around each. half: [P, 3].
        side, top, thing: [P] int64. tile, glow: [P].
        counts: how many there are of each kind.
    """

    kind: Tensor
    to_unit: Tensor
    shift: Tensor
    center: Tensor
    reach: Tensor
    half: Tensor
    side: Tensor
    top: Tensor
    tile: Tensor
    glow: Tensor
    thing: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, solids: Sequence[Solid]) -> Shapes:
        solids = sorted(solids, key=lambda solid: solid.kind)
        if len(solids) > MAX_SHAPES:
            raise ValueError(f"a world holds at most {MAX_SHAPES} solids, got {len(solids)}")
        half = torch.tensor([solid.half for solid in solids]).reshape(-1, 3)
        center = torch.tensor([solid.center for solid in solids]).reshape(-1, 3)
        turn = torch.zeros(len(solids), 3, 3)
        for number, solid in enumerate(solids):
            cosine, sine = math.cos(solid.yaw), math.sin(solid.yaw)
            turn[number] = torch.tensor([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
        to_unit = turn / half[:, :, None]
        return cls(
            kind=torch.tensor([solid.kind for solid in solids], dtype=torch.int64),
            to_unit=to_unit.permute(1, 0, 2).contiguous(),
            shift=-(to_unit @ center[..., None]).permute(1, 0, 2).contiguous(),
            center=center,
            reach=half.norm(dim=-1),
            half=half,
            side=torch.tensor([solid.side for solid in solids], dtype=torch.int64),
            top=torch.tensor([solid.top for solid in solids], dtype=torch.int64),
            tile=torch.tensor([solid.tile for solid in solids]),
            glow=torch.tensor([solid.glow for solid in solids]),
            thing=torch.tensor([solid.thing for solid in solids], dtype=torch.int64),
            counts=tuple(sum(solid.kind == kind for solid in solids) for kind in range(NUM_KINDS)),
        )

    def __len__(self) -> int:
        return len(self.kind)

    def select(self, keep: Tensor) -> Shapes:
        """The solids of a [P] bool mask."""
        index = keep.nonzero()[:, 0]
        kinds = self.kind[index]
        counts = tuple(torch.bincount(kinds, minlength=NUM_KINDS).tolist())
        chosen = {name: getattr(self, name)[index] for name in _PER_SHAPE}
        return Shapes(
            kind=kinds,
            to_unit=self.to_unit.index_select(1, index),
            shift=self.shift.index_select(1, index),
            **chosen,
            counts=counts,
        )

    def to(self, device: torch.device | str) -> Shapes:
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if field.name != "counts"
        }
        return replace(self, **moved)

    def in_cone(self, apex: Tensor, axis: Tensor, spread: Tensor) -> Tensor:
        """[P] bool: whose ball reaches into the cone from ``apex`` [3] around unit ``axis`` [3], half angle."""
        way = self.center - apex
        length = way.norm(dim=1).clamp(min=1e-9)
        angle = torch.acos((way @ axis / length).clamp(-1, 1))
        return (length <= self.reach) | (angle <= spread + torch.asin((self.reach / length).clamp(max=1)))

    def in_ball(self, center: Tensor, radius: Tensor) -> Tensor:
        """[P] bool: whose ball meets another one, center [3]."""
        return (self.center - center).norm(dim=1) <= self.reach + radius

    def in_beam(self, center: Tensor, radius: Tensor, direction: Tensor) -> Tensor:
        """[P] bool: whose ball meets a ball swept from ``center`` [3] along a unit direction [3] for ever."""
        way = self.center - center
        along = way @ direction
        across = (way - along[:, None] * direction).norm(dim=1)
        return (across <= self.reach + radius) & (along >= -self.reach - radius)

    def into_unit(self, points: Tensor) -> Tensor:
        """World points [3, N] in every unit frame, [3, P, N]."""
        count = len(self)
        moved = torch.addmm(self.shift.view(-1, 1), self.to_unit.view(-1, 3), points)
        return moved.view(3, count, -1)

    def turned(self, directions: Tensor) -> Tensor:
        """World directions [3, N] in every unit frame, [3, P, N]."""
        return (self.to_unit.view(-1, 3) @ directions).view(3, len(self), -1)

    def enter(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where rays enter each solid from outside, [P, N]; huge where they miss.

        Args:
            origin, direction: [3, P, N] or [3, P, 1] in the unit frames.
        """
        parts, begin = [], 0
        for count, span in zip(self.counts, _SPANS, strict=True):
            if count:
                near, far = span(origin[:, begin : begin + count], direction[:, begin : begin + count])
                # Steps, not torch.where: several times faster on a CPU. Huge where near >= far or behind.
                late = torch.maximum(near - far, EPSILON - near).clamp_(min=0).mul_(MISS)
                parts.append(near + late)
                begin += count
        return torch.cat(parts).clamp_(EPSILON, FAR)

    def distance(self, points: Tensor) -> Tensor:
        """A lower bound of the way from world points [3, N] to each solid, [P, N]; negative inside."""
        local = self.into_unit(points)
        half, begin, parts = self.half.T[..., None], 0, []
        for kind, count in enumerate(self.counts):
            if count:
                chosen = slice(begin, begin + count)
                part, size = local[:, chosen], half[:, chosen]
                if kind == BALL:
                    parts.append((part.square().sum(0).sqrt() - 1) * size.amin(0))
                elif kind in (CYLINDER, CONE):
                    round_part = ((part[0].square() + part[2].square()).sqrt() - 1) * torch.minimum(
                        size[0], size[2]
                    )
                    parts.append(torch.maximum(round_part, (part[1].abs() - 1) * size[1]))
                else:
                    parts.append(((part.abs() - 1) * size).amax(0))
                begin += count
        return torch.cat(parts)

    def facing(self, index: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outward unit normals of points on solids.

        Args:
            index: [N] which solid. points: [3, N] world.

        Returns:
            Normals [3, N] in world axes, and points and normals as the solid lies: turned, not stretched.
        """
        to_unit = self.to_unit.index_select(1, index).permute(0, 2, 1)  # [3 unit, 3 world, N]
        offset = points - self.center.index_select(0, index).T
        local = (to_unit * offset).sum(1)
        kind = self.kind.index_select(0, index)
        x, y, z = local
        size = local.abs()
        largest = size.amax(0)
        box = (size >= largest) * local.sign()
        flat = torch.stack([x, torch.zeros_like(y), z])
        radius = flat.square().sum(0).sqrt()
        cap = torch.stack([torch.zeros_like(y), y.sign(), torch.zeros_like(y)])
        cylinder = torch.lerp(flat, cap, (size[1] > radius).float())
        slope = torch.stack([2 * x, -radius, 2 * z])  # of radius = (y + 1) / 2, scaled by 2 radius
        # On the base the radius is short of that of the mantle; below the base there is no mantle.
        cone = torch.lerp(slope, cap, (y > 1 - 1e-3).float())
        incline, end, base = 2 * size[2] - y - 1, (size[0] - 1), y - 1
        gable = torch.stack([x.sign(), torch.zeros_like(y), torch.zeros_like(y)])
        sloped = torch.stack([torch.zeros_like(y), -torch.ones_like(y), 2 * z.sign()])
        gable = torch.lerp(gable, sloped, (incline > end).float())
        gable = torch.lerp(gable, cap, (base > torch.maximum(incline, end)).float())
        unit = torch.zeros_like(local)
        for number, normal in enumerate((box, local, cylinder, cone, gable)):
            if self.counts[number]:
                unit = unit + normal * (kind == number)
        normal = (to_unit * unit[:, None]).sum(0)
        normal = normal / normal.square().sum(0).sqrt().clamp(min=1e-12)
        half = self.half.index_select(0, index).T
        return normal, local * half, (to_unit * normal).sum(1) * half


def _box_span(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    inverse = (direction + 1e-12).reciprocal_()
    middle, half = origin * inverse, inverse.abs()
    return -((middle + half).amin(0)), (half - middle).amin(0)


def _ball_span(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    inverse = direction.square().sum(0).reciprocal()
    middle = (origin * direction).sum(0) * inverse
    # The foot of the perpendicular keeps the digits that b² - a c loses for small far balls.
    foot = torch.addcmul(origin, direction, middle, value=-1).square().sum(0)
    half = ((1 - foot) * inverse).clamp(min=-1)
    half = half.clamp(min=0).sqrt() + (half.clamp(max=0) * MISS)
    return -middle - half, half - middle


def _cylinder_span(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    near, far = _ball_span(origin[::2] + 0.0, direction[::2] + 1e-12)
    near_cap, far_cap = _box_span(origin[1:2], direction[1:2])
    return torch.maximum(near, near_cap), torch.minimum(far, far_cap)


def _cone_span(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    along, height = direction[1] / 2, (origin[1] + 1) / 2
    a = direction[0].square() + direction[2].square() - along.square() + 1e-12
    b = origin[0] * direction[0] + origin[2] * direction[2] - height * along
    c = origin[0].square() + origin[2].square() - height.square()
    square = (b * b - a * c) / (a * a)
    # A ray steeper than the mantle (a < 0) meets both nappes; the lower one runs to infinity.
    steep, down, misses = (a < 0).float(), (along > 0).float(), square.clamp(max=0)
    half, middle = square.clamp(min=0).sqrt() * (1 - 2 * steep), -b / a
    free = MISS * misses * (1 - steep)
    near = middle - half - steep * (1 - down) * FAR - free
    far = middle + half + steep * down * FAR + free
    near_cap, far_cap = _box_span(origin[1:2], direction[1:2])
    return torch.maximum(near, near_cap), torch.minimum(far, far_cap)


def _gable_span(origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    near, far = _box_span(origin[:2], direction[:2])
    for side in (-2.0, 2.0):
        rate = side * direction[2] - direction[1] + 1e-12
        time = (1 - side * origin[2] + origin[1]) / rate
        leaves = (rate > 0).float()
        near = torch.maximum(near, time - leaves * MISS)
        far = torch.minimum(far, time + (1 - leaves) * MISS)
    return near, far


_PER_SHAPE = ("center", "reach", "half", "side", "top", "tile", "glow", "thing")
_SPANS = (_box_span, _ball_span, _cylinder_span, _cone_span, _gable_span)


def nearest(distance: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest of [P, N] distances and its row, [N] each.

    Rows ride in the low bits while the minimum is taken (an argmin is thirty times slower on a CPU), so of
    two distances closer than 2e-5 of themselves the lower row wins.
    """
    rows = torch.arange(len(distance), device=distance.device, dtype=torch.int32)[:, None]
    packed = (distance.view(torch.int32) & -MAX_SHAPES).bitwise_or_(rows).amin(0)
    index = (packed & (MAX_SHAPES - 1)).long()
    return distance.gather(0, index[None])[0], index
