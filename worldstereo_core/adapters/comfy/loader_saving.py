"""Saves a merged backbone under ComfyUI's names, and its control branch as a small file of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...checks import CheckpointError
from ...model.checkpoint_settings import METADATA_KEY, config_to_settings
from ...tensor_writer import saying_why_not, write_tensors
from .loader import read_worldstereo
from .loader_state import MergedState, merged_state

STORAGE_DTYPES: dict[str, torch.dtype | None] = {
    "as stored": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}
SOURCE_KEY = "worldstereo_source"

Progress = Callable[[int, int], None]


def save_merged(
    backbone_path: str | Path | None,
    worldstereo_path: str | Path,
    model_path: str | Path,
    control_path: str | Path | None = None,
    dtype: str = "as stored",
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> str:
    """Write a backbone with a WorldStereo file's own weights in it, tensor by tensor from file to file.

    Args:
        backbone_path: a Wan 2.1 image-to-video file, or None when the WorldStereo file is complete.
        worldstereo_path: as in ``load_worldstereo``.
        model_path: the ``.safetensors`` to write; any loader of Wan models takes it.
        control_path: the ``.safetensors`` to write the control branch to, with its settings; None for none.
        dtype: a key of ``STORAGE_DTYPES``. fp8 concerns the matrices of the blocks, as in published fp8
            files.
        overrides: settings that win over the file's.
        progress: called with (done, total) in MiB; may raise to stop.

    Returns:
        Sentences about what was written.

    Raises: CheckpointError, naming the input, if the files do not fit; WorldStereoError if the folder cannot
        be written or the disk is full, and then nothing is left behind.
    """
    if dtype not in STORAGE_DTYPES:
        raise CheckpointError(f"dtype: got {dtype!r}, expected one of {', '.join(STORAGE_DTYPES)}.")
    checkpoint = read_worldstereo(worldstereo_path, overrides)
    merged = merged_state(checkpoint, backbone_path)
    if not checkpoint.backbone_state:
        raise CheckpointError(
            f"worldstereo: {Path(worldstereo_path).name} changes no weight of a backbone, so there is "
            "nothing to merge. Use the backbone as it is, with the control of Load WorldStereo Model or "
            "Apply WorldStereo Weights."
        )
    source = {SOURCE_KEY: Path(worldstereo_path).name}
    convert = _converter(merged, STORAGE_DTYPES[dtype])
    report = [merged.applied]
    if control_path is not None:
        settings = {METADATA_KEY: json.dumps(config_to_settings(checkpoint.config)), **source}
        with _of_prefix(control_path):
            size = write_tensors(control_path, checkpoint.control_state, settings, progress=progress)
        report.append(f"Saved {Path(control_path).name} with the control branch: {_gib(size)}.")
    try:
        with _of_prefix(model_path):
            size = write_tensors(
                model_path, merged.tensors, {**merged.metadata, **source}, convert=convert, progress=progress
            )
    except BaseException:
        # An interrupt too: half of a pair is of no use.
        if control_path is not None:
            Path(control_path).unlink(missing_ok=True)
        raise
    report.append(f"Saved {Path(model_path).name} with the backbone: {_gib(size)}.")
    report.append(
        "To use it: choose it as backbone, and the control file as worldstereo, in Load WorldStereo Model. "
        "Or load it with any loader (GGUF after converting) and connect it to Apply WorldStereo Weights with "
        'weights "control only".'
    )
    return "\n".join(report)


def _of_prefix(path: str | Path) -> AbstractContextManager[None]:
    return saying_why_not(f"filename_prefix: {Path(path).name}")


def _converter(merged: MergedState, dtype: torch.dtype | None) -> Callable[[str, Tensor], torch.dtype] | None:
    if dtype is None:
        return None
    if "_quantization_metadata" in merged.metadata or any(
        name == "scaled_fp8" or name.endswith((".comfy_quant", ".scale_weight")) for name in merged.tensors
    ):
        raise CheckpointError(
            f"dtype: got {dtype}, but the backbone is quantised and its numbers mean nothing without their "
            'scales. Choose "as stored", or a backbone in bf16 or fp16.'
        )

    def stored_as(name: str, tensor: Tensor) -> torch.dtype:
        if not tensor.is_floating_point():
            return tensor.dtype
        if dtype.itemsize == 1:
            is_matrix = tensor.ndim == 2 and name.startswith("blocks.")
            return dtype if is_matrix else tensor.dtype
        return dtype

    return stored_as


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**28 else f"{size / 2**20:.1f} MiB"
