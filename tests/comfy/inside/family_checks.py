"""Small models written by the trainer, loaded and sampled under ComfyUI's Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.utils
import torch
from safetensors.torch import load_file, save_file

from worldstereo_core.adapters.comfy.loader import load_worldstereo
from worldstereo_core.adapters.comfy.patch import apply_control
from worldstereo_core.model.condition import ControlCondition

SIGMAS = (1.0, 0.8, 0.5, 0.0)


def sampled(folder: str, worldstereo: str, lora: str | None = None) -> dict[str, Any]:
    """Sample with Euler steps on the inputs of ``inputs.safetensors`` and write ``result.safetensors``."""
    root = Path(folder)
    inputs = load_file(root / "inputs.safetensors")
    loaded = load_worldstereo(root / "backbone.safetensors", root / worldstereo / "model.safetensors", "fp32")
    references = {
        key: inputs[key]
        for key in ("reference_latents", "reference_index", "camera_tokens", "reference_camera_tokens")
        if loaded.control.model.config.takes_references
    }
    condition = ControlCondition(inputs["render_latents"], inputs["hole_mask"], inputs["rays"], **references)
    model = apply_control(loaded.model, loaded.control, condition)
    loaded_layers = 0
    if lora is not None:
        tensors = comfy.utils.load_torch_file(str(root / lora), safe_load=True)
        model = comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0.0)[0]
        loaded_layers = len(model.patches)
    null = load_file(root / "null_context.safetensors")
    vision = comfy.clip_vision.Output()
    vision["penultimate_hidden_states"] = null["image_embeds"].float().expand(1, 257, -1)
    latent_format = model.get_model_object("latent_format")
    values = {
        "concat_latent_image": latent_format.process_out(inputs["image_condition"][:, 4:]),
        "concat_mask": 1 - inputs["image_condition"][:, :1],
        "clip_vision_output": vision,
    }
    context = [[null["text_embeds"].float().expand(1, 512, -1), values]]
    noise = inputs["noise"]
    result = comfy.sample.sample_custom(
        model,
        noise,
        1.0,
        comfy.samplers.sampler_object("euler"),
        torch.tensor(SIGMAS),
        context,
        context,
        torch.zeros_like(noise),
        disable_pbar=True,
        seed=0,
    )
    save_file({"latents": latent_format.process_in(result).contiguous()}, root / "result.safetensors")
    # The same file through core's own loader, which must take it for Wan 2.1 image to video by itself.
    core = comfy.sd.load_diffusion_model(str(root / "backbone.safetensors"))
    return {"layers": loaded_layers, "detected": type(core.model.model_config).__name__}
