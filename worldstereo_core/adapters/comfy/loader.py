"""Loads a WorldStereo file onto a Wan backbone as ComfyUI's MODEL and MODEL_PATCH."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...checks import CheckpointError
from ...model.checkpoint import (
    WorldStereoCheckpoint,
    check_backbone,
    diffusers_to_wan_key,
    load_checkpoint,
    merge_backbone,
)
from ...model.config import WorldStereoConfig, count_blocks
from ...model.weight_files import read_weights
from ...model.world_control import WorldStereoControl

logger = logging.getLogger(__name__)

MODEL_FOLDER = "worldstereo"
WEIGHT_DTYPES: dict[str, torch.dtype | None] = {
    "default": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}
# What quantised files keep beside a layer's weight.
_QUANT_PARTS = (
    "comfy_quant",
    "weight_scale",
    "weight_scale_2",
    "scale_weight",
    "input_scale",
    "scale_input",
)
_PREFIXES = ("model.diffusion_model.", "diffusion_model.")


class LoadedWorldStereo(NamedTuple):
    """What the loader node hands on.

    Attributes:
        model: MODEL, a ModelPatcher of ComfyUI's Wan with the file's own weights in place.
        control: MODEL_PATCH, a ModelPatcher of a WorldStereoControl; ``control.model.config`` has its
            settings.
        report: what was loaded and assumed, a sentence per line.
        config: the file's sizes and settings.
    """

    model: Any
    control: Any
    report: str
    config: WorldStereoConfig


def register_model_folder() -> None:
    """Make ComfyUI look for WorldStereo files in ``models/worldstereo``; safe to call again."""
    import folder_paths

    folder_paths.add_model_folder_path(MODEL_FOLDER, str(Path(folder_paths.models_dir) / MODEL_FOLDER))
    # Without extensions ComfyUI would list config.json and README files too.
    folder_paths.folder_names_and_paths[MODEL_FOLDER][1].update({".safetensors", ".pth", ".pt"})


@contextmanager
def _of_input(name: str, path: str | Path) -> Iterator[None]:
    """Let an error that begins with a file's path begin with the node input the file was chosen in."""
    try:
        yield
    except CheckpointError as error:
        text = str(error)
        if not text.startswith(str(path)):
            raise
        raise CheckpointError(f"{name}: {Path(path).name}{text.removeprefix(str(path))}") from error


def load_worldstereo(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    weight_dtype: str = "default",
    overrides: Mapping[str, Any] | None = None,
) -> LoadedWorldStereo:
    """Load a WorldStereo file with the backbone it needs.

    Args:
        backbone_path: a Wan 2.1 image-to-video file, or None when the WorldStereo file is complete.
        worldstereo_path: ``<name>/model.safetensors`` or a flat file; see ``load_checkpoint``.
        weight_dtype: a key of ``WEIGHT_DTYPES``, how weights are kept in memory. "default" is what ComfyUI
            chooses for the device and file. fp8 concerns the backbone alone.
        overrides: settings that win over the file's (variant, reference_update).

    Raises: CheckpointError, naming the input, if a file is damaged, the backbone is of another kind, or it is
        missing although the WorldStereo file needs one.
    """
    with _of_input("worldstereo", worldstereo_path):
        checkpoint = load_checkpoint(worldstereo_path, overrides=overrides)
    model, notes = build_model(checkpoint, backbone_path, weight_dtype)
    arguments = (backbone_path, worldstereo_path, weight_dtype, overrides)
    model.cached_patcher_init = (_reload_model, arguments)
    control = build_control(checkpoint, weight_dtype)
    control.cached_patcher_init = (_reload_control, arguments)
    report = "\n".join([checkpoint.describe(), *notes])
    logger.info("WorldStereo: %s", report)
    return LoadedWorldStereo(model, control, report, checkpoint.config)


def build_model(
    checkpoint: WorldStereoCheckpoint,
    backbone_path: str | Path | None,
    weight_dtype: str = "default",
    disable_dynamic: bool = False,
) -> tuple[Any, list[str]]:
    """Make a MODEL of a backbone file with the checkpoint's own backbone tensors in place.

    Returns:
        The ModelPatcher, and sentences about what was done.

    Raises: CheckpointError.
    """
    import comfy.sd

    state, metadata, notes = _merged_state(checkpoint, backbone_path)
    dtype = _dtype(weight_dtype)
    model = comfy.sd.load_diffusion_model_state_dict(
        state,
        model_options={} if dtype is None else {"dtype": dtype},
        metadata=metadata,
        disable_dynamic=disable_dynamic,
    )
    if model is None:
        raise CheckpointError(
            f"backbone: ComfyUI does not recognise {backbone_path or checkpoint.source} as a diffusion "
            "model. "
            "Choose a Wan 2.1 image-to-video file."
        )
    return model, notes


def build_control(
    checkpoint: WorldStereoCheckpoint, weight_dtype: str = "default", disable_dynamic: bool = False
) -> Any:
    """Make the MODEL_PATCH: a ModelPatcher of the control branch and camera embedding."""
    import comfy.model_management as management
    import comfy.model_patcher
    import comfy.ops

    state = dict(checkpoint.control_state)
    offload = management.unet_offload_device()
    dtype = _control_dtype(state, weight_dtype)
    module = WorldStereoControl(
        checkpoint.config, operations=comfy.ops.manual_cast, device=offload, dtype=dtype
    )
    module.requires_grad_(False).eval()
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(module, load_device=management.get_torch_device(), offload_device=offload)
    module.load_state_dict(
        {key: value.to(dtype) for key, value in state.items()}, strict=True, assign=patcher.is_dynamic()
    )
    return patcher


def _reload_model(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    weight_dtype: str,
    overrides: Mapping[str, Any] | None,
    disable_dynamic: bool = False,
) -> Any:
    checkpoint = load_checkpoint(worldstereo_path, overrides=overrides)
    return build_model(checkpoint, backbone_path, weight_dtype, disable_dynamic)[0]


def _reload_control(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    weight_dtype: str,
    overrides: Mapping[str, Any] | None,
    disable_dynamic: bool = False,
) -> Any:
    return build_control(
        load_checkpoint(worldstereo_path, overrides=overrides), weight_dtype, disable_dynamic
    )


def _dtype(weight_dtype: str) -> torch.dtype | None:
    if weight_dtype not in WEIGHT_DTYPES:
        raise CheckpointError(
            f"weight_dtype: got {weight_dtype!r}, expected one of {', '.join(WEIGHT_DTYPES)}."
        )
    return WEIGHT_DTYPES[weight_dtype]


def _control_dtype(state: Mapping[str, Tensor], weight_dtype: str) -> torch.dtype:
    import comfy.model_management as management
    import comfy.utils

    dtype = _dtype(weight_dtype)
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
    return stored if small and chosen == torch.float32 else chosen


def _merged_state(
    checkpoint: WorldStereoCheckpoint, backbone_path: str | Path | None
) -> tuple[dict[str, Tensor], dict[str, str] | None, list[str]]:
    """The backbone's tensors in Wan names, the file's own in place of the backbone's; its metadata; notes."""
    if checkpoint.is_complete:
        notes = ["The WorldStereo file is complete and brings its own backbone."]
        if backbone_path is not None:
            notes.append(f"{Path(backbone_path).name} is not needed and was not read; choose none.")
        state = dict(checkpoint.backbone_state)
        _check_base(checkpoint, state, "worldstereo")
        return state, None, notes
    if backbone_path is None:
        raise CheckpointError(
            f"backbone: got none, but {checkpoint.source} is not complete: it lacks "
            f"{len(checkpoint.missing_backbone_keys) or 'all'} backbone tensors. Choose the Wan 2.1 "
            f"image-to-video model of width {checkpoint.config.control.output_width} "
            "(14B for the released files)."
        )
    with _of_input("backbone", backbone_path):
        base, metadata = _read_backbone(backbone_path)
    _check_base(checkpoint, base, f"backbone {Path(backbone_path).name}")
    missing = [key for key in checkpoint.missing_backbone_keys if key not in base]
    if missing:
        raise CheckpointError(
            f"backbone: {Path(backbone_path).name} lacks {len(missing)} tensors that a Wan image-to-video "
            "model "
            f"has, the first is {missing[0]}. The file is incomplete; download it again."
        )
    metadata = _unquantise(base, metadata, checkpoint.backbone_state)
    state = merge_backbone(base, checkpoint)
    for key in checkpoint.backbone_state:
        # One storage type for the whole model; a quantised base keeps the file's own type for these.
        if base[key].dtype in (torch.float32, torch.bfloat16, torch.float16):
            state[key] = state[key].to(base[key].dtype)
    note = (
        f"Backbone {Path(backbone_path).name}: {len(checkpoint.backbone_state)} of its {len(base)} tensors "
        "replaced by the file's own."
    )
    return state, metadata, [note]


def _read_backbone(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    import comfy.utils

    read_weights(path)  # a damaged file gets our sentence; tensors are only mapped here, not read
    tensors, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    prefix = next((p for p in _PREFIXES if any(key.startswith(p) for key in tensors)), "")
    state = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    if "head.modulation" not in state and "proj_out.weight" in state:
        # Diffusers' names, which ComfyUI has no map for.
        state = {new: value for key, value in state.items() if (new := diffusers_to_wan_key(key)) is not None}
    return state, metadata


def _check_base(checkpoint: WorldStereoCheckpoint, base: Mapping[str, Tensor], name: str) -> None:
    patch = base.get("patch_embedding.weight")
    if patch is None or patch.ndim != 5 or "head.modulation" not in base:
        first = ", ".join(list(base)[:3]) or "none"
        raise CheckpointError(
            f"{name}: not a Wan model (no patch_embedding or head.modulation; its first tensors are "
            f"{first}). "
            "Choose a Wan 2.1 image-to-video file."
        )
    is_i2v = any(key.endswith("cross_attn.k_img.weight") for key in base)
    check_backbone(checkpoint, patch.shape[0], count_blocks(base, "blocks."), patch.shape[1], is_i2v)


def _unquantise(
    base: dict[str, Tensor], metadata: dict[str, str] | None, overridden: Mapping[str, Tensor]
) -> dict[str, str] | None:
    """Drop the quantisation of the layers whose weights are about to be replaced; the others keep theirs."""
    layers = {key.removesuffix(".weight") for key in overridden if key.endswith(".weight")}
    for layer in layers:
        found = [name for part in _QUANT_PARTS if (name := f"{layer}.{part}") in base]
        for name in found:
            del base[name]
        if found:
            # Packed weights have another shape than the layer; the replacement has the right one.
            base[f"{layer}.weight"] = overridden[f"{layer}.weight"]
    if not metadata or "_quantization_metadata" not in metadata:
        return metadata
    described = json.loads(metadata["_quantization_metadata"])
    described["layers"] = {name: value for name, value in described["layers"].items() if name not in layers}
    return {**metadata, "_quantization_metadata": json.dumps(described)}
