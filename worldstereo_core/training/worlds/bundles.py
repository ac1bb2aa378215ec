"""Rays and points in bundles of neighbours, and which solids each bundle can meet.

Most solids lie outside the narrow cone or the small box of a few dozen neighbours. The pairs of bundles and
solids that remain, of all bundles and all kinds of solids, are computed in a few large steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes import MAX_SHAPES, Shapes
from .units import FAR, Units

BUNDLE = 64  # neighbours
BUNDLES_AT_ONCE = 192  # so that their pairs stay in the cache


@dataclass(frozen=True, eq=False)
class Bundles:
    """N vectors in runs of BUNDLE neighbours.

    Attributes:
        vectors: [K, 3, BUNDLE]; the last one of a camera is repeated to fill up.
        camera: [K] which camera's they are.
        kept: [N] where the vectors are among K * BUNDLE; None: they are all of them.
    """

    vectors: Tensor
    camera: Tensor
    kept: Tensor | None

    @classmethod
    def of(cls, vectors: Tensor, lengths: tuple[int, ...] | None = None) -> Bundles:
        """From vectors [3, N], so many of each camera, one after the other; None: all of one."""
        count, device = vectors.shape[1], vectors.device
        lengths = (count,) if lengths is None else lengths
        runs = [-(-length // BUNDLE) for length in lengths]
        camera = torch.repeat_interleave(torch.tensor(runs, device=device))
        kept = None
        if sum(runs) * BUNDLE > count:
            begin, filled, chosen, places = 0, 0, [], []
            for length, run in zip(lengths, runs, strict=True):
                chosen.append(torch.arange(run * BUNDLE).clamp(max=length - 1) + begin)
                places.append(torch.arange(length) + filled)
                begin, filled = begin + length, filled + run * BUNDLE
            vectors = vectors.index_select(1, torch.cat(chosen).to(device))
            kept = torch.cat(places).to(device)
        return cls(vectors.view(3, -1, BUNDLE).permute(1, 0, 2).contiguous(), camera, kept)

    def unbundled(self, values: Tensor) -> Tensor:
        """Values [K, BUNDLE] as [N]."""
        return values.flatten() if self.kept is None else values.flatten()[self.kept]

    def cones(self) -> tuple[Tensor, Tensor]:
        """Axis [K, 3] and half angle [K] of cones around each bundle of directions."""
        unit = self.vectors * self.vectors.square().sum(1, keepdim=True).rsqrt()
        axis = unit.mean(2, keepdim=True)
        axis = axis * axis.square().sum(1, keepdim=True).clamp(min=1e-18).rsqrt()
        # Two thousandths of a radian cover the rounding of acos near 1.
        return axis[..., 0], torch.acos((axis * unit).sum(1).amin(1).clamp(-1, 1)) + 2e-3

    def boxes(self) -> tuple[Tensor, Tensor]:
        """Low and high corners [K, 3] around each bundle of points."""
        return self.vectors.amin(2), self.vectors.amax(2)

    def balls(self) -> tuple[Tensor, Tensor]:
        """Center [K, 3] and radius [K] of balls around each bundle of points."""
        low, high = self.boxes()
        return (low + high) / 2, (high - low).square().sum(1).sqrt() / 2

    def least(
        self, shapes: Shapes, chosen: Tensor, measure: Callable[[Pairs, Tensor, slice], Tensor]
    ) -> Tensor:
        """[N] the least that ``measure`` finds for the chosen solids of each; FAR where there are none.

        Args:
            chosen: [K, P] bool, the solids each bundle can meet.
            measure: from M pairs of some bundles, their vectors and their run to [M, BUNDLE].
        """
        result = torch.full_like(self.vectors[:, 0], FAR)
        for run, pairs in _pairs(shapes, chosen):
            index = pairs.bundle[:, None].expand(-1, BUNDLE)
            result[run].scatter_reduce_(0, index, measure(pairs, self.vectors[run], run), "amin")
        return self.unbundled(result)

    def nearest(
        self, shapes: Shapes, chosen: Tensor, measure: Callable[[Pairs, Tensor, slice], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """``least`` for what is not negative, and the number [N] of the solid that it is found for.

        Numbers ride in the low bits while the minimum is taken, so of two distances closer than 2e-5 of
        themselves the lower number wins.
        """
        times = torch.full_like(self.vectors[:, 0], FAR)
        numbers = torch.zeros_like(times, dtype=torch.int64)
        for run, pairs in _pairs(shapes, chosen):
            near = measure(pairs, self.vectors[run], run).contiguous()
            packed = (near.view(torch.int32) & -MAX_SHAPES).bitwise_or_(pairs.solid.int()[:, None])
            least = times[run].view(torch.int32) & -MAX_SHAPES
            nothing = least.clone()
            index = pairs.bundle[:, None].expand(-1, BUNDLE)
            least.scatter_reduce_(0, index, packed, "amin")
            number = (least & (MAX_SHAPES - 1)).long()
            bundles = torch.arange(len(least), device=least.device)[:, None]
            row = pairs.rows(len(least), len(shapes))[bundles, number]
            time = near.gather(0, row)
            times[run] = torch.where(least < nothing, time, FAR)
            numbers[run] = number
        return self.unbundled(times), self.unbundled(numbers)


@dataclass(frozen=True, eq=False)
class Pairs:
    """M pairs of a bundle and a solid that it can meet, sorted by solid.

    Attributes:
        bundle, solid: [M] int64. units: of each pair's solid.
    """

    bundle: Tensor
    solid: Tensor
    units: Units

    @classmethod
    def of(cls, shapes: Shapes, chosen: Tensor) -> Pairs:
        """From a [K, P] bool mask."""
        solid, bundle = chosen.T.nonzero().unbind(1)
        counts = (chosen.sum(0).float() @ shapes.kinds).int().tolist()
        return cls(bundle, solid, shapes.units.take(solid, tuple(counts)))

    def into_unit(self, points: Tensor) -> Tensor:
        """Points [K, 3, n] of bundles in each pair's unit frame, [3, M, n]."""
        to_unit, shift = self.units.to_unit.permute(1, 0, 2), self.units.shift.permute(1, 0, 2)
        return torch.baddbmm(shift, to_unit, points.index_select(0, self.bundle)).permute(1, 0, 2)

    def turned(self, directions: Tensor) -> Tensor:
        """Directions [K, 3, n] of bundles in each pair's unit frame, [3, M, n]."""
        to_unit = self.units.to_unit.permute(1, 0, 2)
        return torch.bmm(to_unit, directions.index_select(0, self.bundle)).permute(1, 0, 2)

    def rows(self, bundles: int, solids: int) -> Tensor:
        """[K, P] which pair a bundle and a solid are; 0 where they are none."""
        table = self.bundle.new_zeros(bundles, solids)
        table[self.bundle, self.solid] = torch.arange(len(self.bundle), device=table.device)
        return table


def _pairs(shapes: Shapes, chosen: Tensor) -> Iterator[tuple[slice, Pairs]]:
    """Runs of bundles that can meet anything, with their pairs, given a [K, P] bool mask."""
    for begin in range(0, len(chosen), BUNDLES_AT_ONCE):
        run = slice(begin, begin + BUNDLES_AT_ONCE)
        pairs = Pairs.of(shapes, chosen[run])
        if len(pairs.bundle):
            yield run, pairs
