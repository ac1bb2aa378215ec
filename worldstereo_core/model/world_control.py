"""The trained parts that WorldStereo adds to a backbone, as one module."""

from __future__ import annotations

from typing import Any

from torch import nn

from .config import WorldStereoConfig
from .control_branch import ControlBranch
from .control_parts import ControlParts
from .stereo_memory import camera_embedding


class WorldStereoControl(nn.Module):
    """Control branch and, for memory models, the camera embedding; optional parts where there are any.

    Args:
        config: what ``load_checkpoint`` found.
        operations: where Linear, Conv3d, LayerNorm, GroupNorm and RMSNorm come from: torch.nn, or ComfyUI's
            casting layers.
        device, dtype: where the parameters are created.

    ``load_state_dict(checkpoint.control_state)`` fits strictly.
    """

    def __init__(
        self, config: WorldStereoConfig, operations: Any = nn, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        self.config = config
        self.controlnet = ControlBranch(config.control, operations, device, dtype)
        self.camera_embedding = (
            None
            if config.camera_token_width is None
            else camera_embedding(
                config.camera_token_width, config.control.output_width, operations, device, dtype
            )
        )
        self.parts = (
            ControlParts(config.parts, config.control, operations, device, dtype)
            if config.parts.names
            else None
        )
