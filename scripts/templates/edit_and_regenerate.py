"""A saved world is edited, looked at from all sides, and a part of it made again."""

from __future__ import annotations

import torch
from PIL import Image as Pillow
from PIL import ImageDraw

from worldstereo_core.memory.editing import delete_by_mask

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import HEIGHT, RED, WIDTH, Image, Scene, side_by_side, to_image
from ..workflow_graph import Box, Graph, Node, Output
from ..workflow_pieces import SPACE, Source

TEXT = f"""\
# Edit a saved world, make a part again

A file of *Save Geometric Memory* is loaded, something in it is deleted under a mask, a thing is copied to \
another place, colours are matched; then a new clip fills what was cut, and the world is saved again. \
Nothing is lost: every edit makes a new memory, the one before it is still on the wire.

1. Put the model files in place (note below).
2. Choose the **memory** file, with at least one clip in it. Press R after saving one.
3. Run *Picture to paint on* alone, save what it shows, load it in **Painted mask**, and paint there over \
what has to go (right click, *Open in MaskEditor*). A segmentation node does as well.
4. Or select in *Look around, select in 3D*: press the play button above it, then draw a box, paint or \
draw a lasso over what has to go. Nothing selected: nothing more is deleted.
5. Run the group *What changed* before you pay: red is gone, green is new, and the coverage shows what the \
camera will find.
6. Run all.

{notes.CLIP_LENGTH}

*Other models*: wire the outputs of *Render Control Videos* into VACE or Fun-Control, and the carried mask \
into whatever inpaints.
"""
# What stands in the middle of the first picture, however far.
THING = {"right": 0.0, "down": 0.0, "forward": 1.0, "width": 0.5, "height": 0.5, "length": 0.0}


def saved(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """A memory file, what it holds, the picture to start with and the one to paint on."""
    load = graph.add(
        "WorldStereo_LoadMemory", width=360, file="worldstereo/memory_00001_.safetensors [output]"
    )
    seen = graph.add("WorldStereo_InspectMemory", width=360, height=480, memory=load["memory"])
    start = graph.add(
        "WorldStereo_PickView",
        title="Picture to start with",
        width=360,
        height=400,
        memory=load["memory"],
        view=0,
    )
    shown = graph.add(
        "WorldStereo_PickView",
        title="Picture to paint on",
        width=360,
        height=400,
        memory=load["memory"],
        view=-1,
    )
    viewer = graph.add(
        "WorldStereo_ViewMemory",
        title="Look around, select in 3D",
        width=960,
        height=900,
        memory=load["memory"],
    )
    columns = [[load, seen], [start, shown], [viewer]]
    box = graph.group("2 · The world so far", left, top, columns, pieces.GREEN)
    nodes = {"shown": shown, "start": start, "viewer": viewer}
    return Source(start["picture"], load["memory"], box, nodes)


def edits(graph: Graph, left: int, top: int, source: Source) -> tuple[Node, Node, Box]:
    """The painted mask, and the memory after all edits."""
    before, shown, start = source.memory, source.nodes["shown"], source.nodes["start"]
    mask = graph.add("LoadImage", title="Painted mask", width=400, height=340, image="example.png")
    cut = graph.add(
        "WorldStereo_DeleteUnderMask",
        width=400,
        height=520,
        memory=before,
        mask=mask["MASK"],
        trajectory=shown["trajectory"],
    )
    selected = graph.add(
        "WorldStereo_CropMemory",
        title="Delete what was selected in 3D",
        width=400,
        height=640,
        memory=cut["memory"],
        keep="outside",
        selection=source.nodes["viewer"]["selection"],
        views="remove those that show it",
    )
    clear = graph.add(
        "WorldStereo_CropToView",
        title="Clear what floats before the lens",
        width=400,
        height=480,
        memory=selected["memory"],
        trajectory=start["trajectory"],
        keep="outside",
        far=0.1,
    )
    thing = graph.add(
        "WorldStereo_CropMemory",
        title="Copy: take a thing out",
        width=400,
        height=640,
        memory=before,
    )
    thing.values |= THING  # by hand: its width is not the node's
    moved = graph.add(
        "WorldStereo_TransformMemory",
        title="Copy: where it goes",
        width=400,
        height=600,
        memory=thing["memory"],
        right=0.5,
    )
    merged = graph.add(
        "WorldStereo_MergeMemories",
        title="Copy: put it in",
        width=400,
        height=600,
        first=clear["memory"],
        second=moved["memory"],
        views="first only",
    )
    colours = graph.add(
        "WorldStereo_RecolourMemory",
        title="Clip 1 in the colours of the first picture",
        width=400,
        height=440,
        memory=merged["memory"],
        reference=start["picture"],
        clips="1",
    )
    columns = [[mask, cut], [selected, clear], [thing, moved], [merged, colours]]
    return mask, colours, graph.group("4 · Edit", left, top, columns, pieces.GREEN)


def looks(
    graph: Graph, left: int, top: int, source: Source, edited: Output, mask: Node, track: Output
) -> Box:
    """What changed, what the path will find, and the world as control signals for other models."""
    before = source.memory
    without = graph.add("WorldStereo_RemoveClip", title="The world without clip 1", width=400, memory=before)
    without.height = 420
    brought = graph.add(
        "WorldStereo_CompareMemories",
        title="What clip 1 had brought",
        width=400,
        height=460,
        before=without["memory"],
        after=before,
    )
    change = graph.add(
        "WorldStereo_CompareMemories",
        title="What the edits changed",
        width=400,
        height=460,
        before=before,
        after=edited,
        trajectory=track,
    )
    coverage = graph.add("WorldStereo_DrawCoverage", width=400, height=460, memory=edited, trajectory=track)
    controls = graph.add("WorldStereo_RenderControls", width=420, height=680, memory=edited, trajectory=track)
    carried = graph.add(
        "WorldStereo_CarryMask",
        title="What was cut, in every frame",
        width=420,
        height=480,
        memory=before,
        mask=mask["MASK"],
        painted_on=source.nodes["shown"]["trajectory"],
        trajectory=track,
    )
    columns = [[without, brought], [change, coverage], [controls, carried]]
    return graph.group("5 · What changed, and what the camera will find", left, top, columns, pieces.GOLD)


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT, saved)
    left = edge + SPACE
    mask, edited, cut = edits(graph, left, 0, source)
    memory = edited["memory"]
    moves = [pieces.move_node(graph, memory, shared.kit, pieces.ORBIT_RIGHT)]
    seen = looks(graph, cut.right + SPACE, 0, source, memory, mask, moves[0]["trajectory"])
    row = graph.align([cut, seen]) + SPACE
    made = pieces.clip(graph, left, row, shared, source.start, memory, moves, number="6", name="clip")
    row = graph.align(made.boxes) + SPACE
    nodes, world = pieces.grow(graph, shared, memory, made)
    taken = graph.group("7 · Memory takes the clip in", left, row, [nodes], pieces.GREEN)
    kept = pieces.save_world(graph, taken.right + SPACE, row, world, number="8")
    smooth = pieces.interpolation(graph, kept.right + SPACE, row, made.images)
    graph.align([taken, kept, smooth])


def thumbnail(scene: Scene) -> Image:
    """The picture with a painted mask on the left, the world without what it covered on the right."""
    x, y, width, height = 250, 210, 190, 120
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[y : y + height, x : x + width] = 1
    cut = delete_by_mask(scene.memory, mask, scene.memory.views[0].camera)
    picture = to_image(scene.picture)
    paint = picture.copy()
    ImageDraw.Draw(paint).rounded_rectangle((x, y, x + width, y + height), 18, RED)
    return side_by_side(
        Pillow.blend(picture, paint, 0.55), to_image(cut.render(scene.memory.views[0].camera).image[0])
    )
