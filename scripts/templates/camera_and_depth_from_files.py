"""Depth and camera from a 3D program instead of estimates and presets."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import GOLD, RED, Image, Scene
from ..workflow_graph import Graph, Output
from ..workflow_pieces import Source

TEXT = f"""\
# Import a Blender camera (or Nuke's, Maya's, Unreal's)

Render one frame and its depth pass, export the camera move; the model paints the move.

**From Blender**
- Camera: *File > Export > glTF 2.0*, *Cameras* and *Animation* on (or Universal Scene Description, or \
Alembic). Or run `worldstereo_core/formats/cameras/blender_export.py` in Blender's text editor: it writes \
camera.json with the exact lens, zooms and constraints included.
- Depth: *View Layer > Passes > Z*, then save the render of the first frame as OpenEXR MultiLayer, 32 bit. \
Blender counts in metres; camera and depth then fit.
- Back to Blender: *Save Camera Trajectory* writes a Python script; open it in the text editor and press Run.

1. Put the model files in place (note below).
2. Copy **depth** (EXR, NPZ, NPY or 16-bit PNG) and the **camera file** (glTF, USD, Alembic, .chan, After \
Effects text, nerfstudio, COLMAP, CSV, camera.json) into ComfyUI's *input* folder, press R, and choose them. \
They need the same unit.
3. Choose the frame they belong to as **Your picture**.
4. Look before you pay: select *What the camera sees* and press the play button above it. If the picture \
breaks apart, the unit or the up axis is another one: see the report beside the camera.
5. Run.

{notes.CLIP_LENGTH}
"""


def files(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """Picture and depth file to memory."""
    load = graph.add("LoadImage", title="Your picture", width=360, height=340, image="example.png")
    fit = graph.add("WorldStereo_FitImage", width=360, image=load["IMAGE"])
    depth = graph.add("WorldStereo_LoadDepth", width=360, file="depth.npz", fov_deg=60.0)
    shown = graph.add("PreviewImage", title="Depth: near is bright", width=360, height=240)
    shown.inputs["images"] = depth["preview"]
    memory = graph.add("WorldStereo_CreateMemory", width=360, image=fit["image"], geometry=depth["geometry"])
    box = graph.group(
        "2 · Picture and depth file to point cloud",
        left,
        top,
        [[load, fit, memory], [depth, shown]],
        pieces.GREEN,
    )
    return Source(fit["image"], memory["memory"], box)


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT, files)
    load = graph.add("WorldStereo_LoadTrajectory", width=340, file="camera.json")
    save = graph.add("WorldStereo_SaveTrajectory", width=340, trajectory=load["trajectory"], format="blender")
    made = pieces.clip(
        graph,
        edge + pieces.SPACE,
        0,
        shared,
        source.start,
        source.memory,
        [load, save],
        number="4",
        name="clip",
    )
    pieces.interpolation(graph, made.boxes[1].left, graph.align(made.boxes) + pieces.SPACE, made.images)


def thumbnail(scene: Scene) -> Image:
    there = scene.move("orbit left", 40.0)
    return scene.overview([(there, GOLD), (scene.move("dolly in", start=there), RED)], eye=(-3.2, -4.2, -4.2))
