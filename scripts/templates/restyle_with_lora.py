"""The camera file with a style LoRA between loader and control."""

from __future__ import annotations

from dataclasses import replace

from .. import workflow_files as files
from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Graph

TEXT = f"""\
# Restyle with a LoRA

A LoRA for Wan 2.1 stands between *Load WorldStereo Model* and *Apply WorldStereo Control*. The camera and \
the room's geometry stay those of the render; the LoRA and your prompt say how things look. Several LoRAs \
are chained; their order does not matter.

The clip begins with your picture as it is. For a style from the first frame on, choose a picture that \
already has it. If the style fights the geometry, lower *strength_model*, or end control early: \
*end_percent* 0.6 on *Apply WorldStereo Control*.

{notes.STEPS}

{notes.CLIP_LENGTH}
"""
KIT = replace(
    kits.CAMERA,
    lora=files.STYLE_LORA,
    lora_strength=0.9,
    prompt="Pixar animation style. A still scene, the camera glides through it. Soft light, rounded shapes, "
    "rich colours, nothing moves by itself.",
)


def describe(graph: Graph) -> None:
    pieces.first_clip(graph, KIT, TEXT, {"preset": "orbit left", "amount_deg": 20.0})


def thumbnail(scene: Scene) -> Image:
    return scene.restyled(scene.move("orbit left", 12.0))
