"""Tiny random models in the released formats, which cannot draw pictures, and shapes of small ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import replace_when_done
from .config import ControlSizes, WorldStereoConfig
from .key_names import wan_to_diffusers_key
from .vae_key_names import wan_vae_shapes
from .world_control import WorldStereoControl

WIDTH = 256  # two heads of 128: the smallest that ComfyUI's detection accepts
NUM_BLOCKS = 4
FFN_WIDTH = 512
VAE_WIDTH = 8
TEXT_WIDTH = 4096  # fixed by ComfyUI, as is the image width
IMAGE_WIDTH = 1280
TIME_WAVES = 256
_TRAINED_BLOCKS = (0, 1, 3)  # blocks whose self-attention the memory files override
_CONTROL = ControlSizes(
    in_channels=36,
    embed_width=WIDTH,
    width=128,
    num_heads=2,
    ffn_width=256,
    num_blocks=3,
    time_width=WIDTH,
    output_width=WIDTH,
    mask_channels=7,
    mask_width=64,
    mask_kernel=1,
)


@dataclass(frozen=True)
class TinyModels:
    """Where ``write_tiny_models`` put things.

    Attributes:
        backbone: Wan I2V transformer, ComfyUI names.
        vae: Wan VAE, ComfyUI names.
        camera, memory, memory_dmd: released layout, ``model.safetensors`` beside ``config.json``.
    """

    backbone: Path
    vae: Path
    camera: Path
    memory: Path
    memory_dmd: Path

    @property
    def worldstereo(self) -> dict[str, Path]:
        """The WorldStereo files by variant."""
        return {"camera": self.camera, "memory": self.memory, "memory-dmd": self.memory_dmd}


def write_tiny_models(folder: str | Path, seed: int = 0) -> TinyModels:
    """Write a backbone, a VAE and one WorldStereo file of each variant.

    Args:
        folder: laid out like ComfyUI's ``models``: ``diffusion_models``, ``vae``, ``worldstereo``.
        seed: the same seed gives the same bytes.

    Returns:
        The paths. About 25 MB.
    """
    folder = Path(folder)
    models = TinyModels(
        backbone=folder / "diffusion_models" / "tiny_wan_i2v.safetensors",
        vae=folder / "vae" / "tiny_wan_vae.safetensors",
        camera=folder / "worldstereo" / "worldstereo-camera" / "model.safetensors",
        memory=folder / "worldstereo" / "worldstereo-memory" / "model.safetensors",
        memory_dmd=folder / "worldstereo" / "worldstereo-memory-dmd" / "model.safetensors",
    )
    write_weights(models.backbone, tiny_backbone_tensors(seed))
    write_weights(models.vae, random_tensors(wan_vae_shapes(VAE_WIDTH), seed + 1))
    for number, (variant, path) in enumerate(models.worldstereo.items()):
        write_weights(path, tiny_worldstereo_tensors(variant, seed + 2 + number))
        _write_bytes(path.with_name("config.json"), json.dumps(tiny_config(variant), indent=1).encode())
    return models


def tiny_backbone_tensors(seed: int) -> dict[str, Tensor]:
    """A Wan I2V transformer under ComfyUI names, bfloat16."""
    return random_tensors(wan_shapes(WIDTH, NUM_BLOCKS, FFN_WIDTH), seed)


def tiny_worldstereo_tensors(variant: str, seed: int) -> dict[str, Tensor]:
    """One WorldStereo file under released names, bfloat16: control, and for memory files some backbone."""
    camera_tokens = None if variant == "camera" else 7
    control = WorldStereoControl(WorldStereoConfig(_CONTROL, camera_tokens), device=torch.device("meta"))
    shapes = {key: tuple(tensor.shape) for key, tensor in control.state_dict().items()}
    if variant != "camera":
        for key, shape in wan_shapes(WIDTH, NUM_BLOCKS, FFN_WIDTH).items():
            block = key.split(".")[1]
            if ".self_attn." in key and int(block) in _TRAINED_BLOCKS:
                shapes[wan_to_diffusers_key(key) or key] = shape
    return random_tensors(shapes, seed)


def tiny_uni3c_tensors(seed: int) -> dict[str, Tensor]:
    """A Uni3C control file: its two embeddings stand at top level, and its masks are one per video frame."""
    config = WorldStereoConfig(replace(_CONTROL, mask_kernel=4), None)
    control = WorldStereoControl(config, device=torch.device("meta")).state_dict()
    embeddings = ("controlnet_patch_embedding.", "controlnet_mask_embedding.")
    shapes = {}
    for key, tensor in control.items():
        bare = key.removeprefix("controlnet.")
        shapes[bare if bare.startswith(embeddings) else key] = tuple(tensor.shape)
    return random_tensors(shapes, seed)


def tiny_lora_tensors(seed: int, rank: int = 2) -> dict[str, Tensor]:
    """A LoRA for every self-attention query of the tiny backbone, under ComfyUI names."""
    shapes: dict[str, tuple[int, ...]] = {}
    for block in range(NUM_BLOCKS):
        layer = f"diffusion_model.blocks.{block}.self_attn.q"
        shapes[f"{layer}.lora_A.weight"] = (rank, WIDTH)
        shapes[f"{layer}.lora_B.weight"] = (WIDTH, rank)
    return random_tensors(shapes, seed)


def tiny_config(variant: str) -> dict[str, Any]:
    """The ``config.json`` of a tiny WorldStereo file."""
    config: dict[str, Any] = {
        "base_model": "tiny-wan-i2v",
        "freeze_backbone": True,
        "nframe": 21,
        "latent_cond_mode": "full_vae",
        "scale_map": None,
        "negative_prompt": "",
        "controlnet_cfg": {
            "conv_out_dim": _CONTROL.embed_width,
            "dim": _CONTROL.width,
            "num_heads": _CONTROL.num_heads,
            "ffn_dim": _CONTROL.ffn_width,
            "num_layers": _CONTROL.num_blocks,
            "time_embed_dim": _CONTROL.time_width,
            "add_channels": _CONTROL.mask_channels,
            "mid_channels": _CONTROL.mask_width,
            "mask_downsample": _CONTROL.mask_kernel,
            "update_ref": True,
            "main_camera_embedding": variant != "camera",
            "camera_embedding_dim": 7,
        },
    }
    if variant == "memory-dmd":
        config |= {"dmd_start_steps": 250, "dmd_end_steps": 1000, "gen_shift": 5.0, "dmd_steps": 4}
    return config


def wan_shapes(width: int, num_blocks: int, ffn_width: int) -> dict[str, tuple[int, ...]]:
    """Original names and shapes of every tensor of a Wan 2.1 I2V transformer.

    Args:
        width: channels of a token; 5120 in the 14B model.
        num_blocks: 40 in the 14B model.
        ffn_width: 13824 in the 14B model.
    """
    linear = {
        "time_embedding.0": (width, TIME_WAVES),
        "time_embedding.2": (width, width),
        "time_projection.1": (6 * width, width),
        "text_embedding.0": (width, TEXT_WIDTH),
        "text_embedding.2": (width, width),
        "img_emb.proj.1": (IMAGE_WIDTH, IMAGE_WIDTH),
        "img_emb.proj.3": (width, IMAGE_WIDTH),
        "head.head": (16 * 4, width),
        "patch_embedding": (width, 36, 1, 2, 2),
    }
    affine = {"img_emb.proj.0": IMAGE_WIDTH, "img_emb.proj.4": width}
    scales: dict[str, int] = {}
    tables = {"head.modulation": (1, 2, width)}
    for index in range(num_blocks):
        block = f"blocks.{index}"
        for attention, layers in (("self_attn", "qkvo"), ("cross_attn", "qkvo")):
            linear |= {f"{block}.{attention}.{layer}": (width, width) for layer in layers}
            scales |= {f"{block}.{attention}.norm_{layer}": width for layer in "qk"}
        linear |= {f"{block}.cross_attn.{layer}_img": (width, width) for layer in "kv"}
        scales[f"{block}.cross_attn.norm_k_img"] = width
        linear |= {f"{block}.ffn.0": (ffn_width, width), f"{block}.ffn.2": (width, ffn_width)}
        affine[f"{block}.norm3"] = width
        tables[f"{block}.modulation"] = (1, 6, width)
    shapes: dict[str, tuple[int, ...]] = dict(tables)
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, channels in affine.items():
        shapes |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    shapes |= {f"{name}.weight": (channels,) for name, channels in scales.items()}
    return shapes


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Random bfloat16 tensors whose layers keep values of order 1.

    Matrices and kernels get the deviation 1 / sqrt(inputs), norm scales lie near 1, biases near 0. Drawn in
    the order of the names, so that the order of ``shapes`` does not matter.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name in sorted(shapes):
        shape = shapes[name]
        values = torch.randn(shape, generator=generator)
        if name.endswith("modulation"):
            values = values / math.sqrt(shape[-1])
        elif name.endswith(".gamma") or (name.endswith(".weight") and len(shape) == 1):
            values = 1 + 0.05 * values
        elif len(shape) == 1:
            values = 0.05 * values
        else:
            values = values / math.sqrt(math.prod(shape[1:]))
        tensors[name] = values.to(torch.bfloat16)
    return tensors


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all."""
    from safetensors.torch import save

    _write_bytes(path, save(dict(tensors), {"format": "pt", **(metadata or {})}))


def _write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_done(path) as temporary:
        temporary.write_bytes(content)
