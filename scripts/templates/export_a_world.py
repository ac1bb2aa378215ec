"""A saved world for Blender and SuperSplat, with a camera from a file. No model is needed."""

from __future__ import annotations

from .. import workflow_pieces as pieces
from ..thumbnail_scene import TEAL, Image, Scene
from ..workflow_graph import Graph

SPACE = pieces.SPACE
TEXT = """\
# Take a world to another program

No model is loaded: this takes a saved world and a camera file, shows what that camera sees, and writes a \
folder for Blender and one for SuperSplat.

1. Choose the **memory** file that *Save Geometric Memory* wrote: press R after saving one.
2. Copy your **camera file** (Blender via glTF, USD or Alembic, Nuke .chan, nerfstudio, COLMAP, camera.json) \
into ComfyUI's *input* folder, press R, and choose it. *What the camera file says* tells what was assumed.
3. Run. The folders are in ComfyUI's *output* folder, under *worldstereo*.
4. **Blender**: *File > Import > Stanford PLY* for `points.ply`, then run `camera.py` in *Scripting*. \
**SuperSplat**: drop `splats.ply` on the page.

Other programs: choose another **target**. `scene.json` in each folder says axes and units.
"""


def describe(graph: Graph) -> None:
    note = graph.note(TEXT, title="Start here", width=440, height=560)
    readme = graph.group("Read me", 0, 0, [[note]], pieces.GREY)
    load = graph.add(
        "WorldStereo_LoadMemory", width=360, file="worldstereo/memory_00001_.safetensors [output]"
    )
    seen = graph.add("WorldStereo_InspectMemory", width=360, height=420, memory=load["memory"])
    world = graph.group("1 · The world", readme.right + SPACE, 0, [[load, seen]], pieces.GREEN)
    camera = graph.add("WorldStereo_LoadTrajectory", width=360, file="camera.json")
    report = graph.add(
        "PreviewAny", title="What the camera file says", width=360, height=140, source=camera["report"]
    )
    moves = graph.group("2 · Your camera", world.right + SPACE, 0, [[camera, report]], pieces.GOLD)
    render = graph.add(
        "WorldStereo_RenderMemory",
        title="What the camera sees",
        width=400,
        height=620,
        memory=load["memory"],
        trajectory=camera["trajectory"],
    )
    look = graph.group("3 · Look", moves.right + SPACE, 0, [[render]], pieces.TEAL)
    blender = graph.add(
        "WorldStereo_ExportWorld",
        title="For Blender",
        width=400,
        height=520,
        memory=load["memory"],
        target="Blender",
        name="worldstereo/for_blender",
        trajectory=camera["trajectory"],
        images=render["render"],
    )
    splat = graph.add(
        "WorldStereo_ExportWorld",
        title="For SuperSplat",
        width=400,
        height=520,
        memory=load["memory"],
        target="SuperSplat",
        name="worldstereo/for_supersplat",
        trajectory=camera["trajectory"],
    )
    out = graph.group("4 · Folders", look.right + SPACE, 0, [[blender, splat]], pieces.BLUE)
    points = graph.add("PreviewPointCloud", title="Points", width=560, height=460, model_3d=blender["points"])
    splats = graph.add(
        "PreviewGaussianSplat", title="Splats", width=560, height=460, model_3d=splat["splats"]
    )
    shown = graph.group("5 · As it will look", out.right + SPACE, 0, [[points, splats]], pieces.PURPLE)
    graph.align([readme, world, moves, look, out, shown])


def thumbnail(scene: Scene) -> Image:
    there = scene.move("orbit right", 45.0)
    return scene.overview([(there, TEAL)], eye=(3.2, -4.2, -4.2))
