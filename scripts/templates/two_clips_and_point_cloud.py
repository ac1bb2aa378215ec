"""Two clips that share a memory, and the point cloud of both."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import GOLD, TEAL, Image, Scene
from ..workflow_graph import BYPASSED, Graph

SPACE = pieces.SPACE
TEXT = f"""\
# Two clips that agree, and a point cloud

Clip 1 moves right. Its frames and their depth go into the memory, so that clip 2, which moves back to the \
left from where clip 1 ended, finds the same room. The memory is saved at the end, and as a PLY file.

{notes.STEPS}

{notes.CLIP_LENGTH}

A third clip is one more copy of groups 5 and 6.
"""


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT)
    left = edge + SPACE
    moves = [pieces.move_node(graph, source.memory, shared.kit, pieces.ORBIT_RIGHT)]
    one = pieces.clip(graph, left, 0, shared, source.start, source.memory, moves, number="4", name="clip_01")
    row = graph.align(one.boxes) + SPACE
    nodes, grown = pieces.grow(graph, shared, source.memory, one)
    last = graph.add(
        "ImageFromBatch", title="Last frame of clip 1", width=400, image=one.images, batch_index=20
    )
    taken = graph.group("5 · Memory takes clip 1 in", left, row, [[*nodes, last]], pieces.GREEN)
    move = {"preset": "orbit left", "amount_deg": 40.0, "continue_from": one.trajectory}
    moves = [pieces.move_node(graph, grown, shared.kit, move)]
    two = pieces.clip(
        graph, taken.right + SPACE, row, shared, last["IMAGE"], grown, moves, number="6", name="clip_02"
    )
    row = graph.align([taken, *two.boxes]) + SPACE
    nodes, world = pieces.grow(graph, shared, grown, two)
    taken = graph.group("7 · Memory takes clip 2 in", left, row, [nodes], pieces.GREEN)
    saved = pieces.save_world(graph, taken.right + SPACE, row, world, number="8")
    rest = graph.add(
        "ImageFromBatch",
        title="Clip 2 without its first frame",
        width=420,
        mode=BYPASSED,
        image=two.images,
        batch_index=1,
        length=4096,
    )
    both = graph.add(
        "ImageBatch", title="Both clips", width=420, mode=BYPASSED, image1=one.images, image2=rest["IMAGE"]
    )
    smooth = pieces.interpolation(graph, saved.right + SPACE, row, both["IMAGE"], (rest, both))
    graph.align([taken, saved, smooth])


def thumbnail(scene: Scene) -> Image:
    right = scene.move("orbit right", 20.0)
    left = scene.move("orbit left", 40.0, start=right)
    return scene.overview([(right, GOLD), (left, TEAL)])
