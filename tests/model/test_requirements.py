"""The report's sentences: what a file is, what belongs beside it, how to sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from worldstereo_core.model.checkpoint import checkpoint_from_tensors, load_checkpoint
from worldstereo_core.model.checkpoint_settings import config_to_settings
from worldstereo_core.model.config import VARIANTS, WorldStereoConfig
from worldstereo_core.model.requirements import describe_kind, describe_needs, describe_weights
from worldstereo_core.model.tiny import tiny_config, tiny_worldstereo_tensors


def config(variant: str) -> WorldStereoConfig:
    return checkpoint_from_tensors(tiny_worldstereo_tensors(variant, 1), tiny_config(variant)).config


def needs(variant: str, **changes: bool) -> str:
    facts = {"is_complete": False, "is_uni3c": False, **changes}
    return "\n".join(describe_needs(config(variant), **facts))


def test_every_kind_is_named():
    facts = {"is_uni3c": False, "is_complete": False, "has_weights": True}
    assert "camera model" in describe_kind(config("camera"), **facts)
    assert "memory model" in describe_kind(config("memory"), **facts)
    dmd = describe_kind(config("memory-dmd"), **{**facts, "is_complete": True})
    assert "memory-dmd model" in dmd and "complete, with its own backbone" in dmd
    assert "Uni3C control" in describe_kind(config("camera"), **{**facts, "is_uni3c": True})


def test_the_golden_uni3c_file_is_told_from_a_camera_file(golden_dir: Path):
    weights = golden_dir / "weights"
    assert load_checkpoint(weights / "uni3c_layout_controlnet.safetensors").is_uni3c
    assert not load_checkpoint(weights / "worldstereo-camera" / "model.safetensors").is_uni3c


def test_sampling_follows_the_variant():
    assert "40 steps, shift 3, Flow UniPC Sampler, CFG 5" in needs("memory")
    assert "4 steps, shift 5, Euler, CFG 1" in needs("memory-dmd")
    assert "81 video frames make 21 latent frames" in needs("camera", is_uni3c=True)


def test_a_complete_file_needs_no_backbone_and_wan_22_no_clip_vision():
    assert "backbone" not in needs("memory-dmd", is_complete=True)
    assert "a Wan 2.1 I2V backbone of width 256" in needs("memory")
    assert "clip_vision_h" in needs("camera")
    without = needs("camera", has_image_encoder=False)
    assert "no CLIP vision" in without and "high-noise" in without


def test_the_released_width_is_called_14b():
    small = config("camera")
    large = replace(small, control=replace(small.control, output_width=5120))
    assert "a Wan 2.1 I2V 14B backbone" in describe_needs(large, is_complete=False, is_uni3c=False)[0]


def test_weights_are_named_by_place():
    keys = [f"blocks.{i}.self_attn.{part}.weight" for i in (0, 1, 2, 5) for part in "qk"]
    assert describe_weights([*keys, "blocks.0.modulation", "head.modulation"]) == (
        "self_attn, modulation of blocks 0-2,5; head"
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_settings_written_for_a_config_read_back_as_it(variant: str):
    made = checkpoint_from_tensors(
        tiny_worldstereo_tensors(variant, 1), {**tiny_config(variant), "negative_prompt": "blurry"}
    ).config
    again = checkpoint_from_tensors(tiny_worldstereo_tensors(variant, 1), config_to_settings(made))
    assert again.config == made
