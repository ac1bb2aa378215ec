"""Make a template small enough for any machine: the small model under the real file names, fewer frames.

ComfyUI builds text and CLIP vision encoders at full size only, and depth estimation needs its model. A
workflow keeps their loaders, for which development code stands in (tests/comfy/devnodes, not part of the
pack). A prompt is played in a drawn world instead, whose depth is exact, with nodes of the pack alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..sizes import scaled_size
from .comfy_prompt import Prompt, widget_inputs
from .small_model import NODE_EDGE_THRESHOLD, RADIUS

DEV_NODES = "worldstereo_devnodes"
RELEASED_FRAMES = 21
VIDEO_FRAMES = 4 * (RELEASED_FRAMES - 1) + 1  # of a file that makes video, such as Uni3C
# Widgets of the panorama template at small size.
_PANORAMA: dict[str, dict[str, Any]] = {
    "ImageScale": {"width": 128, "height": 64},
    "MoGePanoramaInference": {"resolution_level": 0, "split_resolution": 256, "merge_resolution": 256},
    "WorldStereo_CreatePanoramaMemory": {"views": "6 views (cube)", "width": 96, "height": 64},
}
_LOADERS = ("CLIPLoader", "CLIPVisionLoader", "LoadMoGeModel")
# What the small model was trained with, by widget.
_TRAINED: dict[str, Any] = {
    "radius": RADIUS,
    "edge_threshold": NODE_EDGE_THRESHOLD,
    "mode": "first_frame_only",
}
_WITH_TRAINED = (
    "WorldStereo_CreateMemory",
    "WorldStereo_EncodeFirstFrame",
    "WorldStereo_GenerateClips",
    "WorldStereo_RenderMemory",
    "WorldStereo_UpdateMemory",
)


@dataclass(frozen=True)
class SmallRun:
    """How far a template is cut down.

    Attributes:
        image: file in the server's input folder.
        height, width: of the clips, multiples of 16.
        frames: key frames of a clip.
        steps: sampling steps of every schedule.
        has_depth: depth is exact; else it is a tilted plane.
    """

    image: str
    height: int
    width: int
    frames: int
    steps: int
    has_depth: bool = False


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
    if kind in _WITH_TRAINED and name in _TRAINED:
        return _TRAINED[name]
    grows = kind in ("WorldStereo_UpdateMemory", "WorldStereo_GenerateClips")
    if grows and name == "keep_frames":
        return min(value, run.frames - 1)
    if grows and name == "alignment" and not run.has_depth:
        return "ratio"  # a plane that turns with the camera is no surface that a robust fit would accept
    return value


def play_in_world(prompt: Prompt, run: SmallRun, world: int) -> Prompt:
    """Cut a template's prompt down and play it in a drawn world; node ids stay.

    The world's first picture takes the place of loaded pictures, its depth along a clip that of a depth
    model, and the small model's context that of text and CLIP vision.

    Args:
        prompt: it is not changed.
        world: see *Draw Example World*.
    """
    small: Prompt = {}
    slots: dict[str, int] = {}  # of the output that takes the place of a node's first
    drawn = {"world": world, "kind": "by number", "width": run.width, "height": run.height}
    for id, node in copy.deepcopy(prompt).items():
        kind, inputs = node["class_type"], node["inputs"]
        if kind in _LOADERS:
            continue
        if kind == "LoadImage":
            node = _node("WorldStereo_DrawWorld", **drawn)
        elif kind == "WorldStereo_FitImage":
            height, width = _scaled(run, inputs.get("scale", 1.0))
            method = _filter(inputs.get("scale", 1.0))
            size = {"width": width, "height": height, "upscale_method": method, "crop": "center"}
            node = _node("ImageScale", image=inputs["image"], **size)
        elif kind == "CLIPTextEncode":
            node = _node("WorldStereo_MakeNullContext")
        elif kind == "WorldStereo_EncodeClipVision":
            node, slots[id] = _node("WorldStereo_MakeNullContext"), 2
        elif kind == "MoGeInference":
            node, slots[id] = _node("WorldStereo_DrawWorld", **drawn, **_cameras(id, prompt)), 1
        else:
            node["inputs"] = {name: _smaller(kind, name, value, run) for name, value in inputs.items()}
        small[id] = node
    for node in small.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in slots:
                node["inputs"][name] = [value[0], slots[value[0]]]
    return small


def _node(kind: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def _cameras(id: str, prompt: Prompt) -> dict[str, Any]:
    """The cameras that estimated pictures were made with: of the clip whose frames go into the memory."""
    found = [
        node["inputs"]["trajectory"]
        for node in prompt.values()
        if node["class_type"] == "WorldStereo_UpdateMemory" and node["inputs"].get("geometry") == [id, 0]
    ]
    return {"trajectory": found[0]} if found else {}
