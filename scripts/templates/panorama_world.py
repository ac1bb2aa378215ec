"""A world that surrounds the camera, from a 360 degree panorama."""

from __future__ import annotations

from PIL import ImageDraw

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import HEIGHT, WHITE, WIDTH, Image, Scene, to_image
from ..workflow_graph import Graph, Output
from ..workflow_pieces import SPACE, Source

TEXT = f"""\
# A world from a panorama

A 360 degree panorama becomes points all around, and 27 views of it fill the memory: wherever the camera \
turns, something is known there already.

1. Put the model files in place (note below).
2. Choose **Your panorama**: equirectangular, twice as wide as high.
3. **Where to look** in *Perspective View of Panorama*: degrees to the right of the middle, and up. That \
picture starts the clip, and the camera move begins at its camera.
4. Choose the **camera move**, and look before you pay: select *What the camera sees* and press the play \
button above it.
5. Run. For another direction turn the view and run again; the clips agree since they share the memory.

{notes.CLIP_LENGTH}
"""


def panorama(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """From a panorama to the memory around it, and the view that the clip starts with."""
    load = graph.add("LoadImage", title="Your panorama", width=360, height=340, image="example.png")
    scale = graph.add(
        "ImageScale",
        title="Exactly 2 : 1",
        width=360,
        image=load["IMAGE"],
        upscale_method="lanczos",
        crop="center",
    )
    scale.values.update(width=2048, height=1024)
    depth = graph.add(
        "MoGePanoramaInference",
        title="Depth all around",
        width=360,
        moge_model=moge,
        image=scale["IMAGE"],
    )
    memory = graph.add(
        "WorldStereo_CreatePanoramaMemory",
        image=scale["IMAGE"],
        geometry=depth["moge_geometry"],
    )
    memory.width, memory.height = 360, 520
    view = graph.add("WorldStereo_CropPanorama", title="Where to look", image=scale["IMAGE"])
    view.width, view.height = 360, 440
    columns = [[load, scale, view], [depth, memory]]
    box = graph.group("2 · Panorama to point cloud", left, top, columns, pieces.GREEN)
    return Source(view["image"], memory["memory"], box, {"view": view})


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT, panorama)
    move = {"preset": "truck right", "distance": 0.3, "continue_from": source.nodes["view"]["camera"]}
    moves = [pieces.move_node(graph, source.memory, shared.kit, move)]
    left = edge + SPACE
    made = pieces.clip(graph, left, 0, shared, source.start, source.memory, moves, number="4", name="clip")
    row = graph.align(made.boxes) + SPACE
    kept = pieces.save_world(graph, left, row, source.memory, number="5")
    smooth = pieces.interpolation(graph, kept.right + SPACE, row, made.images)
    graph.align([kept, smooth])


def thumbnail(scene: Scene) -> Image:
    image = to_image(scene.around())
    draw = ImageDraw.Draw(image)
    box = (WIDTH * 0.39, HEIGHT * 0.33, WIDTH * 0.61, HEIGHT * 0.67)
    draw.rounded_rectangle(box, 6, outline=WHITE, width=4)
    return image
