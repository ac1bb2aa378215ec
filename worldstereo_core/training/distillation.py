"""Distribution-matching distillation: a model of few steps whose clips a many-step teacher finds likely.

Yin et al. 2024, "One-step Diffusion with Distribution Matching Distillation" (arXiv 2311.18828), and its
second version (arXiv 2405.14867): the fake score trained several times per generator step, and the generator
trained on its own steps from noise ("backward simulation"), as they run at inference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..schedule import DMDSchedule, euler_step
from .flow import clean_from_velocity

Predict = Callable[[Tensor, Tensor], Tensor]
"""([B, 16, F, h, w] noisy, [B] timesteps) -> velocity."""


def simulate(predict: Predict, noise: Tensor, schedule: DMDSchedule, last_step: int) -> Tensor:
    """Run a generator from pure noise to one of its steps and take that step's clean clip.

    Args:
        predict: the generator.
        noise: [B, 16, F, h, w], standard normal.
        schedule: its steps; Euler, noise is never added again.
        last_step: 0..num_steps - 1. Gradients pass through this step alone.

    Returns:
        The clean clip that the step points to; of the schedule's last step: the result of sampling.
    """
    sigmas, timesteps = schedule.sigmas(), schedule.timesteps()
    current, batch = noise, noise.shape[0]
    with torch.no_grad():
        for step in range(last_step):
            velocity = predict(current, timesteps[step].expand(batch))
            current = euler_step(current, velocity, sigmas[step], sigmas[step + 1])
    velocity = predict(current, timesteps[last_step].expand(batch))
    return euler_step(current, velocity, sigmas[last_step], torch.zeros(()))


def matching_loss(
    clean: Tensor, noisy: Tensor, real_velocity: Tensor, fake_velocity: Tensor, timesteps: Tensor
) -> Tensor:
    """Loss whose gradient moves the generator's clips from the fake score's opinion to the real one's.

    Args:
        clean: [B, 16, F, h, w] the generator's clips, with gradients.
        noisy: ``clean`` with noise of ``timesteps``; no gradients.
        real_velocity, fake_velocity: what teacher and fake score predict there; no gradients.
        timesteps: [B].

    Returns:
        [] half the squared distance to the corrected clips. Its gradient is fake - real clean clip, over the
        mean distance of generator and teacher per clip (arXiv 2311.18828, equations 7 and 8).
    """
    real = clean_from_velocity(noisy, real_velocity, timesteps)
    fake = clean_from_velocity(noisy, fake_velocity, timesteps)
    distance = (clean.detach() - real).abs().flatten(1).mean(1).clamp_min(1e-6)
    direction = (fake - real) / distance.view(-1, *[1] * (clean.ndim - 1))
    return 0.5 * (clean - (clean - direction).detach()).square().mean()
