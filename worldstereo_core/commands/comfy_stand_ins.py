"""Make a template small enough for any machine: tiny random weights under the real file names, fewer frames.

ComfyUI builds text and CLIP vision encoders at full size only, and depth estimation needs its model. For
these three, development code stands in (tests/comfy/devnodes), which is not part of the pack: for a workflow
as its loaders' results, for a prompt as nodes, which also know the depth of the demo's room.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..model.key_names import wan_to_diffusers_key
from ..model.tiny import (
    VAE_WIDTH,
    random_tensors,
    tiny_backbone_tensors,
    tiny_lora_tensors,
    tiny_uni3c_tensors,
    tiny_worldstereo_tensors,
    write_weights,
)
from ..model.vae_key_names import wan_vae_shapes
from ..sizes import scaled_size
from .comfy_prompt import Prompt, widget_inputs

DEV_NODES = "worldstereo_devnodes"
BACKBONE = "wan2.1_i2v_480p_14B_fp16.safetensors"
UNI3C = "Wan21_Uni3C_controlnet_fp16.safetensors"
STYLE_LORA = "pixar_10_epochs.safetensors"
RELEASED_FRAMES = 21
VIDEO_FRAMES = 4 * (RELEASED_FRAMES - 1) + 1  # of a file that makes video, such as Uni3C
# Files whose models cannot be tiny: they hold one number, and development code takes their place.
_STAND_INS = (
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "clip_vision/clip_vision_h.safetensors",
    "geometry_estimation/moge_2_vitl_normal_fp16.safetensors",
    "frame_interpolation/film_net_fp16.safetensors",
)
# Widgets of the panorama template at small size.
_PANORAMA: dict[str, dict[str, Any]] = {
    "ImageScale": {"width": 128, "height": 64},
    "MoGePanoramaInference": {"resolution_level": 0, "split_resolution": 256, "merge_resolution": 256},
    "WorldStereo_CreatePanoramaMemory": {"views": "6 views (cube)", "width": 96, "height": 64},
}
_LOADERS = ("CLIPLoader", "CLIPVisionLoader", "LoadMoGeModel")


@dataclass(frozen=True)
class SmallRun:
    """How far a template is cut down.

    Attributes:
        image: file in the server's input folder.
        height, width: of the clips, multiples of 16.
        frames: key frames of a clip.
        steps: sampling steps of every schedule.
        is_room: the picture is the demo's drawn room, whose depth is known; else depth is a tilted plane.
    """

    image: str
    height: int
    width: int
    frames: int
    steps: int
    is_room: bool = False


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
    write_weights(models / "worldstereo" / UNI3C, tiny_uni3c_tensors(seed + 5))
    write_weights(models / "loras" / STYLE_LORA, tiny_lora_tensors(seed + 6))
    for name in _STAND_INS:
        write_weights(models / name, {"stand_in": torch.zeros(1)})


def shrink_workflow(workflow: dict[str, Any], schemas: Mapping[str, Any], run: SmallRun) -> dict[str, Any]:
    """Cut a template down with its own widgets; only the picture's size needs another node.

    Args:
        workflow: the saved JSON; it is not changed.
        schemas: /object_info of the server that it will run on.
    """
    small = copy.deepcopy(workflow)
    for node in small["nodes"]:
        if node["type"] == "WorldStereo_FitImage":
            scale = _values_by_name(node, schemas[node["type"]]).get("scale", 1.0)
            height, width = _scaled(run, scale)
            node["type"] = "ImageScale"
            node["widgets_values"] = [_filter(scale), width, height, "center"]
            node["outputs"] = [{**node["outputs"][0], "name": "IMAGE"}]
        elif node["type"] in schemas:
            widgets = widget_inputs(schemas[node["type"]], _values_by_name(node, schemas[node["type"]]))
            node["widgets_values"] = [_smaller(node["type"], name, value, run) for name, value in widgets]
    return small


def _scaled(run: SmallRun, scale: float) -> tuple[int, int]:
    """Height and width; a size as it is stays so, wrong ones too."""
    return (run.height, run.width) if scale == 1 else scaled_size(run.height, run.width, scale)


def _filter(scale: float) -> str:
    # Enlarging, core's bicubic filter leaves 0..1, which the pack's own node does not.
    return "bicubic" if scale <= 1 else "bilinear"


def _values_by_name(node: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Saved widget values by name. What a dynamic choice shows depends on the value read before it."""
    values: dict[str, Any] = {}
    for saved in node.get("widgets_values") or []:
        unread = [name for name, _ in widget_inputs(schema, values) if name not in values]
        if unread:
            values[unread[0]] = saved
    return values


def _smaller(kind: str, name: str, value: Any, run: SmallRun) -> Any:
    if name == "frames" and value in (RELEASED_FRAMES, VIDEO_FRAMES):
        return 4 * (run.frames - 1) + 1 if value == VIDEO_FRAMES else run.frames
    if kind == "LoadImage" and name == "image":
        return run.image
    if kind == "ImageFromBatch" and name == "batch_index" and value == RELEASED_FRAMES - 1:
        return run.frames - 1
    if kind in _PANORAMA and name in _PANORAMA[kind]:
        return _PANORAMA[kind][name]
    if kind == "WorldStereo_CropPanorama" and name in ("width", "height"):
        return run.width if name == "width" else run.height
    if kind == "WorldStereo_MakeSigmas" and name == "steps":
        return run.steps
    grows = kind in ("WorldStereo_UpdateMemory", "WorldStereo_GenerateClips")
    if grows and name == "keep_frames":
        return min(value, run.frames - 1)
    if grows and name == "alignment" and not run.is_room:
        return "ratio"  # a plane that turns with the camera is no surface that a robust fit would accept
    return value


def shrink(prompt: Prompt, run: SmallRun) -> Prompt:
    """Cut a template's prompt down and put the stand-ins in; node ids stay. `prompt` is not changed."""
    small: Prompt = {}
    for id, node in copy.deepcopy(prompt).items():
        kind, inputs = node["class_type"], node["inputs"]
        if kind in _LOADERS:
            # Generate Clips runs these models itself, so it gets stand-ins for them; no one else does.
            if any(node["class_type"] == "WorldStereo_GenerateClips" for node in prompt.values()):
                small |= _model(id, kind)
            continue
        if kind == "LoadImage":
            inputs["image"] = run.image
        elif kind == "WorldStereo_FitImage":
            scale = inputs.get("scale", 1.0)
            height, width = _scaled(run, scale)
            size = {"width": width, "height": height, "upscale_method": _filter(scale), "crop": "center"}
            node = _node("ImageScale", image=inputs["image"], **size)
        elif kind == "CLIPTextEncode":
            node = _node("WorldStereoDev_Text", seed=int(id))
        elif kind == "WorldStereo_EncodeClipVision":
            node = _node("WorldStereoDev_ClipVision", seed=int(id))
        elif kind == "MoGeInference":
            node = _geometry(id, inputs["image"], prompt, run)
        elif kind == "ImageFromBatch" and inputs["batch_index"] == RELEASED_FRAMES - 1:
            inputs["batch_index"] = run.frames - 1
        elif kind == "WorldStereo_MakeSigmas":
            inputs["steps"] = run.steps
        elif kind in ("WorldStereo_UpdateMemory", "WorldStereo_GenerateClips"):
            inputs["keep_frames"] = min(inputs["keep_frames"], run.frames - 1)
        if inputs.get("frames") in (RELEASED_FRAMES, VIDEO_FRAMES):
            is_video = inputs["frames"] == VIDEO_FRAMES
            inputs["frames"] = 4 * (run.frames - 1) + 1 if is_video else run.frames
        small[id] = node
    return small


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _model(id: str, kind: str) -> Prompt:
    """What stands for a model that a loader would give."""
    if kind == "CLIPVisionLoader":
        return {id: _node("WorldStereoDev_ClipVisionModel", seed=int(id))}
    if kind == "LoadMoGeModel":
        return {id: _node("WorldStereoDev_MogeModel", near=2.0, far=4.0, fov_deg=60.0)}
    return {}


def _geometry(id: str, image: Any, prompt: Prompt, run: SmallRun) -> dict[str, Any]:
    """What stands for depth estimation: of the picture, or of the clip whose frames go into the memory."""
    if not run.is_room:
        return _node("WorldStereoDev_Geometry", image=image, near=2.0, far=4.0, fov_deg=60.0)
    clips = [
        node["inputs"]["trajectory"]
        for node in prompt.values()
        if node["class_type"] == "WorldStereo_UpdateMemory" and node["inputs"].get("geometry") == [id, 0]
    ]
    return _node("WorldStereoDev_Room", image=image, **({"trajectory": clips[0]} if clips else {}))
