"""Checks of the worker itself, run under ComfyUI's Python."""

from __future__ import annotations

import torch


def facts() -> dict[str, object]:
    import comfy.model_management

    return {
        "device": comfy.model_management.get_torch_device().type,
        "inference_mode": torch.is_inference_mode_enabled(),
    }


def fail() -> None:
    raise ZeroDivisionError("on purpose")
