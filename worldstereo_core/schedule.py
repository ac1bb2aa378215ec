"""Step tables of the two samplers: the distilled model's few steps, and flow matching for UniPC.

A model predicts the velocity of the straight path x(sigma) = (1 - sigma) * clean + sigma * noise, 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .checks import WorldStereoError

NUM_TRAIN_TIMESTEPS = 1000
LEVEL_ROUNDING = 1e-3


@dataclass(frozen=True)
class DMDSchedule:
    """Euler steps of a model distilled to few steps; noise is never added again.

    Attributes:
        num_steps: model calls.
        start: the last step's time before the shift, 0..``end``.
        end: the first step's time; 1000 is pure noise.
        shift: moves steps towards the noisy side; 1 leaves them even.
        denoise: share of the way from noise to picture that is sampled, 0..1. Below 1 the steps are spread
            over the last part of the way, which begins at ``shift_sigmas(denoise)``; at 0 there are none.
    """

    num_steps: int = 4
    start: float = 250.0
    end: float = 1000.0
    shift: float = 5.0
    denoise: float = 1.0

    def __post_init__(self) -> None:
        check_denoise(self.denoise)
        if self.num_steps < 1 or not 0 < self.start <= self.end or self.shift <= 0:
            raise WorldStereoError(
                f"DMD schedule: got {self.num_steps} steps from {self.end:g} to {self.start:g}, shift "
                f"{self.shift:g}; expected at least 1 step, 0 < start <= end and a positive shift."
            )

    def sigmas(self) -> Tensor:
        """[num_steps + 1] float32, descending, 0 at the end; [0] when nothing is denoised."""
        times = self.timesteps()
        return torch.cat([times / self.end, torch.zeros(1)]) if len(times) else times

    def timesteps(self) -> Tensor:
        """[num_steps] float32 in 0..end: what the model is told."""
        if self.denoise == 0:
            return torch.zeros(0)
        # A single step is the last one of the table.
        times = torch.linspace(self.start, self.end, self.num_steps).flip(0) / self.end
        return shift_sigmas(times * self.denoise, self.shift) * self.end


@dataclass(frozen=True)
class UniPCSchedule:
    """Flow-matching steps for the UniPC solver.

    Attributes:
        num_steps: model calls.
        shift: moves steps towards the noisy side; 1 leaves them even.
        order: of the solver, 1..3.
        truncates_timesteps: tell the model whole numbers, rounded down, as the released pipelines do; the
            solver keeps the exact sigmas.
        num_train_timesteps: 1000 for Wan.
        denoise: as in ``DMDSchedule``.
    """

    num_steps: int = 40
    shift: float = 3.0
    order: int = 2
    truncates_timesteps: bool = True
    num_train_timesteps: int = NUM_TRAIN_TIMESTEPS
    denoise: float = 1.0

    def __post_init__(self) -> None:
        check_denoise(self.denoise)
        if self.num_steps < 1 or self.shift <= 0 or not 1 <= self.order <= 3:
            raise WorldStereoError(
                f"UniPC schedule: got {self.num_steps} steps, shift {self.shift:g}, order {self.order}; "
                "expected at least 1 step, a positive shift and an order of 1 to 3."
            )

    def _exact_sigmas(self) -> Tensor:
        if self.denoise == 0:
            return torch.zeros(0, dtype=torch.float64)
        # numpy's linspace: the last bit decides where a timestep that is almost whole is truncated to.
        even = 1 - np.linspace(1, 1 / self.num_train_timesteps, self.num_steps + 1)
        return shift_sigmas(torch.from_numpy(even * self.denoise), self.shift).flip(0)[:-1]

    def sigmas(self) -> Tensor:
        """[num_steps + 1] float32, descending, 0 at the end; the first is just below 1.

        [0] when nothing is denoised.
        """
        exact = self._exact_sigmas()
        return torch.cat([exact, exact.new_zeros(1)]).float() if len(exact) else exact.float()

    def timesteps(self) -> Tensor:
        """[num_steps] what the model is told: int64, or exact float32 without truncation."""
        exact = self._exact_sigmas() * self.num_train_timesteps
        return exact.to(torch.int64) if self.truncates_timesteps else exact.float()


Schedule = DMDSchedule | UniPCSchedule


def check_denoise(denoise: float) -> None:
    """Raise WorldStereoError for a share of the way that is none."""
    if not 0 <= denoise <= 1:
        raise WorldStereoError(
            f"denoise: got {denoise:g}, expected 0 (nothing is changed) to 1 (from pure noise)."
        )


def first_step(sigmas: Tensor, start_level: float) -> int:
    """The step that sampling from a given clip begins with: the first at or below a noise level.

    Args:
        sigmas: [n + 1] descending noise levels of a schedule, the last 0.
        start_level: share of noise that the clip is mixed with, 0..1. 1 is the whole schedule, from pure
            noise also where its first level is just below 1; 0 none of it.

    Returns:
        0..n; the mixture has exactly the level ``sigmas[step]``, which the model was made for.

    Raises: WorldStereoError if the level is above 0 and below all steps.
    """
    if not 0 <= start_level <= 1:
        raise WorldStereoError(
            f"start level: got {start_level:g}, expected 0 (the given clip is kept) to 1 (from pure noise)."
        )
    levels = [float(sigma) for sigma in sigmas[:-1]]
    if start_level == 0:
        return len(levels)
    for step, level in enumerate(levels):
        # A level as people read it off, 0.833 for 0.8333, still means that step.
        if level <= start_level + LEVEL_ROUNDING:
            return step
    if levels:
        raise WorldStereoError(
            f"start level: got {start_level:g}, and the last of the schedule's {len(levels)} steps begins at "
            f"{levels[-1]:.3g}. Set at least {levels[-1]:.3g}, 0 to keep the given clip, or more steps."
        )
    return len(levels)


def shift_sigmas(sigmas: Tensor, shift: float) -> Tensor:
    """Flow-matching time shift: shift * s / (1 + (shift - 1) * s)."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def euler_step(sample: Tensor, velocity: Tensor, sigma: Tensor, next_sigma: Tensor) -> Tensor:
    """Move along the velocity from ``sigma`` to ``next_sigma`` (0-dim tensors), in the sample's dtype."""
    # A 0-dim float32 factor does not widen a bfloat16 prediction: the released sampler rounds here too.
    return sample + (next_sigma - sigma).to(velocity.device) * velocity


def add_noise(clean: Tensor, noise: Tensor, timesteps: Tensor, end: float = NUM_TRAIN_TIMESTEPS) -> Tensor:
    """Mix clean samples [B, ...] with noise for [B] timesteps in 0..end."""
    sigma = (timesteps.to(clean) / end).view(-1, *[1] * (clean.ndim - 1))
    return (1 - sigma) * clean + sigma * noise
