"""Wan's tensor names both ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldstereo_core.model.key_names import (
    diffusers_to_wan_key,
    strip_prefix,
    summarise_keys,
    wan_keys,
    wan_name,
    wan_to_diffusers_key,
)


@pytest.mark.parametrize(
    ("diffusers", "wan"),
    [
        ("patch_embedding.bias", "patch_embedding.bias"),
        ("condition_embedder.time_proj.weight", "time_projection.1.weight"),
        ("condition_embedder.image_embedder.ff.net.0.proj.weight", "img_emb.proj.1.weight"),
        ("condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"),
        ("proj_out.weight", "head.head.weight"),
        ("scale_shift_table", "head.modulation"),
        ("blocks.7.scale_shift_table", "blocks.7.modulation"),
        ("blocks.39.attn1.to_out.0.bias", "blocks.39.self_attn.o.bias"),
        ("blocks.0.attn2.add_v_proj.weight", "blocks.0.cross_attn.v_img.weight"),
        ("blocks.0.attn2.norm_added_k.weight", "blocks.0.cross_attn.norm_k_img.weight"),
        ("blocks.12.ffn.net.0.proj.weight", "blocks.12.ffn.0.weight"),
    ],
)
def test_names_map_both_ways(diffusers: str, wan: str):
    assert diffusers_to_wan_key(diffusers) == wan
    assert wan_to_diffusers_key(wan) == diffusers


def test_norm2_and_norm3_change_places():
    assert diffusers_to_wan_key("blocks.3.norm2.weight") == "blocks.3.norm3.weight"
    assert wan_to_diffusers_key("blocks.3.norm3.weight") == "blocks.3.norm2.weight"
    # The norms that would collide have no parameters, so their names mean nothing.
    assert diffusers_to_wan_key("blocks.3.norm3.weight") is None
    assert wan_to_diffusers_key("blocks.3.norm2.weight") is None


@pytest.mark.parametrize(
    "key",
    [
        "controlnet.proj_in.weight",
        "blocks.0.attn1.add_k_proj.weight",  # image keys exist in cross-attention only
        "blocks.0.attn2.norm_added_q.weight",
        "blocks.x.attn1.to_q.weight",
        "blocks.0.attn1.norm_q.bias",
        "encoder.conv_in.weight",
    ],
)
def test_what_wan_does_not_have_maps_to_nothing(key: str):
    assert diffusers_to_wan_key(key) is None


def test_table_of_the_goldens_is_reproduced_by_rule(golden_dir: Path):
    table = json.loads((golden_dir / "weights/key_map_comfy_to_diffusers.json").read_text())
    assert {wan: wan_to_diffusers_key(wan) for wan in table} == table
    assert {diffusers_to_wan_key(diffusers): diffusers for diffusers in table.values()} == table
    num_blocks = len({key.split(".")[1] for key in table if key.startswith("blocks.")})
    assert set(wan_keys(num_blocks)) == set(table)


def test_text_to_video_has_no_image_parts():
    dropped = set(wan_keys(2)) - set(wan_keys(2, is_image_to_video=False))
    assert len(dropped) == 2 * 5 + 8
    assert all("img" in key for key in dropped)


def test_prefixes_of_other_programs_are_taken_off():
    assert strip_prefix("model.diffusion_model.head.modulation") == "head.modulation"
    assert wan_name("diffusion_model.blocks.0.attn1.to_q.weight") == "blocks.0.self_attn.q.weight"
    assert wan_name("something.else") == "something.else"


def test_summary_names_every_key_and_folds_blocks():
    keys = ["blocks.0.a.weight", "blocks.2.a.weight", "blocks.1.a.weight", "blocks.7.a.weight", "extra.bias"]
    assert summarise_keys(keys) == "blocks.{0-2,7}.a.weight, extra.bias"
    assert summarise_keys(["controlnet.controlnet_blocks.4.x"]) == "controlnet.controlnet_blocks.4.x"
