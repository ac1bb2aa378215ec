"""g3: a whole model call of the camera variant, and of the bare backbone on the same inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...model.checkpoint import merge_backbone
from ...model.condition import ControlCondition
from ...model.rope import grid_rope
from ...model.stereo_memory import reference_rope
from ...model.world_control import WorldStereoControl
from .golden import Golden
from .networks import (
    Recorder,
    backbone_tensors,
    build_backbone,
    build_control,
    camera_tokens,
    control_checkpoint,
    golden_condition,
    has_references,
    interleaved,
    text_tokens,
    to_batch,
)

if TYPE_CHECKING:
    from ...adapters.diffusers.backbone import WanBackbone


def record_positions(
    recorder: Recorder,
    backbone: WanBackbone,
    control: WorldStereoControl,
    condition: ControlCondition,
    latents: Tensor,
) -> None:
    """Record the ropes of the clip's, the references' and the control's tokens."""
    grid, sizes = backbone.grid(latents), control.config.control
    ropes = {"rope": backbone.embed_positions(grid)}
    control_rope = grid_rope(grid, sizes.width // sizes.num_heads)
    ropes["control_rope"] = (interleaved(control_rope[0]), interleaved(control_rope[1]))
    if condition.reference_index is not None:
        cosine, sine = reference_rope(backbone, grid, condition.reference_index)
        ropes["ref_rope"] = (cosine, sine)
    for name, (cosine, sine) in ropes.items():
        recorder(f"{name}_cos", cosine)
        recorder(f"{name}_sin", sine)


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Output, intermediate tokens, and the bare backbone's output where the golden has one."""
    if adapter == "comfy":
        from ...adapters.comfy.verify import controlled_forward

        return controlled_forward(golden)
    return forward_with_diffusers(golden)


@torch.no_grad()
def forward_with_diffusers(golden: Golden) -> dict[str, Tensor]:
    """One model call; the memory variant's goldens bring references."""
    from ...adapters.diffusers.backbone import controlled_forward

    checkpoint = control_checkpoint(golden)
    base = backbone_tensors(golden)
    control = build_control(checkpoint)
    backbone = build_backbone(golden, merge_backbone(base, checkpoint))
    latents = golden.input("hidden_states")
    batch = latents.shape[0]
    inputs = (
        latents,
        golden.input("timestep"),
        text_tokens(golden, "text_tokens", batch),
        to_batch(golden.input("image_embeds"), batch),
    )
    references: dict[str, Tensor] = {}
    if has_references(golden):
        references = {
            "reference_latents": golden.input("reference_latent")[:, :16],
            "reference_index": golden.input("ref_index"),
            **camera_tokens(golden),
        }
    condition = golden_condition(golden, control, golden.input("render_latent"), **references)
    recorder = Recorder()
    record_positions(recorder, backbone, control, condition, latents)
    time = torch.nn.functional.silu(backbone.embed_time(golden.input("timestep")))
    recorder("timestep_proj", backbone.transformer.condition_embedder.time_proj(time))
    computed = {"output": controlled_forward(backbone, control, condition, *inputs, probe=recorder)}
    if "output_backbone_only" in golden.names:
        bare = build_backbone(golden, base)
        computed["output_backbone_only"] = controlled_forward(bare, None, None, *inputs)
    return {**recorder.tensors, **computed}
