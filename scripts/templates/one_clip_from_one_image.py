"""One clip from one picture in four steps, with the memory model."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Graph

TEXT = f"""\
# One clip from one picture

A picture becomes a point cloud, a camera moves through it, and the model turns the render into a clip in \
4 steps.

{notes.STEPS}

{notes.CLIP_LENGTH}
"""


def describe(graph: Graph) -> None:
    pieces.first_clip(graph, kits.MEMORY_DMD, TEXT, extra="early look")


def thumbnail(scene: Scene) -> Image:
    return scene.film_strip(scene.move("orbit right", 20.0))
