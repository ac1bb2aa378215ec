"""Full-size stand-ins for model files: real names, shapes and types, and no data on the disk (it reads 0)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.model.config import ControlSizes, WorldStereoConfig
from worldstereo_core.model.key_names import wan_to_diffusers_key
from worldstereo_core.model.tiny import wan_shapes
from worldstereo_core.model.world_control import WorldStereoControl

Shapes = dict[str, tuple[int, ...]]
TYPE_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
}


@dataclass(frozen=True)
class Scale:
    """Sizes of a backbone and of the control branch for it."""

    width: int
    num_blocks: int
    ffn_width: int
    control_blocks: int
    control_width: int
    control_ffn_width: int

    def shortened(self, num_blocks: int) -> Scale:
        """The same with fewer blocks, to run what does not fit at full size."""
        control = max(self.control_blocks * num_blocks // self.num_blocks, 1)
        return Scale(
            self.width, num_blocks, self.ffn_width, control, self.control_width, self.control_ffn_width
        )


WAN_14B = Scale(5120, 40, 13824, 20, 1024, 8192)
SMALL = Scale(1024, 8, 4096, 4, 256, 1024)


def write_sparse(
    path: Path, entries: Mapping[str, tuple[tuple[int, ...], torch.dtype]], metadata: dict[str, str]
) -> int:
    """Write a safetensors header and make the file as long as its tensors would; returns its bytes."""
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for name, (shape, dtype) in sorted(entries.items(), key=lambda entry: -entry[1][1].itemsize):
        end = offset + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {"dtype": TYPE_NAMES[dtype], "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    return 8 + len(text) + offset


def write_backbone(path: Path, scale: Scale, dtype: torch.dtype, is_scaled: bool = False) -> int:
    """A Wan I2V backbone as published: fp8 files keep vectors in bf16; scaled ones have a scale per layer."""
    entries: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
    for name, shape in wan_shapes(scale.width, scale.num_blocks, scale.ffn_width).items():
        is_matrix = len(shape) == 2 and name.startswith("blocks.")
        small = torch.bfloat16 if dtype.itemsize == 1 else dtype
        entries[name] = (shape, dtype if is_matrix else small)
        if is_scaled and is_matrix:
            entries[f"{name.removesuffix('weight')}scale_weight"] = ((1,), torch.float32)
    if is_scaled:
        entries["scaled_fp8"] = ((2,), torch.float8_e4m3fn)
    return write_sparse(path, entries, {"format": "pt"})


def write_worldstereo(path: Path, scale: Scale, variant: str) -> int:
    """A bf16 WorldStereo file: camera and memory override the self-attention, memory-dmd is complete."""
    is_camera = variant == "camera"
    shapes = control_shapes(scale, None if is_camera else 7)
    for name, shape in wan_shapes(scale.width, scale.num_blocks, scale.ffn_width).items():
        if variant == "memory-dmd" or ".self_attn." in name:
            shapes[wan_to_diffusers_key(name) or name] = shape
    settings = {"variant": variant, "latent_cond_mode": "full_vae", "controlnet_cfg": {"update_ref": True}}
    entries = {name: (shape, torch.bfloat16) for name, shape in shapes.items()}
    return write_sparse(path, entries, {"worldstereo_config": json.dumps(settings)})


def control_shapes(scale: Scale, camera_tokens: int | None) -> Shapes:
    """Names and shapes of the control branch (and camera embedding) for a backbone of this scale."""
    sizes = ControlSizes(
        in_channels=36,
        embed_width=scale.width,
        width=scale.control_width,
        num_heads=scale.control_width // 64,
        ffn_width=scale.control_ffn_width,
        num_blocks=scale.control_blocks,
        time_width=scale.width,
        output_width=scale.width,
        mask_channels=7,
        mask_width=256,
        mask_kernel=1,
    )
    config = WorldStereoConfig(sizes, camera_tokens, "camera" if camera_tokens is None else "memory")
    module = WorldStereoControl(config, device=torch.device("meta"))
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
