"""How much memory loading takes, on sparse stand-ins of some 100 MB; run under ComfyUI's Python."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import comfy.sd  # noqa: F401  # before the first measurement: importing takes memory too
import torch

from benchmarks.loader import Peak, load_ours, load_plainly, save
from benchmarks.sparse_models import SMALL, write_backbone, write_worldstereo

WAYS = {"ours": load_ours, "plain": load_plainly, "save merged": save}


def loading(folder: str, way: str, base: str, variant: str) -> dict[str, Any]:
    """Bytes of the files, the peak while loading them, and whether the result reads as zeros."""
    paths = Path(folder) / f"{base}.safetensors", Path(folder) / f"{variant}.safetensors"
    size = write_worldstereo(paths[1], SMALL, variant)
    if base:
        dtype = torch.bfloat16 if base == "bf16" else torch.float8_e4m3fn
        size += write_backbone(paths[0], SMALL, dtype, is_scaled=base == "scaled")
    gc.collect()
    with Peak() as peak:
        kept = WAYS[way](paths[0] if base else None, paths[1], "default")
    del kept
    return {"size": size, "peak": peak.highest}
