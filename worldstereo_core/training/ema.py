"""A running mean of the weights: what samples and exports use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean:
    """The exponential running mean of some weights.

    Args:
        parameters: by name; the mean starts at their values.
        decay: share of the mean that stays in each update. In the first updates it is smaller, so that the
            random start is forgotten: (1 + n) / (10 + n) after n updates.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float):
        self.parameters = dict(parameters)
        self.decay = decay
        self.num_updates = 0
        self.mean = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        means = list(self.mean.values())
        if means:
            weights = [self.parameters[name].detach() for name in self.mean]
            torch._foreach_lerp_(means, weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the mean into the networks for the length of the block."""
        kept = {name: self.parameters[name].detach().clone() for name in self.mean}
        try:
            self._write(self.mean)
            yield
        finally:
            self._write(kept)

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.parameters[name].copy_(value)
