"""A Uni3C control file on stock Wan 2.1: 81 frames of ordinary video."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Graph

TEXT = """\
# Uni3C on stock Wan 2.1

WorldStereo's predecessor on the same graph. It makes **ordinary video: 81 frames at 16 frames per second, 5 \
seconds**, so no *Key Frames to Images* stands before the decoder. Render holes and camera rays steer it as \
well as the render does. It has no memory of other views.

1. Put the model files in place (note below).
2. Choose **Your picture**. Any size; it is cropped to a size the model knows.
3. Choose the **camera move**: a preset and how far. *frames* stays 81: four times the latent frames, less 3.
4. Look before you pay: select *What the camera sees* and press the play button above it.
5. Run: 40 steps, each twice (CFG 5).
"""


def describe(graph: Graph) -> None:
    pieces.first_clip(graph, kits.UNI3C, TEXT, {"preset": "dolly in", "distance": 0.4})


def thumbnail(scene: Scene) -> Image:
    return scene.film_strip(scene.move("dolly in", distance=0.4))
