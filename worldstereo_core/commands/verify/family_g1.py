"""g1: the control branch alone, fed with a given time embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from ...model.attention import attention
from ...model.backbone import TokenGrid
from ...model.control_branch import ControlBranch
from ...model.rope import grid_rope
from .golden import Golden
from .networks import build_control, control_checkpoint, interleaved


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Residuals of every block, and the embeddings and rope that lead to them."""
    branch = build_control(control_checkpoint(golden)).controlnet
    latents = torch.cat([golden.input("hidden_states")[:, :20], golden.input("render_latent")], dim=1)
    return run_branch(
        branch,
        latents,
        golden.input("render_mask").float(),
        golden.input("camera_embedding") if branch.sizes.takes_rays else None,
        golden.input("temb"),
    )


@torch.no_grad()
def run_branch(
    branch: ControlBranch, latents: Tensor, hole_mask: Tensor, rays: Tensor | None, time_embedding: Tensor
) -> dict[str, Tensor]:
    """Run every control block on a condition; names as in the goldens."""
    patches = branch.embed_patches(latents)
    mask = branch.embed_mask(hole_mask, rays)
    _, rows, columns = branch.sizes.patch_size
    grid = TokenGrid(latents.shape[2], latents.shape[3] // rows, latents.shape[4] // columns)
    rope = grid_rope(grid, branch.sizes.width // branch.sizes.num_heads)
    computed = {
        "patch_tokens": patches,
        "mask_cam_tokens": mask,
        "rope_cos": interleaved(rope[0]),
        "rope_sin": interleaved(rope[1]),
    }
    tokens = branch.proj_in(patches + mask)
    for index in range(branch.sizes.num_blocks):
        tokens, residual = branch.run_block(index, tokens, time_embedding, rope, attention)
        computed[f"residual{index}"] = residual
    return computed
