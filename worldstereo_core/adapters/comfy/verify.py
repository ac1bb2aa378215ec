"""Recomputes golden results through ComfyUI: the same loader, hook, samplers and VAE that the nodes use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ...model.checkpoint import WorldStereoCheckpoint, checkpoint_from_tensors
from ...model.condition import ControlCondition
from ...model.weight_files import read_weights
from .environment import prepare
from .loader import build_control, build_model
from .patch import apply_control

TEXT_LENGTH = 512
TIMESTEPS = 1000  # of Wan's schedules: a timestep is this times sigma


class GoldenLike(Protocol):
    """What is read of a golden; see ``commands.verify.golden.Golden``."""

    name: str
    manifest: dict[str, Any]
    tensors: dict[str, Tensor]

    def input(self, name: str) -> Tensor: ...
    def has_input(self, name: str) -> bool: ...
    def weights(self, case: str | None = None) -> list[Path]: ...
    def config(self) -> dict[str, Any]: ...


def controlled_forward(golden: GoldenLike) -> dict[str, Tensor]:
    """One call of the diffusion model with control (g3) and references (g4), and the bare backbone."""
    prepare()
    with torch.inference_mode():
        return _controlled_forward(golden)


def _controlled_forward(golden: GoldenLike) -> dict[str, Tensor]:
    checkpoint, base = _checkpoint(golden)
    latents = golden.input("hidden_states")
    condition = ControlCondition(
        render_latents=golden.input("render_latent"),
        hole_mask=golden.input("render_mask").float(),
        rays=golden.input("camera_embedding") if checkpoint.config.control.takes_rays else None,
        **_references(golden, lambda: golden.input("reference_latent")[:, :16]),
    )
    computed: dict[str, Tensor] = {}

    def record(name: str, tensor: Tensor) -> None:
        computed[f"dbg.{name}"] = tensor.detach().clone()

    model, _ = build_model(checkpoint, base, "fp32")
    control = build_control(checkpoint, "fp32")
    patched = apply_control(model, control, condition, probe=record)
    computed["output"] = _call(patched, golden, latents)
    if "output_backbone_only" in golden.tensors:
        bare = replace(checkpoint, backbone_state={}, is_complete=False)
        computed["output_backbone_only"] = _call(build_model(bare, base, "fp32")[0], golden, latents)
    return computed


def _call(model: Any, golden: GoldenLike, latents: Tensor) -> Tensor:
    """Call the diffusion model inside a MODEL as ComfyUI's samplers do, without their arithmetic around
    it."""
    import comfy.model_management

    batch = latents.shape[0]
    comfy.model_management.load_models_gpu([model])
    options = {**model.model_options["transformer_options"], "wrappers": model.wrappers}
    device = model.load_device
    model.pre_run()
    try:
        output = model.model.diffusion_model(
            latents.to(device),
            golden.input("timestep").float().to(device),
            context=_to_batch(pad_text(golden.input("text_tokens")), batch).to(device),
            clip_fea=_to_batch(golden.input("image_embeds"), batch).to(device),
            transformer_options=options,
        )
    finally:
        model.cleanup()
    return output.float().cpu()


def _checkpoint(golden: GoldenLike) -> tuple[WorldStereoCheckpoint, Path | None]:
    """The golden's WorldStereo file under the manifest's settings, and the backbone file it is laid over."""
    control: dict[str, Tensor] = {}
    base = None
    for path in golden.weights():
        tensors = read_weights(path)[0]
        if any("controlnet" in key for key in tensors):
            control.update(tensors)
        elif any(key.startswith("patch_embedding") for key in tensors):
            base = path
    overrides: dict[str, Any] = {"reference_update": golden.manifest.get("update_ref")}
    if golden.has_input("reference_latent") or golden.has_input("reference_video"):
        is_reference_model = golden.name.startswith("g4_") or "reference_latent" in golden.tensors
        overrides["variant"] = "memory" if is_reference_model else "camera"
    checkpoint = checkpoint_from_tensors(
        control, golden.config(), settings_source="the manifest", overrides=overrides, source=golden.name
    )
    return checkpoint, None if checkpoint.is_complete else base


def _references(golden: GoldenLike, latents: Any) -> Mapping[str, Tensor | None]:
    """The reference fields of a condition; empty for a golden of the camera model."""
    if not (golden.name.startswith("g4_") or "reference_latent" in golden.tensors):
        return {}
    has_cameras = golden.manifest.get("use_camera_qt", True) and golden.has_input("camera_qt")
    return {
        "reference_latents": latents(),
        "reference_index": golden.input("ref_index"),
        "camera_tokens": golden.input("camera_qt") if has_cameras else None,
        "reference_camera_tokens": golden.input("camera_qt_ref") if has_cameras else None,
    }


def pad_text(tokens: Tensor) -> Tensor:
    """[b, n, 4096] -> [b, 512, 4096]: the zeros pass through the text network and are attended to."""
    return functional.pad(tokens, (0, 0, 0, TEXT_LENGTH - tokens.shape[1]))


def _to_batch(tensor: Tensor, batch: int) -> Tensor:
    return tensor if tensor.shape[0] == batch else tensor.repeat(batch, *[1] * (tensor.ndim - 1))
