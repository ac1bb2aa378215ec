"""The small model under the file names that the shipped templates load, so that they run on any machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..model.checkpoint import WorldStereoCheckpoint, load_checkpoint
from ..model.key_names import wan_to_diffusers_key
from ..model.tiny import tiny_lora_tensors, tiny_uni3c_tensors, write_weights
from .model_folder import find_model
from .small_model import FOLDER

BACKBONE = "wan2.1_i2v_480p_14B_fp16.safetensors"
UNI3C = "Wan21_Uni3C_controlnet_fp16.safetensors"
STYLE_LORA = "pixar_10_epochs.safetensors"
# Backbone weights that the memory file brings, as the released one does.
_OVERLAID = ".self_attn."
# Files whose models cannot be small: they hold one number, and development code takes their place.
_STAND_INS = (
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "clip_vision/clip_vision_h.safetensors",
    "geometry_estimation/moge_2_vitl_normal_fp16.safetensors",
    "frame_interpolation/film_net_fp16.safetensors",
)


def write_template_weights(models: Path, seed: int = 0) -> None:
    """Write the small model, in all its variants, under the file names that the templates load.

    Camera and memory file and the backbone alone are cut from the complete file. Uni3C control and style
    LoRA, which nobody trained for it, are random.

    Args:
        models: a ComfyUI ``models`` folder.
    """
    files = find_model(FOLDER)
    _copy(files.vae, models / "vae" / "wan_2.1_vae.safetensors")
    complete = models / "worldstereo" / "worldstereo_memory_dmd.safetensors"
    _copy(files.worldstereo, complete)
    settings = json.loads(files.worldstereo.with_suffix(".json").read_text())
    complete.with_suffix(".json").write_text(json.dumps(settings))

    checkpoint = load_checkpoint(files.worldstereo)
    write_weights(models / "diffusion_models" / BACKBONE, checkpoint.backbone_state)
    settings = {key: value for key, value in settings.items() if not key.startswith(("dmd", "gen_"))}
    _write(complete.with_name("worldstereo_memory.safetensors"), memory_tensors(checkpoint), settings)
    control = {**settings["controlnet_cfg"], "main_camera_embedding": False}
    camera = {
        key: value
        for key, value in checkpoint.control_state.items()
        if not key.startswith("camera_embedding.")
    }
    _write(
        complete.with_name("worldstereo_camera.safetensors"), camera, {**settings, "controlnet_cfg": control}
    )
    write_weights(complete.with_name(UNI3C), tiny_uni3c_tensors(seed))
    write_weights(models / "loras" / STYLE_LORA, tiny_lora_tensors(seed + 1))
    for name in _STAND_INS:
        write_weights(models / name, {"stand_in": torch.zeros(1)})


def memory_tensors(checkpoint: WorldStereoCheckpoint) -> dict[str, Tensor]:
    """What the released memory file holds: control, and the backbone weights that were trained with it."""
    trained = {
        wan_to_diffusers_key(key) or key: value
        for key, value in checkpoint.backbone_state.items()
        if _OVERLAID in key
    }
    return {**checkpoint.control_state, **trained}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    write_weights(path, tensors)
    path.with_suffix(".json").write_text(json.dumps(settings))
