"""Random numbers of a world: one generator per purpose, so that one more table does not change the sky."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


class Chance:
    """Random numbers that depend on a seed and on the names that were forked off it, and on nothing else."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    def fork(self, name: str | int) -> Chance:
        """An independent source; drawing from it leaves this one where it is."""
        return Chance(zlib.crc32(f"{self.seed}/{name}".encode()))

    def tensor(self, *shape: int) -> Tensor:
        """Uniform in 0..1, float32 on the CPU."""
        return torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.tensor(1))

    def integer(self, low: int, high: int) -> int:
        """low..high, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def happens(self, share: float) -> bool:
        return self.uniform(0, 1) < share

    def choose(self, items: Sequence[Item]) -> Item:
        return items[self.integer(0, len(items) - 1)]

    def colour(
        self,
        hue: tuple[float, float] = (0.0, 1.0),
        saturation: tuple[float, float] = (0.2, 0.7),
        value: tuple[float, float] = (0.3, 0.8),
    ) -> Tensor:
        """[3] linear rgb drawn by hue, saturation and value; hues may pass 1 and wrap."""
        return hsv_to_rgb(self.uniform(*hue), self.uniform(*saturation), self.uniform(*value)) ** 2.2

    def angle(self) -> float:
        return self.uniform(-math.pi, math.pi)


def hsv_to_rgb(hue: float, saturation: float, value: float) -> Tensor:
    """[3] rgb of a hue in turns, saturation and value in 0..1."""
    shift = (torch.tensor([5.0, 3.0, 1.0]) + hue * 6) % 6
    ramp = torch.minimum(torch.minimum(shift, 4 - shift).clamp(min=0), torch.ones(3))
    return value * (1 - saturation * ramp)
