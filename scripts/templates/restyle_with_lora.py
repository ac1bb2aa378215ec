"""A style LoRA on the backbone of core's loader, and the camera file laid over both."""

from __future__ import annotations

from dataclasses import replace

from .. import workflow_files as files
from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import BYPASSED, Graph
from ..workflow_pieces import SPACE

TEXT = f"""\
# Restyle with a LoRA

Wan 2.1 and its LoRAs are loaded as you always do; *Apply WorldStereo Weights* lays the camera file over \
them. A GGUF loader fits in the place of *Load Diffusion Model*. The camera and the room's geometry stay \
those of the render; the LoRA and your prompt say how things look. Several LoRAs are chained.

The clip begins with your picture as it is. For a style from the first frame on, choose a picture that \
already has it. If the style fights the geometry, lower *strength_model*, or end control early: \
*end_percent* 0.6 on *Apply WorldStereo Control*.

{notes.STEPS}

{notes.CLIP_LENGTH}
"""
MERGE_TEXT = """\
Off at first (bypassed). Click this group's title, then **Ctrl+B**, to switch it on.

It writes backbone and camera file as **one model file**, without the LoRA, for GGUF converters and other \
loaders, and the control branch beside it. Once is enough: switch it off again.
"""
KIT = replace(
    kits.CAMERA,
    lora=files.STYLE_LORA,
    lora_strength=0.9,
    is_laid_over=True,
    prompt="Pixar animation style. A still scene, the camera glides through it. Soft light, rounded shapes, "
    "rich colours, nothing moves by itself.",
)


def describe(graph: Graph) -> None:
    made = pieces.first_clip(graph, KIT, TEXT, {"preset": "orbit left", "amount_deg": 20.0})
    note = graph.note(MERGE_TEXT, title="One file for other loaders", width=340, height=260)
    merge = graph.add(
        "WorldStereo_SaveMergedModel",
        width=440,
        mode=BYPASSED,
        backbone=files.BACKBONE.name,
        worldstereo=files.CAMERA.name,
        models=(files.BACKBONE, files.CAMERA),
    )
    left, top = made.boxes[0].left, max(box.bottom for box in made.boxes) + SPACE
    graph.group("Off: save as one model file", left, top, [[note], [merge]], pieces.GREY)


def thumbnail(scene: Scene) -> Image:
    return scene.restyled(scene.move("orbit left", 12.0))
