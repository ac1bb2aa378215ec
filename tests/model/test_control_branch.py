"""The control network's parts, by hand where that is possible."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.model.tiny_session import make_control, make_sizes
from worldstereo_core.checks import CheckpointError, ShapeError
from worldstereo_core.model.attention import attention
from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.config import control_sizes_from_shapes
from worldstereo_core.model.control_branch import ControlBranch, MaskEmbedding, ModulatedNorm
from worldstereo_core.model.rope import grid_rope


def test_modulation_splits_into_shift_scale_gate_in_that_order():
    norm = ModulatedNorm(2, 3, nn)
    with torch.no_grad():
        norm.linear.weight.zero_()
        norm.linear.bias.copy_(torch.tensor([10.0, 20.0, 1.0, 3.0, 5.0, 7.0]))
        normed, gate = norm(torch.tensor([[[-1.0, 1.0]]]), torch.zeros(1, 3))
    # Normed to (-1, 1), times 1 + (1, 3), plus (10, 20).
    torch.testing.assert_close(normed, torch.tensor([[[8.0, 24.0]]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(gate, torch.tensor([[[5.0, 7.0]]]))


def test_video_rate_masks_give_one_token_row_per_key_frame():
    embedding = MaskEmbedding(make_sizes(mask_kernel=4), nn)
    assert embedding(torch.zeros(1, 7, 9, 32, 48)).shape == (1, 3 * 2 * 3, 20)


def test_first_latent_frame_sees_the_first_video_frame_alone():
    torch.manual_seed(0)
    embedding = MaskEmbedding(make_sizes(mask_kernel=4), nn)
    seen = []
    embedding.mask_proj[0].register_forward_hook(lambda module, args, output: seen.append(output))
    frames = torch.randn(1, 7, 9, 16, 16)
    changed = frames.clone()
    changed[:, :, 1:] += 1
    embedding(frames)
    embedding(changed)
    torch.testing.assert_close(seen[0][:, :, 0], seen[1][:, :, 0])
    assert not torch.allclose(seen[0][:, :, 1], seen[1][:, :, 1])


def test_interpolated_masks_are_padded_behind_too():
    torch.manual_seed(0)
    plain, padded = (MaskEmbedding(make_sizes(mask_kernel=4, interpolated=i), nn) for i in (False, True))
    padded.load_state_dict(plain.state_dict())
    eight = torch.randn(1, 7, 8, 16, 16)
    tokens = [embedding(eight).shape[1] for embedding in (plain, padded)]
    assert tokens == [2, 3]


def test_mask_comes_before_the_rays():
    branch = ControlBranch(make_sizes())
    seen = []
    branch.controlnet_mask_embedding.mask_proj[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    hole_mask, rays = torch.ones(1, 1, 1, 16, 16), torch.zeros(1, 6, 1, 16, 16)
    branch.embed_mask(hole_mask, rays)
    assert seen[0][0, :, 0, 0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_missing_rays_are_refused_and_mask_only_branches_need_none():
    with pytest.raises(ShapeError, match="has no rays"):
        ControlBranch(make_sizes()).embed_mask(torch.ones(1, 1, 1, 16, 16), None)
    tokens = ControlBranch(make_sizes(mask_channels=1)).embed_mask(torch.ones(1, 1, 1, 16, 16), None)
    assert tokens.shape == (1, 1, 20)


def test_equal_widths_need_no_projection():
    names = ControlBranch(make_sizes(embed_width=16)).state_dict()
    assert not any("proj_in" in name for name in names)
    assert "proj_in.weight" in ControlBranch(make_sizes()).state_dict()


def test_attention_norm_runs_over_all_heads_together():
    branch = make_control().controlnet
    block = branch.controlnet_blocks[0].self_attn
    assert block.norm_q.weight.shape == (16,) and block.num_heads == 2


def test_branch_runs_in_half_precision():
    branch = make_control().controlnet.bfloat16()
    rope = grid_rope(TokenGrid(1, 2, 3), 8)
    tokens, residual = branch.run_block(
        0, torch.randn(1, 6, 16).bfloat16(), torch.randn(1, 16).bfloat16(), rope, attention
    )
    assert tokens.dtype is residual.dtype is torch.bfloat16
    assert residual.shape == (1, 6, 24) and bool(residual.isfinite().all())


@pytest.mark.parametrize(
    "changes", [{}, {"mask_kernel": 4}, {"mask_channels": 1}, {"embed_width": 16}, {"num_blocks": 1}]
)
def test_sizes_are_read_back_from_a_branch(changes: dict[str, int]):
    control = make_control(**changes)
    found = control_sizes_from_shapes(control.state_dict(), num_heads=2)
    assert found == control.config.control


def test_heads_default_to_64_channels_each():
    state = make_control(width=128, num_heads=4).state_dict()
    assert control_sizes_from_shapes(state).num_heads == 2


def test_sizes_of_an_incomplete_branch_are_unknown():
    state = make_control().state_dict()
    del state["controlnet.proj_out.0.weight"]
    with pytest.raises(CheckpointError, match=r"controlnet\.proj_out\.0\.weight is missing"):
        control_sizes_from_shapes(state)
    flat = make_control().state_dict()
    flat["controlnet.controlnet_mask_embedding.mask_proj.0.weight"] = torch.zeros(16, 7)
    with pytest.raises(CheckpointError, match=r"shape \[16, 7\], expected 5 axes"):
        control_sizes_from_shapes(flat)
