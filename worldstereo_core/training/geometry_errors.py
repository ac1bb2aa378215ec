"""Errors that estimated depth has and exact depth lacks; without them a model trusts its points blindly.

Depth estimators let depth bleed over the edges of things, blur fine structure, miss the scale in slow waves
and leave parts out. Each error is drawn anew for every clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..checks import WorldStereoError, check_shape
from ..geometry.depth import has_depth


@dataclass(frozen=True)
class GeometryErrors:
    """How much of each error; 0 switches one off.

    Attributes:
        share: of depth maps that get any error.
        bleeding: most pixels that near surfaces spread over far ones; half of the time with points that fly
            in between.
        blur: largest deviation of the Gaussian that blurs depth, pixels.
        scale_waves: deviation of slow relative changes of depth, a share.
        dropped: largest share of points lost one by one.
        dropped_areas: most rectangles, each up to a third of the picture's sides, that lose all points.
    """

    share: float = 0.7
    bleeding: int = 2
    blur: float = 1.0
    scale_waves: float = 0.02
    dropped: float = 0.3
    dropped_areas: int = 2

    def __post_init__(self) -> None:
        for name in ("share", "dropped"):
            if not 0 <= getattr(self, name) <= 1:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected a share, 0 to 1.")
        for name in ("bleeding", "blur", "scale_waves", "dropped_areas"):
            if getattr(self, name) < 0:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected 0 (off) or more.")

    def apply(self, depth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Disturb depth maps.

        Args:
            depth: [V, H, W] camera z in scene units; 0 or non-finite = no data.
            generator: on the CPU.

        Returns:
            Depth [V, H, W], 0 = no data, and which pixels still give a point [V, H, W] bool. Points are
            dropped apart from depth, for a filter of depth edges takes a missing pixel for an edge.
        """
        check_shape("depth", depth, ("V", "H", "W"))
        pairs = [self._one(torch.where(has_depth(each), each, 0.0), generator) for each in depth]
        return torch.stack([depth for depth, _ in pairs]), torch.stack([kept for _, kept in pairs])

    def _one(self, depth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        def uniform() -> float:
            return float(torch.rand((), generator=generator))

        if uniform() >= self.share:
            return depth, depth > 0
        radius = int(uniform() * (self.bleeding + 1))
        if radius:
            depth = bleed(depth, radius, flies=uniform() < 0.5)
        if self.blur:
            depth = blur(depth, uniform() * self.blur)
        if self.scale_waves:
            coarse = torch.randn(1, 1, 3, 4, generator=generator).to(depth)
            waves = functional.interpolate(coarse, depth.shape, mode="bicubic", align_corners=True)[0, 0]
            depth = depth * (self.scale_waves * waves).exp()
        kept = torch.rand(depth.shape, generator=generator).to(depth.device) >= uniform() * self.dropped
        for _ in range(int(uniform() * (self.dropped_areas + 1))):
            (top, height), (left, width) = (_span(size, generator) for size in depth.shape)
            kept[top : top + height, left : left + width] = False
        return depth, kept & (depth > 0)


def bleed(depth: Tensor, radius: int, *, flies: bool) -> Tensor:
    """Let near surfaces of [H, W] depth spread over what lies behind them.

    Args:
        depth: 0 = no data, which spreads nowhere and is not spread over.
        radius: pixels.
        flies: the outermost half of the spread lies half way (in 1 / depth) to the surface behind.
    """
    inverse = torch.where(depth > 0, 1 / depth.clamp_min(1e-12), 0.0)
    near = _largest(inverse, radius)
    if flies:
        inner = _largest(inverse, max(radius // 2, 0))
        near = torch.where(near > inner, (near + inverse) / 2, near)
    return torch.where(depth > 0, 1 / near.clamp_min(1e-12), 0.0)


def blur(depth: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of [H, W] depth over what has data; 0 stays 0."""
    if deviation < 1e-3:
        return depth
    reach = max(int(3 * deviation + 0.5), 1)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(depth) / deviation).square())
    valid = (depth > 0).to(depth)
    stacked = torch.stack([depth, valid])[:, None]  # [2, 1, H, W]
    for shape, padding in (((1, 1, 1, -1), (0, reach)), ((1, 1, -1, 1), (reach, 0))):
        stacked = functional.conv2d(stacked, line.view(shape), padding=padding)
    total, weight = stacked[:, 0]
    return torch.where(depth > 0, total / weight.clamp_min(1e-12), 0.0)


def _largest(values: Tensor, radius: int) -> Tensor:
    if radius == 0:
        return values
    return functional.max_pool2d(values[None, None], 2 * radius + 1, 1, radius)[0, 0]


def _span(size: int, generator: torch.Generator) -> tuple[int, int]:
    """A random start and length within one side, up to a third of it."""
    start, length = torch.rand(2, generator=generator).tolist()
    length = max(int(length * size / 3), 1)
    return int(start * (size - length + 1)), length
