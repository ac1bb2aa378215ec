"""A cheap look at a clip before it is sampled in full: few steps, and smaller pictures on demand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...checks import WorldStereoError, check_shape
from ...model.condition import ControlCondition
from ...model.latents import LATENT_CHANNELS
from ...schedule import DMDSchedule, Schedule
from ...sizes import SIZE_MULTIPLE
from .patch import applied_control, control_module, replace_condition
from .samplers import make_unipc_sampler


def look_early(
    model: Any,
    positive: Any,
    negative: Any,
    latent: Tensor,
    *,
    num_steps: int = 1,
    cfg: float = 1.0,
    seed: int = 0,
    size_factor: float = 1.0,
) -> Tensor:
    """Sample a clip from pure noise in a few steps of the schedule that its WorldStereo file was made for.

    Args:
        model: a MODEL with a WorldStereo control applied.
        positive, negative: CONDITIONING; the negative one is not computed at cfg 1.
        latent: [b, 16, F, h, w]; only its shape counts.
        num_steps: model calls (twice as many with guidance).
        cfg: guidance.
        seed: of the noise.
        size_factor: of the pictures' sides, which end as multiples of 16.

    Returns:
        The sampled LATENT samples, [b, 16, F, h * size_factor, w * size_factor].

    Raises: WorldStereoError if the model carries no control.
    """
    import comfy.sample
    import comfy.samplers
    import latent_preview

    hook = applied_control(model)
    if hook is None:
        raise WorldStereoError(
            "model: no WorldStereo control is applied to it, so there is no camera path to look at. Connect "
            "the model output of Apply WorldStereo Control."
        )
    hint = "Connect the latent of WorldStereo Image to Key Frames."
    check_shape("latent", latent, ("*", LATENT_CHANNELS, "*", "*", "*"), hint)
    schedule = early_schedule(control_module(hook.control).config.schedule, num_steps)
    is_few_step = isinstance(schedule, DMDSchedule)
    samplers: Any = comfy.samplers
    sampler = samplers.sampler_object("euler") if is_few_step else make_unipc_sampler()
    if size_factor != 1:
        smaller = smaller_condition(hook.condition, size_factor)
        model = replace_condition(model, smaller)
        latent = latent.new_zeros(*latent.shape[:3], smaller.height // 8, smaller.width // 8)
    start = torch.zeros_like(latent)
    # The start picture in the conditioning is brought to the latent's size by ComfyUI.
    return comfy.sample.sample_custom(
        model,
        comfy.sample.prepare_noise(start, seed),
        cfg,
        sampler,
        schedule.sigmas(),
        positive,
        negative,
        start,
        callback=latent_preview.prepare_callback(model, num_steps),
        disable_pbar=True,
        seed=seed,
    )


def early_schedule(schedule: Schedule, num_steps: int) -> Schedule:
    """The same kind of schedule in fewer steps, from pure noise on."""
    if isinstance(schedule, DMDSchedule):
        # Even steps: a single one would otherwise be the last of the table, and begin in the middle.
        return replace(schedule, num_steps=num_steps, start=schedule.end / num_steps)
    return replace(schedule, num_steps=num_steps)


def smaller_condition(condition: ControlCondition, size_factor: float) -> ControlCondition:
    """The condition for pictures with sides of about ``size_factor``, multiples of 16."""
    height, width = (
        max(1, round(side * size_factor / SIZE_MULTIPLE)) * SIZE_MULTIPLE
        for side in (condition.height, condition.width)
    )
    return condition.resized(height, width)
