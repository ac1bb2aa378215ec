"""The denoising loop, for any model and either schedule."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..checks import check_shape
from ..schedule import DMDSchedule, Schedule, euler_step, first_step
from ..unipc import UniPC


def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    schedule: Schedule,
    on_step: Callable[[int, int, Tensor], None] | None = None,
    *,
    start: Tensor | None = None,
    start_level: float = 1.0,
) -> Tensor:
    """Denoise from pure noise, or from a given clip mixed with noise.

    Args:
        predict: ([b, C, ...] sample, [b] timesteps) -> the velocity.
        noise: [b, C, ...] standard normal, float32; also the dtype of the state between steps.
        schedule: steps and solver.
        on_step: called with (steps done, number of steps, sample) after each; may raise to stop.
        start: [b, C, ...] clean sample to begin with; None = none, start_level is then not looked at.
        start_level: how much noise it is mixed with, as in ``first_step``: at 1 it has no say, at 0 it comes
            back as it is. Only the steps from there on are made.

    Returns:
        The denoised sample.
    """
    sigmas, timesteps = schedule.sigmas(), schedule.timesteps()
    current = noise
    if start is not None:
        check_shape("start", start, tuple(noise.shape), "Bring the clip to the size and frames of the noise.")
        step = first_step(sigmas, start_level)
        sigmas, timesteps = sigmas[step:], timesteps[step:]
        if len(timesteps) == 0:
            return start.to(noise)
        if step > 0:
            sigma = float(sigmas[0])
            current = (1 - sigma) * start.to(noise) + sigma * noise
    solver = None if isinstance(schedule, DMDSchedule) else UniPC(sigmas, schedule.order)
    for index, timestep in enumerate(timesteps):
        velocity = predict(current, timestep.to(noise.device).expand(noise.shape[0]))
        if solver is None:
            current = euler_step(current, velocity, sigmas[index], sigmas[index + 1])
        else:
            current = solver.step(current, velocity)
        if on_step is not None:
            on_step(index + 1, len(timesteps), current)
    return current
