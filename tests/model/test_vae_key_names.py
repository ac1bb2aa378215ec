"""Names and shapes of Wan's VAE."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from worldstereo_core.model.vae_key_names import wan_to_diffusers_vae_key, wan_vae_shapes


@pytest.mark.parametrize(
    ("wan", "diffusers"),
    [
        ("conv1.weight", "quant_conv.weight"),
        ("decoder.head.0.gamma", "decoder.norm_out.gamma"),
        ("encoder.downsamples.3.shortcut.bias", "encoder.down_blocks.3.conv_shortcut.bias"),
        ("encoder.middle.2.residual.3.gamma", "encoder.mid_block.resnets.1.norm2.gamma"),
        ("decoder.middle.1.to_qkv.weight", "decoder.mid_block.attentions.0.to_qkv.weight"),
        # The decoder counts three resnets and an upsampler per level.
        ("decoder.upsamples.3.time_conv.weight", "decoder.up_blocks.0.upsamplers.0.time_conv.weight"),
        ("decoder.upsamples.4.residual.6.weight", "decoder.up_blocks.1.resnets.0.conv2.weight"),
        ("decoder.upsamples.14.residual.2.bias", "decoder.up_blocks.3.resnets.2.conv1.bias"),
    ],
)
def test_names_map(wan: str, diffusers: str):
    assert wan_to_diffusers_vae_key(wan) == diffusers


def test_names_of_other_models_map_to_nothing():
    assert wan_to_diffusers_vae_key("encoder.down.0.block.0.norm1.weight") is None
    assert wan_to_diffusers_vae_key("encoder.middle.3.norm.gamma") is None


def test_table_of_the_goldens_is_reproduced_by_rule(golden_dir: Path):
    table = json.loads((golden_dir / "weights/vae_key_map_comfy_to_diffusers.json").read_text())
    assert {wan: wan_to_diffusers_vae_key(wan) for wan in table} == table


def test_shapes_are_those_of_a_real_file(golden_dir: Path):
    with safe_open(golden_dir / "weights/tiny_vae_comfy.safetensors", "pt") as file:
        stored = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    assert wan_vae_shapes(stored["decoder.head.0.gamma"][0]) == stored
