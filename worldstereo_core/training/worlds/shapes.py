"""The solids of a world: their shapes, textures and instances, and which way their surfaces face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from .units import BALL, CONE, CYLINDER, NUM_KINDS, Units

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
        casts: whether it throws shadows and darkens corners; flat things on walls and floors do not.
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
    casts: bool = True


@dataclass(frozen=True, eq=False)
class Shapes:
    """P solids, sorted by kind.

    Attributes:
        units: their unit frames.
        kind: [P] int64, and kinds: [P, NUM_KINDS] with a 1 for each one's own.
        center: [P, 3] and reach: [P], a ball around each. half: [P, 3] along its own axes. casts: [P] bool.
        side, top, thing: [P] int64. tile, glow: [P].
    """

    units: Units
    kind: Tensor
    kinds: Tensor
    center: Tensor
    reach: Tensor
    half: Tensor
    casts: Tensor
    side: Tensor
    top: Tensor
    tile: Tensor
    glow: Tensor
    thing: Tensor

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
        kind = torch.tensor([solid.kind for solid in solids], dtype=torch.int64)
        kinds = (kind[:, None] == torch.arange(NUM_KINDS)).float()
        units = Units(
            to_unit.permute(1, 0, 2).contiguous(),
            -(to_unit @ center[..., None]).permute(1, 0, 2).contiguous(),
            half.T[..., None].contiguous(),
            tuple(kinds.sum(0).int().tolist()),
        )
        casts = torch.tensor([solid.casts for solid in solids], dtype=torch.bool)
        return cls(
            units=units,
            kind=kind,
            kinds=kinds,
            center=center,
            reach=half.norm(dim=-1),
            half=half,
            casts=casts,
            side=torch.tensor([solid.side for solid in solids], dtype=torch.int64),
            top=torch.tensor([solid.top for solid in solids], dtype=torch.int64),
            tile=torch.tensor([solid.tile for solid in solids]),
            glow=torch.tensor([solid.glow for solid in solids]),
            thing=torch.tensor([solid.thing for solid in solids], dtype=torch.int64),
        )

    def __len__(self) -> int:
        return len(self.kind)

    def to(self, device: torch.device | str) -> Shapes:
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def in_cones(self, apex: Tensor, axis: Tensor, spread: Tensor) -> Tensor:
        """[K, P] bool: whose ball reaches into cones from ``apex`` [K, 3] around unit ``axis`` [K, 3].

        ``spread``: [K] half angles, radians. One apex [1, 3] stands for all.
        """
        way = self.center - apex[:, None]
        length = way.square().sum(2).sqrt().clamp(min=1e-9)
        angle = torch.acos(((way * axis[:, None]).sum(2) / length).clamp(-1, 1))
        return (length <= self.reach) | (
            angle - spread[:, None] <= torch.asin((self.reach / length).clamp(max=1))
        )

    def near_boxes(self, low: Tensor, high: Tensor, way: float) -> Tensor:
        """[K, P] bool: which ``Units.measure`` may find nearer than ``way`` to points in boxes.

        Args:
            low, high: [K, 3] corners of the boxes.
        """
        half = self.units.half  # [3, P, 1]
        # The lower bounds for round solids count the way in their shortest radius.
        is_round = (self.kind == BALL) | (self.kind == CYLINDER) | (self.kind == CONE)
        wide = torch.where(is_round[:, None], half * (1 + way / half.amin(0)), half + way)
        extent = ((self.units.to_unit * half).abs() * wide).sum(0)
        before = self.center - extent <= high[:, None]
        return (before & (self.center + extent >= low[:, None])).all(2)

    def in_beams(self, center: Tensor, radius: Tensor, direction: Tensor) -> Tensor:
        """[K, P] bool: whose ball meets a ball swept from ``center`` [K, 3] along a unit direction [3]."""
        way, reach = self.center - center[:, None], self.reach + radius[:, None]
        along = way @ direction
        return ((way - along[..., None] * direction).square().sum(2).sqrt() <= reach) & (along >= -reach)

    def facing(self, index: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outward unit normals of points on solids.

        Args:
            index: [N] which solid. points: [3, N] world.

        Returns:
            Normals [3, N] in world axes, and points and normals as the solid lies: turned, not stretched.
        """
        to_unit = self.units.to_unit.index_select(1, index).permute(0, 2, 1)  # [3 unit, 3 world, N]
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
            if self.units.counts[number]:
                unit = unit + normal * (kind == number)
        normal = (to_unit * unit[:, None]).sum(0)
        normal = normal / normal.square().sum(0).sqrt().clamp(min=1e-12)
        half = self.half.index_select(0, index).T
        return normal, local * half, (to_unit * normal).sum(1) * half
