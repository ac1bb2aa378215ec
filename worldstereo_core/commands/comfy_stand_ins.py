"""Make a template small enough for any machine: tiny random weights under the real file names, fewer frames.

ComfyUI builds text and CLIP vision encoders at full size only, and depth estimation needs its model, so these
three are replaced by development nodes (tests/comfy/devnodes), which are not part of the pack.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from ..model.key_names import wan_to_diffusers_key
from ..model.tiny import (
    VAE_WIDTH,
    random_tensors,
    tiny_backbone_tensors,
    tiny_worldstereo_tensors,
    write_weights,
)
from ..model.vae_key_names import wan_vae_shapes
from .comfy_prompt import Prompt

DEV_NODES = "worldstereo_devnodes"
BACKBONE = "wan2.1_i2v_480p_14B_fp16.safetensors"
RELEASED_FRAMES = 21
_LOADERS = ("CLIPLoader", "CLIPVisionLoader", "LoadMoGeModel")


@dataclass(frozen=True)
class SmallRun:
    """How far a template is cut down.

    Attributes:
        image: file in the server's input folder.
        height, width: of the clips, multiples of 16.
        frames: key frames of a clip.
        steps: sampling steps of every schedule.
        depth: depth files in the server's input folder by title of the node whose depth they stand for;
            nodes not named see a tilted plane.
    """

    image: str
    height: int
    width: int
    frames: int
    steps: int
    depth: tuple[tuple[str, str], ...] = ()


def write_tiny_weights(models: Path, seed: int = 0) -> None:
    """Write tiny random weights under the file names that the templates load.

    Args:
        models: a ComfyUI ``models`` folder.
    """
    backbone = tiny_backbone_tensors(seed)
    write_weights(models / "diffusion_models" / BACKBONE, backbone)
    write_weights(
        models / "vae" / "wan_2.1_vae.safetensors", random_tensors(wan_vae_shapes(VAE_WIDTH), seed + 1)
    )
    # The released memory-dmd file is complete: it brings its own backbone, here that of the other files.
    complete = {wan_to_diffusers_key(key) or key: tensor for key, tensor in backbone.items()}
    for number, variant in enumerate(("camera", "memory", "memory-dmd")):
        tensors = tiny_worldstereo_tensors(variant, seed + 2 + number)
        name = f"worldstereo_{variant.replace('-', '_')}.safetensors"
        write_weights(
            models / "worldstereo" / name,
            {**complete, **tensors} if variant == "memory-dmd" else tensors,
        )


def shrink(prompt: Prompt, run: SmallRun, titles: dict[str, str] | None = None) -> Prompt:
    """Cut a template's prompt down and put the stand-ins in.

    Args:
        prompt: from ``workflow_to_prompt``; not changed.
        titles: node id -> title, to find the nodes that `run.depth` names.
    """
    small: Prompt = {}
    depth = dict(run.depth)
    for id, node in copy.deepcopy(prompt).items():
        if node["class_type"] in _LOADERS:
            continue
        kind, inputs = node["class_type"], node["inputs"]
        file = depth.get((titles or {}).get(id, ""))
        if kind == "LoadImage":
            inputs["image"] = run.image
        elif kind == "WorldStereo_FitImage":
            node = _scale(inputs["image"], run)
        elif kind == "CLIPTextEncode":
            node = {"class_type": "WorldStereoDev_Text", "inputs": {"seed": int(id)}}
        elif kind in ("WorldStereo_EncodeClipVision", "CLIPVisionEncode"):
            node = {"class_type": "WorldStereoDev_ClipVision", "inputs": {"seed": int(id)}}
        elif kind == "MoGeInference" and file:
            node = {
                "class_type": "WorldStereoDev_GeometryFile",
                "inputs": {"image": inputs["image"], "file": file},
            }
        elif kind == "MoGeInference":
            plane = {"image": inputs["image"], "near": 2.0, "far": 4.0, "fov_deg": 60.0}
            node = {"class_type": "WorldStereoDev_Geometry", "inputs": plane}
        elif kind == "ImageFromBatch" and inputs["batch_index"] == RELEASED_FRAMES - 1:
            inputs["batch_index"] = run.frames - 1
        if "frames" in inputs:
            inputs["frames"] = run.frames
        if "keep_frames" in inputs:
            inputs["keep_frames"] = min(inputs["keep_frames"], run.frames - 1)
        if kind == "WorldStereo_MakeSigmas":
            inputs["steps"] = run.steps
        small[id] = node
    return small


def _scale(image: object, run: SmallRun) -> dict[str, object]:
    size = {"width": run.width, "height": run.height, "upscale_method": "bicubic", "crop": "center"}
    return {"class_type": "ImageScale", "inputs": {"image": image, **size}}


def save_depth(path: Path, depth: torch.Tensor, K: torch.Tensor) -> None:
    """Write what WorldStereoDev_GeometryFile reads: depth [T, H, W] and K [3, 3] in pixels."""
    import numpy as np

    np.savez(path, depth=depth.numpy(), K=K.numpy())
