"""Kinds of Wan models: told from their tensors, and accepted or refused with a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from worldstereo_core.checks import CheckpointError
from worldstereo_core.model.backbone_kind import BackboneKind, backbone_kind, check_kind
from worldstereo_core.model.checkpoint import WorldStereoCheckpoint, checkpoint_from_tensors
from worldstereo_core.model.tiny import (
    NUM_BLOCKS,
    WIDTH,
    tiny_backbone_tensors,
    tiny_config,
    tiny_worldstereo_tensors,
)

WAN_21 = BackboneKind(WIDTH, NUM_BLOCKS, 36, True)
WAN_22 = replace(WAN_21, has_image_encoder=False)


def read(variant: str) -> WorldStereoCheckpoint:
    return checkpoint_from_tensors(tiny_worldstereo_tensors(variant, 1), tiny_config(variant), source="file")


def test_a_plain_image_to_video_model_is_told():
    assert backbone_kind(tiny_backbone_tensors(0)) == WAN_21


def test_a_file_that_is_no_wan_model_has_no_kind():
    assert backbone_kind({"patch_embedding.weight": torch.zeros(8, 4, 1, 2, 2)}) is None
    assert backbone_kind({"double_blocks.0.img_attn.qkv.weight": torch.zeros(8, 8)}) is None


def test_names_are_those_a_user_knows():
    assert replace(WAN_21, width=5120).name == "Wan 2.1 image to video, 14B"
    assert replace(WAN_22, width=5120).name == "Wan 2.2 image to video, 14B"
    assert replace(WAN_22, width=1536, in_channels=16).name == "Wan text to video, 1.3B"
    assert replace(WAN_22, family="VACE").name == f"Wan VACE, width {WIDTH}"


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("vace_patch_embedding.weight", "VACE"),
        ("control_adapter.conv.weight", "Fun Camera"),
        ("casual_audio_encoder.encoder.final_linear.weight", "speech to video"),
        ("audio_proj.audio_proj_glob_1.layer.bias", "HuMo"),
        ("face_adapter.fuser_blocks.0.k_norm.weight", "Animate"),
        ("patch_embedding_pose.weight", "SCAIL"),
        ("patch_embedding_mask.weight", "SCAIL 2"),
        ("patch_embedding_global.weight", "WanDancer"),
        ("ref_conv.weight", "Fun Control with a reference"),
    ],
)
def test_a_family_with_a_forward_pass_of_its_own_is_refused_by_name(key: str, family: str):
    kind = backbone_kind(tiny_backbone_tensors(0) | {key: torch.zeros(1)})
    assert kind is not None and kind.family is not None
    with pytest.raises(
        CheckpointError, match=f"this is Wan {family}.*forward pass has parts.*plain Wan 2.1 I2V"
    ):
        check_kind(read("camera"), kind)


def test_control_alone_takes_wan_22_and_its_own_weights_do_not():
    check_kind(read("camera"), WAN_22)
    with pytest.raises(CheckpointError, match=r"this is Wan 2\.2 image to video.*30 weights .*fine-tuned"):
        check_kind(read("memory"), WAN_22)


def test_a_control_made_for_a_small_backbone_takes_it():
    """Nothing is fixed to 14B: a control of the backbone's own width is what counts."""
    checkpoint = read("camera")
    sizes = replace(checkpoint.config.control, output_width=1536, time_width=1536)
    made_for_it = replace(checkpoint, config=replace(checkpoint.config, control=sizes))
    small = replace(WAN_21, width=1536, num_blocks=30)
    check_kind(made_for_it, small)
    with pytest.raises(CheckpointError, match=r"got width 1536, 30 blocks.*backbone of width 256"):
        check_kind(checkpoint, small)
