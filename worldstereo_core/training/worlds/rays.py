"""Rays of several cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rays:
    """N rays of F cameras, one camera's after the other's.

    Attributes:
        origin: [3, F]. direction: [3, N]; neighbours should be close to one another.
        lengths: how many rays each camera has.
    """

    origin: Tensor
    direction: Tensor
    lengths: tuple[int, ...]

    def of_each(self, values: Tensor) -> Tensor:
        """What belongs to cameras, [..., F], for every ray, [..., N]."""
        if len(self.lengths) == 1:
            return values
        return torch.cat(
            [
                values[..., number, None].expand(*values.shape[:-1], length)
                for number, length in enumerate(self.lengths)
            ],
            -1,
        )

    def by_camera(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """For each camera that has rays their run, the origin [3, 1] and the directions [3, n]."""
        begin = 0
        for number, length in enumerate(self.lengths):
            run = slice(begin, begin + length)
            if length:
                yield run, self.origin[:, number : number + 1], self.direction[:, run]
            begin += length
