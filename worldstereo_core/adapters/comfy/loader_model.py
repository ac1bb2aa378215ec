"""Makes ComfyUI's MODEL of a transformer's tensors without copying them out of their mapped files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import CheckpointError

Progress = Callable[[int, int], None]

WEIGHT_DTYPES: dict[str, torch.dtype | None] = {
    "default": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def find_dtype(weight_dtype: str) -> torch.dtype | None:
    """The type named by a key of ``WEIGHT_DTYPES``.

    Raises: CheckpointError.
    """
    if weight_dtype not in WEIGHT_DTYPES:
        raise CheckpointError(
            f"weight_dtype: got {weight_dtype!r}, expected one of {', '.join(WEIGHT_DTYPES)}."
        )
    return WEIGHT_DTYPES[weight_dtype]


def model_from_state(
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    weight_dtype: str = "default",
    disable_dynamic: bool = False,
    progress: Progress | None = None,
) -> Any | None:
    """Make a MODEL (a ModelPatcher) of a Wan transformer's tensors.

    Tensors stay views of their files as far as their type allows: with "default" all large ones do. A type
    that differs from the file's is a copy in memory, as everywhere in ComfyUI.

    Args:
        state: under Wan names, quantised or not.
        metadata: of the file.
        weight_dtype: a key of ``WEIGHT_DTYPES``; how weights are kept in memory.
        disable_dynamic: ComfyUI's request for a patcher without dynamic loading.
        progress: called with (weights converted, weights to convert); may raise to stop.

    Returns:
        The patcher, or None if ComfyUI does not recognise the tensors.
    """
    import comfy.memory_management
    import comfy.sd

    dtype = find_dtype(weight_dtype)
    if comfy.memory_management.aimdo_enabled:
        # With dynamic loading ComfyUI keeps tensors mapped by itself, and reads them from the file.
        return comfy.sd.load_diffusion_model_state_dict(
            dict(state),
            model_options={} if dtype is None else {"dtype": dtype},
            metadata=dict(metadata),
            disable_dynamic=disable_dynamic,
        )
    return _mapped_model(dict(state), dict(metadata), dtype, disable_dynamic, progress)


def _mapped_model(
    state: dict[str, Tensor],
    metadata: dict[str, str],
    dtype: torch.dtype | None,
    disable_dynamic: bool,
    progress: Progress | None,
) -> Any | None:
    import comfy.model_detection
    import comfy.model_management as management
    import comfy.model_patcher
    import comfy.ops
    import comfy.utils

    state, metadata = comfy.utils.convert_old_quants(state, "", metadata=metadata)
    config = comfy.model_detection.model_config_from_unet(state, "", metadata=metadata)
    if config is None:
        return None
    device, offload = management.get_torch_device(), management.unet_offload_device()
    is_quantised = bool(config.quant_config)
    kept = dtype or _kept_dtype(state, list(config.supported_inference_dtypes), is_quantised)
    computed = management.unet_manual_cast(
        None if is_quantised else kept, device, config.supported_inference_dtypes
    )
    config.set_inference_dtype(kept, computed)
    operations = comfy.ops.pick_operations(kept, computed, model_config=config)
    is_mixed = dtype is None and any(_is_large(value) and value.dtype != kept for value in state.values())
    if is_mixed and operations is comfy.ops.disable_weight_init:
        operations = comfy.ops.manual_cast  # casts each layer's weight to its input's type when it runs
    config.custom_operations = keep_stored(operations) if is_quantised and dtype is None else operations
    model = config.get_model(state, "")
    # Layers that cast while they run take any type: vectors of an fp8 file stay as exact as they are stored.
    takes_any = dtype is None and (is_quantised or operations.Linear.comfy_cast_weights)
    parameters = {name: value.dtype for name, value in model.diffusion_model.named_parameters()}
    types = {
        name: parameters[name]
        for name, value in state.items()
        if name in parameters and not (takes_any and (value.itemsize <= 2 or not _is_large(value)))
    }
    convert(state, types, progress)
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(model, load_device=device, offload_device=offload)
    model.load_model_weights(state, "", assign=True)
    if not management.is_device_cpu(offload):
        model.to(offload)
    return patcher


def convert(
    state: dict[str, Tensor], types: Mapping[str, torch.dtype], progress: Progress | None = None
) -> None:
    """Put tensors of another type than the wanted one in their place, one by one."""
    names = [name for name, dtype in types.items() if state[name].dtype != dtype]
    for done, name in enumerate(names, 1):
        state[name] = state[name].to(types[name])
        if progress is not None:
            progress(done, len(names))


def _is_large(value: Tensor) -> bool:
    """A layer's matrix: what a file's size is made of, and what casting layers cast while they run."""
    return value.ndim == 2 and value.is_floating_point()


def _kept_dtype(state: dict[str, Tensor], supported: list[torch.dtype], is_quantised: bool) -> torch.dtype:
    """What ComfyUI would choose, unless that makes a larger copy of what the file stores."""
    import comfy.model_management as management
    import comfy.utils

    stored = comfy.utils.weight_dtype(state)
    chosen = management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(state),
        supported_dtypes=supported,
        weight_dtype=None if is_quantised else stored,
    )
    if is_quantised or stored is None or not stored.is_floating_point:
        return chosen
    return stored if stored.itemsize <= chosen.itemsize else chosen


def keep_stored(operations: Any) -> Any:
    """ComfyUI's layers, with linear ones keeping an unquantised weight in the type it is stored in.

    Its mixed-precision layers would convert it to the computing type at once: a copy in memory.
    """

    class Linear(operations.Linear):
        def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any) -> None:
            weight = state_dict.get(f"{prefix}weight")
            if weight is None or f"{prefix}comfy_quant" in state_dict:
                super()._load_from_state_dict(state_dict, prefix, *arguments)
                return
            self.weight = nn.Parameter(weight, requires_grad=False)
            bias = state_dict.get(f"{prefix}bias")
            if bias is not None:
                self.bias = nn.Parameter(bias, requires_grad=False)

    class Kept(operations):
        pass

    Kept.Linear = Linear
    return Kept
