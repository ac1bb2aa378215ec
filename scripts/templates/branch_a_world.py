"""Another way on from a clip of a world folder, made by hand and saved to a branch."""

from __future__ import annotations

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import GOLD, RED, TEAL, Image, Scene
from ..workflow_graph import Box, Graph, Output
from ..workflow_pieces import SPACE, Clip, Shared, Source

TEXT = f"""\
# Another way on from clip 2

A world folder is opened and its clips are judged. A **branch** keeps the clips up to number 2 and goes \
another way: one clip, made by hand, in the colours of the world. The first world stays as it is.

1. Put the model files in place (note below).
2. **name** in *Open World Folder*: a world of *Generate Clips*. The node shows every clip.
3. *Accept or Reject Clips*: numbers and a decision. Nothing is deleted; *Clean World Folder* lists what \
could go, and deletes only when told.
4. *Branch World Folder*: a name, and the last clip that comes along. The same number in *Load Clip of World*.
5. Choose the **camera move**, and look before you pay: select *What the camera sees* and press the play \
button above it.
6. Run. Each run adds a clip to the branch.

{notes.CLIP_LENGTH}
"""


def opened(graph: Graph, left: int, top: int, moge: Output) -> Source:
    """A world folder, decisions about its clips, and a branch of it with the clip to go on from."""
    world = graph.add("WorldStereo_OpenWorld", width=380, height=420)
    decide = graph.add("WorldStereo_DecideClip", width=380, world=world["world"], clips="1")
    clean = graph.add(
        "WorldStereo_CleanWorld", title="What could be cleaned", width=380, world=decide["world"]
    )
    branch = graph.add("WorldStereo_BranchWorld", width=380, world=decide["world"], last_clip=2)
    past = graph.add("WorldStereo_LoadClip", width=380, world=branch["world"], clip=2)
    last = graph.add("ImageFromBatch", title="Its last frame", width=380, batch_index=20)
    last.inputs["image"] = past["images"]
    columns = [[world, decide, clean], [branch, past, last]]
    box = graph.group("2 · World folder and branch", left, top, columns, pieces.GREEN)
    return Source(last["IMAGE"], branch["memory"], box, {"branch": branch, "past": past})


def kept(graph: Graph, left: int, top: int, shared: Shared, source: Source, made: Clip) -> Box:
    """Colours held to the world's, depth, memory, and the clip in the branch's folder."""
    render = made.nodes["render"]
    colours = graph.add(
        "WorldStereo_AnchorColours",
        width=400,
        images=made.images,
        render=render["render"],
        holes=render["holes"],
        latent=made.nodes["sample"]["output"],
        vae=shared.vae,
    )
    anchored = Clip(colours["images"], made.trajectory, made.boxes, made.nodes)
    nodes, memory = pieces.grow(graph, shared, source.memory, anchored)
    depth, update = nodes
    save = graph.add(
        "WorldStereo_SaveClip",
        width=400,
        world=source.nodes["branch"]["world"],
        memory=memory,
        images=colours["images"],
        trajectory=made.trajectory,
        latent=colours["latent"],
        geometry=depth["moge_geometry"],
        report=update["report"],
        seed=1024,
    )
    columns = [[colours, depth], [update], [save]]
    return graph.group("5 · Colours, depth, memory, folder", left, top, columns, pieces.GREEN)


def describe(graph: Graph) -> None:
    shared, source, edge = pieces.beginning(graph, kits.MEMORY_DMD, TEXT, opened)
    past = source.nodes["past"]["trajectory"]
    move = {"preset": "orbit left", "amount_deg": 30.0, "continue_from": past}
    moves = [pieces.move_node(graph, source.memory, shared.kit, move)]
    left, start = edge + SPACE, source.start
    made = pieces.clip(graph, left, 0, shared, start, source.memory, moves, number="4", name="another_way")
    row = graph.align(made.boxes) + SPACE
    saved = kept(graph, left, row, shared, source, made)
    smooth = pieces.interpolation(graph, saved.right + SPACE, row, made.images)
    graph.align([saved, smooth])


def thumbnail(scene: Scene) -> Image:
    past = scene.move("orbit right", 20.0)
    one, other = scene.move("dolly in", start=past), scene.move("orbit left", 50.0, start=past)
    return scene.overview([(past, GOLD), (other, RED), (one, TEAL)], taken_in=1)
