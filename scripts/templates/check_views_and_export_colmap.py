"""Do the views of a memory agree, and a COLMAP model of them. No model is needed."""

from __future__ import annotations

from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene
from ..workflow_graph import Graph
from ..workflow_pieces import SPACE

TEXT = """\
# Do the views agree? And COLMAP

No model file is needed: this looks at a saved world, and writes it for COLMAP, nerfstudio and trainers of \
Gaussian splats.

1. Choose the **memory** file that *Save Geometric Memory* wrote: press R after saving one.
2. Run.
3. **Matches**: lines must join the same things in both pictures, colours must sit on the same places. If \
they do not, depth or cameras are wrong: fix them before the next clip (*alignment* robust on *Update \
Geometric Memory*).
4. **Along a camera move**: points on the left, the pictures themselves carried over on the right. Ghosts \
and double edges say the same.
5. The folder with cameras, images and tracks is in ComfyUI's *output* folder, under *worldstereo/colmap*.
"""


def describe(graph: Graph) -> None:
    note = graph.note(TEXT, title="Start here", width=440, height=560)
    readme = graph.group("Read me", 0, 0, [[note]], pieces.GREY)
    load = graph.add(
        "WorldStereo_LoadMemory", width=360, file="worldstereo/memory_00001_.safetensors [output]"
    )
    memory = load["memory"]
    seen = graph.add("WorldStereo_InspectMemory", width=360, height=420, memory=memory)
    world = graph.group("1 · The world", readme.right + SPACE, 0, [[load, seen]], pieces.GREEN)
    lines = graph.add(
        "WorldStereo_MatchViews", title="First and newest view: lines", width=420, height=560, memory=memory
    )
    colours = graph.add(
        "WorldStereo_MatchViews",
        title="First and newest view: colours",
        width=420,
        height=560,
        memory=memory,
        style="colour map",
    )
    matches = graph.group("2 · Matches", world.right + SPACE, 0, [[lines, colours]], pieces.GOLD)
    move = graph.add(
        "WorldStereo_BuildTrajectory", width=340, height=660, memory=memory, **pieces.ORBIT_RIGHT
    )
    track = move["trajectory"]
    points = graph.add(
        "WorldStereo_RenderMemory",
        title="The points",
        width=420,
        height=480,
        memory=memory,
        trajectory=track,
    )
    views = graph.add(
        "WorldStereo_RetrieveReferences",
        title="Which views see it",
        width=420,
        height=340,
        memory=memory,
        trajectory=track,
        method="visible points",
    )
    warped = graph.add(
        "WorldStereo_WarpViews",
        title="The pictures, carried over",
        width=420,
        height=540,
        memory=memory,
        trajectory=track,
        references=views["references"],
    )
    columns = [[move], [points, views], [warped]]
    along = graph.group("3 · Along a camera move", matches.right + SPACE, 0, columns, pieces.TEAL)
    export = graph.add("WorldStereo_ExportCorrespondences", width=400, memory=memory)
    where = graph.add("PreviewAny", title="The folder", width=400, height=120, source=export["folder"])
    out = graph.group("4 · COLMAP folder", along.right + SPACE, 0, [[export, where]], pieces.BLUE)
    graph.align([readme, world, matches, along, out])


def thumbnail(scene: Scene) -> Image:
    return scene.matches(scene.move("orbit right", 20.0))
