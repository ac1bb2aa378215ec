"""Convex solids in frames of their own: where rays enter them and how far points are from them.

Each solid is a unit one moved, turned about the vertical and stretched: box [-1, 1]³, ball of radius 1,
upright cylinder, cone (apex up, at y = -1) and gable (ridge along x at y = -1, base at y = 1). Rays are taken
into the unit frame without being normalised, so the parameter along the ray stays what it is in the world.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BOX, BALL, CYLINDER, CONE, GABLE = range(5)
NUM_KINDS = 5
FAR = 1e8  # beyond every scene; finite, so that arithmetic on misses stays arithmetic
MISS = 1e12
EPSILON = 1e-4


@dataclass(frozen=True, eq=False)
class Units:
    """P solids, sorted by kind, as what takes the world into their unit frames.

    Attributes:
        to_unit: [3, P, 3] and shift: [3, P, 1]; the unit frame's axis comes first. half: [3, P, 1] metres.
        counts: how many there are of each kind.
    """

    to_unit: Tensor
    shift: Tensor
    half: Tensor
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return self.shift.shape[1]

    def take(self, index: Tensor, counts: tuple[int, ...]) -> Units:
        """Solids ``index`` [M], which keeps them sorted by kind; ``counts`` of each kind among them."""
        return Units(
            self.to_unit.index_select(1, index),
            self.shift.index_select(1, index),
            self.half.index_select(1, index),
            counts,
        )

    def to(self, device: torch.device | str) -> Units:
        return Units(self.to_unit.to(device), self.shift.to(device), self.half.to(device), self.counts)

    def into_unit(self, points: Tensor) -> Tensor:
        """World points [3, N] in every unit frame, [3, P, N]."""
        moved = torch.addmm(self.shift.view(-1, 1), self.to_unit.view(-1, 3), points)
        return moved.view(3, len(self), -1)

    def turned(self, directions: Tensor) -> Tensor:
        """World directions [3, N] in every unit frame, [3, P, N]."""
        return (self.to_unit.view(-1, 3) @ directions).view(3, len(self), -1)

    def enter(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where rays enter each solid from outside, [P, N]; huge where they miss.

        Args:
            origin, direction: [3, P, N] or [3, P, 1] in the unit frames.
        """
        nears: list[Tensor] = []
        fars: list[Tensor] = []
        begin = 0
        for count, span in zip(self.counts, _SPANS, strict=True):
            if count:
                near, far = span(origin[:, begin : begin + count], direction[:, begin : begin + count])
                nears.append(near)
                fars.append(far)
                begin += count
        near, far = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in (nears, fars))
        # Arithmetic, not torch.where: several times faster on a CPU. Huge where missed or behind.
        late = torch.maximum(near - far, torch.rsub(near, EPSILON)).clamp_(min=0).mul_(MISS)
        return late.add_(near).clamp_(EPSILON, FAR)

    def distance(self, points: Tensor) -> Tensor:
        """A lower bound of the way from world points [3, N] to each solid, [P, N]; negative inside."""
        return self.measure(self.into_unit(points))

    def measure(self, local: Tensor) -> Tensor:
        """``distance`` for points [3, P, N] in the unit frames already."""
        begin, parts = 0, []
        for kind, count in enumerate(self.counts):
            if count:
                chosen = slice(begin, begin + count)
                part, size = local[:, chosen], self.half[:, chosen]
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
        return torch.cat(parts) if len(parts) > 1 else parts[0]


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


_SPANS = (_box_span, _ball_span, _cylinder_span, _cone_span, _gable_span)
