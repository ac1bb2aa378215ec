"""The denoising loop, for any model and either schedule."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..schedule import DMDSchedule, Schedule, euler_step
from ..unipc import UniPC


def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    schedule: Schedule,
    on_step: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """Denoise from pure noise.

    Args:
        predict: ([b, C, ...] sample, [b] timesteps) -> the velocity.
        noise: [b, C, ...] standard normal, float32; also the dtype of the state between steps.
        schedule: steps and solver.
        on_step: called with (steps done, number of steps, sample) after each; may raise to stop.

    Returns:
        The denoised sample.
    """
    sigmas, timesteps = schedule.sigmas(), schedule.timesteps()
    solver = None if isinstance(schedule, DMDSchedule) else UniPC(sigmas, schedule.order)
    current = noise
    for index, timestep in enumerate(timesteps):
        velocity = predict(current, timestep.to(noise.device).expand(noise.shape[0]))
        if solver is None:
            current = euler_step(current, velocity, sigmas[index], sigmas[index + 1])
        else:
            current = solver.step(current, velocity)
        if on_step is not None:
            on_step(index + 1, len(timesteps), current)
    return current
