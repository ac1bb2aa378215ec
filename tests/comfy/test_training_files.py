"""What training writes, in a real ComfyUI: small models and LoRAs give what they gave in training."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

pytest.importorskip("diffusers")
pytest.importorskip("peft")

from tests.training.clip_tensors import encoded_clips
from worldstereo_core.training.clip_batch import SignalWeights, make_condition, plain_references
from worldstereo_core.training.encoded_clips import ClipSettings
from worldstereo_core.training.family import is_used_with_null_context, write_backbone, write_null_context
from worldstereo_core.training.networks import NetworkSettings
from worldstereo_core.training.stages.adapters import AdapterStage, AdapterStageSettings
from worldstereo_core.training.stages.memory import MemoryStage, MemoryStageSettings

pytestmark = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
SIGMAS = (1.0, 0.8, 0.5, 0.0)


def shaken(stage) -> None:
    """Move the weights, as training does."""
    generator = torch.Generator().manual_seed(3)
    for module in stage.modules.values():
        for name, parameter in module.named_parameters():
            if is_used_with_null_context(name.replace(".base_layer", "")):
                parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


def write_inputs(folder: Path, clips: dict[str, Tensor], condition) -> Tensor:
    noise = torch.randn(clips["clean"].shape, generator=torch.Generator().manual_seed(5))
    inputs = {"noise": noise, "image_condition": clips["image_condition"]}
    for name in ("render_latents", "hole_mask", "rays", "reference_latents", "reference_index"):
        inputs[name] = getattr(condition, name)
    for name in ("camera_tokens", "reference_camera_tokens"):
        inputs[name] = getattr(condition, name)
    save_file({key: value.contiguous() for key, value in inputs.items()}, folder / "inputs.safetensors")
    return noise


def expected(stage, clips: dict[str, Tensor], condition, noise: Tensor) -> Tensor:
    current = noise
    for sigma, following in pairwise(SIGMAS):
        timesteps = torch.tensor([1000 * sigma])
        with torch.no_grad():
            velocity = stage.networks.velocity(current, clips["image_condition"], condition, timesteps)
        current = current + (following - sigma) * velocity
    return current


@pytest.mark.parametrize("with_lora", [False, True])
def test_comfyui_samples_what_training_would(run_in_comfy, tmp_path: Path, with_lora: bool):
    both, networks = SignalWeights(both=1), NetworkSettings(size="nano")
    memory = MemoryStage(MemoryStageSettings(ClipSettings(vae="none"), networks, signals=both), 0)
    shaken(memory)
    clips = encoded_clips(batch=1)
    generator = torch.Generator().manual_seed(0)
    condition = make_condition(clips, memory.networks.control.config, "both", plain_references(2), generator)
    write_backbone(tmp_path / "backbone.safetensors", memory.networks.backbone)
    write_null_context(tmp_path)
    memory.export(tmp_path)
    stage, lora = memory, None
    if with_lora:
        files = NetworkSettings(
            backbone=str(tmp_path / "backbone.safetensors"), worldstereo=str(tmp_path / "worldstereo-memory")
        )
        stage = AdapterStage(AdapterStageSettings(ClipSettings(vae="none"), files, rank=2, alpha=4.0), 0)
        generator = torch.Generator().manual_seed(4)
        for parameter in stage.groups[0].parameters.values():
            parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
        lora = stage.export(tmp_path)[0].name
    noise = write_inputs(tmp_path, clips, condition)
    done = run_in_comfy(
        "family_checks.py", "sampled", folder=str(tmp_path), worldstereo="worldstereo-memory", lora=lora
    )
    assert done == {"layers": 8 if with_lora else 0, "detected": "WAN21_I2V"}
    result, wanted = (
        load_file(tmp_path / "result.safetensors")["latents"],
        expected(stage, clips, condition, noise),
    )
    # The files are half precision; what the model and the LoRA change must be far larger than that.
    change = wanted - (expected(memory, clips, condition, noise) if with_lora else noise)
    assert (result - wanted).square().mean() < 1e-3 * change.square().mean()
