"""The camera file on stock Wan 2.1: one clip, no memory of other views."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Graph

TEXT = f"""\
# Camera file on stock Wan 2.1, 40 steps

The camera file holds only the control branch and is laid over Wan 2.1 I2V 480P. Slower than the 4-step \
file: 40 steps, each twice (CFG 5). It has no memory of other views, and LoRAs for Wan 2.1 I2V fit.

{notes.STEPS}

{notes.CLIP_LENGTH}
"""


def describe(graph: Graph) -> None:
    pieces.first_clip(graph, kits.CAMERA, TEXT)


def thumbnail(scene: Scene) -> Image:
    return scene.halves(scene.move("orbit right", 20.0))
