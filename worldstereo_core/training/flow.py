"""Flow matching: noise levels, noisy clips, and the velocity that a model is to predict.

Lipman et al. 2023, "Flow Matching for Generative Modeling" (arXiv 2210.02747), on the straight paths of Liu
et al. 2023, "Flow Straight and Fast" (arXiv 2209.03003): x(sigma) = (1 - sigma) * clean + sigma * noise,
whose velocity is noise - clean. The same path, the same shift and the same timesteps as ``schedule``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..schedule import NUM_TRAIN_TIMESTEPS, add_noise, shift_sigmas


@dataclass(frozen=True)
class NoiseLevels:
    """Which noise levels training draws.

    Attributes:
        shift: of the timesteps, as at inference: 1 leaves the drawn levels as they are, more moves them
            towards noise (Esser et al. 2024, arXiv 2403.03206, section 5.3.2).
        density: "uniform", or "logit_normal", which favours the middle (the same paper, section 3.1).
        lowest, highest: levels before the shift, 0..1; the rest is never drawn.
    """

    shift: float = 3.0
    density: Literal["uniform", "logit_normal"] = "uniform"
    lowest: float = 0.0
    highest: float = 1.0

    def __post_init__(self) -> None:
        if self.shift <= 0:
            raise WorldStereoError(f"shift: got {self.shift:g}, expected more than 0 (1 shifts nothing).")
        if not 0 <= self.lowest < self.highest <= 1:
            raise WorldStereoError(
                f"lowest: got levels {self.lowest:g}..{self.highest:g}, expected 0 <= lowest < highest <= 1."
            )

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """[count] timesteps in 0..1000, float32, on the CPU."""
        if self.density == "logit_normal":
            levels = torch.randn(count, generator=generator).sigmoid()
        else:
            # One draw in each of ``count`` equal parts: the mean over a batch is far steadier.
            offsets = torch.rand(count, generator=generator)
            levels = (torch.randperm(count, generator=generator) + offsets) / count
        levels = self.lowest + (self.highest - self.lowest) * levels
        return shift_sigmas(levels, self.shift) * NUM_TRAIN_TIMESTEPS


def draw_noise(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise like ``clean``, drawn on the CPU."""
    return torch.randn(clean.shape, generator=generator).to(clean)


def noisy_clip(clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """[B, ...] clean clips with noise of [B] timesteps."""
    return add_noise(clean, noise, timesteps.to(clean.device))


def clean_from_velocity(noisy: Tensor, velocity: Tensor, timesteps: Tensor) -> Tensor:
    """The clean clip that a velocity points to: noisy - sigma * velocity."""
    sigma = (timesteps.to(noisy) / NUM_TRAIN_TIMESTEPS).view(-1, *[1] * (noisy.ndim - 1))
    return noisy - sigma * velocity


def velocity_loss(velocity: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
    """[B] mean square error per clip, in float32."""
    return (velocity.float() - (noise - clean).float()).square().flatten(1).mean(1)
