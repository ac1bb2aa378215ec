"""Makes ComfyUI's MODEL_PATCH of a WorldStereo file's control branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...model.checkpoint import WorldStereoCheckpoint
from ...model.world_control import WorldStereoControl
from .loader_model import Progress, convert, find_dtype


def build_control(
    checkpoint: WorldStereoCheckpoint,
    weight_dtype: str = "default",
    disable_dynamic: bool = False,
    progress: Progress | None = None,
) -> Any:
    """Make the MODEL_PATCH: a ModelPatcher of the control branch and camera embedding.

    Its tensors stay views of the file where their type is kept. fp8 concerns the backbone alone.
    """
    import comfy.model_management as management
    import comfy.model_patcher
    import comfy.ops

    offload = management.unet_offload_device()
    dtype = _control_dtype(checkpoint.control_state, weight_dtype)
    # Only named here; the tensors are those of the file.
    module = WorldStereoControl(
        checkpoint.config, operations=comfy.ops.manual_cast, device=torch.device("cpu"), dtype=dtype
    )
    module.requires_grad_(False).eval()
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(module, load_device=management.get_torch_device(), offload_device=offload)
    state = dict(checkpoint.control_state)
    convert(state, dict.fromkeys(state, dtype), progress)
    module.load_state_dict(state, strict=True, assign=True)
    if not management.is_device_cpu(offload):
        module.to(offload)
    return patcher


def _control_dtype(state: Mapping[str, Tensor], weight_dtype: str) -> torch.dtype:
    import comfy.model_management as management
    import comfy.utils

    dtype = find_dtype(weight_dtype)
    if dtype is not None and dtype.itemsize > 1:
        return dtype
    parameters = sum(value.numel() for value in state.values())
    stored = comfy.utils.weight_dtype(dict(state))
    chosen = management.unet_dtype(
        model_params=parameters,
        supported_dtypes=[torch.bfloat16, torch.float16, torch.float32],
        weight_dtype=stored,
    )
    # Where the device computes in float32, weights stored in 16 bits gain nothing from a larger copy.
    small = stored in (torch.bfloat16, torch.float16)
    return stored if small and chosen.itemsize >= stored.itemsize else chosen
