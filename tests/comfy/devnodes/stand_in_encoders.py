"""Text encoder, CLIP vision and MoGe for tests: ComfyUI's own loader nodes give these for stand-in files.

The three exist at full size only. Where a loader node meets a file of a few bytes, as
``write_template_weights`` writes them, it gets one of these instead of a model, so that a template runs with
every node it has.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any

import comfy.clip_vision
import comfy.model_patcher
import comfy.sd
import torch

import nodes

STAND_IN_BYTES = 4096  # real files have a million times more


class TextEncoder:
    """Random numbers that depend on the text alone."""

    def tokenize(self, text: str, **kwargs: Any) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str, *args: Any, **kwargs: Any) -> list[list[Any]]:
        generator = torch.Generator().manual_seed(zlib.crc32(tokens.encode()))
        return [[torch.randn(1, 512, 4096, generator=generator), {"pooled_output": None}]]


class ClipVision:
    """Random numbers that depend on the picture's mean alone."""

    model_type = "clip_vision_model"
    return_all_hidden_states = False

    def encode_image(self, image: torch.Tensor, crop: bool = True) -> Any:
        generator = torch.Generator().manual_seed(int(image.mean() * 1e6))
        output = comfy.clip_vision.Output()
        output.penultimate_hidden_states = torch.randn(1, 257, 1280, generator=generator)
        output.last_hidden_state = output.penultimate_hidden_states
        output.image_embeds = output.penultimate_hidden_states[:, 0]
        return output


class DepthEstimator:
    """A tilted plane, 2 units away at the bottom row and 4 at the top row, seen at 60 degrees."""

    load_device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self) -> None:
        # Panorama inference asks for the model to be loaded; there is nothing to load.
        self.patcher = comfy.model_patcher.ModelPatcher(torch.nn.Module(), self.load_device, self.load_device)

    def infer(self, image: torch.Tensor, **kwargs: Any) -> dict[str, torch.Tensor]:
        from . import moge_geometry

        batch, _, height, width = image.shape
        depth = torch.linspace(4.0, 2.0, height)[None, :, None].expand(batch, height, width).contiguous()
        focal = 0.5 / torch.tan(torch.deg2rad(torch.tensor(30.0)))
        K = torch.tensor([[focal, 0, 0.5], [0, focal * width / height, 0.5], [0, 0, 1]])
        geometry = moge_geometry(image.movedim(1, -1), depth, K)
        del geometry["image"]
        return geometry


def is_stand_in(path: str) -> bool:
    return os.path.getsize(path) <= STAND_IN_BYTES


def install() -> None:
    """Make ComfyUI's loader nodes give the stand-ins for stand-in files."""
    load_clip, load_vision = comfy.sd.load_clip, comfy.clip_vision.load

    def text(ckpt_paths: list[str], *args: Any, **kwargs: Any) -> Any:
        return TextEncoder() if is_stand_in(ckpt_paths[0]) else load_clip(ckpt_paths, *args, **kwargs)

    def vision(path: str) -> Any:
        return ClipVision() if is_stand_in(path) else load_vision(path)

    comfy.sd.load_clip, comfy.clip_vision.load = text, vision
    # Extra nodes are loaded by path under a name of their own, so their module is reached through a node.
    loader: Any = nodes.NODE_CLASS_MAPPINGS["LoadMoGeModel"]
    module = loader.execute.__func__.__globals__
    real: Callable[..., Any] = module["MoGeModel"]
    module["MoGeModel"] = lambda tensors: DepthEstimator() if "stand_in" in tensors else real(tensors)
