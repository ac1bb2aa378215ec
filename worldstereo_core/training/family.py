"""Small WorldStereo models in the released formats: their sizes, first weights and files.

A small model never reads text or CLIP vision. Its learned null context lies in the biases of its two context
embedders: their matrices are zero, so that every token of every prompt and picture becomes the same vector.
Softmax over equal keys returns the value itself, hence the queries and keys of cross-attention are zero too.
None of these zeros learns, and files keep them as 8-bit numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..adapters.diffusers.backbone import WanBackbone
from ..adapters.diffusers.transformer import load_wan_transformer
from ..atomic import replace_when_done
from ..checks import WorldStereoError
from ..model.config import ControlSizes, Variant, WorldStereoConfig
from ..model.key_names import diffusers_to_wan_key, wan_to_diffusers_key
from ..model.stereo_memory import camera_embedding
from ..model.tiny import IMAGE_WIDTH, TEXT_WIDTH, wan_shapes, write_weights
from ..model.world_control import WorldStereoControl
from ..schedule import DMDSchedule

WIDTH = 256  # two heads of 128: the smallest that ComfyUI's detection accepts
CAMERA_TOKEN_WIDTH = 7
NULL_CONTEXT = "null_context.safetensors"
# Wan names of the matrices that a null context leaves unused; see the head of this file.
_ZERO_EMBEDDERS = ("text_embedding.0", "text_embedding.2", "img_emb.proj.1", "img_emb.proj.3")
_ZERO_CROSS = ("cross_attn.q", "cross_attn.k", "cross_attn.k_img")
# Ahead of zero matrices; a norm of them would have nothing to norm.
_UNUSED_AROUND = ("text_embedding.0.bias", "img_emb.proj.0.", "img_emb.proj.1.bias")
_UNUSED_NORMS = ("norm3.", "cross_attn.norm_q.", "cross_attn.norm_k.", "cross_attn.norm_k_img.")


@dataclass(frozen=True)
class FamilySize:
    """Sizes of one member of the family.

    Attributes:
        num_blocks, ffn_width: of the backbone; its width is 256.
        control_width: channels of the control blocks, heads of 64.
        control_ffn_width, control_blocks: of the control branch.
        mask_width: channels between the two convolutions of the mask embedding.
    """

    num_blocks: int
    ffn_width: int
    control_width: int
    control_ffn_width: int
    control_blocks: int
    mask_width: int = 64

    def control_sizes(self) -> ControlSizes:
        return ControlSizes(
            in_channels=36,
            embed_width=WIDTH,
            width=self.control_width,
            num_heads=self.control_width // 64,
            ffn_width=self.control_ffn_width,
            num_blocks=self.control_blocks,
            time_width=WIDTH,
            output_width=WIDTH,
            mask_channels=7,
            mask_width=self.mask_width,
            mask_kernel=1,
        )


FAMILY: dict[str, FamilySize] = {
    "nano": FamilySize(2, 64, 64, 64, 1, mask_width=16),  # for tests
    "small": FamilySize(6, 768, 128, 384, 5),  # 9.8 M + 2.2 M weights: the shipped one
    "medium": FamilySize(12, 1024, 256, 768, 8),
}


def family_size(name: str) -> FamilySize:
    """Look a size up.

    Raises: WorldStereoError if there is none of that name.
    """
    if name not in FAMILY:
        raise WorldStereoError(f"size: got {name!r}, expected one of {', '.join(FAMILY)}. Correct it.")
    return FAMILY[name]


def make_backbone(size: FamilySize, seed: int) -> WanBackbone:
    """A Wan I2V transformer before training, float32; it answers 0 to everything.

    Matrices are drawn as in Wan (Xavier), the head is zero, and the null context stands in the biases.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = wan_shapes(WIDTH, size.num_blocks, size.ffn_width)
    tensors = {key: _first_value(key, shapes[key], generator) for key in sorted(shapes)}
    return WanBackbone(load_wan_transformer(tensors, dtype=torch.float32))


def _first_value(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    layer, _, part = key.rpartition(".")
    if key.endswith("modulation"):
        return torch.randn(shape, generator=generator) / math.sqrt(shape[-1])
    if part == "bias":
        # The null context: what text and picture mean to every block before anything is learned.
        is_context = layer in ("text_embedding.2", "img_emb.proj.3")
        return torch.randn(shape, generator=generator) if is_context else torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    if layer == "head.head" or is_zero_matrix(key):
        return torch.zeros(shape)
    if layer.startswith("time_embedding"):
        return 0.02 * torch.randn(shape, generator=generator)
    inputs, outputs = math.prod(shape[1:]), shape[0]
    return (2 * torch.rand(shape, generator=generator) - 1) * math.sqrt(6 / (inputs + outputs))


def is_zero_matrix(wan_key: str) -> bool:
    """Whether a small model keeps this tensor at zero for good."""
    layer, _, part = wan_key.rpartition(".")
    return part == "weight" and (layer in _ZERO_EMBEDDERS or layer.endswith(_ZERO_CROSS))


def is_used_with_null_context(diffusers_name: str) -> bool:
    """Whether a backbone parameter changes the answer of a model that is given the null context."""
    key = diffusers_to_wan_key(diffusers_name) or diffusers_name
    layer = key.rpartition(".")[0]
    if is_zero_matrix(key) or layer.endswith(_ZERO_CROSS):
        return False
    return not key.startswith(_UNUSED_AROUND) and not any(norm in key for norm in _UNUSED_NORMS)


def make_control(
    sizes: ControlSizes,
    backbone: WanBackbone,
    seed: int,
    *,
    has_camera_tokens: bool = True,
    variant: Variant = "memory",
) -> WorldStereoControl:
    """A control branch before training: it adds exactly 0 to its backbone.

    The patch embedding starts as the backbone's, and the layers that lead out start at zero (zero
    convolutions, Zhang et al. 2023, arXiv 2302.05543), so that training begins at the backbone's own answers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        control = WorldStereoControl(
            WorldStereoConfig(
                sizes,
                CAMERA_TOKEN_WIDTH if has_camera_tokens else None,
                variant,
                latent_condition_mode="first_frame_only",
            )
        )
    branch = control.controlnet
    patches = backbone.transformer.patch_embedding
    with torch.no_grad():
        branch.controlnet_patch_embedding.weight.copy_(patches.weight)
        branch.controlnet_patch_embedding.bias.copy_(patches.bias)
        outward: list[nn.Module] = [branch.controlnet_mask_embedding.mask_zero_proj, *branch.proj_out]
        if control.camera_embedding is not None:
            outward.append(control.camera_embedding[-1])
        for layer in outward:
            for parameter in layer.parameters():
                parameter.zero_()
    return control


def add_camera_embedding(control: WorldStereoControl, seed: int) -> None:
    """Turn a camera control into a memory control, in place; its new camera tokens add exactly 0."""
    control.config = replace(control.config, variant="memory")
    if control.camera_embedding is not None:
        return
    width = control.config.control.output_width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embedding = camera_embedding(CAMERA_TOKEN_WIDTH, width)
    for parameter in embedding[-1].parameters():
        nn.init.zeros_(parameter)
    control.config = replace(control.config, camera_token_width=CAMERA_TOKEN_WIDTH)
    control.camera_embedding = embedding


def backbone_tensors(backbone: WanBackbone, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """The transformer's tensors under ComfyUI names; matrices that are zero for good in 8 bits."""
    tensors = {}
    for name, tensor in backbone.transformer.state_dict().items():
        key = diffusers_to_wan_key(name)
        assert key is not None, name
        is_empty = is_zero_matrix(key) and not bool(tensor.any())
        tensors[key] = tensor.detach().to("cpu", torch.float8_e4m3fn if is_empty else dtype).contiguous()
    return tensors


def control_tensors(control: nn.Module, dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """The trained parts under released names."""
    return {k: v.detach().to("cpu", dtype).contiguous() for k, v in control.state_dict().items()}


def write_backbone(path: Path, backbone: WanBackbone) -> Path:
    """Write a Wan I2V file that ComfyUI's own loader and ours read."""
    write_weights(path, backbone_tensors(backbone))
    return path


def write_worldstereo(
    folder: Path,
    control: WorldStereoControl,
    variant: Variant,
    *,
    dmd: DMDSchedule | None = None,
    backbone: WanBackbone | None = None,
    backbone_names: set[str] | None = None,
    base_model: str = "",
) -> list[Path]:
    """Write one released folder: ``model.safetensors`` beside ``config.json``.

    Args:
        folder: made if it is not there; usually ``worldstereo-<variant>``.
        control: control branch, and the camera embedding unless the variant is "camera".
        variant: which of the released kinds.
        dmd: the step table of "memory-dmd".
        backbone: its tensors go into the file too, all of them or those of ``backbone_names``.
        backbone_names: diffusers names of the backbone tensors that training changed.
        base_model: for people who read the file.
    """
    tensors = control_tensors(control)
    if variant == "camera":
        tensors = {key: value for key, value in tensors.items() if not key.startswith("camera_embedding.")}
    if backbone is not None:
        for key, value in backbone_tensors(backbone).items():
            name = wan_to_diffusers_key(key) or key
            if backbone_names is None or name in backbone_names:
                tensors[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    weights, config = folder / "model.safetensors", folder / "config.json"
    write_weights(weights, tensors)
    text = json.dumps(config_values(control.config, variant, dmd, base_model), indent=1) + "\n"
    with replace_when_done(config) as temporary:
        temporary.write_text(text)
    return [weights, config]


def config_values(
    config: WorldStereoConfig, variant: Variant, dmd: DMDSchedule | None, base_model: str = ""
) -> dict[str, Any]:
    """The contents of a released ``config.json``."""
    sizes = config.control
    values: dict[str, Any] = {
        "base_model": base_model,
        "freeze_backbone": True,
        "nframe": config.num_keyframes,
        "latent_cond_mode": config.latent_condition_mode,
        "scale_map": [list(bucket) for bucket in config.buckets] or None,
        "negative_prompt": config.negative_prompt,
        "controlnet_cfg": {
            "conv_out_dim": sizes.embed_width,
            "dim": sizes.width,
            "num_heads": sizes.num_heads,
            "ffn_dim": sizes.ffn_width,
            "num_layers": sizes.num_blocks,
            "time_embed_dim": sizes.time_width,
            "add_channels": sizes.mask_channels,
            "mid_channels": sizes.mask_width,
            "mask_downsample": sizes.mask_kernel,
            "interp": sizes.interpolated,
            "update_ref": config.updates_references,
            "main_camera_embedding": variant != "camera",
            "camera_embedding_dim": CAMERA_TOKEN_WIDTH,
        },
    }
    if variant == "memory-dmd":
        dmd = DMDSchedule() if dmd is None else dmd
        values |= {
            "dmd_start_steps": dmd.start,
            "dmd_end_steps": dmd.end,
            "gen_shift": dmd.shift,
            "dmd_steps": dmd.num_steps,
        }
    return values


def null_context() -> dict[str, Tensor]:
    """What stands in for the encoders' answers: one token each, for all tokens are alike."""
    text, image = torch.zeros(1, 1, TEXT_WIDTH), torch.zeros(1, 1, IMAGE_WIDTH)
    return {"text_embeds": text, "negative_embeds": text.clone(), "image_embeds": image}


def write_null_context(folder: Path) -> Path:
    """Write ``null_context.safetensors``, which the headless command finds in a model folder."""
    path = folder / NULL_CONTEXT
    write_weights(path, {key: value.half() for key, value in null_context().items()})
    return path


def count_parameters(modules: Mapping[str, nn.Module]) -> int:
    return sum(parameter.numel() for module in modules.values() for parameter in module.parameters())
