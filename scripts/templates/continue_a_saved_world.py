"""The next clip of a world that was saved before."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import GOLD, TEAL, Image, Scene
from ..workflow_graph import Graph, Output
from ..workflow_pieces import Source

TEXT = f"""\
# Go on with a saved world

*Save Geometric Memory* of another template wrote a file; this one loads it, shows what it holds, and adds \
one clip. Save again, and choose the new file next time.

1. Put the model files in place (note below).
2. Choose the **memory** file: press R after saving one.
3. Choose the picture the clip **starts with**: the first picture of the world, or a frame of an earlier \
clip whose camera you continue from.
4. Choose the **camera move**, and look before you pay: select *What the camera sees* and press the play \
button above it.
5. Run.

{notes.CLIP_LENGTH}
"""


def saved(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """A memory file, what it holds, and the picture to start with."""
    load = graph.add(
        "WorldStereo_LoadMemory", width=360, file="worldstereo/memory_00001_.safetensors [output]"
    )
    seen = graph.add("WorldStereo_InspectMemory", width=360, height=420, memory=load["memory"])
    picture = graph.add(
        "LoadImage", title="Picture to start with", width=360, height=340, image="example.png"
    )
    fit = graph.add("WorldStereo_FitImage", width=360, image=picture["IMAGE"])
    box = graph.group("2 · The world so far", left, top, [[load, seen], [picture, fit]], pieces.GREEN)
    return Source(fit["image"], load["memory"], box)


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT, saved)
    left = edge + pieces.SPACE
    moves = [pieces.move_node(graph, source.memory, shared.kit, {"preset": "orbit left", "amount_deg": 30.0})]
    made = pieces.clip(graph, left, 0, shared, source.start, source.memory, moves, number="4", name="clip")
    row = graph.align(made.boxes) + pieces.SPACE
    nodes, world = pieces.grow(graph, shared, source.memory, made)
    taken = graph.group("5 · Memory takes the clip in", left, row, [nodes], pieces.GREEN)
    kept = pieces.save_world(graph, taken.right + pieces.SPACE, row, world, number="6")
    smooth = pieces.interpolation(graph, kept.right + pieces.SPACE, row, made.images)
    graph.align([taken, kept, smooth])


def thumbnail(scene: Scene) -> Image:
    left = scene.move("orbit left", 30.0)
    return scene.overview([(left, TEAL), (scene.move("truck right", start=left), GOLD)])
