"""A whole clip with diffusers' networks: condition, denoise, decode."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...checks import WorldStereoError, check_shape
from ...model.condition import ControlCondition
from ...model.conditioning import VAE, image_condition
from ...model.config import LatentConditionMode, WorldStereoConfig
from ...model.control_parts import PartStrength
from ...model.control_session import ControlStrength
from ...model.latents import LATENT_CHANNELS
from ...model.sampling import sample
from ...model.world_control import WorldStereoControl
from ...schedule import Schedule, UniPCSchedule
from .backbone import WanBackbone, controlled_forward, pad_text

StageProgress = Callable[[str, int, int], None]
"""(stage, done, total); stages are "condition", "denoise" and "decode"."""


def recommended_schedule(config: WorldStereoConfig) -> Schedule:
    """The schedule a file was made for: its own few steps, or 40 steps of UniPC."""
    return config.dmd if config.variant == "memory-dmd" else UniPCSchedule()


def recommended_guidance(config: WorldStereoConfig) -> float:
    """Classifier-free guidance a file was made for; 1 = none."""
    return 1.0 if config.variant == "memory-dmd" else 5.0


@torch.no_grad()
def generate_clip(
    backbone: WanBackbone,
    control: WorldStereoControl,
    vae: VAE,
    *,
    image: Tensor,
    condition: ControlCondition,
    text_embeds: Tensor,
    image_embeds: Tensor | None,
    negative_embeds: Tensor | None = None,
    schedule: Schedule | None = None,
    guidance: float | None = None,
    latent_condition_mode: LatentConditionMode | None = None,
    noise: Tensor | None = None,
    start: Tensor | None = None,
    start_level: float = 1.0,
    generator: torch.Generator | None = None,
    strength: ControlStrength = ControlStrength(),  # noqa: B008 (frozen)
    parts: PartStrength = PartStrength(),  # noqa: B008 (frozen)
    progress: StageProgress | None = None,
    probe: Callable[[str, Tensor], None] | None = None,
) -> Tensor:
    """Generate the key frames of one clip.

    Args:
        backbone: the transformer, with the WorldStereo file's own backbone tensors merged in.
        control: the trained parts, in the backbone's dtype and on its device.
        vae: codes key frames.
        image: [3, H, W], 0..1, the first frame.
        condition: the clip's control; its size and frame count are the clip's.
        text_embeds: [1, n, 4096] UMT5 tokens of the prompt, n up to 512.
        image_embeds: [1, 257, 1280] CLIP vision's penultimate hidden state of the image.
        negative_embeds: [1, n, 4096] tokens of the negative prompt; needed when guidance is above 1.
        schedule, guidance, latent_condition_mode: None = what the file was made for.
        noise: [1, 16, F, h, w] to start from; None draws it.
        start: [1, 16, F, h, w] latents of a clip to start from, as in ``model.sampling.sample``.
        start_level: how much noise it is mixed with, 0..1.
        generator: draws the noise.
        strength: factors on the control.
        parts: factors on its optional parts, where it has any.
        progress: called with (stage, done, total); may raise to stop.
        probe: called with (name, tensor): "condition", then per step "prediction" (conditional before
            unconditional) and "latents".

    Returns:
        [F, 3, H, W] float32, 0..1.

    Raises: WorldStereoError if sizes do not match or guidance lacks its negative prompt.
    """
    config = control.config
    schedule = recommended_schedule(config) if schedule is None else schedule
    guidance = recommended_guidance(config) if guidance is None else guidance
    mode = config.latent_condition_mode if latent_condition_mode is None else latent_condition_mode
    report = progress or (lambda stage, done, total: None)
    probe = probe or (lambda name, tensor: None)
    hint = "The image and the control must be made for the same size."
    check_shape("image", image, (3, condition.height, condition.width), hint)
    prompts = [pad_text(text_embeds)]
    if guidance > 1:
        if negative_embeds is None:
            raise WorldStereoError(
                f"negative prompt: guidance {guidance:g} needs one, got none. Give negative text embeddings, "
                "or set the guidance to 1."
            )
        prompts.append(pad_text(negative_embeds))

    # Noise comes before all other work, so that a seed means the same noise in every mode.
    latents = _noise(condition, noise, generator).to(backbone.device)
    report("condition", 0, 1)
    image_latents = image_condition(vae, image, condition.num_frames, mode).to(backbone.device)
    probe("condition", image_latents)
    report("condition", 1, 1)
    condition = condition.to(backbone.device, backbone.dtype)

    def predict(current: Tensor, timesteps: Tensor) -> Tensor:
        model_input = torch.cat([current, image_latents.to(current)], dim=1)
        predictions = []
        for text in prompts:
            prediction = controlled_forward(
                backbone,
                control,
                condition,
                model_input,
                timesteps,
                text.to(backbone.device),
                None if image_embeds is None else image_embeds.to(backbone.device),
                strength=strength,
                parts=parts,
            )
            probe("prediction", prediction)
            predictions.append(prediction)
        if len(predictions) == 1:
            return predictions[0]
        conditional, unconditional = predictions
        return unconditional + guidance * (conditional - unconditional)

    def on_step(done: int, total: int, current: Tensor) -> None:
        probe("latents", current)
        report("denoise", done, total)

    latents = sample(predict, latents, schedule, on_step, start=start, start_level=start_level)
    return vae.decode_keyframes(latents, lambda done, total: report("decode", done, total))


def _noise(condition: ControlCondition, noise: Tensor | None, generator: torch.Generator | None) -> Tensor:
    shape = (1, LATENT_CHANNELS, *condition.render_latents.shape[2:])
    if noise is not None:
        check_shape("noise", noise, shape, "Draw it for the clip's size and frame count.")
        return noise.float()
    device = "cpu" if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device)
