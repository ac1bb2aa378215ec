"""How much more memory a sampling with control needs than ComfyUI expects of the bare model."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from torch import Tensor

from ...model.condition import ControlCondition
from ...model.world_control import WorldStereoControl

SAMPLES = 2  # ComfyUI reserves for cond and uncond in one batch


def extra_latent_frames(
    model: Any, control: WorldStereoControl, condition: ControlCondition, shape: list[int]
) -> int:
    """Latent frames by which a latent would have to be longer to need as much as control and references do.

    ComfyUI's estimate grows with the latent's shape alone. A reference view costs what a frame costs. What
    stays alive beside a running block is counted in bytes: the control tokens, the clip's tokens once more
    when references are joined to them, and the condition. The control blocks run after the backbone's, at a
    fifth of their width, and never are the peak.

    Args:
        model: the MODEL.
        control: the trained parts.
        condition: of the clip.
        shape: of the latent, [b, 16, F, h, w].
    """
    from comfy.model_management import dtype_size

    itemsize = dtype_size(model.model.get_dtype_inference())
    batch, _, frames, height, width = shape
    sizes = control.config.control
    tokens = batch * SAMPLES * frames * math.ceil(height / 2) * math.ceil(width / 2)
    joined = sizes.output_width if condition.num_references else 0
    parts = (getattr(condition, field.name) for field in fields(condition))
    condition_values = sum(part.numel() for part in parts if isinstance(part, Tensor))
    extra = (tokens * (sizes.width + joined) + condition_values) * itemsize
    per_frame = model.model.memory_required([batch * SAMPLES, *shape[1:2], 1, height, width])
    return condition.num_references + math.ceil(extra / per_frame)
