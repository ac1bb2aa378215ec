"""Loads a WorldStereo file with the backbone and VAE it needs, for use without ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...checks import CheckpointError
from ...model.checkpoint import (
    WorldStereoCheckpoint,
    check_backbone,
    load_checkpoint,
    merge_backbone,
)
from ...model.config import count_blocks
from ...model.key_names import wan_name
from ...model.weight_files import read_weights
from ...model.world_control import WorldStereoControl
from .backbone import WanBackbone
from .transformer import load_wan_transformer


class LoadedWorldStereo(NamedTuple):
    """A WorldStereo file ready to run.

    Attributes:
        backbone: Wan's transformer with the file's own tensors in place.
        control: the trained parts, in the backbone's dtype and on its device.
        checkpoint: the sorted file; ``checkpoint.describe()`` says what was found and assumed.
    """

    backbone: WanBackbone
    control: WorldStereoControl
    checkpoint: WorldStereoCheckpoint


def load_worldstereo(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    overrides: Mapping[str, Any] | None = None,
) -> LoadedWorldStereo:
    """Load a WorldStereo file onto its backbone.

    Args:
        backbone_path: a Wan 2.1 image-to-video file, or None when the WorldStereo file is complete.
        worldstereo_path: see ``load_checkpoint``.
        dtype: computing dtype.
        device: where the networks go.
        overrides: settings that win over the file's.

    Raises: CheckpointError if a file is damaged, of another kind, or missing.
    """
    checkpoint = load_checkpoint(worldstereo_path, overrides=overrides)
    base: dict[str, Tensor] = {}
    if backbone_path is not None:
        base = {wan_name(key): tensor for key, tensor in read_weights(backbone_path)[0].items()}
        check_backbone_tensors(checkpoint, base, str(backbone_path))
    elif not checkpoint.is_complete:
        raise CheckpointError(
            f"backbone: none given, but {checkpoint.source} is an overlay. Choose a Wan 2.1 I2V backbone of "
            f"width {checkpoint.config.control.output_width}."
        )
    merged = merge_backbone(base, checkpoint)
    backbone = WanBackbone(load_wan_transformer(merged, dtype=dtype, device=device))
    control = WorldStereoControl(checkpoint.config, device=device, dtype=dtype)
    control.load_state_dict(dict(checkpoint.control_state), strict=True)
    return LoadedWorldStereo(backbone, control.requires_grad_(False).eval(), checkpoint)


def check_backbone_tensors(
    checkpoint: WorldStereoCheckpoint, base: Mapping[str, Tensor], source: str
) -> None:
    """Check by shapes that a backbone file is the kind a WorldStereo file needs.

    Raises: CheckpointError.
    """
    patch = base.get("patch_embedding.weight")
    if patch is None or patch.ndim != 5 or "head.modulation" not in base:
        raise CheckpointError(
            f"backbone: {source} is no Wan transformer: no patch embedding and head among {len(base)} "
            "tensors. Choose a Wan 2.1 I2V file."
        )
    check_backbone(
        checkpoint,
        backbone_width=patch.shape[0],
        num_blocks=count_blocks(base, "blocks."),
        in_channels=patch.shape[1],
        is_i2v="blocks.0.cross_attn.k_img.weight" in base,
    )
